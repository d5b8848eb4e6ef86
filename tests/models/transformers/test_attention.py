"""Attention in two products, which some processors are given in bf16, is the fused kernel's within its rounding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kinema.models.layers import attention
from kinema.models.layers.attention import attend, split_heads


def inputs(num_queries: int, num_keys: int, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    """(q, k, v) of two samples and three heads; ``spread`` times as far apart as normal numbers."""
    generator = torch.Generator().manual_seed(num_queries)
    sizes = (num_queries, num_keys, num_keys)
    q, k, v = (split_heads(torch.randn(2, n, 3 * 20, generator=generator), 3) for n in sizes)
    return spread * q, k, v.bfloat16()


def error(attend_: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor) -> float:
    """Distance from exact attention (b n d), root mean square."""
    weights = torch.einsum("bnhe,bmhe->bhnm", q.double(), k.double()).mul(20**-0.5).softmax(-1)
    exact = torch.einsum("bhnm,bmhe->bnhe", weights, v.double()).flatten(2)
    return float((attend_(q, k, v).double() - exact).square().mean().sqrt())


@pytest.mark.parametrize("sizes", [(204, 204), (37, 61), (9, 130)])
@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_two_products_are_as_exact_as_the_fused_kernel(sizes: tuple[int, int], spread: float) -> None:
    q, k, v = inputs(*sizes, spread)
    with torch.inference_mode():
        fused = error(lambda q, k, v: _fused(q.bfloat16(), k.bfloat16(), v), q, k, v)
        assert error(attention._in_two_products, q, k, v) < 1.2 * fused
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"  # pyright: ignore[reportAttributeAccessIssue]


def test_they_are_taken_where_they_pay_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def two_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        taken.append(q.shape[1])
        return v.new_zeros(2, q.shape[1], 60)

    monkeypatch.setattr(attention, "_in_two_products", two_products)
    monkeypatch.setattr(attention, "_has_bf16_without_tiles", lambda: True)
    q, k, v = inputs(6, 5, 1.0)
    with torch.inference_mode():
        attend(q, k, v, None)
        assert taken == [6]
        attend(q, k, v, torch.ones(2, 1, 1, 5, dtype=torch.bool))
        attend(q, k, v.float(), None)
        with torch.autocast("cpu", torch.bfloat16):
            attend(q, k, v, None)
        monkeypatch.setattr(attention, "_MOST_SCORES", 2 * 3 * 6 * 5 - 1)
        attend(q, k, v, None)
    attend(q, k, v, None)
    assert taken == [6]


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.nn.functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)
