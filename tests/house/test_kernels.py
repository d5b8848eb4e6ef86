"""bench/kernels.py: what it measures is what it says it measures."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "bench"))
    import kernels  # pyright: ignore[reportMissingImports]

    return kernels


def test_frames_folded_are_the_same_convolution(kernels: ModuleType) -> None:
    conv, x = nn.Conv3d(3, 5, 3, bias=False), torch.randn(2, 3, 7, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(kernels._by_frames(x, conv), conv(x))


def test_a_figure_has_its_rate_and_both_fractions(kernels: ModuleType) -> None:
    figure = kernels.timed(lambda: time.sleep(0.01), 1e6, {"matmul": 1e6, "conv": 2e6})
    assert figure["median_s"] >= 0.01
    assert figure["of_matmul_peak"] == pytest.approx(1 / figure["median_s"], rel=0.01)
    assert figure["of_matmul_peak"] == pytest.approx(2 * figure["of_conv_peak"], rel=0.01)
    assert figure["runs"] >= 5


def test_slow_work_is_run_no_more_often_than_it_must(kernels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    monkeypatch.setattr(kernels, "SLOW_S", -1.0)
    _, runs = kernels.measured(lambda: calls.append(None))
    assert (runs, len(calls)) == (5, 7)


def test_what_cannot_be_compiled_is_said(kernels: ModuleType) -> None:
    def fails() -> None:
        raise RuntimeError("no compiler\nat all")

    assert kernels.timed_compiled(fails, 1.0, {"matmul": 1.0}) == {"failed": "no compiler"}


def test_peaks_are_of_both_kinds(kernels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_MATRICES", (16, 32))
    monkeypatch.setattr(kernels, "_CONV_CHANNELS", (4,))
    peaks = kernels.find_peaks("float32")
    assert set(peaks) == {"matmul", "conv"}
    assert min(peaks.values()) > 0
    work, flop = kernels._plane(4, "float32")
    assert flop == kernels_flop(work)


def kernels_flop(work) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
