"""Attention over tokens. Legend: b batch, n queries, m keys, h heads, e channels of a head, d = h e."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

# Keys without a name: a block's mask covers video and text, which have names of their own there.
KeyMask = Bool[Tensor, "b 1 1 _m"] | None


def split_heads(x: Float[Tensor, "b n d"], num_heads: int) -> Float[Tensor, "b n h e"]:
    """``x`` with its channels shared among the heads."""
    return x.unflatten(-1, (num_heads, -1))


# Scores that are held at once, in all: 48 MB of them and of their bf16 copy.
_MOST_SCORES = 8 << 20
_MKLDNN: Any = torch.backends.mkldnn  # whose stubs lack what follows


def attend(
    q: Float[Tensor, "b n h e"], k: Float[Tensor, "b m h e"], v: Float[Tensor, "b m h e"], mask: KeyMask
) -> Float[Tensor, "b n d"]:
    """Attention of every query to the keys that ``mask`` leaves (None: all), in v's dtype; q and k may come in fp32."""
    # No einops in here: the compiler traces through it, in every block, for as long as through all the rest.
    if mask is None and _is_sooner_in_two(q, k, v):
        return _in_two_products(q, k, v)
    q, k = q.to(v.dtype), k.to(v.dtype)
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def _is_sooner_in_two(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether `_in_two_products` is the faster way, and no gradient or compiler asks for the other."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    if v.dtype != torch.bfloat16 or v.device.type != "cpu" or not _has_bf16_without_tiles():
        return False
    return q.shape[0] * q.shape[2] * q.shape[1] * k.shape[1] <= _MOST_SCORES


@lru_cache(maxsize=1)
def _has_bf16_without_tiles() -> bool:
    """Whether this processor multiplies bf16, but not in tiles (AMX), for which torch's own kernel is made."""
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()


def _in_two_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`attend` with all scores at once.

    Without tiles torch's fused kernel runs far from a bf16 product's speed: this takes half its time at 204 and at 744 tokens.
    Products are of bf16, scores and softmax fp32: as exact as the fused kernel. Scores rounded to bf16 double the error.
    """
    scale, heads = q.shape[-1] ** -0.5, q.shape[2]
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q.float() * scale, k.float(), v))
    with _products_of_bf16():
        scores = torch.bmm(q, k.transpose(1, 2))
    out = torch.bmm(scores.softmax(dim=-1).to(v.dtype), v)
    return out.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


@contextmanager
def _products_of_bf16() -> Iterator[None]:
    """Rounds the factors of fp32 products to bf16, sums in fp32."""
    before = _MKLDNN.matmul.fp32_precision
    _MKLDNN.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        _MKLDNN.matmul.fp32_precision = before
