"""The subject's shadow on the ground: one analytic ray from each ground point to the light, soft at its rim.

Legend: n views, p solids, h w pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import apply, invert
from kinema.world.solids import BOX, Solids, Vector
from kinema.world.trace import Coordinates, slabs, sum_of_products
from kinema.world.view import View, Window

_REACH = 1.25  # the soft rim's outer radius, in radii of the solid


def shadow_boxes(solids: Solids, sun: Vector, view: View) -> Float[Tensor, "n 4"]:
    """Picture boxes that hold the shadow (left, top, right, bottom; pixels, not clipped)."""
    m = solids.matrix[:, torch.tensor(solids.casts)]
    half = m[..., :3].square().sum(-1).sqrt() * _REACH + 0.02
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
    inverse = invert(solids.matrix)
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
        light = light * (1 - (_box_cover(o, d) if solids.shapes[p] == BOX else _ball_cover(o, d)))
    return torch.where(rise < 0, 1 - light, 0.0)


def _ball_cover(o: Coordinates, d: Coordinates) -> Tensor:
    along = sum_of_products(o, d).square() / sum_of_products(d, d)
    off = sum_of_products(o, o) - along  # squared distance of the ray from the centre
    return ((1.3 - off) / 0.6).clamp(0, 1)


def _box_cover(o: Coordinates, d: Coordinates) -> Tensor:
    enter, leave = slabs(o, d)
    inside = torch.minimum(torch.minimum(leave[0], leave[1]), leave[2]) - torch.maximum(
        torch.maximum(enter[0], enter[1]), enter[2]
    )
    return (inside * sum_of_products(d, d).sqrt() / 0.35).clamp(0, 1)
