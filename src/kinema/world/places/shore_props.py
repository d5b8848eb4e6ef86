"""What stands by the beach, the coast and the lake."""

from __future__ import annotations

from kinema.world.places.parts import fir, palm, part
from kinema.world.places.shores import cliffs
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import BOX, CONE, Colour, Prop

_STRATA: tuple[Colour, ...] = ((0.56, 0.44, 0.36), (0.48, 0.40, 0.36), (0.62, 0.50, 0.40), (0.42, 0.36, 0.34))
_TURF: Colour = (0.36, 0.56, 0.24)
_WET_ROCK: Colour = (0.34, 0.31, 0.32)
_REED: Colour = (0.34, 0.50, 0.18)
_REED_HEAD: Colour = (0.42, 0.24, 0.10)


def beach(scene: Scene, random: Random) -> list[Prop]:
    """A palm tree and a sailing boat; afloat, two palm trees and a parasol on the sand behind."""
    side = 1.0 if random.chance(0.5) else -1.0
    if scene.is_afloat:
        parts = palm(side * random.uniform(1.5, 1.9), -5.7, -side * 0.16, 1.25)
        parts += palm(-side * random.uniform(2.6, 3.2), -6.3, side * 0.2, 1.15)
        x = -side * random.uniform(1.0, 1.5)
        parts.append(part((0.92, 0.90, 0.86), (x, 0.4, -5.3), (0.035, 0.45, 0.035)))
        parts.append(part((0.95, 0.32, 0.30), (x, 0.92, -5.3), (0.55, 0.20, 0.55), shape=CONE))
        return parts
    x, z = side * random.uniform(1.35, 1.6), random.uniform(-2.75, -2.45)
    parts = palm(x, z, -side * 0.16)
    bx = -side * random.uniform(1.0, 2.4)
    parts.append(part((0.95, 0.95, 0.97), (bx, 0.42, -9.0), (0.85, 0.22, 0.4)))
    parts.append(part((0.98, 0.98, 1.0), (bx, 1.35, -9.0), (0.55, 0.85, 0.2), shape=CONE))
    return parts


def coast(scene: Scene, random: Random) -> list[Prop]:
    """Cliffs of leaning blocks with turf on them, and rocks in the surf before them."""
    shape = cliffs(scene)
    parts = []
    for side in (-1.0, 1.0):
        x = shape.gap_x + side * shape.gap_half
        for k in range(5):
            width, height = random.uniform(0.48, 0.78), random.uniform(1.25, 1.9) + (0.35, 0.75, 0.3, 0.8, 0.4)[k]
            x += side * width * 0.86
            lean = -side * random.uniform(0.02, 0.16)
            z = shape.foot_z(x) - 0.75
            paint = _STRATA[(k * 2 + (side > 0)) % 4]
            parts.append(part(paint, (x, height * 0.5 - 0.2, z), (width, height * 0.5 + 0.2, 0.8 + 0.12 * (k % 2)), shape=BOX, lean=lean))
            parts.append(part(_TURF, (x - lean * height * 0.5, height - 0.02, z), (width * 1.02, 0.09, 0.9), shape=BOX, lean=lean))
            x += side * width * 0.86
    for side in (-1.0, 1.0):
        x = shape.gap_x + side * (shape.gap_half + 0.28)
        parts.append(part(_STRATA[3], (x, 0.35, shape.foot_z(x) + 0.1), (0.42, 0.75, 0.5), lean=side * 0.25))
        x = shape.gap_x + side * (shape.gap_half + 2.1)
        parts.append(part(_STRATA[1], (x, 0.3, shape.foot_z(x) + 0.1), (0.62, 0.6, 0.45), lean=-side * 0.2))
    for x, z, r in shape.rocks:
        parts.append(part(_WET_ROCK, (x, 0.10, z), (r, r * 1.25, r), lean=0.2))
    return parts


def lake(scene: Scene, random: Random) -> list[Prop]:
    """Four clumps of reeds and two firs at the water's edge; afloat they stand farther off."""
    parts = []
    back = -3.6 if scene.is_afloat else -2.75
    for k, middle in enumerate((-2.3, -0.95, 1.15, 2.5)):
        x, z = middle + random.uniform(-0.25, 0.25), back - random.uniform(0.0, 0.35)
        for j in range(3):
            lean = (j - 1) * 0.16 + random.uniform(-0.05, 0.05)
            height = random.uniform(0.42, 0.60) * (1.0 if k % 3 == 0 else 0.8)
            foot = x + (j - 1) * 0.13
            parts.append(part(_REED, (foot - lean * height, height, z), (0.045, height, 0.045), lean=lean))
            if j != 1:
                tip = 1.75 * height
                parts.append(part(_REED_HEAD, (foot - lean * tip, tip, z + 0.02), (0.065, 0.15, 0.065), lean=lean))
    side = 1.0 if random.chance(0.5) else -1.0
    far = -10.2 if scene.is_afloat else -3.2
    parts += fir(side * (4.4 if not scene.is_afloat else 3.0), far, 1.2)
    parts += fir(-side * (4.9 if not scene.is_afloat else 4.4), far - 0.3, 1.0)
    return parts
