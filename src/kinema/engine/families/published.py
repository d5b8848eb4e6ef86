"""What published families share: parts read one by one, the level that a network is told, one text at a time, pictures as pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.parts import Parts, make_parts
from kinema.flow.published import PublishedSampler, timestep_at
from kinema.models.text.published import TextTokens
from kinema.weights.folder import ModelFolder
from kinema.weights.transformers_parts import load_encoder, load_image_processor, load_tokenizer

# networks count in thousandths of the noise level; ours are told the level itself
_TIMESTEPS = 1000


def load_parts(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Parts:
    """Every component of ``folder`` but its scheduler, by name: networks under ``plan``, tokenizers, image processors.

    Raises: WeightsError, MissingPackage; Cancelled between components.
    """
    names = [name for name, (library, _) in folder.components.items() if library == "transformers"]
    return make_parts(folder, plan, clock, {name: partial(_load_of_transformers, folder, name, plan) for name in names})


def _load_of_transformers(folder: ModelFolder, name: str, plan: RunPlan, device: str) -> Any:
    if name.startswith("tokenizer"):
        return load_tokenizer(folder, name)
    if name == "image_processor":
        return load_image_processor(folder, name)
    return load_encoder(folder, name, dtype=getattr(torch, plan.dtype), device=device)


def told_level(sampler: PublishedSampler, steps: int, *, tokens: int | None = None) -> Callable[[Tensor], Tensor]:
    """Noise level of a step -> what the network is told of it; frozen frames stay at 0.

    UniPC's networks are told whole timesteps, so that isn't the level itself. ``tokens``: of the video, where the shift needs them.
    """
    sigmas, timesteps = sampler.sigmas(steps, tokens=tokens), sampler.timesteps(steps, tokens=tokens)
    return lambda sigma: timestep_at(sigma, sigmas, timesteps) / _TIMESTEPS


def text_rows(
    sides: Sequence[Callable[[int], TextTokens]], count: int, *, dtype: torch.dtype, clock: RunClock
) -> list[dict[str, Tensor | None]]:
    """What each of ``sides`` (of the prompts, of the negative prompts) gives for ``count`` requests, a row each.

    A side is asked with a request's place: a text encoded alone doesn't depend on its neighbours, and takes least memory.
    """
    tokens: list[list[TextTokens]] = [[] for _ in sides]
    for place in range(count):
        for rows, encode in zip(tokens, sides, strict=True):
            rows.append(encode(place))
        clock.done("encode", place + 1)
    return [
        {
            "text": torch.cat([t.tokens for t in rows]).to(dtype),
            "text_mask": _joined([t.mask for t in rows]),
            "pooled": _joined([t.pooled for t in rows], dtype),
        }
        for rows in tokens
    ]


def _joined(rows: Sequence[Tensor | None], dtype: torch.dtype | None = None) -> Tensor | None:
    tensors = [row for row in rows if row is not None]
    return torch.cat(tensors).to(dtype=dtype) if tensors else None


def without_padding(side: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """A side of one request, its text without the tokens that the mask hides: for a network to which a text token's place says nothing.

    Attention without a mask has faster kernels on a GPU. Several requests stay as they are.
    """
    text, mask = side["text"], side["text_mask"]
    if text is None or mask is None or len(text) != 1 or not bool(mask.any()):
        return side
    return {**side, "text": text[:, mask[0]], "text_mask": None}


def picture_pixels(picture: UInt8[np.ndarray, "h w 3"], device: torch.device) -> Float[Tensor, "1 3 1 h w"]:
    """``picture`` as one frame of pixels in [-1, 1]."""
    pixels = torch.from_numpy(np.array(picture)).to(device).float()
    return rearrange(pixels / 255 * 2 - 1, "h w c -> 1 c 1 h w")


def dtype_of(network: nn.Module, part: str) -> torch.dtype:
    """The dtype of the weights of ``part``."""
    weight: Any = network.get_submodule(part).weight
    return weight.dtype
