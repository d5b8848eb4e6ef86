"""Wilson's interval: known values, its edges, and what follows from its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.evaluation.statistics import wilson

COUNTS = st.integers(1, 3000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def test_known_values() -> None:
    # Wilson's interval of 8 of 10 at 95 %: 0.490 to 0.943
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_edges_stay_within_shares() -> None:
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(5, 5)[1] == pytest.approx(1)


@given(COUNTS)
def test_its_ends_are_the_shares_that_lie_z_deviations_off(counts: tuple[int, int]) -> None:
    right, total = counts
    for end in wilson(right, total):
        off = (right / total - end) ** 2
        assert off == pytest.approx(1.96**2 * end * (1 - end) / total, abs=1e-12)


@given(COUNTS)
def test_it_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    right, total = counts
    low, high = wilson(right, total)
    assert -1e-12 <= low <= right / total + 1e-12
    assert right / total - 1e-12 <= high <= 1 + 1e-12
    assert wilson(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_more_answers_and_less_certainty_make_it_narrower() -> None:
    widths = [high - low for low, high in (wilson(8, 10), wilson(80, 100), wilson(800, 1000), wilson(800, 1000, z=1.0))]
    assert widths == sorted(widths, reverse=True)
