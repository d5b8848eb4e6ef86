"""Embeddings of numbers and small vectors, in fp32 whatever autocast says."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def sinusoid(x: Float[Tensor, "*b"], dim: int) -> Float[Tensor, "*b dim"]:
    """Cosines, then sines, of ``x`` at ``dim`` / 2 frequencies from 1 down to nearly 1 / 10000.

    Source: Attention Is All You Need (arXiv 1706.03762), section 3.5, cosines first.
    """
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=x.device) * (-math.log(10000.0) / half))
    angles = x.float()[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A region in which operations on ``x`` keep the dtype of what they are given."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class MlpEmbedding(nn.Module):
    """Two linear layers with an activation between them, "silu" or "gelu" (its tanh approximation), in their weights' dtype."""

    def __init__(self, in_dim: int, width: int, activation: str = "silu") -> None:
        super().__init__()
        self.activation = activation
        self.linear_1 = nn.Linear(in_dim, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b d"]:
        """The embedding of ``x``."""
        with no_autocast(x):
            x = self.linear_1(x.to(self.linear_1.weight.dtype))
            return self.linear_2(F.silu(x) if self.activation == "silu" else F.gelu(x, approximate="tanh"))


class LevelEmbedding(nn.Module):
    """A noise level's 256 sinusoids embedded, under the name ``timestep_embedder`` that PixArt-alpha's weights gave it."""

    num_sines = 256

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = MlpEmbedding(self.num_sines, width)

    def forward(self, timestep: Float[Tensor, "*b"]) -> Float[Tensor, "*b d"]:
        """The embedding of ``timestep``, a noise level in thousandths."""
        return self.timestep_embedder(sinusoid(timestep, self.num_sines))
