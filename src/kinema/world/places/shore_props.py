"""What stands by the beach, the coast and the lake."""

from __future__ import annotations

from kinema.world.places.parts import fir, palm, part, rooted
from kinema.world.places.shores import Cliffs, cliffs
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import BOX, CONE, CRAGS, GORES, Colour, Prop, pyramid

_STRATA: tuple[Colour, ...] = ((0.64, 0.50, 0.40), (0.54, 0.45, 0.40), (0.70, 0.56, 0.44), (0.44, 0.38, 0.36))
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
        parts.append(part((0.95, 0.32, 0.30), (x, 0.92, -5.3), (0.55, 0.20, 0.55), shape=CONE, pattern=GORES))
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
        for k in range(4):
            parts += _crag(random, shape, x, side, k)
            x += side * 1.9 * _crag_width(k) * shape.scale
        for k, at in ((3, 0.30), (1, 2.3)):
            x = shape.gap_x + side * (shape.gap_half + at * shape.scale)
            size = random.uniform(0.8, 1.1) * shape.scale
            centre = (x, 0.3 * size, shape.foot_z(x) - 0.1)
            radii = (0.42 * size, 0.36 * size, 0.36 * size)
            parts.append(part(_STRATA[k], centre, radii, shape=pyramid(0.45), lean=-side * 0.14, turn=0.7 * side + k))
    for k, (x, z, r) in enumerate(shape.rocks):
        parts.append(
            part(_WET_ROCK, (x, 0.62 * r, z), (r, 0.68 * r, 0.9 * r), shape=pyramid(0.4), lean=0.16, turn=0.5 + k)
        )
    return parts


def _darker(colour: Colour) -> Colour:
    r, g, b = (0.84 * c for c in colour)
    return (r, g, b)


def _crag_width(k: int) -> float:
    return (0.62, 0.80, 0.56, 0.74)[k]


def _crag(random: Random, shape: Cliffs, start: float, side: float, k: int) -> list[Prop]:
    """One pillar of the wall: a broad dark foot, a leaning block set back on it, turf on top."""
    half, s = _crag_width(k) * shape.scale, shape.scale
    x = start + side * half
    z = shape.foot_z(x) + 0.1 * s * (k % 2)
    foot = random.uniform(0.5, 0.95) * s
    top = foot + random.uniform(0.75, 1.25) * s + (0.0, 0.55, 0.15, 0.7)[k] * s
    lean = -side * random.uniform(0.04, 0.14) + random.uniform(-0.10, 0.10)
    paint, shift = _STRATA[(k * 2 + (side > 0)) % 4], random.uniform(-0.12, 0.12) * s
    turn = random.uniform(0.15, 0.45) * (1 if k % 2 else -1)
    middle, narrow = (foot + top) / 2, 0.74
    high = (top - foot) / 2 + 0.1
    cap = (x + shift - lean * high, middle + high, z - 0.75 * s)
    return [
        part(
            _STRATA[3], (x, foot * 0.5 - 0.05, z - 0.45 * s), (half * 1.12, foot * 0.5 + 0.1, 0.62 * s), shape=BOX,
            lean=lean, turn=-0.6 * turn, pattern=CRAGS, accent=_darker(_STRATA[3]),
        ),
        part(
            paint, (x + shift, middle, z - 0.75 * s), (half * 1.02, high, 0.66 * s), shape=pyramid(narrow), lean=lean,
            turn=turn, pattern=CRAGS, accent=_darker(paint),
        ),
        part(_TURF, cap, (half * 1.08 * narrow, 0.05 * s, 0.70 * narrow * s), shape=BOX, lean=lean, turn=turn),
    ]  # fmt: skip


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
            reed = [part(_REED, (foot - lean * height, height, z), (0.045, height, 0.045), lean=lean)]
            if j != 1:
                tip = 1.75 * height
                reed.append(part(_REED_HEAD, (foot - lean * tip, tip, z + 0.02), (0.065, 0.15, 0.065), lean=lean))
            parts += rooted(reed, foot, 0.12)
    side = 1.0 if random.chance(0.5) else -1.0
    far = -10.2 if scene.is_afloat else -3.2
    parts += fir(side * (4.4 if not scene.is_afloat else 3.0), far, 1.2)
    parts += fir(-side * (4.9 if not scene.is_afloat else 4.4), far - 0.3, 1.0)
    return parts
