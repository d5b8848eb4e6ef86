"""What a clip's file tells about how it was made: everything that is needed to make it again. Standard library only."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import MediaRef
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.meter import RunMetrics
from kinema.weights.digest import digest_file
from kinema.weights.folder import ModelFolder

FORMAT = 1
# Facts about the run, not the clip: they differ between two runs that give the same frames.
RUN_FACTS = ("created", "cost")


def make_recipe(
    request: GenerationRequest,
    *,
    plan: RunPlan,
    model: ModelFolder,
    metrics: RunMetrics,
    frames_digest: str,
    batch_index: int = 0,
) -> dict[str, Any]:
    """The recipe of one clip: JSON-ready, the request with its seed and every default filled in."""
    return {
        "format": FORMAT,
        "request": request.to_dict(),
        "plan": plan.to_dict(),
        "batch_index": batch_index,
        "model": {"name": model.card.name, "version": model.card.version, "hash": model.content_hash()},
        "inputs": input_hashes(request),
        "versions": versions(),
        "frames": frames_digest,
        "cost": metrics.to_dict(),
        "created": datetime.now(timezone.utc).date().isoformat(),
    }


def input_hashes(request: GenerationRequest) -> dict[str, str]:
    """Reference -> hash of the pictures that ``request`` names; those that are no local file are left out."""
    refs = [k.media for k in request.keyframes]
    return {r.ref: f"sha256:{digest_file(Path(r.ref))}" for r in refs if _is_file(r)}


def versions() -> dict[str, str]:
    """Versions of what computes: kinema, torch, numpy and Python."""
    found = {"python": platform.python_version()}
    for name in ("kinema", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"  # kinema run from a source tree
    return found


def read_request_and_plan(recipe: Mapping[str, Any]) -> tuple[GenerationRequest, RunPlan, int]:
    """(request, plan, place in its batch) of ``recipe``. Raises: InvalidInput if it isn't one of this format."""
    if recipe.get("format") != FORMAT:
        raise InvalidInput("recipe", recipe.get("format"), f"is of another format; this version reads {FORMAT}")
    missing = [k for k in ("request", "plan", "model", "frames") if k not in recipe]
    if missing:
        raise InvalidInput("recipe", sorted(recipe), f"has no {', '.join(missing)}")
    request = GenerationRequest.from_dict(recipe["request"])
    plan = RunPlan.from_dict(recipe["plan"])
    index = recipe.get("batch_index", 0)
    if not isinstance(index, int) or not 0 <= index < plan.batch:
        raise InvalidInput("batch_index", index, f"must be below the plan's batch of {plan.batch}")
    return request, plan, index


def _is_file(media: MediaRef) -> bool:
    return media.kind == "path" and Path(media.ref).is_file()
