"""Which steps are computed."""

from __future__ import annotations

import pytest

from kinema.core.errors import InvalidInput
from kinema.core.skips import CACHE_LEVELS, computed_steps


@pytest.mark.parametrize("steps", [1, 2, 3, 25, 50])
def test_level_0_computes_all(steps: int) -> None:
    assert computed_steps(steps, 0) == (True,) * steps


@pytest.mark.parametrize("level, count", [(1, 14), (2, 11)])
def test_bolder_levels_compute_fewer_of_25(level: int, count: int) -> None:
    assert sum(computed_steps(25, level)) == count


@pytest.mark.parametrize("level", CACHE_LEVELS)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9, 50])
def test_the_ends_are_computed_and_no_gap_is_longer_than_the_level(steps: int, level: int) -> None:
    computed = computed_steps(steps, level)
    assert len(computed) == steps
    assert computed[0]
    assert computed[-1]
    assert all(any(computed[i : i + level + 1]) for i in range(steps - level))


@pytest.mark.parametrize("level", [-1, 3, 1.5])
def test_other_levels_are_refused(level: float) -> None:
    with pytest.raises(InvalidInput, match="^cache_level: "):
        computed_steps(10, level)  # type: ignore[arg-type]
