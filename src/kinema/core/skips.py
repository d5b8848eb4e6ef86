"""Which denoising steps are computed in full, for every level of boldness. Standard library only."""

from __future__ import annotations

from kinema.core.errors import InvalidInput

CACHE_LEVELS = (0, 1, 2)
# The first steps decide what is where; each differs from the next by more than later ones do.
_FIRST = 2


def computed_steps(steps: int, level: int) -> tuple[bool, ...]:
    """For each of ``steps`` whether it is computed: level 0 all; 1 every second, 2 every third, the first two and the last besides.

    What is left out is decided by number alone, so a plan knows the work, and runs with the same plan do the same. Raises: InvalidInput.
    """
    if level not in CACHE_LEVELS:
        raise InvalidInput(
            "cache_level", level, f"must be from {CACHE_LEVELS[0]} (skips nothing) to {CACHE_LEVELS[-1]}"
        )
    stride = level + 1
    return tuple(i < _FIRST or i == steps - 1 or (i - _FIRST) % stride == 0 for i in range(steps))
