"""Where rays meet the shapes: one function a shape, element by element.

Each takes rays o + t d in the shape's own coordinates (three planes each) and its ratio, and returns (t, normal, point): t is `FAR`
for a miss; the normal points outwards and has no particular length.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FAR = 1.0e4  # the depth of nothing

_RING_STEPS = (14, 8)
_RING_NEAR = 1e-3  # in the ring's outer radii

Coordinates = list[Tensor]
Hit = tuple[Tensor, Coordinates, Coordinates]


def sum_of_products(a: Coordinates, b: Coordinates) -> Tensor:
    """The inner product of two vectors given as planes."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def slabs(o: Coordinates, d: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Where rays o + t d enter and leave the slabs -1 <= x, y, z <= 1."""
    pairs = [slab(o[k], d[k]) for k in range(3)]
    return [enter for enter, _ in pairs], [leave for _, leave in pairs]


def slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave -1 <= o + t d <= 1."""
    inverse = 1 / torch.where(d.abs() < 1e-9, 1e-9, d)
    middle, half = -o * inverse, inverse.abs()
    return middle - half, middle + half


def round_side(o: Coordinates, d: Coordinates, top: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave the endless cone of radius 1 at y=-1 and ``top`` at y=1, and whether they meet it.

    Only what lies in -1 <= y <= 1 holds: the part beyond the apex is left out.
    """
    slope = (1 - top) / 2
    ro, rd = (1 + top) / 2 - slope * o[1], -slope * d[1]
    a = d[0] * d[0] + d[2] * d[2] - rd * rd
    b = o[0] * d[0] + o[2] * d[2] - ro * rd
    c = o[0] * o[0] + o[2] * o[2] - ro * ro
    disc = b * b - a * c
    root = disc.clamp(min=0).sqrt()
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    one, two = (-b - root) / a, (-b + root) / a
    if top == 1:
        return one, two, disc > 0
    # A ray steeper than the side (a < 0) crosses this half of the cone once: going down it enters, going up it leaves.
    steep, down = a < 0, d[1] < 0
    enter = torch.where(steep, torch.where(down, one, -FAR), one)
    leave = torch.where(steep, torch.where(down, FAR, two), two)
    return enter, leave, (disc > 0) | steep


def slants(o: Coordinates, d: Coordinates, top: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave |z| <= 1 narrowing to ``top`` from y=-1 to y=1, and the sign of z where they enter."""
    slope, middle = (1 - top) / 2, (1 + top) / 2
    enters, leaves = [], []
    for side in (-1.0, 1.0):
        rate = slope * d[1] + side * d[2]
        rate = torch.where(rate.abs() < 1e-9, 1e-9, rate)
        t = (middle - slope * o[1] - side * o[2]) / rate
        enters.append(torch.where(rate < 0, t, -FAR))
        leaves.append(torch.where(rate < 0, FAR, t))
    side = torch.where(enters[0] > enters[1], -1.0, 1.0)
    return torch.maximum(enters[0], enters[1]), torch.minimum(leaves[0], leaves[1]), side


def ring_distance(across: Tensor, z: Tensor, tube: float) -> Tensor:
    """How far points at ``across`` from the axis (and z along it, in tubes) are from a ring's skin, in its outer radii."""
    off, z = across - (1 - tube), z * tube
    return (off * off + z * z).sqrt() - tube


def hit_ellipsoid(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The unit sphere."""
    a = sum_of_products(d, d)
    b = sum_of_products(o, d)
    c = sum_of_products(o, o) - 1
    disc = b * b - a * c
    t = (-b - disc.clamp(min=0).sqrt()) / a
    at = _along(o, d, t)
    return torch.where((disc > 0) & (t > 0), t, FAR), at, at


def hit_box(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The cube."""
    enter, leave = slabs(o, d)
    t = torch.maximum(torch.maximum(enter[0], enter[1]), enter[2])
    out = torch.minimum(torch.minimum(leave[0], leave[1]), leave[2])
    normal = [torch.where(enter[k] >= t, -torch.sign(d[k]), 0.0) for k in range(3)]
    return torch.where((t < out) & (t > 0), t, FAR), normal, _along(o, d, t)


def hit_wedge(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The box that narrows."""
    (x_in, x_out), (y_in, y_out) = slab(o[0], d[0]), slab(o[1], d[1])
    z_in, z_out, side = slants(o, d, ratio)
    t = torch.maximum(torch.maximum(x_in, y_in), z_in)
    out = torch.minimum(torch.minimum(x_out, y_out), z_out)
    on_slant = z_in >= t
    rise = torch.where(on_slant, (1 - ratio) / 2, torch.where(y_in >= t, -torch.sign(d[1]), 0.0))
    normal = [
        torch.where((x_in >= t) & ~on_slant, -torch.sign(d[0]), 0.0), rise, torch.where(on_slant, side, 0.0)
    ]  # fmt: skip
    return torch.where((t < out) & (t > 0), t, FAR), normal, _along(o, d, t)


def hit_pyramid(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The box that narrows along x and z, to a point for the ratio 0."""
    y_in, y_out = slab(o[1], d[1])
    x_in, x_out, ahead = slants([o[2], o[1], o[0]], [d[2], d[1], d[0]], ratio)
    z_in, z_out, side = slants(o, d, ratio)
    t = torch.maximum(torch.maximum(x_in, y_in), z_in)
    out = torch.minimum(torch.minimum(x_out, y_out), z_out)
    on_z = z_in >= t
    on_x = ~on_z & (x_in >= t)
    rise = torch.where(on_z | on_x, (1 - ratio) / 2, -torch.sign(d[1]))
    normal = [torch.where(on_x, ahead, 0.0), rise, torch.where(on_z, side, 0.0)]
    return torch.where((t < out) & (t > 0), t, FAR), normal, _along(o, d, t)


def hit_cone(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The cone with base and, for a ratio above 0, a flat top."""
    side_in, side_out, meets = round_side(o, d, ratio)
    flat_in, flat_out = slab(o[1], d[1])
    t = torch.maximum(side_in, flat_in)
    at = _along(o, d, t)
    on_side = side_in > flat_in
    slope = (1 - ratio) / 2
    rise = ((1 + ratio) / 2 - slope * at[1]) * slope
    normal = [
        torch.where(on_side, at[0], 0.0),
        torch.where(on_side, rise, -torch.sign(d[1])),
        torch.where(on_side, at[2], 0.0),
    ]
    return torch.where(meets & (t < torch.minimum(side_out, flat_out)) & (t > 0), t, FAR), normal, at


def hit_cylinder(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The cylinder with both ends."""
    return hit_cone(o, d, 1.0)


def hit_dome(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The upper half of a sphere, stretched to twice its height."""
    oy, dy = (o[1] + 1) / 2, d[1] / 2
    a = d[0] * d[0] + dy * dy + d[2] * d[2]
    b = o[0] * d[0] + oy * dy + o[2] * d[2]
    disc = b * b - a * (o[0] * o[0] + oy * oy + o[2] * o[2] - 1)
    root = disc.clamp(min=0).sqrt()
    round_in, round_out = (-b - root) / a, (-b + root) / a
    level = -oy / torch.where(dy.abs() < 1e-9, 1e-9, dy)
    up = dy > 0
    flat_in = torch.where(up, level, -FAR)
    t = torch.maximum(round_in, flat_in)
    out = torch.minimum(round_out, torch.where(up, FAR, level))
    at = _along(o, d, t)
    on_flat = flat_in > round_in
    normal = [
        torch.where(on_flat, 0.0, at[0]),
        torch.where(on_flat, -1.0, (at[1] + 1) / 4),
        torch.where(on_flat, 0.0, at[2]),
    ]
    return torch.where((disc > 0) & (t < out) & (t > 0), t, FAR), normal, at


def hit_capsule(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The capsule: a cylinder between two halves of an ellipsoid."""
    straight = 1 - ratio
    side, _, meets = round_side(o, d, 1.0)
    y = o[1] + side * d[1]
    end = y.clamp(-straight, straight)
    # The ball round the nearest end; where the side is hit first, the answer isn't used.
    oy, dy = (o[1] - torch.sign(end) * straight) / ratio, d[1] / ratio
    a = d[0] * d[0] + dy * dy + d[2] * d[2]
    b = o[0] * d[0] + oy * dy + o[2] * d[2]
    disc = b * b - a * (o[0] * o[0] + oy * oy + o[2] * o[2] - 1)
    on_side = end == y
    t = torch.where(on_side, side, (-b - disc.clamp(min=0).sqrt()) / a)
    at = _along(o, d, t)
    over = (at[1] - at[1].clamp(-straight, straight)) / (ratio * ratio)
    return torch.where(meets & (on_side | (disc > 0)) & (t > 0), t, FAR), [at[0], over, at[2]], at


def hit_ring(o: Coordinates, d: Coordinates, ratio: float) -> Hit:
    """The torus about z, by steps of its distance along rays."""
    dz = d[2] * ratio
    a = d[0] * d[0] + d[1] * d[1]
    b = o[0] * d[0] + o[1] * d[1]
    c = o[0] * o[0] + o[1] * o[1]
    # It lies between two planes and in a cylinder.
    enter, leave = slab(o[2], d[2])
    rim = (b * b - a * (c - 1)).clamp(min=0).sqrt()
    thick = a.clamp(min=1e-9)
    t = torch.maximum(enter, (-b - rim) / thick)
    leave = torch.minimum(leave, (-b + rim) / thick)
    length = torch.rsqrt(a + dz * dz)
    for steps in _RING_STEPS:
        for _ in range(steps):
            across = (c + t * (2 * b + t * a)).clamp(min=0).sqrt()
            t = t + ring_distance(across, o[2] + t * d[2], ratio) * length
        if steps == _RING_STEPS[0]:
            # A ray that grazed the ring and moves away from it may still meet its far side.
            t = torch.where(sum_of_products(_ring_normal(o, d, t, ratio), d) > 0, t + ratio * length, t)
    at, normal = _along(o, d, t), _ring_normal(o, d, t, ratio)
    near = ring_distance((at[0] * at[0] + at[1] * at[1]).sqrt(), at[2], ratio) < _RING_NEAR
    return torch.where(near & (t < leave) & (t > 0) & (sum_of_products(normal, d) <= 0), t, FAR), normal, at


def _ring_normal(o: Coordinates, d: Coordinates, t: Tensor, ratio: float) -> Coordinates:
    x, y, z = _along(o, d, t)
    across = (x * x + y * y).sqrt().clamp(min=1e-6)
    off = (across - (1 - ratio)) / across
    return [x * off, y * off, z * (ratio * ratio)]


def _along(o: Coordinates, d: Coordinates, t: Tensor) -> Coordinates:
    return [o[k] + t * d[k] for k in range(3)]


HITS: dict[str, Callable[[Coordinates, Coordinates, float], Hit]] = {
    "ellipsoid": hit_ellipsoid,
    "box": hit_box,
    "wedge": hit_wedge,
    "pyramid": hit_pyramid,
    "cone": hit_cone,
    "cylinder": hit_cylinder,
    "dome": hit_dome,
    "capsule": hit_capsule,
    "ring": hit_ring,
}
