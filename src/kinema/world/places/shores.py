"""Where land and water meet, scene by scene: shared by the ground's paint and by what stands on it. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinema.world.rng import Random
from kinema.world.scene import Scene

SHORE_Z = -3.0  # of the beach
COAST_SHORE_Z = -2.3
LAKE_SHORE_Z = -2.3
FAR_SAND_Z = -4.6  # where the beach begins behind those who are afloat
FAR_BANK_Z = -9.0  # where the meadow begins behind those who are afloat on the lake


@dataclass(frozen=True, kw_only=True)
class Cliffs:
    """A cliff wall along x with its foot near ``line_z``, open to the sea where |x - gap_x| < gap_half.

    It is built ``scale`` times as large as one near by. ``rocks`` (x, z, radius) stand in the water before it.
    """

    line_z: float
    phase: float
    gap_x: float
    gap_half: float
    scale: float
    rocks: tuple[tuple[float, float, float], ...]

    def foot_z(self, x: float) -> float:
        """Where the wall stands in the water at ``x``."""
        return self.line_z - 0.3 * math.sin(1.7 * x + self.phase)


def cliffs(scene: Scene) -> Cliffs:
    """The `Cliffs` of the coast in an unflipped ``scene``; nearer when one is afloat before them."""
    random = Random(scene.layout, "cliffs")
    side = 1.0 if random.chance(0.5) else -1.0
    phase = random.uniform(0.0, 2 * math.pi)
    if scene.is_afloat:
        line, gap_x, gap_half, scale = -4.3, side * random.uniform(2.5, 2.9), 0.9, 1.0
        rocks = ((-side * random.uniform(1.7, 2.2), -3.35, 0.36), (side * random.uniform(0.8, 1.2), -3.5, 0.26))
    else:
        line, gap_x, gap_half, scale = -7.6, side * random.uniform(0.3, 0.7), 1.55, 1.45
        rocks = ((gap_x + 0.95 * side, -6.6, 0.50), (-side * random.uniform(1.2, 1.7), -4.6, 0.34))
    return Cliffs(line_z=line, phase=phase, gap_x=gap_x, gap_half=gap_half, scale=scale, rocks=rocks)
