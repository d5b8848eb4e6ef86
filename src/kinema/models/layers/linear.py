"""Linear layers that have something of their own. Legend: i input channels, o output channels."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class GeluLinear(nn.Linear):
    """A linear layer and GELU (its tanh approximation): one layer, so that `kinema.accel.pack` can compute both at once."""

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """The activated output."""
        return F.gelu(super().forward(x), approximate="tanh")
