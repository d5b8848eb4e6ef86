"""A clip made again from its recipe, and whether it is the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.engine.engine import Engine
from kinema.engine.recipe import read_request_and_plan

if TYPE_CHECKING:
    from kinema.engine.clip import Clip


@dataclass(frozen=True, kw_only=True, eq=False)
class Reproduction:
    """The clip made again; ``is_same`` tells whether every pixel of it is, ``notes`` what differs in how it was made."""

    clip: Clip
    is_same: bool
    notes: tuple[str, ...]


def reproduce(
    recipe: Mapping[str, Any],
    *,
    engine: Engine | None = None,
    model: str | os.PathLike[str] | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Reproduction:
    """The clip of ``recipe``, under its own plan. ``model`` names a folder where the recipe's model isn't a shipped one.

    A clip of a batch is made again as a batch of as many copies of its request, since a batch's size changes the order of sums.

    Raises: InvalidInput for a recipe or picture that isn't what it was; WeightsError for other weights.
    """
    request, plan, index = read_request_and_plan(recipe)
    engine = engine or Engine(model if model is not None else recipe["model"]["name"])
    found, wanted = engine.folder.content_hash(), recipe["model"].get("hash")
    if found != wanted:
        rule = f"the clip was made with other weights: {_short(wanted)} there, {_short(found)} here"
        raise WeightsError("model", engine.folder.name, rule)
    inputs = engine.read_inputs(request)
    if changed := [ref for ref, digest in recipe.get("inputs", {}).items() if inputs.get(ref) != digest]:
        raise InvalidInput("keyframes", ", ".join(changed), "shows something else than when the clip was made")
    clip = engine.generate_batch([request] * plan.batch, plan=plan, observer=observer, cancel=cancel)[index]
    return Reproduction(clip=clip, is_same=clip.digest == recipe["frames"], notes=differences(recipe, clip.recipe))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs in how two clips were made, one line each: versions of software, processor, plan."""
    notes = []
    for group in ("plan", "versions"):
        before, after = old.get(group, {}), new.get(group, {})
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                notes.append(f"{group}.{key}: {before.get(key, 'none')} then, {after.get(key, 'none')} now")
    return tuple(notes)


def _short(digest: object) -> str:
    return str(digest)[:19]
