"""A file's clip made again from the recipe inside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.app.clips import refuse_existing
from kinema.app.local import PLAIN, Setup, engine_for
from kinema.core.errors import InvalidInput
from kinema.core.placement import AUTO
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.media.recipe import read_recipe
from kinema.weights.folder import LoraFile


@dataclass(frozen=True, kw_only=True)
class Job:
    """A clip to make again: the file, its recipe, the model to use and how, and where to keep the new clip, if anywhere.

    ``offload``: where weights lie, if not as then.
    """

    path: Path
    recipe: Mapping[str, Any]
    model: str
    out: str | None
    setup: Setup = PLAIN
    offload: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Whether the frames are the same. ``differences`` are those in how they were made: versions, processor, plan."""

    path: Path
    is_same: bool
    expected: str
    found: str
    differences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "path": str(self.path),
            "is_same": self.is_same,
            "expected": self.expected,
            "found": self.found,
            "differences": list(self.differences),
        }


def read_job(
    file: str,
    *,
    model: str | None = None,
    out: str | None = None,
    overwrite: bool = False,
    offload: str | None = None,
    memory_limit_gb: float | None = None,
    files: tuple[tuple[str, str], ...] = (),
    loras: tuple[LoraFile, ...] = (),
) -> Job:
    """The job that ``file``'s recipe describes; ``model`` names a folder where its model isn't a shipped one.

    ``files`` and ``loras`` stand for those that the recipe names; they must hold the same. ``offload`` other than None, or a limit,
    lays the weights elsewhere than then. Raises: MediaError, InvalidInput if there is no such recipe in it.
    """
    from kinema.engine.reproduce import needed_changes

    recipe = read_recipe(file)
    if recipe is None:
        raise InvalidInput("file", file, "carries no recipe; only clips that Kinema wrote can be made again")
    if isinstance(world := recipe.get("world"), Mapping):
        again = f"kinema world sample {_world_flags(world)}"
        raise InvalidInput("file", file, f"shows the procedural world, not a model's clip; `{again}` makes it again")
    facts = recipe.get("model")
    if not isinstance(facts, Mapping) or not isinstance(facts.get("name"), str):
        raise InvalidInput("file", file, "carries a recipe that names no model")
    if out is not None and not overwrite:
        refuse_existing(Path(out))
    named, adapters = needed_changes(recipe, dict(files), loras)
    if memory_limit_gb is not None:
        offload = offload or AUTO
    setup = Setup(offload=offload or AUTO, memory_limit_gb=memory_limit_gb, files=tuple(named.items()), loras=adapters)
    if model is None:
        _check_is_known(setup, facts["name"])
    return Job(path=Path(file), recipe=recipe, model=model or facts["name"], out=out, setup=setup, offload=offload)


def _check_is_known(setup: Setup, model: str) -> None:
    """Raises: InvalidInput for a model of a folder, whose place the recipe doesn't have."""
    try:
        setup.open(model)
    except InvalidInput as e:
        if e.field != "model":
            raise
        raise InvalidInput("model", model, f"{e.rule}; where its folder is, --model FOLDER says") from e


def run_job(job: Job, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None) -> Outcome:
    """Whether the clip came out the same. Raises: WeightsError for other weights, InvalidInput, Cancelled.

    It is made as its recipe's plan says: in the same dtypes, on the same kind of device.
    """
    from kinema.engine.recipe import read_request_and_plan
    from kinema.engine.reproduce import reproduce
    from kinema.media.write import VideoWriter

    request, plan, _ = read_request_and_plan(job.recipe)
    _check_device(plan.device)
    with ExitStack() as stack:
        writer = None
        if job.out is not None:  # the place is tried before the clip is made
            shape = job.setup.open(job.model).card.check(request)
            writer = stack.enter_context(VideoWriter(job.out, fps=shape.fps, num_frames=shape.frames))
        engine = engine_for(job.model, job.setup)
        made = reproduce(job.recipe, engine=engine, offload=job.offload, observer=observer, cancel=cancel)
        if writer is not None:
            writer.recipe = made.clip.recipe
            writer.write(made.clip.frames)
    return Outcome(
        path=job.path,
        is_same=made.is_same,
        expected=job.recipe["frames"],
        found=made.clip.digest,
        differences=made.notes,
    )


def _check_device(device: str) -> None:
    """Raises: InvalidInput for a device that this machine hasn't."""
    from kinema.engine.choose import current_isa

    try:
        current_isa(device)
    except InvalidInput as e:
        raise InvalidInput("device", device, "made the clip, and is not there or this torch can't use it") from e


def _world_flags(world: Mapping[str, Any]) -> str:
    if "file" in world:
        given = {"scene": world["file"]}
    else:
        given = {name: world[name] for name in ("seed", "split", "difficulty") if name in world}
    words = world.get("words")
    return " ".join(f"--{k} {v}" for k, v in {**given, **(words if isinstance(words, Mapping) else {})}.items())
