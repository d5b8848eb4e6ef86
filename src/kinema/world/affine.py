"""Affine maps as (..., 3, 4) matrices in float64: the few that placing solids needs.

Products are written out element by element, so a result doesn't depend on how many are made at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Number = float | Tensor


def _matrix(rows: Sequence[Sequence[Number]]) -> Float[Tensor, "*n 3 4"]:
    flat = [torch.as_tensor(x, dtype=torch.float64) for row in rows for x in row]
    stacked = torch.stack(torch.broadcast_tensors(*flat), dim=-1)
    return stacked.reshape(*stacked.shape[:-1], 3, 4)


def translate(x: Number = 0.0, y: Number = 0.0, z: Number = 0.0) -> Float[Tensor, "*n 3 4"]:
    """The map that moves by (x, y, z)."""
    return _matrix([[1.0, 0.0, 0.0, x], [0.0, 1.0, 0.0, y], [0.0, 0.0, 1.0, z]])


def scale(x: Number, y: Number, z: Number) -> Float[Tensor, "*n 3 4"]:
    """The map that stretches along the axes."""
    return _matrix([[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0]])


def rotate(axis: str, angle: Number) -> Float[Tensor, "*n 3 4"]:
    """The right-handed rotation by ``angle`` radians about axis x, y or z."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    if axis == "x":
        return _matrix([[1.0, 0.0, 0.0, 0.0], [0.0, c, -s, 0.0], [0.0, s, c, 0.0]])
    if axis == "y":
        return _matrix([[c, 0.0, s, 0.0], [0.0, 1.0, 0.0, 0.0], [-s, 0.0, c, 0.0]])
    assert axis == "z", axis
    return _matrix([[c, -s, 0.0, 0.0], [s, c, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])


def compose(*maps: Float[Tensor, "... 3 4"]) -> Float[Tensor, "*n 3 4"]:
    """The map that applies the last of ``maps`` first."""
    out = maps[0]
    for b in maps[1:]:
        rotated = out[..., 0:1] * b[..., 0:1, :] + out[..., 1:2] * b[..., 1:2, :] + out[..., 2:3] * b[..., 2:3, :]
        out = torch.cat([rotated[..., :3], rotated[..., 3:] + out[..., 3:]], dim=-1)
    return out


def invert(m: Float[Tensor, "*n 3 4"]) -> Float[Tensor, "*n 3 4"]:
    """The inverse map, by cofactors."""
    a, b, c = m[..., 0, :3], m[..., 1, :3], m[..., 2, :3]
    bc, ca, ab = _cross(b, c), _cross(c, a), _cross(a, b)
    det = dot(a, bc)[..., None, None]
    inverse = torch.stack([bc, ca, ab], dim=-1) / det
    offset = -apply(inverse, m[..., 3])
    return torch.cat([inverse, offset[..., None]], dim=-1)


def apply(m: Float[Tensor, "*n 3 k"], v: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """``m``'s linear part times ``v``."""
    return m[..., 0] * v[..., 0:1] + m[..., 1] * v[..., 1:2] + m[..., 2] * v[..., 2:3]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product over the last axis, of length three."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        dim=-1,
    )
