"""Rotary position embedding over any number of axes, in fp32.

Legend: b batch, n tokens, h heads, d channels of a head, f = d / 2 pairs. Neighbouring channels (2i, 2i + 1) make a pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# Axes without a name: a block's table covers video and text, which have names of their own there.
Table = tuple[Float[Tensor, "_n _f"], Float[Tensor, "_n _f"]]


def rope_table(
    sizes: Sequence[int],
    axes_dim: Sequence[int],
    *,
    theta: float,
    num_unrotated: int = 0,
    device: torch.device | None = None,
) -> Table:
    """(cos, sin) for the places of a grid in row-major order, then ``num_unrotated`` rows that turn nothing.

    Cosines are taken per axis and then spread over the grid, so that a table costs about as much as writing it: a cache
    would save less than 1 % of the smallest forward and would hold tensors across inference and training modes.

    Source: RoFormer (arXiv 2104.09864), eq. 34, with an axis' share of the channels as its d.
    """
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for axis, (size, dim) in enumerate(zip(sizes, axes_dim, strict=True)):
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim
        angles = torch.outer(torch.arange(size, dtype=torch.float32, device=device), theta**-exponents)
        shape = [1] * len(sizes)
        shape[axis] = size
        for part, wave in zip(parts, (angles.cos(), angles.sin()), strict=True):
            part.append(wave.view(*shape, -1).expand(*sizes, -1))
    cos, sin = (torch.cat(part, dim=-1).flatten(0, -2) for part in parts)
    if num_unrotated:
        still = cos.new_zeros(num_unrotated, cos.shape[-1])
        cos, sin = torch.cat([cos, still + 1]), torch.cat([sin, still])
    return cos, sin


def apply_rope(x: Float[Tensor, "b n h d"], table: Table) -> Float[Tensor, "b n h d"]:
    """``x`` in fp32 with every pair of channels turned by its token's angles."""
    cos, sin = (wave[:, None] for wave in table)
    pairs = x.float().unflatten(-1, (-1, 2))
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        # Complex numbers take a tenth of the time here; the compiler has no code for them.
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin)).flatten(-2)
    even, odd = pairs.unbind(-1)
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)
