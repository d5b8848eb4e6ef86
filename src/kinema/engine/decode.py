"""From latents to frames, chunk by chunk, so that memory doesn't grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from kinema.engine.components import Components


def decode_chunks(
    components: Components, latents: Float[Tensor, "1 c t h w"]
) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
    """Frames of normalised ``latents`` in order, a latent frame's at a time where the autoencoder can stream, else all at once."""
    vae = components.vae
    raw = vae.denormalise(latents.float()).to(components.vae_dtype)
    if not vae.config.can_stream:
        yield to_frames(vae.decode(raw))
        return
    for pixels in vae.decode_stream(raw):
        yield to_frames(pixels)


def num_chunks(components: Components, latents: Float[Tensor, "1 c t h w"]) -> int:
    """How many chunks `decode_chunks` gives."""
    return latents.shape[2] if components.vae.config.can_stream else 1


def to_frames(pixels: Float[Tensor, "1 3 t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """uint8 RGB of pixels in [-1, 1], rounded; what lies beyond is cut."""
    frames = ((pixels[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(rearrange(frames, "c t h w -> t h w c").cpu().numpy())
