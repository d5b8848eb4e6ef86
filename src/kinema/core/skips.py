"""Which denoising steps are computed in full, for every level of boldness. Standard library only."""

from __future__ import annotations

from kinema.core.checks import check_whole

CACHE_LEVELS = (0, 1, 2)
# The first steps decide what is where; each differs from the next by more than later ones do.
_FIRST = 2


def computed_steps(steps: int, level: int) -> tuple[bool, ...]:
    """For each of ``steps`` whether it is computed: level 0 all; 1 every second, 2 every third, the first two and the last besides.

    What is left out is decided by number alone, so a plan knows the work, and runs with the same plan do the same. Raises: InvalidInput.
    """
    check_level(level)
    stride = level + 1
    return tuple(i < _FIRST or i == steps - 1 or (i - _FIRST) % stride == 0 for i in range(steps))


def check_level(level: int) -> None:
    """Raises: InvalidInput unless ``level`` is one of `CACHE_LEVELS`."""
    check_whole("cache_level", level, least=0, most=CACHE_LEVELS[-1])
