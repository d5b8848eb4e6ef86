"""Clips of the procedural world, each beside its truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape, parse_size
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.world.captions import caption
from kinema.world.sampler import sample
from kinema.world.scene import Scene

MAX_SHEET_CLIPS = 256


@dataclass(frozen=True, kw_only=True)
class WorldClip:
    """A rendered scene: the clip, the truth beside it, and its captions."""

    path: Path
    truth_path: Path
    scene: Scene
    shape: VideoShape
    captions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        paths = {"path": str(self.path), "truth": str(self.truth_path)}
        return {**paths, "captions": self.captions, "scene": self.scene.to_dict()}


def world_shape(*, size: str, frames: int, fps: float) -> VideoShape:
    """The shape that is asked for. Raises: InvalidInput."""
    width, height = parse_size(size)
    return VideoShape(frames=frames, height_px=height, width_px=width, fps=fps)


def write_sample(seed: int, out: str, *, split: str, shape: VideoShape, overwrite: bool = False) -> WorldClip:
    """The scene of ``seed``, written to ``out``, and its truth as JSON beside it. Raises: InvalidInput, StorageError."""
    from kinema.app.clips import refuse_existing
    from kinema.data.load.shards import write_atomically
    from kinema.media.write import VideoWriter
    from kinema.world.render import render
    from kinema.world.truth import truth

    path, scene = Path(out), sample(seed, split=split)
    truth_path = path.with_suffix(".json")
    if truth_path == path:
        raise InvalidInput("out", out, "must name a video or picture; the truth is written beside it as .json")
    for target in () if overwrite else (path, truth_path):
        refuse_existing(target)
    facts = {"seed": seed, "split": split, **truth(scene, shape)}
    recipe = {"world": {"seed": seed, "split": split, "scene": scene.to_dict()}}
    with ExitStack() as undo:
        with VideoWriter(out, fps=shape.fps, num_frames=shape.frames) as writer:
            writer.recipe = recipe
            (rendered,) = render([scene], shape)
            assert rendered.frames is not None, "rgb is among the default outputs"
            writer.write(rendered.frames.numpy())
            write_atomically(truth_path, (json.dumps(facts, ensure_ascii=False, indent=1) + "\n").encode())
            undo.callback(truth_path.unlink)  # no truth without its clip
        undo.pop_all()
    captions = {name: caption(scene, language=name, seed=seed) for name in ("en", "zh")}
    return WorldClip(path=path, truth_path=truth_path, scene=scene, shape=shape, captions=captions)


def write_sheet(
    seeds: Sequence[int],
    out: str,
    *,
    split: str,
    shape: VideoShape,
    overwrite: bool = False,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> list[str]:
    """The English captions of the scenes of ``seeds``, whose contact sheet (a row a scene) is now in ``out``.

    Raises: InvalidInput, StorageError, Cancelled.
    """
    from kinema.app.clips import refuse_existing
    from kinema.media.write import VideoWriter
    from kinema.world.render import render
    from kinema.world.sheet import contact_sheet

    if not 1 <= len(seeds) <= MAX_SHEET_CLIPS:
        raise InvalidInput("count", len(seeds), f"must be from 1 to {MAX_SHEET_CLIPS}")
    if not overwrite:
        refuse_existing(Path(out))
    clips, captions = [], []
    with VideoWriter(out, fps=1, num_frames=1) as writer:  # the place is tried before anything is rendered
        for done, seed in enumerate(seeds):
            if cancel is not None:
                cancel.check("render")
            scene = sample(seed, split=split)
            clips.append(render([scene], shape)[0].frames)
            captions.append(caption(scene, language="en", seed=seed))
            observer(Progress(phase="render", step=done + 1, steps=len(seeds)))
        writer.write(contact_sheet(clips).numpy())
    return captions
