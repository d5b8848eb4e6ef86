"""Statistics of answers. Standard library only."""

from __future__ import annotations

import math


def wilson(right: float, total: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson, 1927."""
    p = right / total
    centre, half = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (centre - half) / (1 + z * z / total), (centre + half) / (1 + z * z / total)
