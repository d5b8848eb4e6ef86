"""What lies behind everything: sky, far silhouettes, ground and water, or a room's floor and walls.

One sample a pixel: all of it is smooth, edges are blended. The cameras never roll, so a row of pixels has one height above the horizon.

Legend: t moments, n views (all moments of all scenes), h w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.backdrop.field import Points, column, phases
from kinema.world.backdrop.fog import fog_share
from kinema.world.backdrop.ground import ground
from kinema.world.backdrop.room import room, room_depth
from kinema.world.backdrop.sky import sky
from kinema.world.lights import lights
from kinema.world.nature import PLACES
from kinema.world.scene import Scene
from kinema.world.trace import FAR
from kinema.world.view import View

__all__ = ["backdrop", "backdrop_depth", "look"]


def look(scene: Scene) -> tuple[str, str, str, bool]:
    """What scenes must share to be drawn by one `backdrop`, `stand` and `overlay`."""
    return scene.place, scene.time, scene.weather, scene.is_afloat


def backdrop(
    scenes: Sequence[Scene], times_s: Float[Tensor, " t"], view: View, *, device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Colours of all but solids, 0 to 1 and more, for all ``scenes`` (unflipped, of one `look`) at ``times_s``, scene by scene.

    Fog lies over the ground already; over solids it is laid by `kinema.world.weather.overlay`.
    """
    light = lights(scenes[0])
    rays = view.rays(view.slopes(view.whole(), device), device)
    focal = column(view.focal_px, device)
    if PLACES[scenes[0].place].is_indoors:
        return room(scenes, times_s, light, view.eye(device), rays, focal)
    rx, rise, rz = rays
    above = (rise * focal / column(view.axes[:, 1, 1], device) + 0.5).clamp(
        0, 1
    )  # n h 1: the share of a pixel above the horizon
    # Rows below `sky_end` show some sky, rows from `ground_start` some ground, in at least one view.
    sky_end = int((above.amax(dim=(0, 2)) > 0).sum())
    ground_start = int((above.amin(dim=(0, 2)) == 1).sum())
    out = torch.empty((len(view), 3, view.height_px, view.width_px), device=device)
    if sky_end:
        rows = slice(0, sky_end)
        out[:, :, rows] = sky(scenes, times_s, light, (rx[:, rows], rise[:, rows], rz[:, rows]), focal)
    if ground_start < view.height_px:
        rows, shared = slice(ground_start, view.height_px), slice(ground_start, max(ground_start, sky_end))
        points = _points(scenes, times_s, view, (rx[:, rows], rise[:, rows], rz[:, rows]), device)
        below = ground(points, fog_share(light, view, points.depth))
        share = above[:, None, shared]
        below[:, :, : share.shape[2]] = out[:, :, shared] * share + below[:, :, : share.shape[2]] * (1 - share)
        out[:, :, rows] = below
    return out


def backdrop_depth(scene: Scene, view: View, *, device: torch.device) -> Float[Tensor, "n h w"]:
    """Depth along the view axis of what `backdrop` draws for unflipped ``scene``: ground, water, walls; `FAR` for sky and silhouettes."""
    rays = view.rays(view.slopes(view.whole(), device), device)
    if PLACES[scene.place].is_indoors:
        return room_depth(view.eye(device), rays)
    _, rise, _ = rays
    depth = torch.where(rise < -1e-5, view.eye(device)[:, 1] / (-rise).clamp(min=1e-5), FAR).clamp(max=FAR)
    return depth.expand(-1, -1, view.width_px).contiguous()


def _points(
    scenes: Sequence[Scene], times_s: Tensor, view: View, rays: tuple[Tensor, Tensor, Tensor], device: torch.device
) -> Points:
    rx, rise, rz = rays
    eye, focal = view.eye(device), column(view.focal_px, device)
    depth = eye[:, 1] / (-rise).clamp(min=1e-4)
    # A pixel is as wide as its depth says, and reaches as far away as the ground is seen flat.
    across, along = depth / focal, depth * depth / (eye[:, 1] * focal)
    forward = [column(view.axes[:, 2, k], device) for k in (0, 2)]
    length = (forward[0] * forward[0] + forward[1] * forward[1]).sqrt()
    sin, cos = (f.abs() / length for f in forward)
    return Points(
        scenes=scenes,
        moments=len(times_s),
        lights=lights(scenes[0]),
        x=eye[:, 0] + depth * rx,
        z=eye[:, 2] + depth * rz,
        depth=depth,
        wide=across * cos + along * sin,
        deep=across * sin + along * cos,
        time=column(times_s.repeat(len(scenes)), device),
        rays=rays,
        focal=focal,
        phase=phases(scenes, "ground", 4, len(times_s), device),
    )
