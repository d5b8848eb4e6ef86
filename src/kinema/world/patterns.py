"""Patterns: where a solid's second colour shows, from a point's own coordinates (-1 to 1) and normal. Cheap, and exact: no
function here but products, comparisons and floors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinema.world.solids import (
    BAND,
    BRICKS,
    CRAGS,
    CROSS,
    DOTS,
    GORES,
    GRAIN,
    PLAIN,
    RIBS,
    SKIRT,
    SPOKES,
    SPOTS,
    STRIPES,
    WINDOWS,
)

_BAND = 0.24
_CROSS = 0.20
_CROSS_SHADE = 0.18
_GOLDEN = (0.5257311, 0.8506508)  # the corners of an icosahedron: (0, +-first, +-second) and its turns
_DOT = 0.943  # cosine of a dot's reach
_STREAK = 0.72  # of a paint, in the grain
_ROWS = 2.5  # of bricks, a unit of height

Coordinates = list[Tensor]


def paint(pattern: str, at: Coordinates, normal: Coordinates, colour: Coordinates, accent: Coordinates) -> Coordinates:
    """The three channels at points ``at``."""
    if pattern.endswith(GRAIN):
        pattern = pattern.removesuffix(GRAIN)
        streak = torch.where(_grain(at), _STREAK, 1.0)
        colour = [c * streak for c in colour]
    if pattern == PLAIN:
        return colour
    if pattern == CROSS:
        # One pair of faces is darker and has no stripe, so that a turning cube is seen to turn.
        face = 1 - _CROSS_SHADE * normal[0].abs()
        colour = [c * face for c in colour]
    where = _WHERE[pattern](at, normal)
    return [torch.where(where, accent[k], colour[k]) for k in range(3)]


def _share(x: Tensor) -> Tensor:
    return x - x.floor()


def _band(at: Coordinates, normal: Coordinates) -> Tensor:
    return at[0].abs() < _BAND


def _cross(at: Coordinates, normal: Coordinates) -> Tensor:
    return (at[0].abs() < _CROSS) & (normal[0].abs() < 0.5)


def _stripes(at: Coordinates, normal: Coordinates) -> Tensor:
    return _share(at[1] * 1.25 + 1.25) > 0.58


def _gores(at: Coordinates, normal: Coordinates) -> Tensor:
    x, z = at[0].abs(), at[2].abs()
    return (x - z).abs() < 0.30 * (x + z)


def _ribs(at: Coordinates, normal: Coordinates) -> Tensor:
    x, z = at[0].abs(), at[2].abs()
    return torch.minimum(torch.minimum(x, z), (x - z).abs() * 0.7) < 0.075


def _skirt(at: Coordinates, normal: Coordinates) -> Tensor:
    zigzag = (_share(at[0] * 1.5) - 0.5).abs() - (_share(at[2] * 1.5) - 0.5).abs()
    return at[1] + 0.35 * zigzag < -0.50


def _dots(at: Coordinates, normal: Coordinates) -> Tensor:
    x, y, z = at
    p, q = _GOLDEN
    x, y, z = x.abs(), y.abs(), z.abs()
    return torch.maximum(torch.maximum(p * y + q * z, p * z + q * x), p * x + q * y) > _DOT


def _spots(at: Coordinates, normal: Coordinates) -> Tensor:
    return _dots([at[0], at[1] * 0.5 + 0.5, at[2]], normal)


def _windows(at: Coordinates, normal: Coordinates) -> Tensor:
    facing_x = normal[0].abs() > normal[2].abs()
    across = torch.where(facing_x, at[2], at[0])
    row, column = (at[1].abs() - 0.48).abs() < 0.24, (across.abs() - 0.48).abs() < 0.22
    return row & column & (normal[1].abs() < 0.5)


def _bricks(at: Coordinates, normal: Coordinates) -> Tensor:
    facing_x = normal[0].abs() > normal[2].abs()
    across = torch.where(facing_x, at[2], at[0])
    row = at[1] * _ROWS
    shift = (row * 0.5).floor() * 2 < row.floor()
    joint = _share(across * 1.5 + 0.5 * shift.to(across.dtype)) < 0.10
    return (joint | (_share(row) < 0.16)) & (normal[1].abs() < 0.5)


def _crags(at: Coordinates, normal: Coordinates) -> Tensor:
    across = torch.where(normal[0].abs() > normal[2].abs(), at[2], at[0])
    bent = (_share(across * 0.95 + 0.2) - 0.5).abs()
    ledge = _share(at[1] * 1.45 + 0.55 * bent + 0.18 * across) > 0.72
    return ledge | ((_share(across * 0.7 + 0.22 * at[1]) - 0.5).abs() < 0.035)


def _spokes(at: Coordinates, normal: Coordinates) -> Tensor:
    x, z = at[0].abs(), at[2].abs()
    return (torch.minimum(x, z) < 0.16) & (x * x + z * z < 0.42) & (normal[1].abs() > 0.5)


def _grain(at: Coordinates) -> Tensor:
    # Rings about an axis beside the solid, bent a little by a zigzag along y.
    bent = (_share(at[1] * 0.55 + 0.3) - 0.5).abs() * 0.5 + 0.12 * at[1]
    x, z = at[0] + 0.7 + bent, at[2] - 1.9 - bent
    return _share((x * x + z * z) * 0.62) < 0.36


_WHERE: dict[str, Callable[[Coordinates, Coordinates], Tensor]] = {
    BAND: _band,
    CROSS: _cross,
    STRIPES: _stripes,
    GORES: _gores,
    DOTS: _dots,
    RIBS: _ribs,
    SKIRT: _skirt,
    SPOTS: _spots,
    WINDOWS: _windows,
    BRICKS: _bricks,
    CRAGS: _crags,
    SPOKES: _spokes,
}
