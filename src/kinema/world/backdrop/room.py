"""A room: boards and a rug, papered walls with a skirting, a curtained window that shows the time's sky, light that falls through it.

Legend: n views, h w pixels. The room is a box without a front: its back wall at `BACK_Z`, its sides at +-`SIDE_X`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinema.world.backdrop.field import Paint, Planes, band, mix, numbers, phases, shade, smooth
from kinema.world.lights import SKIES, Lights
from kinema.world.places.grounds import GROUNDS
from kinema.world.places.indoors import BACK_Z, CEILING_Y, SIDE_X, WINDOW, Decor, decor
from kinema.world.scene import Scene
from kinema.world.solids import Colour
from kinema.world.trace import FAR

_SKIRTING = 0.2
Rays = tuple[Tensor, Tensor, Tensor]
# The patch of light that falls through the window on the floor, and the glow of the lamp at night.
_PATCH: dict[str, Colour] = {
    "dawn": (0.26, 0.12, 0.17),
    "day": (0.26, 0.24, 0.18),
    "sunset": (0.42, 0.20, 0.03),
    "night": (0.02, 0.05, 0.15),
}
_LAMP: Colour = (0.55, 0.36, 0.12)


def room(scenes: Sequence[Scene], times_s: Tensor, lights: Lights, eye: Tensor, rays: Rays, focal: Tensor) -> Tensor:
    """Colours (n c h w) of floor, walls and ceiling along ``rays``."""
    rx, rise, rz = rays
    moments, device = len(times_s), rx.device
    styles = [decor(s) for s in scenes]
    foot = (
        eye[:, 1] + _walls(eye, rays)[2] * rise
    )  # the height at which a ray meets a wall; below 0 it meets the floor before
    wall_end = int((foot.amax((0, 2)) > -0.2).sum())
    floor_start = int((foot.amin((0, 2)) >= 0.2).sum())
    out = torch.empty((len(rx), 3, *rx.shape[1:]), device=device)
    if wall_end:
        rows = (rx[:, :wall_end], rise[:, :wall_end], rz[:, :wall_end])
        out[:, :, :wall_end] = _upright(scenes, styles, moments, lights, eye, rows, focal)
    if floor_start < rx.shape[1]:
        rows = (rx[:, floor_start:], rise[:, floor_start:], rz[:, floor_start:])
        floor = torch.stack(_floor(scenes, styles, moments, lights, eye, rows, focal), 1)
        shared = slice(floor_start, max(floor_start, wall_end))
        _, _, to_wall = _walls(eye, (rx[:, shared], rise[:, shared], rz[:, shared]))
        share = (0.5 - foot[:, shared] * focal / to_wall).clamp(0, 1)[:, None]
        height = shared.stop - shared.start
        floor[:, :, :height] = out[:, :, shared] * (1 - share) + floor[:, :, :height] * share
        out[:, :, floor_start:] = floor
    return out


def _upright(
    scenes: Sequence[Scene],
    styles: Sequence[Decor],
    moments: int,
    lights: Lights,
    eye: Tensor,
    rays: Rays,
    focal: Tensor,
) -> Tensor:
    """Walls, window and ceiling."""
    rx, rise, rz = rays
    device = rx.device
    to_back, to_side, to_wall = _walls(eye, rays)
    wall_y = eye[:, 1] + to_wall * rise
    pixel = to_wall / focal
    wall = _wall(scenes, styles, moments, eye, rays, (to_back, to_side, to_wall), focal)
    wall = [(w * li).expand_as(rx).contiguous() for w, li in zip(wall, _wall_light(lights), strict=True)]
    if scenes[0].time == "night":
        lamp = numbers([s.lamp_x for s in styles], moments, device)
        off = (
            (eye[:, 0] + to_wall * rx - lamp).square()
            + (wall_y - 1.25).square()
            + (eye[:, 2] + to_wall * rz - BACK_Z).square()
        )
        glow = (1 - off / 4.0).clamp(min=0).square()
        wall = [w + w * c * 2.2 * glow for w, c in zip(wall, _LAMP, strict=True)]
    x, y = eye[:, 0] + to_back * rx, eye[:, 1] + to_back * rise
    box = _window_box(styles, x, y)
    if box is not None:
        back, side = (p.expand_as(rx)[box] for p in (to_back, to_side))
        panes = _window(scenes, styles, [w[box] for w in wall], x[box], y[box], back, side, focal)
        for whole, part in zip(wall, panes, strict=True):
            whole[box] = part
    ceiling = [0.93 * li for li in _wall_light(lights)]
    colour = mix(wall, ceiling, ((wall_y - CEILING_Y) / pixel + 0.5).clamp(0, 1))
    return torch.stack([c.expand_as(rx) for c in colour], 1)


def room_depth(eye: Tensor, rays: Rays) -> Tensor:
    """Depth (n h w) along the view axis of the room's floor, walls and ceiling."""
    _, rise, _ = rays
    _, _, wall = _walls(eye, rays)
    floor = torch.where(rise < -1e-5, eye[:, 1] / (-rise).clamp(min=1e-5), FAR)
    ceiling = torch.where(rise > 1e-5, (CEILING_Y - eye[:, 1]) / rise.clamp(min=1e-5), FAR)
    return torch.minimum(wall, torch.minimum(floor, ceiling))


def _walls(eye: Tensor, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
    """Depths of the back wall, of the side wall that a ray goes to, and of the nearer one."""
    rx, _, rz = rays
    to_back = torch.where(rz < -1e-3, (BACK_Z - eye[:, 2]) / rz.clamp(max=-1e-3), FAR)
    to_side = ((SIDE_X - eye[:, 0] * torch.sign(rx)) / rx.abs().clamp(min=1e-4)).clamp(min=0.05)
    return to_back, to_side, torch.minimum(to_back, to_side)


def _wall_light(lights: Lights) -> Planes:
    values = [a + 0.45 * d for a, d in zip(lights.world.ambient, lights.world.direct, strict=True)]
    return [torch.tensor(v) for v in values]


def _wall(
    scenes: Sequence[Scene], styles: Sequence[Decor], moments: int, eye: Tensor, rays: Rays,
    ways: tuple[Tensor, Tensor, Tensor], focal: Tensor,
) -> Planes:  # fmt: skip
    """Striped paper with a row of dots in each stripe, above a white skirting."""
    rx, rise, rz = rays
    to_back, to_side, to_wall = ways
    is_side = ((to_back - to_side) * focal / to_wall * 0.5 + 0.5).clamp(0, 1)
    along = torch.where(is_side > 0.5, eye[:, 2] + to_wall * rz, eye[:, 0] + to_wall * rx)
    y, pixel = eye[:, 1] + to_wall * rise, to_wall / focal
    base, stripe = (_paint(styles, k, moments, rx.device) for k in ("paper", "stripe"))
    u = along / 0.5
    u = u - u.floor()
    paper = mix(base, stripe, ((0.25 - (u - 0.5).abs()) * 0.5 / pixel + 0.5).clamp(0, 1))
    v = y / 0.42
    spot = ((u - 0.5) * 0.5).square() + ((v - v.floor() - 0.5) * 0.42).square()
    paper = mix(paper, base, ((0.07 - spot.sqrt()) / pixel + 0.5).clamp(0, 1))
    paper = shade(paper, 1 - 0.12 * is_side)
    return mix(
        paper,
        (0.96, 0.94, 0.90),
        ((_SKIRTING - y) / pixel + 0.5).clamp(0, 1) * (1 - 0.4 * band(y - _SKIRTING, 0.02, pixel)),
    )


def _paint(styles: Sequence[Decor], name: str, moments: int, device: torch.device) -> Paint:
    return [numbers([getattr(s, name)[k] for s in styles], moments, device) for k in range(3)]


def _inside(x: Tensor, y: Tensor, half: tuple[float, float], pixel: Tensor) -> Tensor:
    """1 within a rectangle about the origin, with soft edges."""
    return ((half[0] - x.abs()) / pixel + 0.5).clamp(0, 1) * ((half[1] - y.abs()) / pixel + 0.5).clamp(0, 1)


def _window(
    scenes: Sequence[Scene],
    styles: Sequence[Decor],
    wall: Planes,
    x: Tensor,
    y: Tensor,
    to_back: Tensor,
    to_side: Tensor,
    focal: Tensor,
) -> Planes:
    """The window over ``wall``: a white cross-barred frame with the sky in it, and curtains."""
    time, device, moments = scenes[0].time, x.device, len(x) // len(scenes)
    pixel = to_back / focal
    u, v = x - numbers([s.window_x for s in styles], moments, device), y - WINDOW.middle_y
    half = (WINDOW.half_width, WINDOW.half_height)
    front = (to_back <= to_side).to(torch.float32)
    lit = 0.95 if time != "night" else 0.62
    frame = [c * lit for c in (0.98, 0.97, 0.95)]
    wall = mix(wall, frame, _inside(u, v, (half[0] + 0.10, half[1] + 0.10), pixel) * front)
    bars = torch.maximum(band(u, 0.035, pixel), band(v, 0.035, pixel))
    wall = mix(wall, mix(_pane(time, u, v, pixel), frame, bars), _inside(u, v, half, pixel) * front)
    cloth = [c * lit for c in _paint(styles, "curtain", moments, device)]
    folds = 1 + 0.14 * torch.sin(u * 38)
    side = _inside(u.abs() - half[0] - 0.10, v + 0.06, (0.17, half[1] + 0.22), pixel)
    rod = _inside(u, v - half[1] - 0.18, (half[0] + 0.36, 0.035), pixel)
    wall = mix(wall, shade(cloth, folds), side * front)
    return mix(wall, [c * lit for c in (0.45, 0.28, 0.16)], rod * front)


def _pane(time: str, u: Tensor, v: Tensor, pixel: Tensor) -> Planes:
    """What is seen through the window: sky in two paints with a sun, a moon and stars or clouds, over a green hill."""
    sky = SKIES[time]
    pane = mix(sky.horizon, sky.zenith, smooth((v / WINDOW.half_height + 1) * 0.5))
    if time == "day":
        for cu, cv, r in ((-0.25, 0.2, 0.17), (-0.05, 0.25, 0.13), (0.3, -0.08, 0.13), (0.15, -0.06, 0.1)):
            off = ((u - cu).square() * 0.6 + (v - cv).square() * 2.2).sqrt()
            pane = mix(pane, (1.0, 1.0, 1.0), ((r - off) / pixel + 0.5).clamp(0, 1))
    elif time == "night":
        for cu, cv in ((-0.42, 0.3), (-0.12, 0.42), (-0.3, -0.12), (0.1, -0.3), (0.46, -0.22), (0.48, 0.42)):
            pane = mix(
                pane, (1.0, 1.0, 0.86), (1.5 - ((u - cu).square() + (v - cv).square()).sqrt() / 0.035).clamp(0, 1)
            )
        pane = _disc(pane, u - 0.22, v - 0.18, 0.14, (0.98, 0.97, 0.88), pixel)
    else:
        pane = _disc(
            pane, u - 0.16, v + 0.18, 0.17, (1.0, 0.95, 0.62) if time == "sunset" else (1.0, 0.97, 0.90), pixel
        )
    hill = [c * (0.5 if time == "night" else 1.0) for c in (0.30, 0.52, 0.26)]
    return mix(pane, hill, ((-0.42 + 0.06 * torch.sin(5 * u) - v) / pixel + 0.5).clamp(0, 1))


def _window_box(styles: Sequence[Decor], x: Tensor, y: Tensor) -> tuple[slice, slice, slice] | None:
    """The part of the picture that holds the window with its curtains, in all views."""
    reach = WINDOW.half_width + 0.5
    low, high = min(s.window_x for s in styles) - reach, max(s.window_x for s in styles) + reach
    across = ((x.amax((0, 1)) > low) & (x.amin((0, 1)) < high)).nonzero()[:, 0]
    down = ((y.amax((0, 2)) > WINDOW.middle_y - 1.2) & (y.amin((0, 2)) < WINDOW.middle_y + 1.2)).nonzero()[:, 0]
    if not len(across) or not len(down):
        return None
    return slice(None), slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1)


def _disc(colour: Planes, u: Tensor, v: Tensor, radius: float, paint: Colour, pixel: Tensor) -> Planes:
    return mix(colour, paint, ((radius - (u * u + v * v).sqrt()) / pixel + 0.5).clamp(0, 1))


def _floor(
    scenes: Sequence[Scene], styles: Sequence[Decor], moments: int, lights: Lights, eye: Tensor, rays: Rays,
    focal: Tensor,
) -> Planes:  # fmt: skip
    rx, rise, rz = rays
    depth = eye[:, 1] / (-rise).clamp(min=2e-2)
    x, z = eye[:, 0] + depth * rx, eye[:, 2] + depth * rz
    wide, deep = depth / focal, depth * depth / (eye[:, 1] * focal)
    phase = phases(scenes, "ground", 2, moments, rx.device)
    wood = GROUNDS["room"]
    board = x / 0.46
    number = board.floor()
    tone = 0.5 + 0.5 * torch.sin(number * 12.99 + phase[0])
    grain = torch.sin(34 * x + 1.5 * torch.sin(2.3 * z + number * 2.4) + phase[1])
    colour = shade(mix(wood.base, wood.patch, tone), 1 + wood.grain * grain * (0.05 / wide).clamp(max=1))
    end = z / 2.3 + 0.37 * torch.sin(number * 7.7)
    long, short = (board - number - 0.5).abs() - 0.5, (end - end.floor() - 0.5).abs() - 0.5
    colour = shade(colour, 1 - 0.6 * torch.maximum(band(long, 0.035, wide / 0.46), band(short, 0.012, deep / 2.3)))
    # A round rug with a border and a star of rings in it.
    r = ((x / 1.75).square() + ((z + 0.35) / 1.15).square()).sqrt()
    rim = deep / 1.15
    rug, trim = (_paint(styles, k, moments, rx.device) for k in ("rug", "trim"))
    weave = shade(rug, 1 + 0.07 * torch.sin(26 * x) * torch.sin(21 * z) * (0.05 / wide).clamp(max=1))
    for middle in (0.88, 0.58):
        weave = mix(weave, trim, band(r - middle, 0.045, rim))
    colour = mix(colour, weave, ((1 - r) / rim + 0.5).clamp(0, 1))
    colour = [c * li for c, li in zip(colour, lights.on_ground, strict=True)]
    # Light through the window leans away from it, the farther the nearer.
    lean = numbers([s.window_x for s in styles], moments, rx.device)
    slide = (z - BACK_Z) * 0.28 * torch.sign(lean)
    u, v = x - lean + slide, z + 1.75
    patch = _inside(u, v, (0.72, 0.80), deep + 0.06) * (1 - torch.maximum(band(u, 0.05, wide), band(v, 0.05, deep)))
    colour = [c + c * 2.2 * add * patch for c, add in zip(colour, _PATCH[scenes[0].time], strict=True)]
    if scenes[0].time == "night":
        off = (x - numbers([s.lamp_x for s in styles], moments, rx.device)).square() + (z - BACK_Z - 0.8).square()
        glow = (1 - off / 9.0).clamp(min=0).square()
        colour = [c + c * 1.6 * add * glow for c, add in zip(colour, _LAMP, strict=True)]
    return colour
