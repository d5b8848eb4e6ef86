"""Ray casting of solids: nearest hit, normal and colour over a window of each view.

Legend: n views (frames of any number of scenes), p solids, h w samples of the window. Rays are not normalised: their forward part
is 1, so the distance along a ray is the depth. Everything is element by element, so a picture doesn't depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.world.affine import apply, invert
from kinema.world.solids import BOX, CONE, CROSS, ELLIPSOID, RING, Solids
from kinema.world.view import View, Window, crops, screen_boxes

FAR = 1.0e4  # the depth of nothing

_RING_HALF_WIDTH = 0.24
_CROSS_HALF_WIDTH = 0.20
_CROSS_SHADE = 0.18

Coordinates = list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What a window's samples see: depth (`FAR` for nothing), world normal, colour, and the solid's number (-1 for nothing)."""

    depth: Float[Tensor, "n h w"]
    normal: tuple[Float[Tensor, "n h w"], ...]
    colour: tuple[Float[Tensor, "n h w"], ...]
    index: Int[Tensor, "n h w"] | None


def trace(solids: Solids, view: View, window: Window, *, device: torch.device, with_index: bool = False) -> Hits:
    """The nearest hits of ``solids`` over ``window``; each solid is tried only in its own crop."""
    rays = view.slopes(window, device)
    n, h, w = len(view), window.height_px * window.grain, window.width_px * window.grain
    depth = torch.full((n, h, w), FAR, device=device)
    planes = [torch.zeros((n, h, w), device=device) for _ in range(6)]
    index = torch.full((n, h, w), -1, dtype=torch.int16, device=device) if with_index else None
    inverse = invert(solids.matrix)
    start = apply(inverse, view.position[:, None].expand(-1, len(solids.shapes), -1)) + inverse[..., 3]
    turned = (inverse[..., None, :, :3] * view.axes[:, None, :, None, :]).sum(-1)  # n p axis local
    # Small tables, one number a view and solid, shaped to meet (n h w).
    start = start.to(device, torch.float32)[..., None, None]
    turned = turned.to(device, torch.float32)[..., None, None]
    linear = inverse[..., :3].to(device, torch.float32)[..., None, None]
    colour, accent = (c.to(device)[..., None, None] for c in (solids.colour, solids.accent))
    for p, (top, bottom, left, right) in enumerate(crops(screen_boxes(solids, view), window)):
        if bottom <= top or right <= left:
            continue
        crop = (slice(None), slice(top, bottom), slice(left, right))
        x, y = rays.x[:, :, left:right], rays.y[:, top:bottom]
        ray = [turned[:, p, 2, k] + x * turned[:, p, 0, k] + y * turned[:, p, 1, k] for k in range(3)]
        t, across, at = _HIT[solids.shapes[p]]([start[:, p, k] for k in range(3)], ray)
        nearer = t < depth[crop]
        _put(depth[crop], nearer, t)
        if index is not None:
            _put(index[crop], nearer, torch.tensor(p, dtype=torch.int16, device=device))
        normal = [sum_of_products(across, [linear[:, p, j, k] for j in range(3)]) for k in range(3)]
        length = torch.rsqrt(sum_of_products(normal, normal) + 1e-20)
        paint = _paint(
            solids.patterns[p], at, across, [colour[:, p, k] for k in range(3)], [accent[:, p, k] for k in range(3)]
        )
        for plane, value in zip(planes, [*(v * length for v in normal), *paint], strict=True):
            _put(plane[crop], nearer, value)
    return Hits(depth=depth, normal=tuple(planes[:3]), colour=tuple(planes[3:]), index=index)


def sum_of_products(a: Coordinates, b: Coordinates) -> Tensor:
    """The inner product of two vectors given as planes."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _put(target: Tensor, where: Tensor, value: Tensor) -> None:
    torch.where(where, value, target, out=target)


def _hit_ellipsoid(o: Coordinates, d: Coordinates) -> tuple[Tensor, Coordinates, Coordinates]:
    """(t, normal, point) where rays o + t d enter the unit sphere; t is `FAR` for a miss."""
    a = sum_of_products(d, d)
    b = sum_of_products(o, d)
    c = sum_of_products(o, o) - 1
    disc = b * b - a * c
    t = (-b - disc.clamp(min=0).sqrt()) / a
    at = [o[k] + t * d[k] for k in range(3)]
    return torch.where((disc > 0) & (t > 0), t, FAR), at, at


def _hit_box(o: Coordinates, d: Coordinates) -> tuple[Tensor, Coordinates, Coordinates]:
    """(t, normal, point) where rays o + t d enter the cube [-1, 1]^3; t is `FAR` for a miss."""
    enter, leave = slabs(o, d)
    t = torch.maximum(torch.maximum(enter[0], enter[1]), enter[2])
    out = torch.minimum(torch.minimum(leave[0], leave[1]), leave[2])
    at = [o[k] + t * d[k] for k in range(3)]
    normal = [torch.where(enter[k] >= t, -torch.sign(d[k]), 0.0) for k in range(3)]
    return torch.where((t < out) & (t > 0), t, FAR), normal, at


def slabs(o: Coordinates, d: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Where rays o + t d enter and leave the slabs -1 <= x, y, z <= 1."""
    enter, leave = [], []
    for k in range(3):
        inverse = 1 / torch.where(d[k].abs() < 1e-9, 1e-9, d[k])
        middle, half = -o[k] * inverse, inverse.abs()
        enter.append(middle - half)
        leave.append(middle + half)
    return enter, leave


def _hit_cone(o: Coordinates, d: Coordinates) -> tuple[Tensor, Coordinates, Coordinates]:
    """(t, normal, point) on the cone of radius 1 at y=-1 and 0 at y=1, t `FAR` for a miss. Its base is open: no camera sees one."""
    ro, rd = (1 - o[1]) / 2, -d[1] / 2
    a = d[0] * d[0] + d[2] * d[2] - rd * rd
    b = o[0] * d[0] + o[2] * d[2] - ro * rd
    c = o[0] * o[0] + o[2] * o[2] - ro * ro
    disc = b * b - a * c
    root = disc.clamp(min=0).sqrt()
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    one, two = (-b - root) / a, (-b + root) / a
    first, second = torch.minimum(one, two), torch.maximum(one, two)
    on_first = ((o[1] + first * d[1]).abs() <= 1) & (first > 0)
    t = torch.where(on_first, first, second)
    at = [o[k] + t * d[k] for k in range(3)]
    ok = (disc > 0) & (t > 0) & (at[1].abs() <= 1)
    return torch.where(ok, t, FAR), [at[0], (1 - at[1]) / 4, at[2]], at


_HIT: dict[str, Callable[[Coordinates, Coordinates], tuple[Tensor, Coordinates, Coordinates]]] = {
    ELLIPSOID: _hit_ellipsoid,
    BOX: _hit_box,
    CONE: _hit_cone,
}


def _paint(pattern: str, at: Coordinates, normal: Coordinates, colour: Coordinates, accent: Coordinates) -> Coordinates:
    if pattern == RING:
        striped = at[0].abs() < _RING_HALF_WIDTH
        return [torch.where(striped, accent[k], colour[k]) for k in range(3)]
    if pattern == CROSS:
        # One pair of faces is darker and has no stripe, so that a turning cube is seen to turn.
        face = 1 - _CROSS_SHADE * normal[0].abs()
        striped = (at[0].abs() < _CROSS_HALF_WIDTH) & (normal[0].abs() < 0.5)
        return [torch.where(striped, accent[k], colour[k] * face) for k in range(3)]
    return [c.expand_as(at[0]) for c in colour]
