"""Ray casting of solids: nearest hit, normal and colour over a window of each view.

Legend: n views (frames of any number of scenes), p solids, h w samples of the window. Rays are not normalised: their forward part
is 1, so the distance along a ray is the depth. Everything is element by element, so a picture doesn't depend on its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.world.affine import apply, invert
from kinema.world.hits import FAR, HITS, sum_of_products
from kinema.world.patterns import paint
from kinema.world.solids import Solids
from kinema.world.view import View, Window, crops, screen_boxes


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What a window's samples see: depth (`FAR` for nothing), world normal, colour, and the solid's number (-1 for nothing).

    ``gloss`` is None where nothing shines.
    """

    depth: Float[Tensor, "n h w"]
    normal: tuple[Float[Tensor, "n h w"], ...]
    colour: tuple[Float[Tensor, "n h w"], ...]
    gloss: Float[Tensor, "n h w"] | None
    index: Int[Tensor, "n h w"] | None


def trace(solids: Solids, view: View, window: Window, *, device: torch.device, with_index: bool = False) -> Hits:
    """The nearest hits of ``solids`` over ``window``; each solid is tried only in its own crop."""
    rays = view.slopes(window, device)
    n, h, w = len(view), window.height_px * window.grain, window.width_px * window.grain
    depth = torch.full((n, h, w), FAR, device=device)
    planes = [torch.zeros((n, h, w), device=device) for _ in range(6)]
    gloss = torch.zeros((n, h, w), device=device) if any(solids.gloss) else None
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
        ray = [x * turned[:, p, 0, k] + (y * turned[:, p, 1, k] + turned[:, p, 2, k]) for k in range(3)]
        shape = solids.shapes[p]
        t, across, at = HITS[shape.name]([start[:, p, k] for k in range(3)], ray, shape.ratio)
        nearer = t < depth[crop]
        if device.type == "cpu" and not nearer.any():  # elsewhere asking costs more than drawing
            continue
        _put(depth[crop], nearer, t)
        if index is not None:
            _put(index[crop], nearer, torch.tensor(p, dtype=torch.int16, device=device))
        if gloss is not None:
            _put(gloss[crop], nearer, torch.tensor(solids.gloss[p], device=device))
        normal = [sum_of_products(across, [linear[:, p, j, k] for j in range(3)]) for k in range(3)]
        length = torch.rsqrt(sum_of_products(normal, normal) + 1e-20)
        channels = paint(
            solids.patterns[p], at, across, [colour[:, p, k] for k in range(3)], [accent[:, p, k] for k in range(3)]
        )
        for plane, value in zip(planes, [*(v * length for v in normal), *channels], strict=True):
            _put(plane[crop], nearer, value)
    return Hits(depth=depth, normal=tuple(planes[:3]), colour=tuple(planes[3:]), gloss=gloss, index=index)


def _put(target: Tensor, where: Tensor, value: Tensor) -> None:
    torch.where(where, value, target, out=target)
