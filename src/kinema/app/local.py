"""`generate`: a clip from a sentence, in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.app.clips import generate_to, in_its_words
from kinema.app.prompts import PromptPolicy, Rewriter, prepare_prompt
from kinema.app.resumable import Resumable, resumed_request
from kinema.core.errors import InvalidInput, choices
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.placement import AUTO
from kinema.core.plan import DTYPES
from kinema.core.progress import CancelToken, Observer, ignore_progress
from kinema.core.protocols import GenerationEngine
from kinema.core.request import GenerationRequest
from kinema.weights.folder import LoraFile, ModelFolder, open_model

if TYPE_CHECKING:
    from kinema.engine.clip import Clip
    from kinema.engine.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a model is run, besides what it is asked for: see `kinema.engine.engine.Engine`, and `kinema.weights.folder.open_model`.

    ``dtype`` is that of all networks; "auto" leaves it to what was measured. Raises: InvalidInput for an unknown one.
    """

    device: str = "cpu"
    dtype: str = AUTO
    cache_level: int = 0
    decode: str = "default"
    quantise: str = "none"
    offload: str = AUTO
    memory_limit_gb: float | None = None
    lora_mode: str = AUTO
    files: tuple[tuple[str, str], ...] = ()
    loras: tuple[LoraFile, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in (known := (AUTO, *DTYPES)):
            raise InvalidInput("dtype", self.dtype, f"must be {choices(known)}")

    def open(self, model: str) -> ModelFolder:
        """``model`` with its files from elsewhere. Raises: InvalidInput, WeightsError."""
        return open_model(model, files=dict(self.files), loras=self.loras)


PLAIN = Setup()
# One model at a time: the next one needs the memory.
_LOADED: dict[tuple[str, Setup], Engine] = {}


def files_of(transformer: str | None, transformer_2: str | None) -> tuple[tuple[str, str], ...]:
    """`Setup.files` for the weights of one network, or of two."""
    given = {"transformer": transformer, "transformer_2": transformer_2}
    return tuple((name, file) for name, file in given.items() if file is not None)


def loras_of(lora: Sequence[str], lora_2: Sequence[str]) -> tuple[LoraFile, ...]:
    """`Setup.loras` for ``FILE`` or ``FILE=SCALE``, of the first and of a second network. Raises: InvalidInput."""
    return (
        *(LoraFile.parse(text) for text in lora),
        *(LoraFile.parse(text, component="transformer_2") for text in lora_2),
    )


def engine_for(model: str, setup: Setup = PLAIN) -> Engine:
    """The engine of ``model``, a shipped model's name or a model folder; kept until another is asked for. Raises: InvalidInput."""
    key = model, setup
    if key not in _LOADED:
        from kinema.engine.engine import Engine

        engine = Engine(
            setup.open(model),
            device=setup.device,
            dtype=None if setup.dtype == AUTO else setup.dtype,
            cache_level=setup.cache_level,
            decode=setup.decode,
            quantise=setup.quantise,
            offload=setup.offload,
            memory_limit_gb=setup.memory_limit_gb,
            lora_mode=setup.lora_mode,
        )
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
    device: str = "cpu",
    dtype: str = AUTO,
    cache_level: int = 0,
    decode: str = "default",
    quantise: str = "none",
    offload: str = AUTO,
    memory_limit_gb: float | None = None,
    lora: Sequence[str] = (),
    lora_2: Sequence[str] = (),
    lora_mode: str = AUTO,
    transformer: str | None = None,
    transformer_2: str | None = None,
    model: str = "kinema-mini",
    quality: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    observer: Observer = ignore_progress,
    cancel: CancelToken | None = None,
) -> Clip:
    """The clip of ``prompt``; `GenerationRequest` tells of the fields. Without a seed a fresh one is drawn; ``clip.seed`` says which.

    ``out`` names a file to write as well: a video, an animation or a picture by its ending, replaced if it exists. ``image`` is what
    the clip begins with, short for a keyframe at 0 s. The prompt is rewritten in the words that the model was trained on, by rules or
    by ``rewriter``, unless ``rewrite`` is False; ``clip.recipe["request"]`` has both. ``check`` turns the content checks on. With
    ``best_of`` above 1 so many clips are made, and the judges choose (`kinema.app.best`). ``cache_level`` 1 or 2 leaves out steps.
    ``decode`` is how latents become frames, where a model has several ways (`kinema.core.plan`).
    ``checkpoint`` is a file that keeps the run, and from which it goes on where it is there already; with the clip it goes.

    ``device`` is "cpu" or "cuda", ``dtype`` what the networks compute in: "float32", "bfloat16" or "auto", the faster by measurement.
    ``offload``, ``quantise`` and ``memory_limit_gb`` are for models that are large for this machine; see `kinema.engine.engine.Engine`.
    ``lora`` are files of changes to the transformer, FILE or FILE=SCALE; ``transformer`` is a safetensors or GGUF file with its
    weights; ``lora_2`` and ``transformer_2`` are for the second network of models that have two. ``lora_mode`` is "merged" (LoRAs are
    added to the weights), "attached" (they stand beside them), or "auto". The model stays in memory for the next call.

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
    setup = Setup(
        device=device,
        dtype=dtype,
        cache_level=cache_level,
        decode=decode,
        quantise=quantise,
        offload=offload,
        memory_limit_gb=memory_limit_gb,
        lora_mode=lora_mode,
        files=files_of(transformer, transformer_2),
        loras=loras_of(lora, lora_2),
    )
    engine = engine_for(model, setup)
    kept = None
    if checkpoint is not None:
        check_checkpoint(checkpoint, () if out is None else (out,))
        request = resumed_request(request, Path(checkpoint), best_of=best_of)
        kept = Resumable(engine, Path(checkpoint), dtype=setup.dtype)
    maker = kept or chosen_from(best_of, engine)
    card = engine.folder.card
    request = prepare_prompt(in_its_words(request, card), card, policy).request
    if out is None:
        clip = maker.generate(request, observer=observer, cancel=cancel)
    else:
        clip, _ = generate_to(out, request, engine=maker, card=card, quality=quality, observer=observer, cancel=cancel)
    if kept is not None:
        kept.forget()
    return clip


def check_checkpoint(checkpoint: str | os.PathLike[str], paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raises: InvalidInput for a ``checkpoint`` that is one of ``paths``, which clips are written to, or in such a folder.

    It goes when the clip is there, and would take the clip with it.
    """
    file = _real("checkpoint", checkpoint)
    for path in paths:
        place = _real("out", path)
        if file == place:
            raise InvalidInput("checkpoint", checkpoint, "is the clip's own file; name another")
        if place in file.parents:
            raise InvalidInput("checkpoint", checkpoint, "lies in the clip's own folder; name another place")


def _real(field: str, path: str | os.PathLike[str]) -> Path:
    from kinema.media.files import output_path

    return output_path(path, field=field).resolve()


def chosen_from(count: int, engine: Engine, *, step: int = 1) -> GenerationEngine[Clip]:
    """``engine`` itself for a ``count`` of 1, else one that makes so many and keeps the best. Raises: InvalidInput."""
    if count == 1:
        return engine
    from kinema.app.best import judged_best_of

    return judged_best_of(engine, count, card=engine.folder.card, step=step)
