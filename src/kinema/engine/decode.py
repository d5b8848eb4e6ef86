"""From latents to frames, chunk by chunk, so that memory doesn't grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from kinema.engine.families.family import Family
from kinema.engine.resolve import ResolvedRequest
from kinema.models.autoencoders.work import OnWork


def decode_chunks(
    family: Family, latents: Float[Tensor, "1 c t h w"], mode: str, request: ResolvedRequest, on_work: OnWork
) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
    """Frames of normalised ``latents`` in order, as `Family.decode` gives them."""
    for pixels in family.decode(latents, mode, request, on_work):
        yield to_frames(pixels)


def to_frames(pixels: Float[Tensor, "1 3 t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """uint8 RGB of pixels in [-1, 1], rounded; what lies beyond is cut."""
    frames = ((pixels[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(rearrange(frames, "c t h w -> t h w c").cpu().numpy())
