"""Noise with one random generator per sample: a sample depends on its seed alone, whatever batch it is drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput

_MASK = (1 << 64) - 1


def noise(
    shape: Sequence[int],
    *,
    seeds: Sequence[int],
    stream: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Float[Tensor, " b *shape"]:
    """Standard normal numbers of ``shape`` for every seed: (b, *shape). Drawn on the CPU in fp32, so that neither device nor dtype matter.

    ``stream`` counts independent draws for one seed: 0 is where sampling starts; a stochastic stepper takes one a step.
    Raises: InvalidInput for no seeds, or one that `generator` refuses.
    """
    if not seeds:
        raise InvalidInput("seeds", list(seeds), "must be one for every sample")
    samples = [torch.randn(tuple(shape), generator=generator(seed, stream), dtype=torch.float32) for seed in seeds]
    return torch.stack(samples).to(device=device, dtype=dtype)


def batch_noise(
    shape: Sequence[int],
    *,
    batch: int,
    seed: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Float[Tensor, " b *shape"]:
    """Standard normal numbers of ``shape`` for a whole batch from one seed: (b, *shape), drawn as `noise` draws.

    So published pipelines draw a batch from one generator; `noise` is what they draw from one for each sample. Here a sample
    depends on its place too, and on the batch's size where it has no multiple of 16 numbers (torch's generator fills blocks).
    Raises: InvalidInput.
    """
    if batch < 1:
        raise InvalidInput("batch", batch, "must be at least 1")
    drawn = torch.randn((batch, *shape), generator=generator(seed), dtype=torch.float32)
    return drawn.to(device=device, dtype=dtype)


def generator(seed: int, stream: int = 0) -> torch.Generator:
    """A CPU generator for draw ``stream`` of ``seed``; that of stream 0 is torch's own for seeds below 2^32.

    torch's CPU generator reads 32 bits of a seed: 1 and 2^32 + 1 would be one clip. So longer seeds, and all later streams,
    are hashed to 32 bits. Raises: InvalidInput for a seed that is no whole number of at most 64 bits.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _MASK:
        raise InvalidInput("seed", seed, "must be a whole number from 0 to 2^64 - 1")
    if seed >> 32 or stream:
        seed = _hash(_hash(seed) + stream) >> 32
    return torch.Generator().manual_seed(seed)


def _hash(number: int) -> int:
    """64 well-mixed bits. Source: SplitMix64 (Steele, Lea & Flood 2014)."""
    z = (number + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
