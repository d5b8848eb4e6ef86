"""What a model must offer to be run: conditions and a predictor for the sampler, and frames from latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from kinema.core.errors import WeightsError, choices
from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.parts import Parts
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.steppers import Predictor, Stepper
from kinema.models.autoencoders.work import OnWork
from kinema.weights.folder import ModelFolder

# of an autoencoder whose stream is exact: a latent frame at a time is the least, and nothing is lost by it
STREAMED: Mapping[str, str | None] = {"default": None, "exact": None}
Pictures = Mapping[int, UInt8[np.ndarray, "h w 3"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampling:
    """What the sampler is given for a batch: see `kinema.flow.sample.walk`.

    ``predict`` is guided already and asks for one level a sample, or one a latent frame where ``frozen`` frames are ``known``.
    """

    predict: Predictor
    start: Float[Tensor, "b c t h w"]
    sigmas: Float[Tensor, " levels"]
    stepper: Stepper
    frozen: Bool[Tensor, "b 1 t 1 1"] | None = None
    known: Float[Tensor, "b c t h w"] | None = None


@runtime_checkable
class Family(Protocol):
    """The networks of one model in memory, ready to run under the plans that share their dtypes and device.

    ``decode_modes`` are the card's ``decodes``, each with the one to try where memory runs out, if any.
    """

    decode_modes: ClassVar[Mapping[str, str | None]]

    @property
    def device(self) -> torch.device:
        """Where the networks are, and latents go."""
        ...

    @property
    def parts(self) -> Parts:
        """Its components; of those that take turns it brings the ones that it is about to use."""
        ...

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The networks that predict; in steps that a plan leaves out, their blocks don't run."""
        ...

    def prepare(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan, clock: RunClock
    ) -> Sampling:
        """What the sampler is given for ``requests``, a row each; ``pictures`` are their keyframes by latent frame."""
        ...

    def decode(
        self, latents: Float[Tensor, "1 c t h w"], mode: str, request: ResolvedRequest, on_work: OnWork
    ) -> Iterator[Float[Tensor, "1 3 f y x"]]:
        """Pixels of normalised ``latents``, about [-1, 1], in order and in chunks of any length; ``mode`` is one of `decode_modes`.

        ``request`` is what they were made for: some decoders take noise, which is of its seed. ``on_work`` is told of the work where
        much of it is done before the first chunk, or a chunk is long.
        """
        ...


def residency_key(plan: RunPlan) -> tuple[object, ...]:
    """What of ``plan`` decides how networks lie in memory."""
    return plan.dtype, plan.vae_dtype, plan.device, plan.compile, plan.quantise, plan.offload, plan.lora_mode


def load_family(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Family:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    # each family's module is imported where it is asked for: published ones need more than Kinema's own
    if folder.pipeline not in LOADERS:
        rule = f"is a pipeline that this version describes but doesn't run; it runs {choices(p for p in LOADERS if p)}"
        raise WeightsError("model", folder.pipeline, rule)
    return LOADERS[folder.pipeline](folder, plan, clock)


def _kinema(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Family:
    from kinema.engine.families import kinema

    return kinema.load(folder, plan, clock)


def _hunyuan_video(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Family:
    from kinema.engine.families import hunyuan_video

    return hunyuan_video.load(folder, plan, clock)


def _wan(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Family:
    from kinema.engine.families import wan

    return wan.load(folder, plan, clock)


def _ltx(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Family:
    from kinema.engine.families import ltx

    return ltx.load(folder, plan, clock)


LOADERS: dict[str, Callable[[ModelFolder, RunPlan, RunClock], Family]] = {
    "": _kinema,
    "KinemaPipeline": _kinema,
    "HunyuanVideoPipeline": _hunyuan_video,
    "HunyuanVideoImageToVideoPipeline": _hunyuan_video,
    "WanPipeline": _wan,
    "WanImageToVideoPipeline": _wan,
    "LTXPipeline": _ltx,
    "LTXImageToVideoPipeline": _ltx,
}
