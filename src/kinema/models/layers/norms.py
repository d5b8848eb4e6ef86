"""Norms over the last axis, computed in fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPS = 1e-6


def layer_norm(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """``x`` with mean 0 and variance 1 over its channels; statistics are fp32 whatever the dtype."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


def rms_norm(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """``x`` with root mean square 1 over its channels; statistics are fp32 whatever the dtype."""
    return F.rms_norm(x, x.shape[-1:], eps=EPS)


class RmsNorm(nn.Module):
    """Scales to root mean square ``weight`` over the last axis. Returns fp32: what follows it here is fp32 too."""

    def __init__(self, width: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """``x`` normed, in fp32."""
        return F.rms_norm(x.float(), x.shape[-1:], self.weight.float(), self.eps)


class Fp32LayerNorm(nn.LayerNorm):
    """A layer norm with weight and bias, computed and returned in fp32 whatever their dtype."""

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """``x`` normed, scaled and shifted, in fp32."""
        return F.layer_norm(x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps)
