"""What a training sample is told and what is kept from it: text, camera, numbers, known frames, and noise levels.

Everything is drawn from the batch's seeds on the CPU, so a resumed run draws the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Bucket
from kinema.data.load.loader import Batch
from kinema.data.load.seeds import generator
from kinema.flow.times import logit_normal, shift_sigmas

KNOWN_MODES = ("first", "start", "ends", "some")
# The first frame alone is image-to-video, the most wanted; then extension, in-betweening, and whatever else.
_MODE_WEIGHTS = (0.4, 0.2, 0.2, 0.2)


@dataclass(frozen=True, kw_only=True)
class ConditionRecipe:
    """Shares of the samples from which a condition is kept, or that get a special one.

    ``known`` frames are given without noise and don't count in the loss; ``uneven`` noise differs from frame to frame.
    """

    no_text: float = 0.1
    chinese: float = 0.5
    no_camera: float = 0.5
    no_motion: float = 0.3
    no_other: float = 0.1
    known: float = 0.3
    uneven: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InvalidInput(name, value, "must be a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class TimeRecipe:
    """The density of noise levels: logit-normal, then shifted towards noise."""

    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Inputs of one step. ``known_mask`` is 1 on frames that are given; there ``sigma`` is 0."""

    texts: Sequence[str]
    camera: Float[Tensor, "b t k"]
    scalars: Float[Tensor, "b s"]
    known_mask: Float[Tensor, "b 1 t h w"]
    sigma: Float[Tensor, "b t"]
    noise: Float[Tensor, "b c t h w"]


def draw_conditions(
    batch: Batch, recipe: ConditionRecipe, *, times: TimeRecipe, scalar_names: Sequence[str]
) -> Conditions:
    """The conditions of ``batch``, whose tensors are those of `kinema.training.latents`."""
    latents = batch.tensors["latents"]
    count, _, frames, height, width = latents.shape
    rngs = [generator(seed) for seed in batch.seeds]
    # strata over the batch: its loss varies less than with a draw for each sample
    levels = logit_normal(
        count, mean=times.mean, std=times.std, generator=generator(batch.seeds[0], "times"), stratified=True
    )
    sigma = repeat(shift_sigmas(levels, times.shift), "b -> b t", t=frames).clone()
    known = torch.zeros(count, frames)
    for i, rng in enumerate(rngs):
        if _happens(recipe.uneven, rng):
            drawn = logit_normal(frames, mean=times.mean, std=times.std, generator=rng)
            sigma[i] = shift_sigmas(drawn, times.shift)
        if frames > 1 and _happens(recipe.known, rng):
            known[i] = draw_known(frames, rng)
    texts = [_text(m, recipe, rng) for m, rng in zip(batch.metadata, rngs, strict=True)]
    camera = batch.tensors["camera"].clone()
    for i, rng in enumerate(rngs):
        if _happens(recipe.no_camera, rng):
            camera[i] = torch.nan
    return Conditions(
        texts=texts,
        camera=camera,
        scalars=_scalars(batch, recipe, scalar_names, rngs),
        known_mask=repeat(known, "b t -> b 1 t h w", h=height, w=width),
        sigma=sigma * (1 - known),
        noise=torch.stack([torch.randn(latents.shape[1:], generator=rng) for rng in rngs]),
    )


def draw_known(frames: int, rng: torch.Generator) -> Float[Tensor, " t"]:
    """Which of ``frames`` latent frames are given: 1 or 0 each, at least one of both."""
    known = torch.zeros(frames)
    mode = KNOWN_MODES[int(torch.multinomial(torch.tensor(_MODE_WEIGHTS), 1, generator=rng))]
    if mode == "start":
        known[: _whole(1, frames - 1, rng)] = 1
    elif mode == "ends" and frames > 2:
        known[[0, -1]] = 1
    elif mode == "some":
        order = torch.randperm(frames, generator=rng)
        known[order[: _whole(1, frames - 1, rng)]] = 1
    else:
        known[0] = 1
    return known


def scalar_values(names: Sequence[str], bucket: Bucket, tensors: Mapping[str, Tensor]) -> Float[Tensor, "b s"]:
    """The numbers that ``names`` ask for; those that a bucket has, those that samples have, NaN for others."""
    count = len(tensors["latents"])
    columns = []
    for name in names:
        if name in ("width", "height"):
            columns.append(torch.full((count,), float(getattr(bucket, f"{name}_px"))))
        else:
            columns.append(tensors[name].float() if name in tensors else torch.full((count,), torch.nan))
    return torch.stack(columns, dim=1) if columns else torch.zeros(count, 0)


def masked_loss(
    output: Float[Tensor, "b c t h w"], target: Float[Tensor, "b c t h w"], known_mask: Float[Tensor, "b 1 t h w"]
) -> Float[Tensor, " b"]:
    """Each sample's mean squared error over the frames that aren't given, in fp32."""
    error = (output.float() - target.float()).square().mean(dim=1)
    unknown = 1 - rearrange(known_mask, "b 1 t h w -> b t h w")
    return (error * unknown).sum(dim=(1, 2, 3)) / unknown.sum(dim=(1, 2, 3))


def _scalars(batch: Batch, recipe: ConditionRecipe, names: Sequence[str], rngs: Sequence[torch.Generator]) -> Tensor:
    values = scalar_values(names, batch.bucket, batch.tensors)
    for i, rng in enumerate(rngs):
        for j, name in enumerate(names):
            if _happens(recipe.no_motion if name == "motion" else recipe.no_other, rng):
                values[i, j] = torch.nan
    return values


def _text(metadata: Mapping[str, Any], recipe: ConditionRecipe, rng: torch.Generator) -> str:
    is_empty, is_chinese = _happens(recipe.no_text, rng), _happens(recipe.chinese, rng)
    texts = metadata["captions"]["zh" if is_chinese else "en"]
    chosen = texts[_whole(0, len(texts) - 1, rng)]
    return "" if is_empty else chosen


def _happens(share: float, rng: torch.Generator) -> bool:
    return float(torch.rand((), generator=rng)) < share


def _whole(low: int, high: int, rng: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=rng))
