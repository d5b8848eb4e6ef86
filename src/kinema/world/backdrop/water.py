"""Seas and lakes: waves that roll in and break, foam along the shore and round rocks, mirrors, glitter, lilies and raindrops' rings.

Legend: n views, h w pixels. All motion is a closed formula of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kinema.world.backdrop.far import layer_paint, layers_of, profile
from kinema.world.backdrop.field import Planes, Points, cells, mix, rings, shade, smooth
from kinema.world.backdrop.sky import light_azimuth, sky_paint
from kinema.world.kinds import subject_size
from kinema.world.motion.constants import SEA_CRASH_S, SEA_S
from kinema.world.places.grounds import CLEAR_SEA, FOAM, WATERS
from kinema.world.places.shores import COAST_SHORE_Z, FAR_BANK_Z, FAR_SAND_Z, LAKE_SHORE_Z, SHORE_Z, cliffs
from kinema.world.scene import Scene

_FOOT = 0.56  # radius of a cliff's foot, in its own heights
_NOWHERE = (0.0, 0.0, -1.0e3)  # x, z, radius of what isn't there
_GLITTER = {"dawn": (1.0, 0.86, 0.84), "sunset": (1.0, 0.78, 0.36), "night": (0.80, 0.84, 0.95)}


def land_and_water_rows(scenes: Sequence[Scene], near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows, that see z from ``far`` to ``near``, can hold land, and which can hold water or foam."""
    place, afloat = scenes[0].place, scenes[0].is_afloat
    wall = max((cliffs(s).line_z for s in scenes), default=0.0) + 0.8 if place == "coast" else 0.0
    if afloat:
        edge = {"beach": FAR_SAND_Z + 0.8, "coast": wall, "lake": FAR_BANK_Z + 0.8}[place]
        return far < edge, near > edge - (1.6 if place != "coast" else 30.0)
    edge = {"beach": SHORE_Z, "coast": COAST_SHORE_Z, "lake": LAKE_SHORE_Z}[place]
    is_land = near > edge - 0.9
    return is_land | (far < wall) if place == "coast" else is_land, far < edge + 0.9


def pour(picture: Tensor, points: Points) -> None:
    """Draws the place's water over ``picture`` (n c h w, of land, before light), in place."""
    out, water, foam = _SHORES[points.scene.place](points)
    if points.scene.weather == "rain":
        pixel = (points.wide + points.deep) / 0.7
        ring = rings(points.x / 0.35, points.z / 0.35, points.time, pixel, rate=1.5, shift=points.phase[1])
        water = mix(water, FOAM, ring * 0.5 * points.fade(9.0))
    water = _glitter(points, water)
    stacks = _stacks(points) if points.scene.place != "coast" else None  # whose foam has them already
    if stacks is not None:
        across, along = _ruffle(points)
        wash = _wash_round(points, stacks, _finer(across), _finer(along))
        foam = wash if foam is None else torch.maximum(foam, wash)
    share = (out / 0.12).clamp(0, 1)
    white = _bright_foam(points) if points.scene.place == "coast" else FOAM
    for k in range(3):
        plane = picture[:, k]
        plane.add_((water[k] - plane).mul_(share))
        if foam is not None:
            plane.add_((white[k] - plane).mul_(foam))


def _wash(points: Points) -> Tensor:
    """How far the last wave runs up the shore."""
    return 0.16 * torch.sin(2 * math.pi * points.time / 3.0 + points.phase[1])


def _beach(points: Points) -> tuple[Tensor, Planes, Tensor | None]:
    x, z, t, phase = points.x, points.z, points.time, points.phase
    sea = WATERS["beach"]
    afloat = points.scene.is_afloat
    way = -1.0 if afloat else 1.0  # the side on which the land lies: +1 towards the camera
    shore = (FAR_SAND_Z if afloat else SHORE_Z) + 0.22 * torch.sin(0.9 * x + phase[0]) + way * _wash(points)
    out = (shore - z) * way  # how far off the shore
    fade = points.fade(16.0)
    wave = torch.sin(2.1 * out + 2 * math.pi * t / sea.period_s + 0.5 * torch.sin(0.8 * x + phase[2])) * fade
    near = CLEAR_SEA if afloat else sea.near
    water = mix(near, sea.far, smooth((points.depth - 3.0) / 18.0) if afloat else smooth(out / 14.0))
    if afloat:
        # Light that the waves gather on the shallow bottom.
        net = torch.sin(2.6 * x + 1.3 * torch.sin(1.9 * z + 1.1 * t)) + torch.sin(
            3.1 * z + 1.2 * torch.sin(2.2 * x - 0.9 * t)
        )
        water = mix(water, (0.72, 0.98, 0.92), (1 - net.abs() * 2.2).clamp(0, 1) * 0.55 * points.fade(8.0))
    water = mix(water, FOAM, (wave - 0.72).clamp(0, 1) * sea.foam * (0.55 if afloat else 1.0))
    foam = (1 - ((out - 0.12).abs() / 0.30).clamp(0, 1)) * 0.95
    return out, water, foam


def _coast(points: Points) -> tuple[Tensor, Planes, Tensor | None]:
    x, z, t, phase = points.x, points.z, points.time, points.phase
    sea = WATERS["coast"]
    way = -1.0 if points.scene.is_afloat else 1.0  # where the waves go
    beat = 2 * math.pi * t / sea.period_s
    bend = 0.9 * torch.sin(0.7 * x + phase[2])
    swell = 2 * math.pi / sea.wave_length * -way * z + beat + bend + 0.5 * torch.sin(1.9 * x + phase[3])
    fade = points.fade(14.0)
    ruffle = _ruffle(points)
    chop, lace = ruffle[0] * ruffle[1], _net(*ruffle)
    fine = (_finer(ruffle[0]), _finer(ruffle[1]))
    water = _swelling(points, swell, chop + 0.9 * fine[1], chop, fade)
    # Each wave breaks along a bright front, here more and there less, and leaves torn foam behind it.
    behind = (swell / (2 * math.pi)).frac()
    behind = behind + (behind < 0)
    rim = points.deep / sea.wave_length + 0.02
    breaks = (0.70 + 0.50 * bend + 0.35 * chop).clamp(0.25, 1)
    front = (behind / rim).clamp(max=1) * ((0.13 + 0.05 * chop - behind) * 14).clamp(0, 1)
    trail = (1 - behind / 0.62).clamp(min=0) * (lace * 1.5).clamp(max=1) * 0.75 * (behind / rim).clamp(max=1)
    water = mix(water, _bright_foam(points), torch.maximum(front, trail) * breaks * fade)
    wall, beside = _walls(points)
    away = torch.minimum(wall, beside)
    stacks = _stacks(points)
    foam = _wash_round(points, away if stacks is None else torch.minimum(away, stacks), *fine)
    out = wall
    if not points.scene.is_afloat:
        jag = 0.30 * torch.sin(1.3 * x + phase[0]) + 0.16 * torch.sin(3.7 * x + phase[1]) + 0.07 * torch.sin(8.3 * x)
        shore = COAST_SHORE_Z + jag - z
        out = torch.minimum(wall, shore)
        run = (0.22 + 0.14 * torch.sin(beat + phase[1]) + 0.08 * chop).clamp(min=0.06)
        foam = torch.maximum(foam, (1.2 - ((shore - 0.1).abs() / run)).clamp(0, 1))
    return out, water, foam * 0.96


def _ruffle(points: Points) -> tuple[Tensor, Tensor]:
    """Two trains of small waves that cross, -1 to 1 each."""
    x, z, t = points.x, points.z, points.time
    across = torch.sin(4.1 * x + 1.4 * torch.sin(3.3 * z + 0.8 * t + points.phase[0]))
    return across, torch.sin(5.3 * z + 1.1 * t + 1.2 * torch.sin(2.3 * x))


def _net(across: Tensor, along: Tensor) -> Tensor:
    """A net of thin lines between two trains of waves, 0 to 1."""
    return (1 - (across + along).abs_()).clamp_(min=0)


def _finer(wave: Tensor) -> Tensor:
    """The wave at twice its frequency."""
    return 1 - 2 * wave * wave


def _swelling(points: Points, swell: Tensor, glance: Tensor, chop: Tensor, fade: Tensor) -> Planes:
    """The open sea of the coast: dark and light bands, and the low sky mirrored on the flanks of the waves."""
    sea, light = WATERS["coast"], points.lights
    high, low = ([c / li for c, li in zip(sky, light.on_ground, strict=True)] for sky in (light.zenith, light.horizon))
    water = mix(sea.near, sea.far, smooth((points.depth - 3.0) / 20.0))
    water = mix(water, high, 0.18 + 0.12 * smooth((points.depth - 2.0) / 12.0))
    water = shade(water, 1.14 + (sea.swell * torch.sin(swell + 0.5) * 0.55 + 0.14 * chop) * fade)
    low = [0.80 * c + 0.30 * w for c, w in zip(low, _bright_foam(points), strict=True)]
    flank = ((torch.sin(swell + 2.3) + 0.6 * glance - 0.70) * 1.2).clamp_(0, 1) * fade
    return mix(water, low, 0.74 * flank + 0.10 * smooth((points.depth - 2.0) / 18.0))


def _wash_round(points: Points, away: Tensor, across: Tensor, along: Tensor) -> Tensor:
    """Foam round rocks, ``away`` from their feet: it swells when a wave has hit them, and thin lines of it run in.

    Two trains of waves tear it.
    """
    chop, lace = across * along, _net(across, along)
    since = 2 * math.pi * (points.time - SEA_CRASH_S) / SEA_S
    surge = (0.36 + 0.15 * torch.cos(since - 0.7) + 0.08 * chop).clamp(min=0.08)
    edge = (1.25 - away.clamp(min=0) / surge).clamp(0, 1)
    torn = smooth((1.7 * edge + 0.8 * lace - 0.4 * chop.clamp(min=0) - 0.75) / 0.45) * (edge > 0)
    line = ((torch.cos(2 * math.pi / 0.62 * away + since + 0.9 * chop) - 0.60) * 4).clamp(0, 1)
    line = line * (1 - away / 1.15).clamp(min=0) * (0.40 + 0.60 * lace)
    return torch.maximum(torn, line * points.fade(12.0)) * (away > -0.25)


def _stacks(points: Points) -> Tensor | None:
    """Distance from the feet of the cliffs that are subjects (negative inside); None without any."""
    feet = [
        [(s.x, s.z, _FOOT * subject_size(s)) for s in scene.subjects if s.kind == "cliff"] for scene in points.scenes
    ]
    nearest = None
    for k in range(max(len(f) for f in feet)):
        x, z, radius = (points.numbers([f[k][i] if k < len(f) else _NOWHERE[i] for f in feet]) for i in range(3))
        stack = ((points.x - x).square() + (points.z - z).square()).sqrt() - radius
        nearest = stack if nearest is None else torch.minimum(nearest, stack)
    return nearest


def _bright_foam(points: Points) -> list[float]:
    """Foam that stands out at sunset and at night too."""
    return [c / li**0.6 for c, li in zip(FOAM, points.lights.on_ground, strict=True)]


def _walls(points: Points) -> tuple[Tensor, Tensor]:
    """Distances from the cliff wall, and from the rocks that stand in the water before it (negative inside)."""
    shapes = [cliffs(s) for s in points.scenes]
    x, z = points.x, points.z
    names = ("line_z", "phase", "gap_x", "gap_half", "scale")
    line, phase, gap_x, gap_half, scale = (points.numbers([getattr(c, name) for c in shapes]) for name in names)
    foot = line - 0.3 * torch.sin(1.7 * x + phase)
    # A wall as thick as the blocks that stand on it; behind it is sea again.
    wall = torch.maximum(torch.maximum(z - foot, gap_half - (x - gap_x).abs()), foot - 1.4 * scale - z)
    rocks = None
    for k in range(len(shapes[0].rocks)):
        rx, rz, radius = (points.numbers([c.rocks[k][i] for c in shapes]) for i in range(3))
        rock = ((x - rx).square() + (z - rz).square()).sqrt() - radius
        rocks = rock if rocks is None else torch.minimum(rocks, rock)
    assert rocks is not None, "every coast has rocks"
    return wall, rocks


def _lake(points: Points) -> tuple[Tensor, Planes, Tensor | None]:
    """Calm water: a mirror of sky and silhouettes, ruffled by two trains of ripples; lilies near by."""
    x, z, t, phase = points.x, points.z, points.time, points.phase
    rx, rise, rz = points.rays
    lake, light = WATERS["lake"], points.lights
    fade = points.fade(10.0)
    ripple = torch.sin(5.2 * z + 0.9 * torch.sin(1.1 * x + phase[0]) + 2 * math.pi * t / lake.period_s)
    ripple = ripple + 0.6 * torch.sin(
        3.1 * x + 4.4 * z + 0.8 * torch.sin(0.9 * z + phase[1]) - 2 * math.pi * t / (1.3 * lake.period_s)
    )
    slope = -rise / (rx * rx + rz * rz).sqrt()
    seen = (slope * (1 + 0.35 * ripple * fade)).clamp(min=0)
    # The mirror is divided by the light that is laid over the ground's paints later on.
    mirror = [c / li for c, li in zip(sky_paint(light, seen), light.on_ground, strict=True)]
    water = mix(mix(lake.near, lake.far, smooth(points.depth / 20.0)), mirror, 0.55 - 0.25 * slope.clamp(0, 1))
    if points.scene.weather != "fog":
        water = _mirrored(points, water, seen, ripple)
    water = shade(water, 1 + lake.swell * ripple * fade)
    glint = ((ripple - 1.05) * 4).clamp(0, 1) * points.fade(9.0)
    water = mix(water, (0.86, 0.95, 1.0), glint * 0.45)
    if points.scene.is_afloat:
        out = z - FAR_BANK_Z - 0.5 * torch.sin(0.6 * x + phase[0])
    else:
        out = LAKE_SHORE_Z + 0.30 * torch.sin(0.8 * x + phase[0]) + 0.04 * torch.sin(2 * math.pi * t / 4.0) - z
    return out, _lilies(points, water, out), None


def _mirrored(points: Points, water: Planes, seen: Tensor, ripple: Tensor) -> Planes:
    rx, _, rz = points.rays
    layers = layers_of(points.scene)
    # What is mirrored is low: only rows that see so low a slope.
    end = int((seen.amin((0, 2)) < 1.2 * max(layer.height for layer in layers) + 0.02).sum())
    if end == 0:
        return water
    azimuth = torch.atan2(rx[:, :end], -rz[:, :end])
    top = [w[:, :end] for w in water]
    for number, layer in enumerate(layers):
        height = profile(layer, points.scenes, points.moments, azimuth, number)
        paint = [
            0.85 * c / li for c, li in zip(layer_paint(layer, points.lights), points.lights.on_ground, strict=True)
        ]
        top = mix(top, paint, ((height * (1 + 0.12 * ripple[:, :end]) - seen[:, :end]) * 45 + 0.5).clamp(0, 1) * 0.7)
    return [torch.cat([t, w[:, end:]], 1) for t, w in zip(top, water, strict=True)]


def _lilies(points: Points, water: Planes, out: Tensor) -> Planes:
    """Round leaves, some with a pink flower, in patches."""
    x, z, phase = points.x, points.z, points.phase
    size = 0.62
    pixel = (points.wide + points.deep) / (2 * size)
    patch = ((torch.sin(0.9 * x + phase[3]) * torch.sin(1.0 * z + phase[2]) - 0.12) * 6).clamp(0, 1)
    near = patch * (1.2 / pixel / 6).clamp(max=1) * (out > 0.2)
    away, lot = cells(x / size, z / size, room=0.17, shift=phase[1])
    leaf = ((0.33 - away) / pixel + 0.5).clamp(0, 1) * near * (lot < 0.45)
    flower = ((0.13 - away) / pixel + 0.5).clamp(0, 1) * near * (lot < -0.45)
    return mix(mix(water, (0.22, 0.56, 0.22), leaf), (1.0, 0.66, 0.82), flower)


def _glitter(points: Points, water: Planes) -> Planes:
    """The path of light below a low sun or the moon."""
    scene = points.scene
    if scene.weather != "clear" or scene.time not in _GLITTER:
        return water
    rx, _, rz = points.rays
    angle = points.numbers(light_azimuth(points.scenes))
    sin, cos = angle.sin(), angle.cos()
    aside = (rx * cos + rz * sin) / (rx * sin - rz * cos).clamp(min=0.05)
    is_rough = scene.place == "coast"  # waves that break scatter it
    path = (1 - (aside / (0.26 if is_rough else 0.11)).square()).clamp(min=0)
    spark = torch.sin(8.0 * points.z + 2.2 * points.time + 1.5 * torch.sin(3.0 * points.x + 1.1 * points.time))
    if is_rough:
        spark = spark * torch.sin(7.0 * points.x + 1.8 * torch.sin(4.0 * points.z - 1.3 * points.time)) * 1.6 - 0.3
    share = path * ((0.08 if is_rough else 0.30) + 0.55 * (spark * 1.5).clamp(0, 1))
    near = 0.0 if is_rough else 0.35
    share = share * (near + (1 - near) * smooth((points.depth - 4.0) / 6.0))
    paint = [c / li for c, li in zip(_GLITTER[scene.time], points.lights.on_ground, strict=True)]
    return mix(water, paint, share)


_SHORES = {"beach": _beach, "coast": _coast, "lake": _lake}
