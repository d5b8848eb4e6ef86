"""What falls and hangs in the air, drawn over a finished picture: rain, snow and fog.

Legend: n views, h w pixels. Drops and flakes live in sheets before the camera, at fixed distances: a sheet moves as the camera turns and
moves, and what is nearer than the sheet hides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from kinema.world.backdrop.field import column, phases
from kinema.world.backdrop.fog import fog_share
from kinema.world.lights import Lights, lights
from kinema.world.nature import PLACES
from kinema.world.scene import Scene
from kinema.world.trace import FAR
from kinema.world.view import View


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Falling things at one ``distance``: cells of ``width`` and ``height`` hold one each; sizes and ``speed`` are slopes (a second)."""

    distance: float
    width: float
    height: float
    speed: float
    radius: float
    strength: float


_RAIN = (
    Sheet(distance=2.2, width=0.075, height=0.42, speed=1.9, radius=0.0036, strength=0.58),
    Sheet(distance=4.5, width=0.042, height=0.26, speed=1.35, radius=0.0026, strength=0.46),
    Sheet(distance=9.0, width=0.024, height=0.16, speed=0.95, radius=0.0018, strength=0.30),
)
_STREAK = 0.36  # of a cell's height
_SLANT = 0.16
_SNOW = (
    Sheet(distance=2.4, width=0.125, height=0.125, speed=0.21, radius=0.0135, strength=0.95),
    Sheet(distance=4.5, width=0.078, height=0.078, speed=0.145, radius=0.0088, strength=0.92),
    Sheet(distance=9.0, width=0.048, height=0.048, speed=0.095, radius=0.0056, strength=0.80),
)
_WIND = 0.03  # slope a second that flakes drift aside


def overlay(
    picture: Float[Tensor, "n c h w"], scenes: Sequence[Scene], times_s: Float[Tensor, " t"], view: View, *,
    depth: Float[Tensor, "n h w"],
) -> None:  # fmt: skip
    """Draws the weather of ``scenes`` (unflipped, of one `kinema.world.backdrop.look`) over ``picture``, in place.

    ``depth`` is along the view axis of all that is seen, ground too; `kinema.world.trace.FAR` where there is nothing but sky.
    """
    scene, device = scenes[0], picture.device
    if PLACES[scene.place].is_indoors:
        return
    light = lights(scene)
    if scene.weather == "fog":
        _blend(picture, light.fog, _fog_on_solids(light, view, depth))
    elif scene.weather in ("rain", "snow"):
        share = _falling(scenes, times_s, view, depth)
        brightness = sum(light.horizon) / 3
        white = 0.55 + 0.45 * min(1.0, brightness * 1.4)
        paint = (0.90 * white, 0.94 * white, 1.0 * white) if scene.weather == "rain" else (white, white, white)
        _blend(picture, paint, share.to(device))


def _fog_on_solids(light: Lights, view: View, depth: Tensor) -> Tensor:
    """How much fog lies before the solids, 0 beside them: the backdrop has its fog already.

    A solid's rim, which mixes its paint with that of the backdrop but has the backdrop's depth, gets the solid's fog.
    """
    ground = view.eye(depth.device)[:, 1] / (
        -view.rays(view.slopes(view.whole(), depth.device), depth.device)[1]
    ).clamp(min=1e-5)
    # Solids may reach below the ground, where they are drawn all the same: what isn't just the ground is solid.
    is_solid = (depth < 0.9 * FAR) & ((depth - ground).abs() > 1e-3 * ground)
    solid = torch.where(is_solid, depth, FAR)
    rim = -max_pool2d(-solid[:, None], 3, 1, 1)[:, 0]
    # Between a near solid and a far one the rim is nobody's: half of each.
    share = torch.where(
        is_solid, 0.5 * (fog_share(light, view, solid) + fog_share(light, view, rim)), fog_share(light, view, rim)
    )
    return share * (rim < FAR)


def _blend(picture: Tensor, paint: Sequence[float], share: Tensor) -> None:
    for k in range(3):
        plane = picture[:, k]
        plane.add_((paint[k] - plane) * share)


def _falling(scenes: Sequence[Scene], times_s: Tensor, view: View, depth: Tensor) -> Tensor:
    """How much of each pixel drops or flakes cover."""
    device = depth.device
    slopes = view.slopes(view.whole(), device)
    focal = column(view.focal_px, device)
    # Where the camera looks, so that sheets stay in the world as it turns; of how it moves, each sheet sees its distance's share.
    forward, right = view.axes[:, 2], view.axes[:, 0]
    yaw = column(torch.atan2(forward[:, 0], -forward[:, 2]), device)
    pitch = column(torch.asin(forward[:, 1].clamp(-1, 1)), device)
    aside = column((right * view.position).sum(-1), device)
    height = column(view.position[:, 1], device)
    times = column(times_s.repeat(len(scenes)), device)
    is_rain = scenes[0].weather == "rain"
    share = torch.zeros_like(depth)
    for number, sheet in enumerate(_RAIN if is_rain else _SNOW):
        (phase,) = phases(scenes, f"weather/{number}", 1, len(times_s), device)
        x = slopes.x + yaw + aside / sheet.distance
        y = slopes.y + pitch + height / sheet.distance + sheet.speed * times
        cover = (_streaks if is_rain else _flakes)(x, y, times, phase, sheet, focal)
        share = torch.maximum(share, cover * sheet.strength * (depth > sheet.distance))
    return share


def _streaks(x: Tensor, y: Tensor, times: Tensor, phase: Tensor, sheet: Sheet, focal: Tensor) -> Tensor:
    """Slanted strokes: lanes along the slant, each with drops one behind the other."""
    u = (x - _SLANT * y) / sheet.width
    lane = u.floor()
    jitter = torch.sin(lane * 12.99 + phase)
    v = y / sheet.height + 7.3 * torch.sin(lane * 39.35 + phase)
    v = v - v.floor()
    off = (u - lane - 0.5 - 0.35 * jitter).abs() * sheet.width
    # However small the picture, a stroke is most of a pixel wide: rain must be told at a glance.
    half_px = (sheet.radius * focal).clamp(min=0.4)
    across = (half_px - off * focal + 0.5).clamp(0, 1)
    along = (v / _STREAK).clamp(0, 1) * (v < _STREAK)
    return across * along


def _flakes(x: Tensor, y: Tensor, times: Tensor, phase: Tensor, sheet: Sheet, focal: Tensor) -> Tensor:
    """Round flakes that fall and swing from side to side, one in each cell."""
    v = y / sheet.height
    row = v.floor()
    swing = 0.22 * torch.sin(row * 1.7 + 1.1 * times + phase)
    u = (x + _WIND * times) / sheet.width + swing + row * 0.37
    lane = u.floor()
    a, b, c = (torch.sin(lane * p + row * q + phase) for p, q in ((12.99, 78.23), (39.35, 11.13), (63.73, 26.68)))
    du, dv = (u - lane - 0.5 - 0.28 * a) * sheet.width, (v - row - 0.5 - 0.28 * b) * sheet.height
    radius = sheet.radius * (0.8 + 0.25 * c)
    return ((radius - (du * du + dv * dv).sqrt()) * focal + 0.5).clamp(0, 1) * (c > -0.55)
