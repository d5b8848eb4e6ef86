"""A clip made again from its recipe, and whether it is the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.placement import AUTO
from kinema.core.plan import RunPlan
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.engine.engine import Engine
from kinema.engine.recipe import changes_of, read_request_and_plan
from kinema.weights.folder import LoraFile, ModelFolder, open_model

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
    offload: str | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Reproduction:
    """The clip of ``recipe``, under its own plan. ``model`` names a folder where the recipe's model isn't a shipped one.

    A transformer from elsewhere and LoRAs are those that the recipe names, unless an ``engine`` has them. ``offload`` is where weights
    lie this time, if not as then ("auto": what fits in memory); that changes no bit.
    A clip of a batch is made again as a batch of as many copies of its request, since a batch's size changes the order of sums.

    Raises: InvalidInput for a recipe or picture that isn't what it was; WeightsError for other weights.
    """
    request, plan, index = read_request_and_plan(recipe)
    if engine is None:
        files, loras = needed_changes(recipe)
        folder = open_model(model if model is not None else recipe["model"]["name"], files=files, loras=loras)
        engine = Engine(folder, offload=offload or AUTO)
    check_changes(recipe, engine.folder)
    found, wanted = engine.folder.content_hash(), recipe["model"].get("hash")
    if found != wanted:
        rule = f"the clip was made with other weights: {_short(wanted)} there, {_short(found)} here"
        raise WeightsError("model", engine.folder.name, rule)
    inputs = engine.read_inputs(request)
    if changed := [ref for ref, digest in recipe.get("inputs", {}).items() if inputs.get(ref) != digest]:
        raise InvalidInput("keyframes", ", ".join(changed), "shows something else than when the clip was made")
    if offload is not None:
        plan = engine.place(request, plan, offload=offload)
    clip = engine.generate_batch([request] * plan.batch, plan=plan, observer=observer, cancel=cancel)[index]
    return Reproduction(clip=clip, is_same=clip.digest == recipe["frames"], notes=differences(recipe, clip.recipe))


def needed_changes(
    recipe: Mapping[str, Any], files: Mapping[str, str] | None = None, loras: Sequence[LoraFile] = ()
) -> tuple[dict[str, str], tuple[LoraFile, ...]]:
    """(component -> file, LoRAs) that ``recipe`` names, or those that are given in their place.

    Raises: InvalidInput; WeightsError for a file that isn't where the recipe says.
    """
    named, adapters = changes_of(recipe)
    files = {**named, **(files or {})}
    needed = {file: f"--{name.replace('_', '-')}" for name, file in files.items()}
    flags = {"transformer_2": "--lora-2"}
    needed |= {str(one.file): flags.get(one.component, "--lora") for one in (loras or adapters)}
    for file, flag in needed.items():
        if not Path(file).is_file():
            raise WeightsError(
                "model", Path(file), f"was used to make the clip and isn't there; {flag} names it elsewhere"
            )
    return dict(files), tuple(loras) or adapters


def check_changes(recipe: Mapping[str, Any], folder: ModelFolder) -> None:
    """Raises: WeightsError where ``folder`` has other files from elsewhere than the clip of ``recipe`` was made with."""
    found, wanted = folder.changes(), recipe["model"]
    mine, its = found.get("files", {}), wanted.get("files", {})
    for component in {**its, **mine}:
        then, now = its.get(component, {}).get("hash"), mine.get(component, {}).get("hash")
        if then != now:
            rule = f"the clip's {component} came from {_told(its.get(component))}, this one from {_told(mine.get(component))}"
            raise WeightsError("transformer", folder.name, f"{rule}; give the same file")
    keys = ("hash", "scale", "component")
    then, now = ([{k: one.get(k) for k in keys} for one in changes.get("loras", ())] for changes in (wanted, found))
    if then != now:
        names = " and ".join(f"{_told(one)} at {one.get('scale')}" for one in wanted.get("loras", ())) or "none"
        raise WeightsError("lora", folder.name, f"the clip was made with other LoRAs: {names}; give the same files")


def _told(entry: Mapping[str, Any] | None) -> str:
    return "the model's folder" if entry is None else f"{Path(entry['file']).name} ({_short(entry.get('hash'))})"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs in how two clips were made, one line each: versions of software, processor, plan."""
    notes = []
    for group in ("plan", "versions"):
        before, after = old.get(group, {}), new.get(group, {})
        if group == "plan":  # of a version that had fewer choices
            before = {**RunPlan().to_dict(), **before}
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                notes.append(f"{group}.{key}: {before.get(key, 'none')} then, {after.get(key, 'none')} now")
    return tuple(notes)


def _short(digest: object) -> str:
    return str(digest)[:19]
