"""Attention over tokens. Legend: b batch, n queries, m keys, h heads, e channels of a head, d = h e."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from kinema.models.layers.products import products_by_onednn

# Keys without a name: a block's mask covers video and text, which have names of their own there.
KeyMask = Bool[Tensor, "b 1 1 _m"] | None


def split_heads(x: Float[Tensor, "b n d"], num_heads: int) -> Float[Tensor, "b n h e"]:
    """``x`` with its channels shared among the heads."""
    return x.unflatten(-1, (num_heads, -1))


# Scores that are worked on at a time: 8 MB, of which a cache holds much. But no fewer queries: all keys are packed anew for each block.
_SCORES, _LEAST_QUERIES = 2 << 20, 128
_safe_softmax: Any = torch._safe_softmax  # pyright: ignore[reportPrivateImportUsage]


def attend(
    q: Float[Tensor, "b n h e"], k: Float[Tensor, "b m h e"], v: Float[Tensor, "b m h e"], mask: KeyMask
) -> Float[Tensor, "b n d"]:
    """Attention of every query to the keys that ``mask`` leaves (None: all), in v's dtype; q and k may come in fp32."""
    # No einops in here: the compiler traces through it, in every block, for as long as through all the rest.
    if _is_sooner_in_two(v):
        return _in_two_products(q, k, v, mask)
    q, k = q.to(v.dtype), k.to(v.dtype)
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def _is_sooner_in_two(v: Tensor) -> bool:
    """Whether `_in_two_products` is the faster way, and no gradient or compiler asks for the other."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    return v.dtype == torch.bfloat16 and v.device.type == "cpu" and _has_bf16_without_tiles()


@lru_cache(maxsize=1)
def _has_bf16_without_tiles() -> bool:
    """Whether this processor multiplies bf16, but not in tiles (AMX), for which torch's own kernel is made."""
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()


def _in_two_products(q: Tensor, k: Tensor, v: Tensor, mask: KeyMask) -> Tensor:
    """`attend`, some heads or some queries of one at a time.

    Without tiles torch's fused kernel runs far from a bf16 product's speed: this takes 0.5 to 0.8 of its time, from 204 tokens
    to 16,384. Scores and softmax are fp32, the second product is of bf16: as exact as the fused kernel. Scores rounded to bf16
    double the error.
    """
    (num_samples, num_queries, num_heads, width), num_keys = q.shape, k.shape[1]
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    hidden = None if mask is None else ~mask[:, :, 0].expand(num_samples, num_heads, num_keys).flatten(0, 1)[:, None]
    out = torch.empty_like(q, dtype=v.dtype)
    heads = max(1, _SCORES // max(1, num_keys * num_queries))
    queries = max(_LEAST_QUERIES, _SCORES // max(1, num_keys))
    for head in range(0, len(q), heads):
        some = slice(head, head + heads)
        # in fp32 only these heads: of all, at 32,760 tokens of 40 heads, it would be 1.3 GB
        q_some, k_some = q[some].float() * width**-0.5, k[some].float().transpose(1, 2)
        for query in range(0, num_queries, queries):
            these = slice(query, query + queries)
            with products_by_onednn():
                scores = torch.bmm(q_some[:, these], k_some)
            if hidden is not None:
                scores.masked_fill_(hidden[some], -torch.inf)
            # as the fused kernel: a query that sees no key gathers zeros
            weights = scores.softmax(dim=-1) if hidden is None else _safe_softmax(scores, dim=-1)
            out[some, these] = torch.bmm(weights.to(v.dtype), v[some])
    return out.unflatten(0, (num_samples, num_heads)).transpose(1, 2).flatten(2)
