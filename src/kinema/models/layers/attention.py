"""Attention over tokens. Legend: b batch, n queries, m keys, h heads, e channels of a head, d = h e."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

# Keys without a name: a block's mask covers video and text, which have names of their own there.
KeyMask = Bool[Tensor, "b 1 1 _m"] | None


def split_heads(x: Float[Tensor, "b n d"], num_heads: int) -> Float[Tensor, "b n h e"]:
    """``x`` with its channels shared among the heads."""
    return x.unflatten(-1, (num_heads, -1))


def attend(
    q: Float[Tensor, "b n h e"], k: Float[Tensor, "b m h e"], v: Float[Tensor, "b m h e"], mask: KeyMask
) -> Float[Tensor, "b n d"]:
    """Attention of every query to the keys that ``mask`` leaves (None: all)."""
    # No einops in here: the compiler traces through it, in every block, for as long as through all the rest.
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return out.transpose(1, 2).flatten(2)
