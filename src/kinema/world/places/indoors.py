"""How a room is furnished, scene by scene: shared by its painted walls and by what stands in it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import Colour

BACK_Z = -3.3
SIDE_X = 6.0
CEILING_Y = 4.0


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window in the back wall, in subject heights."""

    middle_y: float
    half_width: float
    half_height: float


WINDOW = Window(middle_y=1.58, half_width=0.62, half_height=0.60)


@dataclass(frozen=True, kw_only=True)
class Decor:
    """Paints of a room's paper, curtains and rug, and on which sides its window and its lamp are."""

    paper: Colour
    stripe: Colour
    curtain: Colour
    rug: Colour
    trim: Colour
    window_x: float
    lamp_x: float


_PAPERS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((0.66, 0.80, 0.72), (0.74, 0.86, 0.78), (0.86, 0.46, 0.36)),  # sage, with terracotta curtains
    ((0.68, 0.78, 0.92), (0.76, 0.85, 0.96), (0.94, 0.78, 0.40)),  # sky blue, with yellow ones
    ((0.96, 0.84, 0.62), (0.98, 0.90, 0.74), (0.36, 0.60, 0.58)),  # cream, with teal ones
    ((0.92, 0.72, 0.74), (0.96, 0.80, 0.81), (0.50, 0.44, 0.66)),  # rose, with violet ones
)
_RUGS: tuple[tuple[Colour, Colour], ...] = (
    ((0.26, 0.44, 0.50), (0.90, 0.84, 0.70)),
    ((0.56, 0.24, 0.26), (0.92, 0.80, 0.58)),
    ((0.42, 0.40, 0.56), (0.86, 0.82, 0.88)),
)


def decor(scene: Scene) -> Decor:
    """The `Decor` of the room in an unflipped ``scene``."""
    random = Random(scene.layout, "decor")
    paper, stripe, curtain = random.choice(_PAPERS)
    rug, trim = random.choice(_RUGS)
    side = 1.0 if random.chance(0.5) else -1.0
    return Decor(
        paper=paper, stripe=stripe, curtain=curtain, rug=rug, trim=trim, window_x=side * random.uniform(1.0, 1.2), lamp_x=-side * 2.05
    )  # fmt: skip
