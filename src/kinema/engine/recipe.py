"""What a clip's file tells about how it was made: everything that is needed to make it again. Standard library only."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kinema.core.errors import InvalidInput
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.core.version import VERSION
from kinema.engine.meter import RunMetrics
from kinema.weights.folder import LoraFile, ModelFolder

FORMAT = 1


def make_recipe(
    request: GenerationRequest,
    *,
    plan: RunPlan,
    model: ModelFolder,
    metrics: RunMetrics,
    frames_digest: str,
    inputs: Mapping[str, str],
    notes: Sequence[str] = (),
    batch_index: int = 0,
) -> dict[str, Any]:
    """The recipe of one clip: JSON-ready, the request with its seed and every default filled in."""
    recipe = {
        "format": FORMAT,
        "request": request.to_dict(),
        "plan": plan.to_dict(),
        "batch_index": batch_index,
        "model": {
            "name": model.card.name,
            "version": model.card.version,
            "hash": model.content_hash(),
            **model.changes(),
        },
        "inputs": dict(inputs),
        "versions": versions(),
        "frames": frames_digest,
        "cost": metrics.to_dict(),
        "created": datetime.now(timezone.utc).date().isoformat(),
    }
    return {**recipe, "notes": list(notes)} if notes else recipe


def versions() -> dict[str, str]:
    """Versions of what computes: kinema, torch, numpy and Python."""
    return {
        "kinema": VERSION,
        "torch": version("torch"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
    }


def changes_of(recipe: Mapping[str, Any]) -> tuple[dict[str, str], tuple[LoraFile, ...]]:
    """(component -> the file that its weights came from, the LoRAs) of ``recipe``, as its writer named them. Raises: InvalidInput."""
    facts = recipe.get("model", {})
    try:
        files = {str(name): str(entry["file"]) for name, entry in facts.get("files", {}).items()}
        loras = tuple(
            LoraFile(file=Path(entry["file"]), scale=entry["scale"], component=str(entry["component"]))
            for entry in facts.get("loras", ())
        )
    except (TypeError, KeyError, AttributeError) as e:
        raise InvalidInput("recipe", facts, f"names files of weights in a way that can't be read: {e!r}") from e
    return files, loras


def read_request_and_plan(recipe: Mapping[str, Any]) -> tuple[GenerationRequest, RunPlan, int]:
    """(request, plan, place in its batch) of ``recipe``. Raises: InvalidInput if it isn't one of this format."""
    if recipe.get("format") != FORMAT:
        raise InvalidInput("recipe", recipe.get("format"), f"is of another format; this version reads {FORMAT}")
    missing = [k for k in ("request", "plan", "model", "frames") if k not in recipe]
    if missing:
        raise InvalidInput("recipe", sorted(recipe), f"has no {', '.join(missing)}")
    for name in ("request", "plan", "model", "inputs", "versions"):
        if not isinstance(recipe.get(name, {}), Mapping):
            raise InvalidInput("recipe", recipe[name], f"its {name} must be an object")
    request = GenerationRequest.from_dict(recipe["request"])
    plan = RunPlan.from_dict(recipe["plan"])
    index = recipe.get("batch_index", 0)
    if not isinstance(index, int) or not 0 <= index < plan.batch:
        raise InvalidInput("batch_index", index, f"must be below the plan's batch of {plan.batch}")
    return request, plan, index
