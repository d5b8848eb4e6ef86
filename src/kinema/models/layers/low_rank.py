"""A change to a matrix that has few degrees of freedom.

Source: Hu et al. 2021 (LoRA), section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kinema.models.layers.products import products_as_set


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRank:
    """``scale`` times ``up`` times ``down``."""

    down: Float[Tensor, "r i"]
    up: Float[Tensor, "o r"]
    scale: float = 1.0

    def dense(self) -> Float[Tensor, "o i"]:
        """The whole change, in fp32."""
        # blocks are fetched ahead, and merged, while another thread computes
        with products_as_set():
            return self.scale * (self.up.float() @ self.down.float())
