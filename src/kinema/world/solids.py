"""Solids: the few analytic shapes that everything is built of, and lists of them in world space over n moments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]


class Shape(NamedTuple):
    """A closed shape that just fits the cube [-1, 1]^3, whose axis is y (a ring's is z). ``ratio`` is its one free proportion."""

    name: str
    ratio: float = 0.0


ELLIPSOID, BOX, CYLINDER = Shape("ellipsoid"), Shape("box"), Shape("cylinder")
DOME = Shape("dome")  # half an ellipsoid with its flat side at y=-1; turned over it is a bowl
CONE, CAPSULE, RING, WEDGE = Shape("cone", 0.0), Shape("capsule", 0.5), Shape("ring", 0.3), Shape("wedge", 0.0)
PYRAMID = Shape("pyramid")


def cone(top: float) -> Shape:
    """A cone cut off where its radius (1 at y=-1) is ``top``."""
    return Shape("cone", top)


def capsule(cap: float) -> Shape:
    """A capsule each of whose round ends takes the share ``cap`` of its half length."""
    return Shape("capsule", cap)


def ring(tube: float) -> Shape:
    """A ring whose tube has the share ``tube`` of its outer radius for a radius."""
    return Shape("ring", tube)


def wedge(top: float) -> Shape:
    """A box that narrows along z from 1 at y=-1 to ``top`` at y=1: a roof, a windscreen, a fin."""
    return Shape("wedge", top)


def pyramid(top: float) -> Shape:
    """A box that narrows along x and z."""
    return Shape("pyramid", top)


# Patterns paint the second colour where a point's own coordinates fall in a region.
PLAIN = "plain"
BAND = "band"  # one round the middle, about x
CROSS = "cross"  # two bands over a box, whose x faces are darker
STRIPES = "stripes"  # level bands
GORES = "gores"  # upright strips round y
RIBS = "ribs"  # eight thin upright lines
DOTS = "dots"  # twelve on a ball, evenly all round
SPOTS = "spots"  # the same on a dome
SKIRT = "skirt"  # all below a zigzag line
WINDOWS = "windows"  # two by two on each upright side
BRICKS = "bricks"  # joints between staggered rows
CRAGS = "crags"  # slanting ledges, and cracks across them
SPOKES = "spokes"  # a cross on the ends: a wheel's
GRAIN = "+grain"  # after another's name: darker streaks along y in the first colour, as of wood


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One shape: ``matrix`` takes it from its cube [-1, 1]^3 to the world.

    ``casts`` says whether it throws a shadow; small parts that lie within others' shadows needn't. ``gloss`` is how strong its
    highlight is, 0 to 1.
    """

    shape: Shape
    matrix: Float[Tensor, "*n 3 4"]
    colour: Float[Tensor, "m 3"] | Colour
    accent: Float[Tensor, "m 3"] | Colour = (1.0, 1.0, 1.0)
    pattern: str = PLAIN
    casts: bool = True
    gloss: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Solids:
    """Shapes whose count and kinds are the same at every moment: what a batch of views shares."""

    shapes: tuple[Shape, ...]
    patterns: tuple[str, ...]
    casts: tuple[bool, ...]
    gloss: tuple[float, ...]
    matrix: Float[Tensor, "n p 3 4"]
    colour: Float[Tensor, "n p 3"]
    accent: Float[Tensor, "n p 3"]


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A shape that stands: half sizes ``radii``, turned about y, then leaning in the picture's plane, by so many radians.

    In full wind it leans by about ``sway`` radians more, about its root at (``root_x``, 0).
    """

    colour: Colour
    centre: Vector
    radii: Vector
    shape: Shape = ELLIPSOID
    lean: float = 0.0
    turn: float = 0.0
    accent: Colour = (1.0, 1.0, 1.0)
    pattern: str = PLAIN
    sway: float = 0.0
    root_x: float = 0.0

    def rows(self) -> list[list[float]]:
        """Its matrix (3 rows of 4)."""
        c, s = math.cos(self.lean), math.sin(self.lean)
        ct, st = math.cos(self.turn), math.sin(self.turn)
        rx, ry, rz = self.radii
        x, y, z = self.centre
        return [
            [c * ct * rx, -s * ry, c * st * rz, x],
            [s * ct * rx, c * ry, s * st * rz, y],
            [-st * rx, 0.0, ct * rz, z],
        ]


def gather(solids: Sequence[Solid]) -> Solids:
    """One `Solids` of many single shapes over the same n moments."""
    matrix = torch.stack([s.matrix for s in solids], 1)
    return Solids(
        shapes=tuple(s.shape for s in solids),
        patterns=tuple(s.pattern for s in solids),
        casts=tuple(s.casts for s in solids),
        gloss=tuple(s.gloss for s in solids),
        matrix=matrix,
        colour=_tables([s.colour for s in solids], len(matrix)),
        accent=_tables([s.accent for s in solids], len(matrix)),
    )


def stand(scenes: Sequence[Sequence[Prop]], moments: int) -> Solids:
    """The props of several alike scenes, each at ``moments`` moments, scene by scene."""
    first = scenes[0]
    matrix = torch.tensor([[p.rows() for p in props] for props in scenes], dtype=torch.float64)
    colour = torch.tensor([[p.colour for p in props] for props in scenes], dtype=torch.float32)
    accent = torch.tensor([[p.accent for p in props] for props in scenes], dtype=torch.float32)
    return Solids(
        shapes=tuple(p.shape for p in first),
        patterns=tuple(p.pattern for p in first),
        casts=(False,) * len(first),
        gloss=(0.0,) * len(first),
        matrix=matrix.repeat_interleave(moments, 0),
        colour=colour.repeat_interleave(moments, 0),
        accent=accent.repeat_interleave(moments, 0),
    )


def _tables(colours: Sequence[Tensor | Colour], n: int) -> Float[Tensor, "n p 3"]:
    rows = [c if isinstance(c, Tensor) else torch.tensor(c, dtype=torch.float32) for c in colours]
    return torch.stack([row.expand(n, 3) for row in rows], 1)
