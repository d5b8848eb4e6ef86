"""An order of clips: checked in full before anything heavy is loaded, then made one by one, each into its file."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinema.app.prompts import PreparedPrompt, PromptPolicy, prepare_prompt
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, StorageError
from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Observer, Progress, ignore_progress
from kinema.core.protocols import C, Clip, GenerationEngine
from kinema.core.request import MAX_SEED, GenerationRequest
from kinema.prompt.normalise import normalise
from kinema.weights.folder import open_model
from kinema.world.scene import CAMERA_ALIASES

if TYPE_CHECKING:
    from kinema.media.write import WrittenFile

MAX_COUNT = 10_000
_DEFAULT_POLICY = PromptPolicy()
_MAX_FRESH_SEED = 2**31
_MAX_SLUG = 40


@dataclass(frozen=True, kw_only=True)
class Order:
    """Clips to make: requests that differ in their seed, and the file of each (a folder of pictures ends in a slash).

    ``prompt`` tells what was done to the words that were typed.
    """

    card: ModelCard
    shape: VideoShape
    requests: tuple[GenerationRequest, ...]
    paths: tuple[str, ...]
    prompt: PreparedPrompt

    @property
    def notes(self) -> list[str]:
        """What to tell before the clips are made, a line each."""
        return self.prompt.notes(self.card.name)


@dataclass(frozen=True, kw_only=True)
class MadeClip:
    """A clip on disk. ``seconds`` is how long it took, the model's loading included if it was the first."""

    path: Path
    seed: int
    shape: VideoShape
    digest: str
    size_bytes: int
    seconds: float
    prompt: str
    original_prompt: str
    recipe: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "path": str(self.path),
            "seed": self.seed,
            "frames": self.shape.frames,
            "width_px": self.shape.width_px,
            "height_px": self.shape.height_px,
            "fps": self.shape.fps,
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "seconds": round(self.seconds, 3),
            "prompt": self.prompt,
            "original_prompt": self.original_prompt,
            "notes": list(self.notes),
            "recipe": dict(self.recipe),
        }


def place_order(
    request: GenerationRequest,
    *,
    count: int = 1,
    out: str | None = None,
    overwrite: bool = False,
    policy: PromptPolicy = _DEFAULT_POLICY,
    card: ModelCard | None = None,
) -> Order:
    """The order for ``count`` clips of ``request``, with seeds from its own (or a fresh one) upwards.

    The prompt is checked and rewritten as ``policy`` says; whatever else is wrong is found first, since a rewriter may take a while.
    ``card`` is that of the model where it isn't as its folder has it.
    ``out`` names the file; with several clips, ``NAME-1.mp4`` and so on. Without it names come from prompt and seed.
    Raises: InvalidInput for what the model can't do, for an unknown model, and for files that exist, unless ``overwrite``.
    """
    if not 1 <= count <= MAX_COUNT:
        raise InvalidInput("count", count, f"must be from 1 to {MAX_COUNT}")
    card = card or open_model(request.model).card
    request = in_its_words(request, card)
    shape = card.check(request.replace(style=None) if "style" not in card.conditions else request)
    first = secrets.randbelow(_MAX_FRESH_SEED) if request.seed is None else request.seed
    if first + count - 1 > MAX_SEED:
        raise InvalidInput(
            "seed", first, f"{count} clips need seeds up to {first + count - 1}; at most {MAX_SEED} works"
        )
    requests = tuple(request.replace(seed=first + i) for i in range(count))
    paths = tuple(_path(r, i, count, out, is_picture=shape.frames == 1) for i, r in enumerate(requests))
    for path in () if overwrite else paths:
        refuse_existing(Path(path))
    prepared = prepare_prompt(request, card, policy)
    words = {"prompt": prepared.request.prompt, "original_prompt": prepared.request.original_prompt}
    requests = tuple(r.replace(**words) for r in requests)
    return Order(card=card, shape=shape, requests=requests, paths=paths, prompt=prepared)


def in_its_words(request: GenerationRequest, card: ModelCard) -> GenerationRequest:
    """``request`` with prompts spelled as ``card``'s model reads them, and its camera by the model's name."""
    if card.one_spelling:
        request = request.replace(prompt=normalise(request.prompt), negative_prompt=normalise(request.negative_prompt))
    return with_known_camera(request, card)


def with_known_camera(request: GenerationRequest, card: ModelCard) -> GenerationRequest:
    """``request`` with the name that ``card`` has for its camera: "truck left" is one of those that pan."""
    if not request.camera or request.camera in card.cameras:
        return request
    same = CAMERA_ALIASES.get(request.camera)
    return request.replace(camera=same) if same in card.cameras else request


def fill_order(
    order: Order,
    engine: GenerationEngine[Clip],
    *,
    quality: str | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Iterator[MadeClip]:
    """The clips of ``order`` as they are finished. Raises: KinemaError; the clip at hand then leaves no file, earlier ones stay."""
    for index, (request, path) in enumerate(zip(order.requests, order.paths, strict=True)):

        def tell(event: Progress, index: int = index) -> None:
            observer(replace(event, sample=index))

        start = time.perf_counter()
        clip, file = generate_to(
            path, request, engine=engine, card=order.card, quality=quality, observer=tell, cancel=cancel
        )
        yield MadeClip(
            path=file.path,
            seed=clip.recipe.get("request", {}).get("seed", request.seed or 0),
            shape=clip.shape,
            digest=file.frames_digest,
            size_bytes=file.size_bytes,
            seconds=time.perf_counter() - start,
            prompt=request.prompt,
            original_prompt=request.original_prompt or request.prompt,
            recipe=clip.recipe,
            notes=(*clip.recipe.get("notes", ()), *file.notes),
        )


def generate_to(
    path: str | os.PathLike[str],
    request: GenerationRequest,
    *,
    engine: GenerationEngine[C],
    card: ModelCard | None = None,
    quality: str | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> tuple[C, WrittenFile]:
    """The clip of ``request``, and what was written to ``path``. The place is tried before the clip is made.

    Raises: KinemaError, and no file is left then.
    """
    from kinema.media.quality import DEFAULT_QUALITY
    from kinema.media.write import VideoWriter

    shape = (card or open_model(request.model).card).check(request)
    writer = VideoWriter(
        path, fps=shape.fps, quality=quality or DEFAULT_QUALITY, num_frames=shape.frames, on_progress=observer
    )
    with writer:
        observer(Progress(phase="load", step=0, steps=0))  # the engine's own first word comes after torch, in seconds
        clip = engine.generate(request, observer=observer, cancel=cancel)
        writer.recipe = clip.recipe
        writer.write(clip.frames)
    return clip, writer.result


def refuse_existing(path: Path) -> None:
    """Raises: InvalidInput if ``path`` is there already, StorageError if its folder isn't."""
    if path.is_file():
        raise InvalidInput("out", path, "exists already; --force replaces it, --out names another")
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInput("out", path, "exists already and isn't empty; --out names another")
    if not path.parent.is_dir():
        raise StorageError(f"{path.parent}: the folder does not exist; make it or choose another")


def slug(prompt: str) -> str:
    """A file name's worth of ``prompt``: its letters and digits, in any language, joined by hyphens."""
    words = re.findall(r"[^\W_]+", prompt.casefold())
    text = ""
    for word in words:
        if len(text) + len(word) >= _MAX_SLUG:
            return text or word[:_MAX_SLUG]
        text = f"{text}-{word}" if text else word
    return text or "clip"


def _path(request: GenerationRequest, index: int, count: int, out: str | None, *, is_picture: bool) -> str:
    if out is None:
        return f"{slug(request.original_prompt or request.prompt)}-{request.seed}{'.png' if is_picture else '.mp4'}"
    if not out.strip() or "\0" in out:
        raise InvalidInput("out", out, "must name a file")
    if count == 1:
        return out
    path = Path(out)
    slash = "/" if out.endswith(("/", os.sep)) else ""
    return f"{path.with_name(f'{path.stem}-{index + 1}{path.suffix}')}{slash}"
