"""Noise levels to train at: densities, shift, loss weights, and bins for validation. All in fp32."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.paths import Path
from kinema.flow.predictions import x0_slope


def uniform(n: int, *, generator: torch.Generator, stratified: bool = False) -> Float[Tensor, " n"]:
    """``n`` sigmas spread evenly over [0, 1). ``stratified``: one in each n-th, in random order, so that a batch's loss varies less.

    Source: Kingma et al. 2021 (variational diffusion models), for the strata.
    """
    drawn = torch.rand(n, generator=generator, dtype=torch.float64)
    if stratified:
        drawn = (torch.randperm(n, generator=generator) + drawn) / n
    # 1 - 2^-24, the largest fp32 below 1, so that rounding does not reach 1
    return drawn.float().clamp_max(1 - 2**-24)


def logit_normal(
    n: int, *, mean: float = 0.0, std: float = 1.0, generator: torch.Generator, stratified: bool = False
) -> Float[Tensor, " n"]:
    """``n`` sigmas in (0, 1) whose logit is normal: more in the middle, where the velocity is hardest to tell.

    Source: Esser et al. 2024 (Stable Diffusion 3), equation 19; a ``mean`` above 0 leans towards noise.
    """
    if stratified:
        even = uniform(n, generator=generator, stratified=True).double().clamp_min(2**-25)
        normal = torch.special.ndtri(even)
    else:
        normal = torch.randn(n, generator=generator, dtype=torch.float64)
    return torch.sigmoid(mean + std * normal).float().clamp(2**-24, 1 - 2**-24)


def shift_sigmas(sigma: Float[Tensor, " *n"], shift: float) -> Float[Tensor, " *n"]:
    """``sigma`` moved towards noise: shift sigma / (1 + (shift - 1) sigma). 0 and 1 stay; 1 / shift moves back.

    Source: Esser et al. 2024, equation 23. Raises: InvalidInput if ``shift`` is not positive.
    """
    if not (math.isfinite(shift) and shift > 0):
        raise InvalidInput("shift", shift, "must be a positive number")
    return shift * sigma / (1 + (shift - 1) * sigma)


def shift_for_tokens(tokens: int, *, base_tokens: int, base_shift: float = 1.0) -> float:
    """The shift at which ``tokens`` are as hard to see under noise as ``base_tokens`` at ``base_shift``; it grows as their root.

    Source: Esser et al. 2024, equation 23: averaging n equal values takes sqrt(n) of the noise away.
    """
    for name, value in (("tokens", tokens), ("base_tokens", base_tokens), ("base_shift", base_shift)):
        if value <= 0:
            raise InvalidInput(name, value, "must be positive")
    return base_shift * math.sqrt(tokens / base_tokens)


def exponential_shift_for_tokens(
    tokens: int,
    *,
    base_tokens: int = 256,
    max_tokens: int = 4096,
    base_log_shift: float = 0.5,
    max_log_shift: float = 1.15,
) -> float:
    """The shift whose logarithm is a straight line through (base_tokens, base_log_shift) and (max_tokens, max_log_shift).

    Source: the published sampling code of FLUX.1, also LTX-Video's.
    """
    if base_tokens == max_tokens:
        raise InvalidInput("max_tokens", max_tokens, "must differ from base_tokens")
    slope = (max_log_shift - base_log_shift) / (max_tokens - base_tokens)
    return math.exp(base_log_shift + slope * (tokens - base_tokens))


def snr(path: Path, sigma: Float[Tensor, " *n"]) -> Float[Tensor, " *n"]:
    """Signal to noise: (alpha / s)^2."""
    return (path.alpha(sigma) / path.s(sigma)) ** 2


def uniform_weight(path: Path, sigma: Float[Tensor, " *n"], *, prediction: str = "velocity") -> Float[Tensor, " *n"]:
    """1 everywhere: the loss of ``prediction`` as it is."""
    path.check_prediction(prediction)
    return torch.ones_like(sigma)


def min_snr_weight(
    path: Path, sigma: Float[Tensor, " *n"], *, gamma: float = 5.0, prediction: str = "velocity"
) -> Float[Tensor, " *n"]:
    """What to multiply the squared error of ``prediction`` by, so that the error of x0 weighs min(snr, gamma).

    That is min(snr, gamma) / snr for noise, where it is undefined at snr 0, and min(snr, gamma) / (snr + 1) for v.
    Source: Hang et al. 2023 (min-SNR weighting).
    """
    return snr(path, sigma).clamp_max(gamma) * x0_slope(path, sigma, prediction) ** 2


WEIGHTS = {"uniform": uniform_weight, "min_snr": min_snr_weight}


def time_bins(num_bins: int) -> Float[Tensor, " bins"]:
    """The middles of ``num_bins`` equal bins of sigma: the levels at which to measure a validation loss."""
    if num_bins < 1:
        raise InvalidInput("num_bins", num_bins, "must be at least 1")
    return (torch.arange(num_bins, dtype=torch.float32) + 0.5) / num_bins


def bin_index(sigma: Float[Tensor, " *n"], num_bins: int) -> Int[Tensor, " *n"]:
    """The bin of `time_bins` that each sigma falls into; 1 belongs to the last."""
    return (sigma.float() * num_bins).long().clamp(0, num_bins - 1)


def bin_means(losses: Float[Tensor, " n"], sigma: Float[Tensor, " n"], num_bins: int) -> Float[Tensor, " bins"]:
    """The mean loss of each bin, in fp32; NaN where a bin has none."""
    index = bin_index(sigma, num_bins)
    zero = torch.zeros(num_bins, dtype=torch.float32, device=losses.device)
    total = zero.index_add(0, index, losses.float())
    return total / zero.index_add(0, index, torch.ones_like(losses, dtype=torch.float32))
