"""A file's clip made again from the recipe inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.app.clips import refuse_existing
from kinema.app.local import engine_for
from kinema.core.errors import InvalidInput
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.media.recipe import read_recipe


@dataclass(frozen=True, kw_only=True)
class Job:
    """A clip to make again: the file, its recipe, the model to use, and where to keep the new clip, if anywhere."""

    path: Path
    recipe: Mapping[str, Any]
    model: str
    out: Path | None


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


def read_job(file: str, *, model: str | None = None, out: str | None = None, overwrite: bool = False) -> Job:
    """The job that ``file``'s recipe describes; ``model`` names a folder where its model isn't a shipped one.

    Raises: MediaError, InvalidInput if there is no such recipe in it.
    """
    recipe = read_recipe(file)
    if recipe is None:
        raise InvalidInput("file", file, "carries no recipe; only clips that Kinema wrote can be made again")
    if isinstance(world := recipe.get("world"), Mapping):
        again = f"kinema world sample --seed {world.get('seed')} --split {world.get('split')}"
        raise InvalidInput("file", file, f"shows the procedural world, not a model's clip; `{again}` makes it again")
    facts = recipe.get("model")
    if not isinstance(facts, Mapping) or not isinstance(facts.get("name"), str):
        raise InvalidInput("file", file, "carries a recipe that names no model")
    target = None if out is None else Path(out)
    if target is not None and not overwrite:
        refuse_existing(target)
    return Job(path=Path(file), recipe=recipe, model=model or facts["name"], out=target)


def run_job(job: Job, *, observer: Observer = ignore_progress, cancel: CancelToken | None = None) -> Outcome:
    """Whether the clip came out the same. Raises: WeightsError for other weights, InvalidInput, Cancelled."""
    from kinema.engine.reproduce import reproduce
    from kinema.media.quality import DEFAULT_QUALITY
    from kinema.media.write import write_video

    made = reproduce(job.recipe, engine=engine_for(job.model), observer=observer, cancel=cancel)
    if job.out is not None:
        fps = made.clip.shape.fps
        write_video(job.out, made.clip.frames, fps=fps, quality=DEFAULT_QUALITY, recipe=made.clip.recipe)
    return Outcome(
        path=job.path,
        is_same=made.is_same,
        expected=job.recipe["frames"],
        found=made.clip.digest,
        differences=made.notes,
    )
