"""`generate`: a clip from a sentence, in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kinema.app.clips import generate_to, in_its_words
from kinema.app.prompts import PromptPolicy, Rewriter, prepare_prompt
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.protocols import GenerationEngine
from kinema.core.request import GenerationRequest
from kinema.weights.folder import open_model

if TYPE_CHECKING:
    from kinema.engine.clip import Clip
    from kinema.engine.engine import Engine

# One model at a time: the next one needs the memory.
_LOADED: dict[tuple[str, int], Engine] = {}


def engine_for(model: str, *, cache_level: int = 0) -> Engine:
    """The engine of ``model``, a shipped model's name or a model folder; kept until another is asked for. Raises: InvalidInput."""
    key = model, cache_level
    if key not in _LOADED:
        from kinema.engine.engine import Engine

        engine = Engine(model, cache_level=cache_level)
        _LOADED.clear()
        _LOADED[key] = engine
    return _LOADED[key]


# The one call with many parameters: they are the fields of the request, each to be seen in an editor.
def generate(  # noqa: PLR0913
    prompt: str,
    *,
    out: str | os.PathLike[str] | None = None,
    image: str | os.PathLike[str] | None = None,
    keyframes: Sequence[Keyframe] = (),
    negative_prompt: str = "",
    seconds: float | None = None,
    frames: int | None = None,
    size: str | None = None,
    aspect_ratio: str | None = None,
    fps: float | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    guidance_2: float | None = None,
    camera: str | None = None,
    motion: int | None = None,
    style: str | None = None,
    rewrite: bool = True,
    rewriter: Rewriter | None = None,
    check: bool = True,
    best_of: int = 1,
    cache_level: int = 0,
    model: str = "kinema-mini",
    quality: str | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Clip:
    """The clip of ``prompt``; `GenerationRequest` tells of the fields. Without a seed a fresh one is drawn; ``clip.seed`` says which.

    ``out`` names a file to write as well: a video, an animation or a picture by its ending, replaced if it exists. ``image`` is what
    the clip begins with, short for a keyframe at 0 s. The prompt is rewritten in the words that the model was trained on, by rules or
    by ``rewriter``, unless ``rewrite`` is False; ``clip.recipe["request"]`` has both. ``check`` turns the content checks on. With
    ``best_of`` above 1 so many clips are made, and the judges choose (`kinema.app.best`). ``cache_level`` 1 or 2 leaves out steps.
    The model stays in memory for the next call.

    Raises: InvalidInput (RefusedContent among them), StorageError, Cancelled; no file is left then.
    """
    first = () if image is None else (Keyframe(MediaRef(os.fspath(image))),)
    request = GenerationRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seconds=seconds,
        frames=frames,
        size=size,
        aspect_ratio=aspect_ratio,
        fps=fps,
        seed=seed,
        steps=steps,
        guidance=guidance,
        guidance_2=guidance_2,
        model=model,
        keyframes=(*first, *keyframes),
        camera=camera,
        motion=motion,
        style=style,
    )
    policy = PromptPolicy(rewrites=rewrite, rewriter=rewriter, checks="block" if check else "off")
    card = open_model(model).card
    request = prepare_prompt(in_its_words(request, card), card, policy).request
    engine = chosen_from(best_of, engine_for(model, cache_level=cache_level))
    if out is None:
        return engine.generate(request, observer=observer, cancel=cancel)
    return generate_to(out, request, engine=engine, quality=quality, observer=observer, cancel=cancel)[0]


def chosen_from(count: int, engine: Engine, *, step: int = 1) -> GenerationEngine[Clip]:
    """``engine`` itself for a ``count`` of 1, else one that makes so many and keeps the best. Raises: InvalidInput."""
    if count == 1:
        return engine
    from kinema.app.best import judged_best_of

    return judged_best_of(engine, count, step=step)
