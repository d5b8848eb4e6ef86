"""Clips of the procedural world, each beside its truth; sheets of many; how fast this machine draws them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.app.scenes import SceneChoice
from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape, parse_size
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.world.captions import LANGUAGES, caption
from kinema.world.nature import ACTIONS, KINDS, PLACES, STYLES, TIMES, WEATHERS
from kinema.world.scene import CAMERA_NAMES, Scene

if TYPE_CHECKING:
    from kinema.world.render import Rendered

MAX_SHEET_CLIPS = 256
MIN_SIDE_PX, MAX_SIDE_PX = 8, 8192
MAX_PIXELS = 1 << 29  # of a clip: its frames are in memory at once
# what a sample can be written as, beside its clip: pictures as a clip of the same kind, numbers as NumPy arrays
PICTURES, ARRAYS = ("sketch", "pose"), ("depth", "masks", "flow")
OUTPUTS = ("rgb", *ARRAYS, *PICTURES)
GALLERIES: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "place": tuple(PLACES),
    "time": TIMES,
    "weather": WEATHERS,
    "camera": CAMERA_NAMES,
    "action": ACTIONS,
    "style": STYLES,
}
DEVICES = ("cpu", "cuda", "mps")
_BENCH_SCENES = 8


@dataclass(frozen=True, kw_only=True)
class WorldClip:
    """A rendered scene: the clip, the truth beside it, what else was asked for, and its captions."""

    path: Path
    truth_path: Path
    scene: Scene
    shape: VideoShape
    captions: dict[str, str]
    others: Mapping[str, Path]

    @property
    def paths(self) -> list[Path]:
        """Every file that was written."""
        return [self.path, self.truth_path, *self.others.values()]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        paths = {"path": str(self.path), "truth": str(self.truth_path)}
        others = {name: str(path) for name, path in self.others.items()}
        return {**paths, **others, "captions": self.captions, "scene": self.scene.to_dict()}


def world_shape(*, size: str, frames: int, fps: float) -> VideoShape:
    """The shape that is asked for. Raises: InvalidInput."""
    width, height = parse_size(size)
    shape = VideoShape(frames=frames, height_px=height, width_px=width, fps=fps)
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in (width, height)):
        raise InvalidInput("size", size, f"must have sides from {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels")
    if shape.pixels > MAX_PIXELS:
        most = max(1, MAX_PIXELS // (width * height))
        raise InvalidInput("frames", frames, f"are more than fit into memory; at {width}x{height} at most {most} work")
    return shape


def parse_outputs(text: str) -> tuple[str, ...]:
    """The `OUTPUTS` that a comma-separated list names, each once, the clip always among them. Raises: InvalidInput."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in OUTPUTS:
            raise InvalidInput("outputs", name, f"must be {choices(OUTPUTS)}")
    return tuple(name for name in OUTPUTS if name == "rgb" or name in names)


def write_sample(
    choice: SceneChoice,
    seed: int,
    out: str,
    *,
    shape: VideoShape,
    outputs: Sequence[str] = ("rgb",),
    overwrite: bool = False,
) -> WorldClip:
    """The scene of ``seed``, written to ``out``, its truth as JSON beside it, and the rest of ``outputs`` as NAME.depth.npy and so on.

    Raises: InvalidInput, StorageError; no file is left then.
    """
    from kinema.app.clips import refuse_existing
    from kinema.data.load.shards import write_atomically
    from kinema.media.write import VideoWriter
    from kinema.world.render import render

    path, scene = Path(out), choice.scene(seed)
    truth_path = path.with_suffix(".json")
    if truth_path == path:
        raise InvalidInput("out", out, "must name a video or picture; the truth is written beside it as .json")
    others = {name: _beside(path, name) for name in outputs if name != "rgb"}
    is_folder = out.endswith(("/", os.sep))
    for target in () if overwrite else (path, truth_path, *others.values()):
        refuse_existing(target)
    with ExitStack() as undo:
        with VideoWriter(out, fps=shape.fps, num_frames=shape.frames) as writer:
            writer.recipe = {"world": {**choice.facts(seed), "scene": scene.to_dict()}}
            (rendered,) = render([scene], shape, outputs=outputs)
            assert rendered.frames is not None, "the clip is always among the outputs"
            writer.write(rendered.frames.numpy())
            for name, target in others.items():
                _write_output(name, f"{target}{os.sep}" if is_folder else target, rendered, shape)
                undo.callback(_remove, target)
            facts = {**choice.facts(seed), **truth_of(scene, shape)}
            write_atomically(truth_path, (json.dumps(facts, ensure_ascii=False, indent=1) + "\n").encode())
            undo.callback(truth_path.unlink)  # no truth without its clip
        undo.pop_all()
    captions = {name: caption(scene, language=name, seed=seed) for name in LANGUAGES}
    return WorldClip(path=path, truth_path=truth_path, scene=scene, shape=shape, captions=captions, others=others)


def truth_of(scene: Scene, shape: VideoShape) -> dict[str, Any]:
    """All that is known of ``scene``'s clip, JSON-ready; nothing is drawn for it."""
    from kinema.world.truth import truth

    return truth(scene, shape)


def gallery(word: str, choice: SceneChoice) -> list[tuple[str, SceneChoice]]:
    """(word, choice of scenes that show it) for each there is of ``word``, a key of `GALLERIES`. Raises: InvalidInput."""
    if word not in GALLERIES:
        raise InvalidInput("gallery", word, f"must be {choices(GALLERIES)}")
    if word in choice.words:
        raise InvalidInput(word, choice.words[word], f"can't be chosen on a sheet of every {word}")
    split, level, file = choice.split, choice.difficulty, choice.file
    return [
        (value, SceneChoice(split=split, difficulty=level, file=file, words={**choice.words, word: value}))
        for value in GALLERIES[word]
    ]


def rows_of(choice: SceneChoice, *, first: int, count: int) -> list[tuple[SceneChoice, int]]:
    """A row for each of ``count`` seeds from ``first`` on. Raises: InvalidInput for more than a sheet holds."""
    _check_count(count)
    return [(choice, seed) for seed in range(first, first + count)]


def write_sheet(
    rows: Sequence[tuple[SceneChoice, int]],
    out: str,
    *,
    shape: VideoShape,
    columns: int = 6,
    overwrite: bool = False,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> list[str]:
    """The English captions of ``rows`` (a choice and a seed each), whose contact sheet (a row a scene) is now in ``out``.

    Raises: InvalidInput, StorageError, Cancelled.
    """
    from kinema.app.clips import refuse_existing
    from kinema.media.write import VideoWriter
    from kinema.world.render import render
    from kinema.world.sheet import contact_sheet

    _check_count(len(rows))
    if not 1 <= columns <= MAX_SHEET_CLIPS:
        raise InvalidInput("columns", columns, f"must be from 1 to {MAX_SHEET_CLIPS}")
    if not overwrite:
        refuse_existing(Path(out))
    scenes = [choice.scene(seed) for choice, seed in rows]
    clips, captions = [], []
    with VideoWriter(out, fps=1, num_frames=1) as writer:  # the place is tried before anything is rendered
        for done, (scene, (_, seed)) in enumerate(zip(scenes, rows, strict=True)):
            if cancel is not None:
                cancel.check("render")
            clips.append(render([scene], shape)[0].frames)
            captions.append(caption(scene, language="en", seed=seed))
            observer(Progress(phase="render", step=done + 1, steps=len(rows)))
        writer.write(contact_sheet(clips, columns=columns).numpy())
    return captions


def measure(*, shape: VideoShape, difficulty: str = "full", device: str = "cpu") -> dict[str, Any]:
    """How fast ``device`` draws: the median, least and most of finished megapixels a second over a few scenes, the first left out."""
    import torch

    from kinema.world.render import render

    if device not in DEVICES:
        raise InvalidInput("device", device, f"must be {choices(DEVICES)}")
    backend = torch.backends.mps if device == "mps" else torch.cuda
    if device != "cpu" and not backend.is_available():
        raise InvalidInput("device", device, "isn't there; cpu works")
    choice, rates = SceneChoice(difficulty=difficulty), []
    for seed in range(_BENCH_SCENES + 1):
        scene = choice.scene(seed)
        start = time.perf_counter()
        (rendered,) = render([scene], shape, device=device)
        assert rendered.frames is not None, "frames are the default output"
        rendered.frames.cpu()
        rates.append(shape.pixels / 1e6 / (time.perf_counter() - start))
    rates = rates[1:]
    return {
        "megapixels_per_s": round(statistics.median(rates), 3),
        "least": round(min(rates), 3),
        "most": round(max(rates), 3),
        "scenes": len(rates),
        "difficulty": difficulty,
        "size": f"{shape.width_px}x{shape.height_px}",
        "frames": shape.frames,
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_SHEET_CLIPS:
        raise InvalidInput("count", count, f"must be from 1 to {MAX_SHEET_CLIPS}")


def _beside(path: Path, name: str) -> Path:
    return path.with_suffix(f".{name}.npy" if name in ARRAYS else f".{name}{path.suffix}")


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_output(name: str, target: Path | str, rendered: Rendered, shape: VideoShape) -> None:
    import numpy as np

    from kinema.data.load.shards import write_atomically
    from kinema.media.write import VideoWriter

    values = getattr(rendered, name).numpy()
    if name in PICTURES:
        with VideoWriter(target, fps=shape.fps, num_frames=shape.frames) as writer:
            writer.write(values)
        return
    data = BytesIO()
    np.save(data, values)
    write_atomically(Path(target), data.getvalue())
