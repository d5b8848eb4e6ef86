"""Reconstruction losses that need no pretrained network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the parts of the autoencoder's loss. ``kl`` is per latent value."""

    pixel: float = 1.0
    square: float = 1.0
    edge: float = 0.5
    time: float = 0.25
    coarse: float = 0.25
    spectrum: float = 0.0
    kl: float = 1e-5


def reconstruction(
    output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"], weights: LossWeights
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The weighted sum, and its parts unweighted. Pixels in [-1, 1]; computed in fp32."""
    output, target = output.float(), target.float()
    error = output - target
    parts: dict[str, Tensor] = {"pixel": charbonnier(error)}
    if weights.square:
        parts["square"] = error.square().mean()
    if weights.edge:
        parts["edge"] = _differences(error, -1) + _differences(error, -2)
    if weights.time and error.shape[2] > 1:
        parts["time"] = _differences(error, 2)
    if weights.coarse:
        flat = rearrange(error, "b c t h w -> (b t) c h w")
        pooled = torch.nn.functional.avg_pool2d(flat, 4)
        parts["coarse"] = charbonnier(pooled)
    if weights.spectrum:
        parts["spectrum"] = spectrum(output, target)
    total = sum((getattr(weights, k) * v for k, v in parts.items()), start=error.new_zeros(()))
    return total, parts


def charbonnier(error: Float[Tensor, ...], epsilon: float = 1e-2) -> Float[Tensor, ""]:
    """The mean of sqrt(e^2 + eps^2) - eps: L1 with a smooth bottom. Source: Charbonnier et al. 1994."""
    return (error.square() + epsilon**2).sqrt().mean() - epsilon


def spectrum(output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, ""]:
    """The mean absolute difference of the frames' Fourier magnitudes, so that texture isn't blurred away."""
    a, b = (torch.fft.rfft2(x, norm="ortho").abs() for x in (output, target))
    return (a - b).abs().mean()


def kl(mean: Float[Tensor, "b c t h w"], logvar: Float[Tensor, "b c t h w"]) -> Float[Tensor, ""]:
    """KL divergence from the standard normal distribution, per latent value. Source: Kingma & Welling 2013, appendix B."""
    mean, logvar = mean.float(), logvar.float()
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def psnr(output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each clip in dB, after clamping and rounding to 8 bits. Pixels in [-1, 1]."""
    a, b = (((x.float().clamp(-1, 1) + 1) * 127.5).round() for x in (output, target))
    error = (a - b).square().mean(dim=(1, 2, 3, 4)).clamp(min=1e-4)
    return 10 * torch.log10(255.0**2 / error)


def to_model(frames: Tensor) -> Float[Tensor, "b c t h w"]:
    """uint8 frames (b t h w c) as model pixels in [-1, 1]."""
    return rearrange(frames, "b t h w c -> b c t h w").float() / 127.5 - 1


def to_frames(pixels: Float[Tensor, "b c t h w"]) -> Tensor:
    """Model pixels as uint8 frames (b t h w c)."""
    rounded = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(rounded, "b c t h w -> b t h w c").contiguous()


def _differences(error: Tensor, dim: int) -> Tensor:
    return charbonnier(error.diff(dim=dim))
