"""A linear map from latents to small pictures: a preview that costs nothing beside a decode.

Source: least squares over latents and pixels averaged down to their grid, as latent previews of diffusion tools do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from kinema.core.errors import InvalidInput

# the card's `training` holds the map under this name
KEY = "latent_rgb"


def fit_latent_rgb(latents: Float[Tensor, "b c t h w"], pictures: Float[Tensor, "b 3 t h w"]) -> list[list[float]]:
    """The map, JSON-ready: a row of (red, green, blue) for each latent channel, and one for the constant.

    ``pictures`` are pixels in [-1, 1], averaged down to the latents' grid in space and time.
    """
    inputs = _with_constant(latents)
    targets = rearrange(pictures, "b c t h w -> (b t h w) c").double()
    solution = torch.linalg.lstsq(inputs.double(), targets).solution
    return [[round(float(v), 5) for v in row] for row in solution]


def latent_rgb(latents: Float[Tensor, "b c t h w"], rows: Sequence[Sequence[float]]) -> UInt8[Tensor, "b t h w 3"]:
    """Small frames, one per latent frame and pixel per latent cell. Raises: InvalidInput if ``rows`` is for other latents."""
    if len(rows) != latents.shape[1] + 1:
        raise InvalidInput(
            KEY, f"{len(rows)} rows", f"must be one per latent channel and one more: {latents.shape[1] + 1}"
        )
    pixels = _with_constant(latents) @ torch.tensor(rows, dtype=torch.float32, device=latents.device)
    pixels = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    b, _, t, h, w = latents.shape
    return rearrange(pixels, "(b t h w) c -> b t h w c", b=b, t=t, h=h, w=w)


def _with_constant(latents: Tensor) -> Tensor:
    rows = rearrange(latents.float(), "b c t h w -> (b t h w) c")
    return torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
