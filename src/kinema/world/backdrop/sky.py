"""The sky: its two paints, what hangs in it, and the far silhouettes that stand before it.

Legend: n views, h w pixels. `azimuth` is in radians to the right of -z, `slope` is a ray's rise over its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.backdrop.far import silhouettes
from kinema.world.backdrop.field import mix, numbers, smooth
from kinema.world.lights import SKIES, Lights
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import Colour

_DRIFT = 0.005  # radians a second that clouds drift
_CLEAR_SLOPE = 0.34  # where the sky has its zenith's paint


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
    drifts: bool = False


def sky(
    scenes: Sequence[Scene], times_s: Tensor, lights: Lights, rays: tuple[Tensor, Tensor, Tensor], focal: Tensor
) -> Tensor:
    """Colours (n c h w) of the sky and its silhouettes along ``rays``."""
    rx, rise, rz = rays
    azimuth = torch.atan2(rx, -rz)
    slope = rise / (rx * rx + rz * rz).sqrt()
    picture = torch.stack(sky_paint(lights, slope), 1)
    _hang(picture, _spots(scenes), azimuth, slope, times_s)
    if lights.fog_density == 0:
        silhouettes(picture, scenes, len(times_s), lights, azimuth, slope, focal)
    return picture


def sky_paint(lights: Lights, slope: Tensor) -> list[Tensor]:
    """The bare sky's colour at ``slope``."""
    return mix(lights.horizon, lights.zenith, smooth(slope.clamp(min=0) / _CLEAR_SLOPE).sqrt())


def light_azimuth(scenes: Sequence[Scene]) -> list[float]:
    """Where the low sun or the moon stands, a scene."""
    return _CLEAR[scenes[0].time](_randoms(scenes))[-1].azimuth


def _hang(picture: Tensor, spots: Sequence[Spot], azimuth: Tensor, slope: Tensor, times_s: Tensor) -> None:
    """Draws ``spots`` over ``picture`` in place, each in the rows and columns that it can touch."""
    if not spots:
        return
    device = picture.device
    moments = len(times_s)
    drift = (times_s.to(torch.float64) * _DRIFT).repeat(len(spots[0].azimuth)).to(device, torch.float32)[:, None, None]
    reach = _DRIFT * float(times_s.abs().max())
    rows = torch.stack([slope.amin((0, 2)), slope.amax((0, 2))]).cpu()
    columns = torch.stack([azimuth.amin((0, 1)), azimuth.amax((0, 1))]).cpu()
    for spot in spots:
        margin = reach if spot.drifts else 0.0
        down = _touched(rows, spot.slope, spot.height, 0.0)
        across = _touched(columns, spot.azimuth, spot.width, margin)
        if down is None or across is None:
            continue
        a, e, width, height = (numbers(v, moments, device) for v in (spot.azimuth, spot.slope, spot.width, spot.height))
        if spot.drifts:
            a = a + drift
        r2 = ((azimuth[:, down, across] - a) / width).square() + ((slope[:, down, across] - e) / height).square()
        share = (1 - smooth((r2 - spot.core) / (1 - spot.core))) * spot.strength
        crop = picture[:, :, down, across]
        paint = torch.tensor(spot.colour, device=device)[:, None, None]
        crop.add_((paint - crop) * share[:, None])


def _touched(limits: Tensor, centres: Sequence[float], halves: Sequence[float], margin: float) -> slice | None:
    """The rows (or columns) with ``limits`` (least, most) that a spot can touch in any scene."""
    low = min(c - h for c, h in zip(centres, halves, strict=True)) - margin - 1e-4
    high = max(c + h for c, h in zip(centres, halves, strict=True)) + margin + 1e-4
    hit = ((limits[1] >= low) & (limits[0] <= high)).nonzero()[:, 0]
    return slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else None


def _randoms(scenes: Sequence[Scene]) -> list[Random]:
    return [Random(s.layout, f"sky/{s.time}") for s in scenes]


def _spots(scenes: Sequence[Scene]) -> list[Spot]:
    scene = scenes[0]
    if scene.weather == "clear":
        return _CLEAR[scene.time](_randoms(scenes))
    return _overcast_spots(scenes) if scene.weather != "fog" else []


def _cloud(azimuth: list[float], slope: list[float], size: list[float], *, flat: tuple[float, float], colour: Colour,
           core: float = 0.45, strength: float = 0.95) -> Spot:  # fmt: skip
    return Spot(
        azimuth=azimuth,
        slope=slope,
        width=[flat[0] * s for s in size],
        height=[flat[1] * s for s in size],
        colour=colour,
        core=core,
        strength=strength,
        drifts=True,
    )


def _day_spots(randoms: Sequence[Random]) -> list[Spot]:
    """Clouds: a few white puffs, each of a wide and a tall part; some higher up, for who looks there."""
    spots = []
    for k in (*range(7), -1, 7, -2, 8, *range(20, 27)):
        centre = [((k - 20 if k >= 20 else k) - 3) * 0.26 + r.uniform(-0.06, 0.06) for r in randoms]
        level = [r.uniform(0.11, 0.20) + (0.17 if k >= 20 else 0.0) for r in randoms]
        size = [r.uniform(0.8, 1.25) for r in randoms]
        for shift, up, wide, tall in ((0.0, 0.0, 0.11, 0.026), (0.025, 0.018, 0.055, 0.032)):
            middles = [c + shift for c in centre]
            spots.append(_cloud(middles, [e + up for e in level], size, flat=(wide, tall), colour=(1.0, 1.0, 1.0)))
    return spots


def _overcast_spots(scenes: Sequence[Scene]) -> list[Spot]:
    """Big clouds side by side in rows, each pale above and dark below."""
    weather = scenes[0].weather
    base = SKIES[scenes[0].time].overcast
    level = {"cloudy": 1.0, "rain": 0.56, "snow": 1.14}[weather]
    contrast = {"cloudy": 0.15, "rain": 0.30, "snow": 0.10}[weather]
    light, dark = (_lit(base, level * (1 + s * contrast)) for s in (0.7, -1.0))
    randoms = [Random(s.layout, "clouds") for s in scenes]
    spots = []
    for row, up in enumerate((0.42, 0.30, 0.20, 0.115)):
        for k in range(9):
            centre = [(k - 4 + 0.5 * (row % 2)) * 0.34 + r.uniform(-0.08, 0.08) for r in randoms]
            slope = [up + r.uniform(-0.02, 0.02) for r in randoms]
            size = [r.uniform(0.85, 1.25) * (1.0 if row < 3 else 0.75) for r in randoms]
            spots.append(
                _cloud(
                    centre, [e - 0.02 for e in slope], size, flat=(0.24, 0.055), colour=dark, core=0.2, strength=0.85
                )
            )
            spots.append(
                _cloud(
                    centre, [e + 0.015 for e in slope], size, flat=(0.17, 0.034), colour=light, core=0.3, strength=0.85
                )
            )
    return spots


def _lit(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(1.0, c * factor) for c in colour)
    return (r, g, b)


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
        azimuth=azimuth, slope=[slope] * n, width=[width] * n, height=[height] * n, colour=colour, core=core, strength=strength
    )  # fmt: skip


def _dawn_spots(randoms: Sequence[Random]) -> list[Spot]:
    """A rosy glow, thin long clouds and a small pale sun just above the horizon."""
    azimuth = [r.uniform(-0.25, 0.25) for r in randoms]
    spots = [_disc(azimuth, 0.02, (0.5, 0.12), colour=(1.0, 0.86, 0.84), core=0.0, strength=0.8)]
    for k in range(8):
        centre = [(k - 3.5) * 0.3 + r.uniform(-0.1, 0.1) for r in randoms]
        slope = [0.10 + 0.035 * (k * 5 % 4) + r.uniform(-0.01, 0.01) for r in randoms]
        size = [r.uniform(0.8, 1.3) for r in randoms]
        spots.append(_cloud(centre, slope, size, flat=(0.20, 0.0085), colour=(1.0, 0.66, 0.78), core=0.1, strength=0.9))
    return [*spots, _disc(azimuth, 0.055, (0.045, 0.045), colour=(1.0, 0.97, 0.90), core=0.75)]


def _sunset_spots(randoms: Sequence[Random]) -> list[Spot]:
    """A glow and the low sun in it."""
    azimuth = [r.uniform(-0.2, 0.2) for r in randoms]
    glow = _disc(azimuth, 0.06, (0.42, 0.17), colour=(1.0, 0.80, 0.28), core=0.0, strength=0.75)
    return [glow, _disc(azimuth, 0.075, (0.062, 0.062), colour=(1.0, 0.97, 0.72), core=0.75)]


def _night_spots(randoms: Sequence[Random]) -> list[Spot]:
    """Stars and the moon; a second lot of stars stands higher up."""
    spots = []

    def star(k: int, low: float) -> Spot:
        azimuth = [(k - 21.5) * 0.05 + r.uniform(-0.02, 0.02) for r in randoms]
        slope = [low + 0.26 * r.unit() for r in randoms]
        size = [0.0085 * r.uniform(0.8, 1.5) for r in randoms]
        return Spot(
            azimuth=azimuth, slope=slope, width=size, height=size, colour=(1.0, 1.0, 0.86), core=0.0, strength=0.95
        )

    spots = [star(k, 0.03) for k in range(44)]
    moon = _disc([r.uniform(-0.2, 0.2) for r in randoms], 0.14, (0.036, 0.036), colour=(0.98, 0.97, 0.88), core=0.75)
    beside = [star(k, 0.03) for k in (*range(-6, 0), *range(44, 50))]
    return [*spots, *beside, *(star(k, 0.29) for k in range(0, 44, 2)), moon]


_CLEAR = {"dawn": _dawn_spots, "day": _day_spots, "sunset": _sunset_spots, "night": _night_spots}
