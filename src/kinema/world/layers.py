"""Layers of a picture: solids with light on them, the shadows that they cast, and the flat look of a cartoon.

Legend: n views, h w pixels; samples are `_GRAIN` a pixel along each axis.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.world.hits import FAR
from kinema.world.lights import Light, Lights
from kinema.world.shadow import shadow, shadow_boxes
from kinema.world.solids import Solids
from kinema.world.trace import Hits, trace
from kinema.world.view import View, Window, around, screen_boxes

_GRAIN = 2  # samples per pixel and axis where there are edges
_WRAP = 0.38  # light wraps round the edge between light and dark, so that no side of a toy is black
_GLINT = 42.0  # how tight a highlight is
_OUTLINE = 1 / 150  # width of a cartoon's lines, in shorter sides of the picture
_INK = 0.10
_TONES = 7.0


def add_layer(
    picture: Float[Tensor, "n c h w"], depth: Float[Tensor, "n h w"], solids: Solids, view: View, *, rows: Int[Tensor, " m"],
    light: Light, is_cartoon: bool,
) -> None:  # fmt: skip
    """Draws ``solids``, seen by ``view``, over ``rows`` of ``picture`` and of its ``depth``, in place."""
    window = view.window(around(screen_boxes(solids, view)), grain=_GRAIN)
    if window is None:
        return
    hits = trace(solids, view, window, device=picture.device, with_index=is_cartoon)
    covered = (hits.depth < FAR).to(torch.float32)
    shine = _shine(hits, view, light, is_cartoon=is_cartoon)
    ink = _outline(hits, view) if is_cartoon else None
    at = pixels_of(window, rows, picture.device)
    share = _halve(covered)
    nearest = -torch.nn.functional.max_pool2d(-hits.depth[:, None], _GRAIN)[:, 0]
    depth[at] = torch.where(share > 0.5, nearest, depth[at])
    for k in range(3):
        lit = hits.colour[k] * shine[k] + shine[3]
        if ink is not None:
            lit = lit * ink
        pixels = (at[0], k, at[1], at[2])
        picture[pixels] = picture[pixels] * (1 - share) + _halve(lit * covered)


def add_shadow(
    picture: Float[Tensor, "n c h w"], solids: Solids, view: View, *, rows: Int[Tensor, " m"], lights: Lights
) -> None:
    """Darkens the ground in ``rows`` of ``picture`` where ``solids`` cast a shadow, in place."""
    window = view.window(shadow_boxes(solids, lights.sun, view), grain=1)
    if window is None or lights.shadow == 0:
        return
    dark = 1 - lights.shadow * shadow(solids, lights.sun, view, window=window, device=picture.device)
    at = pixels_of(window, rows, picture.device)
    for k in range(3):
        pixels = (at[0], k, at[1], at[2])
        picture[pixels] = picture[pixels] * dark


def flatten(picture: Float[Tensor, "n c h w"]) -> None:
    """Turns soft shading into a few flat tones, in place."""
    tones = picture.mul_(_TONES)
    low = tones.floor()
    step = ((tones - low - 0.5) * 6 + 0.5).clamp_(0, 1)  # narrow ramps between the tones: no stairs in the outlines
    picture.copy_(low.add_(step)).div_(_TONES)


def _shine(hits: Hits, view: View, light: Light, *, is_cartoon: bool) -> tuple[Tensor, ...]:
    """What the paint is multiplied by in each channel, and the highlight that is added to all."""
    length = sum(s * s for s in light.sun) ** 0.5
    sun = [s / length for s in light.sun]
    nx, ny, nz = hits.normal
    facing = nx * sun[0] + ny * sun[1] + nz * sun[2]
    if is_cartoon:
        facing = ((facing - 0.05) * 12).clamp(0, 1) * 0.75 + 0.1
    facing = (facing * (1 - _WRAP) + _WRAP).clamp(min=0)
    dome = ny * 0.22 + 0.78
    factors = [facing * light.direct[k] + dome * light.ambient[k] for k in range(3)]
    return (*factors, _glint(hits, view, sun))


def _glint(hits: Hits, view: View, sun: list[float]) -> Tensor:
    """A highlight where the normal halves the angle between the sun and the camera."""
    if hits.gloss is None:
        return hits.depth.new_zeros(())
    forward = view.axes[:, 2].to(hits.depth.device, torch.float32)
    half = torch.tensor(sun, device=forward.device) - forward
    half = (half / half.square().sum(-1, keepdim=True).sqrt())[:, :, None, None]
    nx, ny, nz = hits.normal
    along = (nx * half[:, 0] + ny * half[:, 1] + nz * half[:, 2]).clamp(min=0)
    return hits.gloss * torch.exp(_GLINT * (along - 1))


def _outline(hits: Hits, view: View) -> Tensor:
    """`_INK` on the borders between solids, 1 elsewhere."""
    assert hits.index is not None, "asked for"
    reach = max(1, round(_OUTLINE * min(view.height_px, view.width_px) * _GRAIN / 2))
    index = hits.index.to(torch.float32)[:, None]
    size = 2 * reach + 1
    high = torch.nn.functional.max_pool2d(index, size, stride=1, padding=reach)
    low = -torch.nn.functional.max_pool2d(-index, size, stride=1, padding=reach)
    return torch.where(high[:, 0] == low[:, 0], 1.0, _INK)


def pixels_of(window: Window, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (n 1 1, n h 1, n 1 w) of the window's pixels."""
    down = window.top.to(device)[:, None, None] + torch.arange(window.height_px, device=device)[None, :, None]
    across = window.left.to(device)[:, None, None] + torch.arange(window.width_px, device=device)[None, None, :]
    return rows.to(device)[:, None, None], down, across


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 samples."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + (x[:, ::2, 1::2] + x[:, 1::2, 1::2])) * 0.25
