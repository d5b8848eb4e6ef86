"""Pictures that follow from the exact truth: sketches (outlines) and pose maps (boxes and headings as colours)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

_STEP = 0.06  # a relative jump of depth that counts as an edge


def sketch(depth: Float[Tensor, "t h w"], owner: Int[Tensor, "t h w"]) -> UInt8[Tensor, "t h w 3"]:
    """Dark outlines on white: where the depth jumps or a subject ends."""
    near = torch.where(depth.isinf(), 1e4, depth)
    edge = torch.zeros_like(owner, dtype=torch.bool)
    for axis in (1, 2):
        size = depth.shape[axis] - 1
        one, two = near.narrow(axis, 0, size), near.narrow(axis, 1, size)
        jump = (one - two).abs() > _STEP * torch.minimum(one, two)
        jump |= owner.narrow(axis, 0, size) != owner.narrow(axis, 1, size)
        edge.narrow(axis, 0, size).logical_or_(jump)
    return torch.where(edge, 20, 255).to(torch.uint8)[..., None].expand(-1, -1, -1, 3).contiguous()
