"""What stands in the street and in the room."""

from __future__ import annotations

import math

from kinema.world.places.indoors import BACK_Z, decor
from kinema.world.places.parts import LEAF_LIGHT, part
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import BOX, CONE, CYLINDER, Colour, Prop

_HOUSES: tuple[Colour, ...] = (
    (0.93, 0.62, 0.42),
    (0.62, 0.76, 0.88),
    (0.95, 0.84, 0.50),
    (0.80, 0.56, 0.62),
    (0.66, 0.80, 0.62),
)
_ROOFS: tuple[Colour, ...] = ((0.62, 0.26, 0.20), (0.36, 0.36, 0.46), (0.52, 0.30, 0.22))
_PANE: Colour = (0.34, 0.48, 0.62)
_LIT: Colour = (2.6, 2.1, 1.0)  # brighter than any light makes a paint: it shines by itself
_IRON: Colour = (0.22, 0.25, 0.28)
_WOOD: Colour = (0.52, 0.33, 0.19)
_BOOKS: tuple[Colour, ...] = ((0.70, 0.25, 0.24), (0.24, 0.42, 0.58), (0.86, 0.68, 0.28), (0.36, 0.52, 0.34))


def street(scene: Scene, random: Random) -> list[Prop]:
    """Five gabled houses in a row, each with a door and two windows, and two lamps before them."""
    is_night = scene.time == "night"
    parts = []
    first = int(random.uniform(0, 5))
    for k in range(5):
        x, half = (k - 2) * 2.32, 1.08
        height = random.uniform(1.30, 1.75)
        z = -5.4
        parts.append(part(_HOUSES[(k + first) % 5], (x, height / 2, z), (half, height / 2, 0.9), shape=BOX))
        roof = half / math.sqrt(2)
        parts.append(part(_ROOFS[(k + first) % 3], (x, height, z), (roof, roof, 0.86), shape=BOX, lean=math.pi / 4))
        door = 0.55 if random.chance(0.5) else -0.55
        parts.append(part((0.40, 0.24, 0.16), (x + door, 0.36, z + 0.92), (0.22, 0.38, 0.03), shape=BOX))
        pane = _LIT if is_night and not random.chance(0.2) else _PANE
        parts.append(part(pane, (x - 0.8 * door, 0.78, z + 0.92), (0.28, 0.26, 0.03), shape=BOX))
        pane = _LIT if is_night and not random.chance(0.35) else _PANE
        parts.append(part(pane, (x, height + 0.20, z + 0.92), (0.24, 0.24, 0.03), shape=BOX))
    shift = random.uniform(-0.35, 0.35)
    for side in (-1.0, 1.0):
        x = side * 1.75 + shift
        parts.append(part(_IRON, (x, 0.85, -3.0), (0.045, 0.92, 0.045), shape=CYLINDER))
        parts.append(part(_LIT if is_night else (0.95, 0.93, 0.84), (x, 1.78, -3.0), (0.15, 0.17, 0.15)))
    return parts


def room(scene: Scene, random: Random) -> list[Prop]:
    """A floor lamp, a shelf with books over a potted plant, a picture: all along the back wall."""
    style = decor(scene)
    is_night = scene.time == "night"
    x, wall = style.lamp_x, BACK_Z
    parts = [
        part(_IRON, (x, 0.04, wall + 0.4), (0.22, 0.05, 0.22)),
        part(_IRON, (x, 0.75, wall + 0.4), (0.03, 0.74, 0.03), shape=CYLINDER),
        part(
            (2.2, 1.7, 0.9) if is_night else (0.95, 0.86, 0.68), (x, 1.52, wall + 0.4), (0.34, 0.26, 0.34), shape=CONE
        ),
    ]
    side = 1.0 if x > 0 else -1.0
    middle = side * 1.02
    parts.append(part(_WOOD, (middle, 1.42, wall + 0.16), (0.56, 0.045, 0.17), shape=BOX))
    at = middle - 0.44
    for k in range(6):
        width, height = random.uniform(0.05, 0.075), random.uniform(0.16, 0.24)
        parts.append(
            part(_BOOKS[(k * 3 + 1) % 4], (at + width, 1.465 + height, wall + 0.15), (width, height, 0.12), shape=BOX)
        )
        at += 2 * width + 0.012
    parts.append(
        part((0.80, 0.42, 0.28), (middle + 0.36 * side, 0.22, wall + 0.45), (0.17, 0.22, 0.17), shape=CYLINDER)
    )
    for k in range(3):
        lean = (k - 1) * 0.5
        centre = (middle + 0.36 * side - lean * 0.36, 0.68 - 0.1 * abs(k - 1), wall + 0.45)
        parts.append(part(LEAF_LIGHT, centre, (0.10, 0.34, 0.08), lean=lean))
    picture = side * 3.1
    parts.append(part(_WOOD, (picture, 1.65, wall + 0.04), (0.46, 0.36, 0.04), shape=BOX))
    parts.append(part((0.62, 0.80, 0.90), (picture, 1.65, wall + 0.06), (0.39, 0.29, 0.04), shape=BOX))
    parts.append(part((0.40, 0.62, 0.34), (picture, 1.47, wall + 0.08), (0.39, 0.11, 0.04), shape=BOX))
    return parts
