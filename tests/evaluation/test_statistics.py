"""Wilson's interval: known values, and its edges."""

from __future__ import annotations

import pytest

from kinema.evaluation.statistics import wilson


def test_known_values() -> None:
    # Wilson's interval of 8 of 10 at 95 %: 0.490 to 0.943
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_edges_stay_within_shares() -> None:
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(5, 5)[1] == pytest.approx(1)
