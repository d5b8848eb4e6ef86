"""Solids: the three analytic shapes that everything is built of, and lists of them in world space over n moments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]

ELLIPSOID, BOX, CONE = "ellipsoid", "box", "cone"
# Patterns paint a second colour where the solid's own coordinates (-1..1 on each axis) fall in a region.
PLAIN, RING, CROSS = "plain", "ring", "cross"


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One shape: ``matrix`` takes the unit sphere, the cube [-1, 1]^3 or the cone (radius 1 at y=-1, 0 at y=1) to the world.

    ``casts`` says whether it throws a shadow; small parts that lie within others' shadows needn't.
    """

    shape: str
    matrix: Float[Tensor, "*n 3 4"]
    colour: Float[Tensor, "m 3"] | Colour
    accent: Float[Tensor, "m 3"] | Colour = (1.0, 1.0, 1.0)
    pattern: str = PLAIN
    casts: bool = True


@dataclass(frozen=True, kw_only=True)
class Solids:
    """Shapes whose count and kinds are the same at every moment: what a batch of views shares."""

    shapes: tuple[str, ...]
    patterns: tuple[str, ...]
    casts: tuple[bool, ...]
    matrix: Float[Tensor, "n p 3 4"]
    colour: Float[Tensor, "n p 3"]
    accent: Float[Tensor, "n p 3"]


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A shape that never moves: an upright one of half sizes ``radii``, leaning by ``lean`` radians in the picture's plane."""

    colour: Colour
    centre: Vector
    radii: Vector
    shape: str = ELLIPSOID
    lean: float = 0.0

    def rows(self) -> list[list[float]]:
        """Its matrix (3 rows of 4)."""
        c, s = math.cos(self.lean), math.sin(self.lean)
        rx, ry, rz = self.radii
        x, y, z = self.centre
        return [[c * rx, -s * ry, 0.0, x], [s * rx, c * ry, 0.0, y], [0.0, 0.0, rz, z]]


def gather(solids: Sequence[Solid]) -> Solids:
    """One `Solids` of many single shapes over the same n moments."""
    matrix = torch.stack([s.matrix for s in solids], 1)
    return Solids(
        shapes=tuple(s.shape for s in solids),
        patterns=tuple(s.pattern for s in solids),
        casts=tuple(s.casts for s in solids),
        matrix=matrix,
        colour=torch.stack([_table(s.colour, len(matrix)) for s in solids], 1),
        accent=torch.stack([_table(s.accent, len(matrix)) for s in solids], 1),
    )


def stand(scenes: Sequence[Sequence[Prop]], moments: int) -> Solids:
    """The props of several alike scenes, each at ``moments`` moments, scene by scene."""
    first = scenes[0]
    matrix = torch.tensor([[p.rows() for p in props] for props in scenes], dtype=torch.float64)
    colour = torch.tensor([[p.colour for p in props] for props in scenes], dtype=torch.float32)
    colour = colour.repeat_interleave(moments, 0)
    return Solids(
        shapes=tuple(p.shape for p in first),
        patterns=(PLAIN,) * len(first),
        casts=(False,) * len(first),
        matrix=matrix.repeat_interleave(moments, 0),
        colour=colour,
        accent=colour,
    )


def _table(colour: Tensor | Colour, n: int) -> Tensor:
    if not isinstance(colour, Tensor):
        colour = torch.tensor(colour, dtype=torch.float32)
    return colour.expand(n, 3)
