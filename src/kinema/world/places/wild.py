"""What stands in the park, the snowfield, the desert, the hills and the forest."""

from __future__ import annotations

from kinema.world.places.parts import FIR_SWAY, LEAF, LEAF_LIGHT, TRUNK, fir, part, rooted, spots
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import CONE, DOME, Colour, Prop

_CACTUS: Colour = (0.14, 0.45, 0.20)
_ROCK: Colour = (0.62, 0.40, 0.28)
_BUSH: Colour = (0.22, 0.50, 0.20)
_BUSH_LIGHT: Colour = (0.34, 0.62, 0.22)
_BARK: Colour = (0.36, 0.23, 0.14)
_DARK_FIR: Colour = (0.06, 0.32, 0.16)


def park(scene: Scene, random: Random) -> list[Prop]:
    """Six round trees."""
    parts = []
    for k, (x, z, s) in enumerate(spots(random)):
        leaf = LEAF if k % 2 else LEAF_LIGHT
        tree = [
            part(TRUNK, (x, 0.5 * s, z), (0.13 * s, 0.75 * s, 0.13 * s)),
            part(leaf, (x, 1.55 * s, z), (0.72 * s, 0.70 * s, 0.72 * s)),
            part(leaf, (x + 0.3 * s, 1.15 * s, z + 0.1), (0.5 * s, 0.42 * s, 0.5 * s)),
        ]
        parts += rooted(tree, x, 0.035)
    return parts


def snowfield(scene: Scene, random: Random) -> list[Prop]:
    """Six firs with white tips."""
    parts = []
    for x, z, s in spots(random):
        parts += fir(x, z, s)
        tip = part((0.93, 0.96, 1.0), (x, 2.02 * s, z), (0.22 * s, 0.26 * s, 0.22 * s), shape=CONE)
        parts += rooted([tip], x, FIR_SWAY)
    return parts


def desert(scene: Scene, random: Random) -> list[Prop]:
    """Three cacti with two arms each, and three rocks."""
    parts = []
    for k, (x, z, s) in enumerate(spots(random)):
        if k % 2:
            # Half of a stone, its flat side on the sand: what reached below would be drawn over the ground before it.
            parts.append(part(_ROCK, (x, 0.17 * s, z), (0.55 * s, 0.18 * s, 0.4 * s), shape=DOME))
            continue
        parts.append(part(_CACTUS, (x, 0.8 * s, z), (0.20 * s, 0.95 * s, 0.20 * s)))
        for side in (-1.0, 1.0):
            y = (0.75 + 0.12 * side) * s
            parts.append(part(_CACTUS, (x + side * 0.27 * s, y, z), (0.26 * s, 0.11 * s, 0.11 * s)))
            parts.append(part(_CACTUS, (x + side * 0.44 * s, y + 0.28 * s, z), (0.11 * s, 0.36 * s, 0.11 * s)))
    return parts


def hills(scene: Scene, random: Random) -> list[Prop]:
    """Five bushes of two balls each."""
    parts = []
    for k, (x, z, s) in enumerate(spots(random)[:5]):
        paint = _BUSH if k % 2 else _BUSH_LIGHT
        parts.append(part(paint, (x, 0.26 * s, z), (0.50 * s, 0.40 * s, 0.45 * s)))
        parts.append(part(paint, (x + 0.42 * s, 0.16 * s, z + 0.1), (0.34 * s, 0.27 * s, 0.32 * s)))
    return parts


def forest(scene: Scene, random: Random) -> list[Prop]:
    """Nine tall firs close together: long trunks, two dark cones each."""
    parts = []
    for k in range(9):
        x = (k - 4) * 1.28 + random.uniform(-0.3, 0.3)
        z = -3.1 - 1.5 * (k % 3) * 0.8 - random.uniform(0.0, 0.5)
        s = random.uniform(0.9, 1.15)
        crown = _DARK_FIR if k % 2 else (0.10, 0.40, 0.20)
        tree = [
            part(_BARK, (x, 0.95 * s, z), (0.15 * s, 1.5 * s, 0.15 * s)),
            part(crown, (x, 1.75 * s, z), (0.78 * s, 0.80 * s, 0.78 * s), shape=CONE),
            part(crown, (x, 2.55 * s, z), (0.60 * s, 0.75 * s, 0.60 * s), shape=CONE),
        ]
        parts += rooted(tree, x, FIR_SWAY)
    return parts
