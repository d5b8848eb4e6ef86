"""Patches of latents to tokens. Legend: b batch, c channels, t h w latent frames, height and width, n tokens, d width."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class PatchConv3d(nn.Conv3d):
    """A token for every patch. Its weight has a convolution's shape; as a matrix product it is faster on CPUs."""

    def __init__(self, channels: int, width: int, patch: tuple[int, int, int]) -> None:
        super().__init__(channels, width, kernel_size=patch, stride=patch)
        self.patch = patch

    def forward(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b n d"]:
        """The tokens, row-major in t, h, w, in the dtype of the weights."""
        pt, ph, pw = self.patch
        patches = rearrange(
            latents, "b c (t pt) (h ph) (w pw) -> b (t h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw
        )  # fmt: skip
        return F.linear(patches.to(self.weight.dtype), self.weight.flatten(1), self.bias)
