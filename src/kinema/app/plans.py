"""What an order would take, told without making anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kinema.app.clips import Order
from kinema.core.placement import placements
from kinema.core.protocols import Clip, GenerationEngine


def plan_of(order: Order, engine: GenerationEngine[Clip]) -> dict[str, Any]:
    """The plan and cost of one clip of ``order``, JSON-ready, other places for its weights, and the clips' files and seeds."""
    request = order.requests[0]
    plan = engine.plan(request)
    ways = placements(
        order.card,
        order.shape,
        plan,
        is_guided=plan.guidance_mode != "off",
        num_keyframes=len(request.keyframes),
    )
    costs = [(way, engine.estimate(request, plan=way.plan)) for way in ways]
    return {
        "model": {"name": order.card.name, "version": order.card.version},
        "request": request.to_dict(),
        "prompt": order.prompt.to_dict(),
        "shape": asdict(order.shape),
        "plan": plan.to_dict(),
        "estimate": engine.estimate(request, plan=plan).to_dict(),
        "placements": [{**way.to_dict(), "seconds": cost.total_seconds} for way, cost in costs],
        "clips": [{"path": p, "seed": r.seed} for p, r in zip(order.paths, order.requests, strict=True)],
    }
