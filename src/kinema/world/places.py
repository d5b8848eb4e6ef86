"""The four places and three times: skies, lights, ground paints and the props that stand about."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import CONE, ELLIPSOID, Colour, Prop, Vector


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Sky paints and lights of one time of day. ``sun`` points to the light that casts shadows."""

    zenith: Colour
    horizon: Colour
    sun: tuple[float, float, float]
    sun_light: Colour
    ambient: Colour
    subject_sun: Colour  # the subject keeps its colour at night, as on a lit stage
    subject_ambient: Colour
    haze: float


SKIES: dict[str, Sky] = {
    "day": Sky(
        zenith=(0.18, 0.48, 0.95),
        horizon=(0.70, 0.88, 1.00),
        sun=(-0.45, 0.75, 0.48),
        sun_light=(0.62, 0.60, 0.54),
        ambient=(0.50, 0.52, 0.56),
        subject_sun=(0.56, 0.54, 0.50),
        subject_ambient=(0.56, 0.57, 0.60),
        haze=0.55,
    ),
    "sunset": Sky(
        zenith=(0.36, 0.20, 0.50),
        horizon=(1.00, 0.52, 0.18),
        sun=(0.62, 0.42, 0.55),
        sun_light=(0.74, 0.50, 0.34),
        ambient=(0.46, 0.36, 0.42),
        subject_sun=(0.62, 0.53, 0.44),
        subject_ambient=(0.52, 0.49, 0.50),
        haze=0.6,
    ),
    "night": Sky(
        zenith=(0.01, 0.02, 0.10),
        horizon=(0.07, 0.11, 0.28),
        sun=(-0.40, 0.80, 0.45),
        sun_light=(0.26, 0.31, 0.44),
        ambient=(0.25, 0.29, 0.44),
        subject_sun=(0.50, 0.50, 0.54),
        subject_ambient=(0.54, 0.55, 0.60),
        haze=0.5,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Ground paints of one place: two tones in blotches, and the far hills."""

    base: Colour
    patch: Colour
    hill: Colour
    hill_height: float  # as a slope above the horizon; 0 for none
    hill_waves: float  # how many a radian
    sharpness: float


GROUNDS: dict[str, Ground] = {
    "park": Ground(
        base=(0.50, 0.74, 0.30),
        patch=(0.36, 0.60, 0.22),
        hill=(0.20, 0.46, 0.22),
        hill_height=0.05,
        hill_waves=9.0,
        sharpness=3.0,
    ),
    "beach": Ground(
        base=(0.96, 0.85, 0.62),
        patch=(0.88, 0.74, 0.50),
        hill=(0.0, 0.0, 0.0),
        hill_height=0.0,
        hill_waves=0.0,
        sharpness=1.5,
    ),
    "snowfield": Ground(
        base=(0.93, 0.96, 1.00),
        patch=(0.74, 0.84, 0.96),
        hill=(0.70, 0.80, 0.94),
        hill_height=0.10,
        hill_waves=5.0,
        sharpness=1.5,
    ),
    "desert": Ground(
        base=(0.93, 0.66, 0.36),
        patch=(0.82, 0.52, 0.25),
        hill=(0.85, 0.55, 0.28),
        hill_height=0.085,
        hill_waves=3.5,
        sharpness=2.0,
    ),
}
SEA: Colour = (0.05, 0.52, 0.72)
SEA_DEEP: Colour = (0.03, 0.30, 0.62)
FOAM: Colour = (0.97, 0.99, 1.00)
SHORE_Z = -3.0

_LEAF: Colour = (0.10, 0.42, 0.14)
_LEAF_LIGHT: Colour = (0.20, 0.52, 0.16)
_TRUNK: Colour = (0.42, 0.26, 0.14)
_PINE: Colour = (0.05, 0.30, 0.22)
_CACTUS: Colour = (0.14, 0.45, 0.20)
_ROCK: Colour = (0.62, 0.40, 0.28)


def props(scene: Scene) -> list[Prop]:
    """What stands in an unflipped ``scene``, placed by its layout. A place has the same solids in every layout."""
    random = Random(scene.layout, f"props/{scene.place}")
    spots = _spots(random)
    return _PLACES[scene.place](random, spots)


def _spots(random: Random) -> list[tuple[float, float, float]]:
    """Places for six props on an arc behind the subject: (x, z, size). None hides it, whatever the camera does."""
    spots = []
    shift = random.uniform(-0.5, 0.5)
    for k in range(6):
        angle = math.radians((k - 2.5) * 21.0 + shift * 12.0 + random.uniform(-5.0, 5.0))
        distance = random.uniform(4.2, 7.5)
        x, z = math.sin(angle) * (distance + 3.0), 1.5 - math.cos(angle) * (distance + 1.0)
        spots.append((x, z, random.uniform(0.85, 1.2)))
    return spots


def _part(colour: Colour, centre: Vector, radii: Vector, *, shape: str = ELLIPSOID, lean: float = 0.0) -> Prop:
    return Prop(shape=shape, centre=centre, radii=radii, lean=lean, colour=colour)


def _park(random: Random, spots: list[tuple[float, float, float]]) -> list[Prop]:
    parts = []
    for k, (x, z, s) in enumerate(spots):
        leaf = _LEAF if k % 2 else _LEAF_LIGHT
        parts.append(_part(_TRUNK, (x, 0.5 * s, z), (0.13 * s, 0.75 * s, 0.13 * s)))
        parts.append(_part(leaf, (x, 1.55 * s, z), (0.72 * s, 0.70 * s, 0.72 * s)))
        parts.append(_part(leaf, (x + 0.3 * s, 1.15 * s, z + 0.1), (0.5 * s, 0.42 * s, 0.5 * s)))
    return parts


def _beach(random: Random, spots: list[tuple[float, float, float]]) -> list[Prop]:
    parts = []
    side = 1.0 if random.chance(0.5) else -1.0
    x, z = side * random.uniform(1.25, 1.5), random.uniform(-2.4, -1.9)
    lean = -side * 0.16
    for k in range(2):
        parts.append(
            _part(
                (0.50, 0.34, 0.20),
                (x - lean * k * 0.75, 0.35 + 0.62 * k, z),
                (0.10, 0.42, 0.10),
                lean=lean * (1 + 0.4 * k),
            )
        )
    top = (x - lean * 1.7, 1.42, z)
    for k in range(5):
        angle = (k - 2) * 0.62
        centre = (top[0] + math.sin(angle) * 0.42, top[1] + math.cos(angle) * 0.25 - 0.12, z + 0.03 * k)
        parts.append(_part((0.12, 0.50, 0.20), centre, (0.50, 0.10, 0.16), lean=math.pi / 2 - angle * 1.15))
    bx = -side * random.uniform(1.0, 2.4)
    parts.append(_part((0.95, 0.95, 0.97), (bx, 0.42, -9.0), (0.85, 0.22, 0.4)))
    parts.append(_part((0.98, 0.98, 1.0), (bx, 1.35, -9.0), (0.55, 0.85, 0.2), shape=CONE))
    return parts


def _snowfield(random: Random, spots: list[tuple[float, float, float]]) -> list[Prop]:
    parts = []
    for x, z, s in spots:
        parts.append(_part(_TRUNK, (x, 0.2 * s, z), (0.11 * s, 0.35 * s, 0.11 * s)))
        parts.append(_part(_PINE, (x, 0.95 * s, z), (0.68 * s, 0.60 * s, 0.68 * s), shape=CONE))
        parts.append(_part(_PINE, (x, 1.50 * s, z), (0.52 * s, 0.55 * s, 0.52 * s), shape=CONE))
        parts.append(_part((0.93, 0.96, 1.0), (x, 2.02 * s, z), (0.22 * s, 0.26 * s, 0.22 * s), shape=CONE))
    return parts


def _desert(random: Random, spots: list[tuple[float, float, float]]) -> list[Prop]:
    parts = []
    for k, (x, z, s) in enumerate(spots):
        if k % 2:
            parts.append(_part(_ROCK, (x, 0.12 * s, z), (0.55 * s, 0.34 * s, 0.4 * s)))
            continue
        parts.append(_part(_CACTUS, (x, 0.8 * s, z), (0.20 * s, 0.95 * s, 0.20 * s)))
        for side in (-1.0, 1.0):
            y = (0.75 + 0.12 * side) * s
            parts.append(_part(_CACTUS, (x + side * 0.27 * s, y, z), (0.26 * s, 0.11 * s, 0.11 * s)))
            parts.append(_part(_CACTUS, (x + side * 0.44 * s, y + 0.28 * s, z), (0.11 * s, 0.36 * s, 0.11 * s)))
    return parts


_PLACES = {"park": _park, "beach": _beach, "snowfield": _snowfield, "desert": _desert}
