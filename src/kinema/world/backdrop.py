"""What lies behind everything: sky, far hills, ground and sea, at one sample a pixel (all of it is smooth; edges are blended).

Legend: t moments, n views (all moments of all scenes), h w pixels. The cameras never roll, so a row of pixels has one height above
the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.places import FOAM, GROUNDS, SEA, SEA_DEEP, SHORE_Z, SKIES
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import Colour
from kinema.world.view import View

Planes = list[Tensor]
_TEXTURE_REACH = 11.0  # depth where the ground's blotches fade, before they alias


def backdrop(
    scenes: Sequence[Scene], times_s: Float[Tensor, " t"], view: View, *, device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Colours of sky and ground, 0 to 1 and more, for all ``scenes`` (unflipped, of one place and time) at ``times_s``, scene by scene."""
    slopes = view.slopes(view.whole(), device)
    focal, upright = _column(view.focal_px, device), _column(view.axes[:, 1, 1], device)
    rx, rise, rz = view.rays(slopes, device)
    above = (rise * focal / upright + 0.5).clamp(0, 1)  # n h 1: the share of a pixel above the horizon
    # Rows below `sky_end` show some sky, rows from `ground_start` some ground, in at least one view.
    sky_end = int((above.amax(dim=(0, 2)) > 0).sum())
    ground_start = int((above.amin(dim=(0, 2)) == 1).sum())
    out = torch.empty((len(view), 3, view.height_px, view.width_px), device=device)
    if sky_end:
        rows = slice(0, sky_end)
        out[:, :, rows] = _sky(scenes, len(times_s), rx[:, rows], rise[:, rows], rz[:, rows], focal)
    if ground_start < view.height_px:
        rows, shared = slice(ground_start, view.height_px), slice(ground_start, max(ground_start, sky_end))
        ground = _ground(scenes, times_s, view.eye(device), rx[:, rows], rise[:, rows], rz[:, rows])
        share = above[:, None, shared]
        ground[:, :, : share.shape[2]] = out[:, :, shared] * share + ground[:, :, : share.shape[2]] * (1 - share)
        out[:, :, rows] = ground
    return out


def _column(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device, torch.float32)[:, None, None]


def _numbers(values: Sequence[float], moments: int, device: torch.device) -> Tensor:
    """One number a scene, at all its moments, shaped to meet (n h w)."""
    return torch.tensor(values, dtype=torch.float32, device=device).repeat_interleave(moments)[:, None, None]


def _mix(a: Sequence[float | Tensor], b: Sequence[float | Tensor], share: Tensor) -> Planes:
    return [p + (q - p) * share for p, q in zip(a, b, strict=True)]


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _sky(scenes: Sequence[Scene], moments: int, rx: Tensor, rise: Tensor, rz: Tensor, focal: Tensor) -> Tensor:
    sky, ground = SKIES[scenes[0].time], GROUNDS[scenes[0].place]
    azimuth = torch.atan2(rx, -rz)
    slope = rise / (rx * rx + rz * rz).sqrt()
    colour = _mix(sky.horizon, sky.zenith, _smooth(slope.clamp(min=0) / 0.34).sqrt())
    for spot in _SPOTS[scenes[0].time]([Random(s.layout, f"sky/{s.time}") for s in scenes]):
        a, e, width, height = (
            _numbers(v, moments, rx.device) for v in (spot.azimuth, spot.slope, spot.width, spot.height)
        )
        r2 = ((azimuth - a) / width).square() + ((slope - e) / height).square()
        share = (1 - _smooth((r2 - spot.core) / (1 - spot.core))) * spot.strength
        colour = _mix(colour, spot.colour, share)
    if ground.hill_height > 0:
        colour = _hills(scenes, moments, azimuth, slope, focal, colour)
    return torch.stack(colour, 1)


def _hills(
    scenes: Sequence[Scene], moments: int, azimuth: Tensor, slope: Tensor, focal: Tensor, colour: Planes
) -> Planes:
    sky, ground = SKIES[scenes[0].time], GROUNDS[scenes[0].place]
    first, second = _phases(scenes, "hills", 2, moments, azimuth.device)
    waves = (
        torch.sin(azimuth * ground.hill_waves + first) * 0.6
        + torch.sin(azimuth * (2.3 * ground.hill_waves) + second) * 0.4
    )
    height = ground.hill_height * (0.62 + 0.38 * waves)
    light = [sky.ambient[k] + 0.75 * sky.sun_light[k] for k in range(3)]
    lit = [
        (c * li) * (1 - 0.35 * sky.haze) + h * 0.35 * sky.haze
        for c, li, h in zip(ground.hill, light, sky.horizon, strict=True)
    ]
    return _mix(colour, lit, ((height - slope) * focal + 0.5).clamp(0, 1))


def _phases(scenes: Sequence[Scene], name: str, count: int, moments: int, device: torch.device) -> list[Tensor]:
    drawn = [[Random(s.layout, f"{name}/{k}").uniform(0, 2 * math.pi) for s in scenes] for k in range(count)]
    return [_numbers(d, moments, device) for d in drawn]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A round thing in the sky, one a scene: its place and half size as angles' slopes; ``core`` is how much of it has a hard edge."""

    azimuth: list[float]
    slope: list[float]
    width: list[float]
    height: list[float]
    colour: Colour
    core: float
    strength: float


def _day_spots(randoms: Sequence[Random]) -> list[Spot]:
    """Clouds: a few white puffs, each of a wide and a tall part."""
    spots = []
    for k in range(7):
        centre = [(k - 3) * 0.26 + r.uniform(-0.06, 0.06) for r in randoms]
        level = [r.uniform(0.11, 0.20) for r in randoms]
        size = [r.uniform(0.8, 1.25) for r in randoms]
        for shift, up, wide, tall in ((0.0, 0.0, 0.11, 0.026), (0.025, 0.018, 0.055, 0.032)):
            spots.append(
                Spot(
                    azimuth=[c + shift for c in centre],
                    slope=[e + up for e in level],
                    width=[wide * s for s in size],
                    height=[tall * s for s in size],
                    colour=(1.0, 1.0, 1.0),
                    core=0.45,
                    strength=0.95,
                )
            )
    return spots


def _disc(
    azimuth: list[float],
    slope: float,
    radii: tuple[float, float],
    *,
    colour: Colour,
    core: float,
    strength: float = 1.0,
) -> Spot:
    n = len(azimuth)
    width, height = radii
    return Spot(
        azimuth=azimuth,
        slope=[slope] * n,
        width=[width] * n,
        height=[height] * n,
        colour=colour,
        core=core,
        strength=strength,
    )


def _sunset_spots(randoms: Sequence[Random]) -> list[Spot]:
    """A glow and the low sun in it."""
    azimuth = [r.uniform(-0.2, 0.2) for r in randoms]
    glow = _disc(azimuth, 0.06, (0.42, 0.17), colour=(1.0, 0.80, 0.28), core=0.0, strength=0.75)
    return [glow, _disc(azimuth, 0.075, (0.062, 0.062), colour=(1.0, 0.97, 0.72), core=0.75)]


def _night_spots(randoms: Sequence[Random]) -> list[Spot]:
    """Stars and the moon."""
    spots = []
    for k in range(44):
        azimuth = [(k - 21.5) * 0.05 + r.uniform(-0.02, 0.02) for r in randoms]
        slope = [0.03 + 0.26 * r.unit() for r in randoms]
        size = [0.0085 * r.uniform(0.8, 1.5) for r in randoms]
        spots.append(
            Spot(
                azimuth=azimuth, slope=slope, width=size, height=size, colour=(1.0, 1.0, 0.86), core=0.0, strength=0.95
            )
        )
    moon = _disc([r.uniform(-0.2, 0.2) for r in randoms], 0.14, (0.036, 0.036), colour=(0.98, 0.97, 0.88), core=0.75)
    return [*spots, moon]


_SPOTS = {"day": _day_spots, "sunset": _sunset_spots, "night": _night_spots}


def _ground(scenes: Sequence[Scene], times_s: Tensor, eye: Tensor, rx: Tensor, rise: Tensor, rz: Tensor) -> Tensor:
    sky, ground = SKIES[scenes[0].time], GROUNDS[scenes[0].place]
    depth = eye[:, 1] / (-rise).clamp(min=1e-4)  # n h 1
    gx, gz = eye[:, 0] + depth * rx, eye[:, 2] + depth * rz
    phase = _phases(scenes, "ground", 4, len(times_s), rx.device)
    u = torch.sin(2.3 * gx + 1.1 * torch.sin(1.9 * gz + phase[0]) + phase[1])
    v = torch.sin(2.9 * gz + 1.0 * torch.sin(1.7 * gx + phase[2]) + phase[3])
    fade = 1 / (1 + (depth / _TEXTURE_REACH).pow(4))
    blotch = ((u * v * ground.sharpness).clamp(-1, 1) * fade + 1) * 0.5
    colour = _mix(ground.base, ground.patch, blotch)
    if scenes[0].place == "beach":
        colour = _sea(colour, gx, gz, depth, _column(times_s.repeat(len(scenes)), rx.device), phase)
    light = [sky.ambient[k] + sky.sun_light[k] * max(0.0, sky.sun[1]) for k in range(3)]
    haze = (1 - torch.exp(-depth / 28.0)) * sky.haze
    colour = [c * li for c, li in zip(colour, light, strict=True)]
    return torch.stack([c.expand_as(gx) for c in _mix(colour, sky.horizon, haze)], 1)


def _sea(colour: Planes, gx: Tensor, gz: Tensor, depth: Tensor, t: Tensor, phase: Sequence[Tensor]) -> Planes:
    """The sea beyond the shore, with a foam line that breathes and waves that roll in."""
    shore = SHORE_Z + 0.22 * torch.sin(0.9 * gx + phase[0]) + 0.16 * torch.sin(2 * math.pi * t / 3.0 + phase[1])
    out = shore - gz  # how far off the shore
    fade = 1 / (1 + (depth / 16.0).pow(4))
    wave = torch.sin(2.1 * out + 2 * math.pi * t / 2.4 + 0.5 * torch.sin(0.8 * gx + phase[2])) * fade
    water = _mix(SEA, SEA_DEEP, _smooth(out / 14.0))
    water = _mix(water, FOAM, (wave - 0.72).clamp(0, 1) * 1.6)
    edge = 1 - ((out - 0.12).abs() / 0.30).clamp(0, 1)
    colour = _mix(colour, water, (out / 0.12).clamp(0, 1))
    return _mix(colour, FOAM, edge * 0.95)
