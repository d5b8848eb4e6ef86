"""Adaptive layer norm: shift, scale and gate of a block's inputs from the conditions, per sample or per latent frame.

Legend: b batch, n tokens, d width, g groups of tokens with their own modulation: 1, or one per latent frame (n = g s).

Two kinds, with k vectors of width d in a modulation (6 per stream of a dual block, 3 in a single block):

- own: a projection per block, k d^2 + k d parameters; 12 d^2 of a dual block's 36 d^2 and 3 d^2 of a single one's 15 d^2.
- shared: one projection for all blocks of a kind, and a table of k d per block that is added to it. L dual and S single
  blocks need 15 d^2 + 15 d + 12 d L + 3 d S parameters instead of (12 d^2 + 12 d) L + (3 d^2 + 3 d) S: 1.00 M instead
  of 3.16 M at d = 256, L = 2, S = 8, and the conditions are projected once a forward instead of once a block.
  Source: PixArt-alpha (arXiv 2310.00426), section 2.3, with the table zero at the start.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Modulation(nn.Module):
    """The ``num_vectors`` modulation vectors of one block's stream.

    Its input, the *signal*, is the activated condition embedding (own), or what the shared projection made of it (shared).
    """

    def __init__(self, width: int, num_vectors: int, *, shared: bool) -> None:
        super().__init__()
        self.num_vectors = num_vectors
        if shared:
            self.table = nn.Parameter(torch.zeros(num_vectors * width))
        else:
            self.linear = nn.Linear(width, num_vectors * width)
        self.shared = shared

    def forward(self, signal: Float[Tensor, "b g i"]) -> tuple[Float[Tensor, "b g d"], ...]:
        """The vectors, in their published order."""
        vectors = signal + self.table if self.shared else self.linear(signal)
        return vectors.chunk(self.num_vectors, dim=-1)


def modulate(
    x: Float[Tensor, "b n d"], shift: Float[Tensor, "b g d"], scale: Float[Tensor, "b g d"]
) -> Float[Tensor, "b n d"]:
    """``x`` (1 + scale) + shift, every group of tokens with its own."""
    groups = shift.shape[1]
    if groups == 1:
        return x * (1 + scale) + shift
    x = x.unflatten(1, (groups, -1))
    return (x * (1 + scale[:, :, None]) + shift[:, :, None]).flatten(1, 2)


def add_gated(
    x: Float[Tensor, "b n d"], gate: Float[Tensor, "b g d"], update: Float[Tensor, "b n d"]
) -> Float[Tensor, "b n d"]:
    """``x`` + gate ``update``, every group of tokens with its own gate."""
    groups = gate.shape[1]
    if groups == 1:
        return x + gate * update
    return x + (gate[:, :, None] * update.unflatten(1, (groups, -1))).flatten(1, 2)
