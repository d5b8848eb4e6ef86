"""Attention in two products, which some processors are given in bf16, is the fused kernel's within its rounding."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kinema.models.layers import attention
from kinema.models.layers.attention import attend, split_heads
from kinema.models.layers.low_rank import LowRank
from kinema.models.layers.products import products_by_onednn


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


@pytest.mark.parametrize("sizes", [(204, 204), (37, 61), (300, 130)])
@pytest.mark.parametrize("spread", [1.0, 8.0])
@pytest.mark.parametrize("scores", [2 << 20, 30_000, 1])  # all heads at once, one or two, a head in blocks of queries
def test_two_products_are_as_exact_as_the_fused_kernel(
    sizes: tuple[int, int], spread: float, scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_SCORES", scores)
    q, k, v = inputs(*sizes, spread)
    with torch.inference_mode():
        fused = error(lambda q, k, v: _fused(q.bfloat16(), k.bfloat16(), v), q, k, v)
        assert error(lambda q, k, v: attention._in_two_products(q, k, v, None), q, k, v) < 1.2 * fused
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"  # pyright: ignore[reportAttributeAccessIssue]


def test_what_a_mask_hides_is_not_there_and_one_that_hides_nothing_changes_no_bit() -> None:
    q, k, v = inputs(50, 70, 1.0)
    mask = torch.ones(2, 1, 1, 70, dtype=torch.bool)
    with torch.inference_mode():
        whole = attention._in_two_products(q, k, v, None)
        assert torch.equal(attention._in_two_products(q, k, v, mask), whole)
        mask[1, ..., 40:] = False
        masked = attention._in_two_products(q, k, v, mask)
        alone = attention._in_two_products(q[1:], k[1:, :40], v[1:, :40], None)
        mask[1] = False
        assert not attention._in_two_products(q, k, v, mask)[1].any()
    assert torch.equal(masked[0], whole[0])
    torch.testing.assert_close(masked[1], alone[0])


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0)])
def test_without_queries_or_keys_it_is_the_fused_kernel_s(sizes: tuple[int, int]) -> None:
    q, k, v = inputs(*sizes, 1.0)
    assert torch.equal(attention._in_two_products(q, k, v, None), _fused(q.bfloat16(), k.bfloat16(), v))


def test_only_the_heads_at_work_are_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_SCORES", 1)
    q, k, v = (x.bfloat16() for x in inputs(300, 130, 1.0))
    with _Largest() as seen:
        attention._in_two_products(q, k, v, None)
    assert 128 * 130 <= seen.numel < q.numel()


class _Largest(TorchDispatchMode):
    """Numbers of the largest fp32 tensor made within it."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype == torch.float32:
            self.numel = max(self.numel, out.numel())
        return out


def test_a_product_in_another_thread_waits_and_keeps_its_bits() -> None:
    done = Event()
    change = LowRank(down=torch.randn(2, 3), up=torch.randn(5, 2))
    thread = Thread(target=lambda: (change.dense(), done.set()))
    with products_by_onednn():
        thread.start()
        assert not done.wait(0.2)
    thread.join(60)
    assert done.is_set()


def test_two_threads_leave_the_setting_as_it_was() -> None:
    matmul: Any = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    before, entered, left = matmul.fp32_precision, Event(), Event()

    def beside() -> None:
        with products_by_onednn():
            entered.set()
            left.wait(10)

    thread = Thread(target=beside)
    with products_by_onednn():
        thread.start()
        entered.wait(0.2)
    left.set()
    thread.join(60)
    assert matmul.fp32_precision == before


def test_they_are_taken_where_they_pay_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def two_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        taken.append(q.shape[1])
        return v.new_zeros(2, q.shape[1], 60)

    monkeypatch.setattr(attention, "_in_two_products", two_products)
    monkeypatch.setattr(attention, "_has_bf16_without_tiles", lambda: True)
    q, k, v = inputs(6, 5, 1.0)
    with torch.inference_mode():
        attend(q, k, v, None)
        attend(q, k, v, torch.ones(2, 1, 1, 5, dtype=torch.bool))
        assert taken == [6, 6]
        attend(q, k, v.float(), None)
        with torch.autocast("cpu", torch.bfloat16):
            attend(q, k, v, None)
    attend(q, k, v, None)
    monkeypatch.setattr(attention, "_has_bf16_without_tiles", lambda: False)
    with torch.inference_mode():
        attend(q, k, v, None)
    assert taken == [6, 6]


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.nn.functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)
