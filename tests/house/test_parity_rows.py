"""bench/parity_rows/measure.py: a row of the parity table breaks where it should."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

PATH = Path(__file__).resolve().parents[2] / "bench" / "parity_rows" / "measure.py"
spec = importlib.util.spec_from_file_location("parity_rows_measure", PATH)
assert spec is not None
assert spec.loader is not None
measure = importlib.util.module_from_spec(spec)
sys.modules["parity_rows_measure"] = measure
spec.loader.exec_module(measure)


def draw(seed: int = 0) -> torch.Tensor:
    return torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(seed))


def made(ours: torch.Tensor, theirs: torch.Tensor, column: str = "fp32") -> Any:
    row = measure.Row("what", ("fp32",))
    row.add("fp32", "same", [theirs], [theirs])
    row.add(column, "case", [ours], [theirs])
    return row


def test_what_is_within_its_bound_is_whole() -> None:
    assert made(draw() + 5e-5, draw()).broken == []


@pytest.mark.parametrize("column, by", [("fp32", 2e-4), ("frames", 2.0), ("batch", 2e-4), ("offload", 1e-6)])
def test_what_is_out_of_its_bound_is_named_with_its_case(column: str, by: float) -> None:
    (text,) = made(draw() + by, draw(), column).broken
    assert f"{column} " in text
    assert text.endswith("(case)")


def test_what_is_no_number_is_broken() -> None:
    ours = draw()
    ours[1, 2, 3] = torch.nan
    assert made(ours, draw()).broken
    assert made(draw(), ours).broken


def test_zeros_agree_about_anything() -> None:
    row = measure.Row("what", ("fp32",))
    row.add("fp32", "case", [torch.zeros(3, 5)], [torch.zeros(3, 5)])
    assert "hardly varies" in row.broken[0]


def test_what_was_not_compared_is_named() -> None:
    row = measure.Row("what", ("fp32", "bf16"))
    row.add("fp32", "case", [draw()], [draw()])
    row.close()
    assert row.broken == ["what: bf16 was not compared"]


def test_another_shape_ends_it() -> None:
    with pytest.raises(SystemExit, match="case: fp32: shapes"):
        made(draw()[:1], draw())


@pytest.mark.parametrize("ours, theirs, is_whole", [(1.1, 1.0, True), (1.3, 1.0, False), (0.0, 1.0, False)])
def test_errors_in_bf16_are_compared_with_the_reference_s(ours: float, theirs: float, is_whole: bool) -> None:
    row = measure.Row("what", ("fp32",))
    row.add("fp32", "case", [draw()], [draw()])
    for seed in range(3):
        error = 0.01 * draw(seed + 9)
        row.add_half("case", [draw(seed) + ours * error], [draw(seed) + theirs * error], [draw(seed)])
    row.close()
    assert (row.broken == []) == is_whole
    if ours:
        assert row.columns["bf16"] == pytest.approx(ours / theirs, rel=1e-3)


def test_small_outputs_are_drawn_more_often() -> None:
    assert [measure.num_draws(n) for n in (1, 200, 10**6)] == [measure.MOST_DRAWS, 10, measure.LEAST_DRAWS]
