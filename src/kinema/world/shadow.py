"""The subject's shadow on the ground: one analytic ray from each ground point to the light, soft at its rim.

Legend: n views, p solids, h w pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import apply, invert
from kinema.world.hits import FAR, Coordinates, ring_distance, round_side, slab, slabs, slants, sum_of_products
from kinema.world.solids import Solids, Vector
from kinema.world.view import View, Window

_REACH = 1.25  # the soft rim's outer radius, in radii of the solid
_RING_POINTS = 9
_THIN = 0.035  # half sizes below it grow to it, subject heights


def shadow_boxes(solids: Solids, sun: Vector, view: View) -> Float[Tensor, "n 4"]:
    """Picture boxes that hold the shadow (left, top, right, bottom; pixels, not clipped)."""
    m = _thickened(solids)[:, torch.tensor(solids.casts)]
    # A soft ball reaches beyond its radii; what has corners reaches to them.
    half = torch.maximum(m[..., :3].square().sum(-1).sqrt() * _REACH, m[..., :3].abs().sum(-1)) + 0.02
    points = []
    for level in ((m[..., 1, 3] - half[..., 1]).clamp(min=0), (m[..., 1, 3] + half[..., 1]).clamp(min=0)):
        for side in (-1.0, 1.0):
            for front in (-1.0, 1.0):
                px = m[..., 0, 3] + side * half[..., 0] - sun[0] / sun[1] * level
                pz = m[..., 2, 3] + front * half[..., 2] - sun[2] / sun[1] * level
                points.append(torch.stack([px, torch.zeros_like(px), pz], -1))
    away = torch.cat(points, 1) - view.position[:, None]
    seen = (view.axes[:, None] * away[..., None, :]).sum(-1)
    scale = view.focal_px[:, None] / seen[..., 2].clamp(min=0.2)
    px = view.width_px / 2 + seen[..., 0] * scale
    py = view.height_px / 2 - seen[..., 1] * scale
    return torch.stack([px.amin(1), py.amin(1), px.amax(1), py.amax(1)], -1)


def shadow(solids: Solids, sun: Vector, view: View, *, window: Window, device: torch.device) -> Float[Tensor, "n h w"]:
    """How much of the light each pixel's ground point lacks, 0 to 1; 0 above the horizon."""
    rx, rise, rz = view.rays(view.slopes(window, device), device)
    eye = view.eye(device)
    depth = eye[:, 1] / (-rise).clamp(min=1e-3)
    gx, gz = eye[:, 0] + depth * rx, eye[:, 2] + depth * rz
    inverse = invert(_thickened(solids))
    toward = torch.tensor(sun, dtype=torch.float64).expand(len(inverse), len(solids.shapes), 3)
    direction = apply(inverse, toward).to(device, torch.float32)[..., None, None]
    inverse = inverse.to(device, torch.float32)[..., None, None]
    light = torch.ones_like(gx)
    for p, casts in enumerate(solids.casts):
        if not casts:
            continue
        m = inverse[:, p]
        o = [m[:, k, 3] + gx * m[:, k, 0] + gz * m[:, k, 2] for k in range(3)]
        d = [direction[:, p, k] for k in range(3)]
        shape = solids.shapes[p]
        light = light * (1 - _COVERS[shape.name](o, d, shape.ratio))
    return torch.where(rise < 0, 1 - light, 0.0)


def _thickened(solids: Solids) -> Float[Tensor, "n p 3 4"]:
    """Matrices of ``solids`` with no axis shorter than `_THIN`: a sail edge on to the sun has a line for a shadow, not dots."""
    m = solids.matrix
    long = m[..., :3].square().sum(-2, keepdim=True).sqrt()
    # What is too small to see stays so.
    grown = torch.where((long < _THIN) & (long.amax(-1, keepdim=True) > 2 * _THIN), _THIN / long.clamp(min=1e-9), 1.0)
    return torch.cat([m[..., :3] * grown, m[..., 3:]], -1)


def _ball_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    along = sum_of_products(o, d).square() / sum_of_products(d, d)
    return _soft(sum_of_products(o, o) - along)


def _capsule_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    # How near the ray comes to the line between the ends, in units of their radius.
    half = 1 / ratio - 1
    o, d = [o[0], o[1] / ratio, o[2]], [d[0], d[1] / ratio, d[2]]
    dd, od = sum_of_products(d, d), sum_of_products(o, d)
    across = d[0] * d[0] + d[2] * d[2]
    nearest = ((o[1] * dd - d[1] * od) / across.clamp(min=1e-6)).clamp(-half, half)
    o = [o[0], o[1] - nearest, o[2]]
    return _soft(sum_of_products(o, o) - sum_of_products(o, d).square() / dd)


def _soft(off: Tensor) -> Tensor:
    """How much a ball of radius 1 takes from a ray that passes at the squared distance ``off``."""
    return ((1.3 - off) / 0.6).clamp(0, 1)


def _box_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    enter, leave = slabs(o, d)
    inside = torch.minimum(torch.minimum(leave[0], leave[1]), leave[2]) - torch.maximum(
        torch.maximum(enter[0], enter[1]), enter[2]
    )
    return _thick(inside, d)


def _wedge_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    (x_in, x_out), (y_in, y_out) = slab(o[0], d[0]), slab(o[1], d[1])
    z_in, z_out, _ = slants(o, d, ratio)
    return _thick(torch.minimum(torch.minimum(x_out, y_out), z_out) - torch.maximum(torch.maximum(x_in, y_in), z_in), d)


def _pyramid_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    y_in, y_out = slab(o[1], d[1])
    x_in, x_out, _ = slants([o[2], o[1], o[0]], [d[2], d[1], d[0]], ratio)
    z_in, z_out, _ = slants(o, d, ratio)
    return _thick(torch.minimum(torch.minimum(x_out, y_out), z_out) - torch.maximum(torch.maximum(x_in, y_in), z_in), d)


def _cone_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    side_in, side_out, meets = round_side(o, d, ratio)
    flat_in, flat_out = slab(o[1], d[1])
    inside = torch.minimum(side_out, flat_out) - torch.maximum(side_in, flat_in)
    return torch.where(meets, _thick(inside, d), 0.0)


def _cylinder_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    return _cone_cover(o, d, 1.0)


def _dome_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    # The half ball reaches down to y=-1 and up to 1: nearly a ball a little below its middle.
    return _ball_cover([o[0], (o[1] + 0.35) / 1.3, o[2]], [d[0], d[1] / 1.3, d[2]], ratio)


def _ring_cover(o: Coordinates, d: Coordinates, ratio: float) -> Tensor:
    # The nearest of some points of the ray's way through the ring's ball.
    dd = sum_of_products(d, d)
    middle = -sum_of_products(o, d) / dd
    nearest = torch.full_like(middle, FAR)
    for k in range(_RING_POINTS):
        s = middle + (2 * k / (_RING_POINTS - 1) - 1) / dd.sqrt()
        x, y, z = (o[j] + s * d[j] for j in range(3))
        nearest = torch.minimum(nearest, ring_distance((x * x + y * y).sqrt(), z, ratio))
    return (0.5 - nearest / ratio).clamp(0, 1)


def _thick(inside: Tensor, d: Coordinates) -> Tensor:
    """A solid takes the more from a ray the longer the way through it."""
    return (inside * sum_of_products(d, d).sqrt() / 0.35).clamp(0, 1)


_COVERS: dict[str, Callable[[Coordinates, Coordinates, float], Tensor]] = {
    "ellipsoid": _ball_cover,
    "box": _box_cover,
    "wedge": _wedge_cover,
    "pyramid": _pyramid_cover,
    "cone": _cone_cover,
    "cylinder": _cylinder_cover,
    "dome": _dome_cover,
    "capsule": _capsule_cover,
    "ring": _ring_cover,
}
