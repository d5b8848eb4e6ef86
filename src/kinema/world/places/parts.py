"""Parts that several places build with. Standard library and solids only."""

from __future__ import annotations

import math
from dataclasses import replace

from kinema.world.rng import Random
from kinema.world.solids import CONE, ELLIPSOID, PLAIN, Colour, Prop, Shape, Vector

LEAF: Colour = (0.10, 0.42, 0.14)
LEAF_LIGHT: Colour = (0.20, 0.52, 0.16)
TRUNK: Colour = (0.42, 0.26, 0.14)
PINE: Colour = (0.05, 0.30, 0.22)
FIR_SWAY = 0.03  # radians


def part(
    colour: Colour, centre: Vector, radii: Vector, *, shape: Shape = ELLIPSOID, lean: float = 0.0, pattern: str = PLAIN,
    accent: Colour = (1.0, 1.0, 1.0), turn: float = 0.0,
) -> Prop:  # fmt: skip
    """One shape of a prop."""
    return Prop(
        shape=shape, centre=centre, radii=radii, lean=lean, turn=turn, colour=colour, pattern=pattern, accent=accent
    )


def rooted(parts: list[Prop], x: float, sway: float) -> list[Prop]:
    """``parts`` that sway as one about a root at ``x``."""
    return [replace(p, sway=sway, root_x=x) for p in parts]


def spots(random: Random) -> list[Vector]:
    """Places for six props on an arc behind the subject: (x, z, size). None hides it, whatever the camera does."""
    found = []
    shift = random.uniform(-0.5, 0.5)
    for k in range(6):
        angle = math.radians((k - 2.5) * 21.0 + shift * 12.0 + random.uniform(-5.0, 5.0))
        distance = random.uniform(4.2, 7.5)
        x, z = math.sin(angle) * (distance + 3.0), 1.5 - math.cos(angle) * (distance + 1.0)
        found.append((x, z, random.uniform(0.85, 1.2)))
    return found


def palm(x: float, z: float, lean: float, size: float = 1.0) -> list[Prop]:
    """A palm tree of seven solids, leaning to the side of ``lean``'s sign turned about."""
    parts = []
    for k in range(2):
        centre = (x - lean * k * 0.75 * size, (0.35 + 0.62 * k) * size, z)
        parts.append(
            part((0.50, 0.34, 0.20), centre, (0.10 * size, 0.42 * size, 0.10 * size), lean=lean * (1 + 0.4 * k))
        )
    top = (x - lean * 1.7 * size, 1.42 * size, z)
    for k in range(5):
        angle = (k - 2) * 0.62
        centre = (top[0] + math.sin(angle) * 0.42 * size, top[1] + (math.cos(angle) * 0.25 - 0.12) * size, z + 0.03 * k)
        radii = (0.50 * size, 0.10 * size, 0.16 * size)
        parts.append(part((0.12, 0.50, 0.20), centre, radii, lean=math.pi / 2 - angle * 1.15))
    return rooted(parts, x, 0.06)


def fir(x: float, z: float, size: float, *, crown: Colour = PINE) -> list[Prop]:
    """A fir of three solids, about twice ``size`` tall."""
    s = size
    parts = [
        part(TRUNK, (x, 0.2 * s, z), (0.11 * s, 0.35 * s, 0.11 * s)),
        part(crown, (x, 0.95 * s, z), (0.68 * s, 0.60 * s, 0.68 * s), shape=CONE),
        part(crown, (x, 1.50 * s, z), (0.52 * s, 0.55 * s, 0.52 * s), shape=CONE),
    ]
    return rooted(parts, x, FIR_SWAY)
