"""The ground's paint, place by place, and what rain and snow make of it.

Legend: n views, h w pixels. Paints are before light; all patterns are fixed to the world, so they move as it does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinema.world.backdrop.field import Planes, Points, band, dots, mix, rings, shade, smooth
from kinema.world.backdrop.water import land_and_water_rows, pour
from kinema.world.nature import PLACES
from kinema.world.places.grounds import GROUNDS
from kinema.world.rng import Random

_TEXTURE_REACH = 11.0  # depth where the ground's blotches fade, before they alias
_SNOW = (0.96, 0.98, 1.00)


def ground(points: Points, fog: Tensor) -> Tensor:
    """Colours (n c h w) of the ground at ``points``, lit and hazy; ``fog`` (n h 1) is how much of it fog hides."""
    scene, light = points.scene, points.lights
    picture = _land_and_water(points) if PLACES[scene.place].has_water else torch.stack(_land(points), 1)
    # Light, haze, the mist of dawn and fog depend on the row alone: one blend for all.
    haze = (1 - torch.exp(-points.depth / 28.0)) * light.haze
    mist = smooth((points.depth - 5.0) / 12.0) * light.mist
    left = (1 - haze) * (1 - mist)
    paint = [h * haze * (1 - mist) + m * mist for h, m in zip(light.horizon, _mist(points), strict=True)]
    if light.fog_density:
        clear = 1 - fog
        left, paint = left * clear, [p * clear + c * fog for p, c in zip(paint, light.fog, strict=True)]
    return picture.mul_(torch.stack([left * li for li in light.on_ground], 1)).add_(torch.stack(paint, 1))


def _land(points: Points) -> Planes:
    """The dry or wet or white ground, before light."""
    scene, light = points.scene, points.lights
    blotch = blotches(points)
    colour = _PAINTS[scene.place](points, blotch)
    if scene.weather == "snow":
        share = (0.78 + 0.5 * (0.5 - blotch)).clamp(0, 1)
        colour = mix(colour, _SNOW, share if scene.place != "street" else share * 0.8)
    if scene.weather == "rain":
        sky = [0.5 * (a + b) / li for a, b, li in zip(light.zenith, light.horizon, light.on_ground, strict=True)]
        colour = mix([c * 0.66 for c in colour], sky, _puddles(points))
    return colour


def _land_and_water(points: Points) -> Tensor:
    """Land and the water beside it; each is painted only in rows where it can be seen."""
    near, far = points.z.amax((0, 2)).cpu(), points.z.amin((0, 2)).cpu()
    is_land, is_water = land_and_water_rows(points.scenes, near, far)
    picture = torch.zeros((len(points.x), 3, *points.x.shape[1:]), device=points.x.device)
    rows = _span(is_land)
    if rows is not None:
        picture[:, :, rows] = torch.stack(_land(points.rows(rows)), 1)
    rows = _span(is_water)
    if rows is not None:
        pour(picture[:, :, rows], points.rows(rows))
    return picture


def _span(rows: Tensor) -> slice | None:
    """The rows from the first to the last that is true."""
    found = rows.nonzero()[:, 0]
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else None


def blotches(points: Points) -> Tensor:
    """Two tones in patches, 0 to 1: what is far is 0.5."""
    x, z, phase = points.x, points.z, points.phase
    u = torch.sin(2.3 * x + 1.1 * torch.sin(1.9 * z + phase[0]) + phase[1])
    v = torch.sin(2.9 * z + 1.0 * torch.sin(1.7 * x + phase[2]) + phase[3])
    sharpness = GROUNDS[points.scene.place].sharpness
    return ((u * v * sharpness).clamp(-1, 1) * points.fade(_TEXTURE_REACH) + 1) * 0.5


def _soil(points: Points, blotch: Tensor) -> Planes:
    """The two tones of the place with its fine grain."""
    soil = GROUNDS[points.scene.place]
    x, z, phase = points.x, points.z, points.phase
    grain = torch.sin(7.3 * x + 1.7 * torch.sin(3.1 * z + phase[1])) * torch.sin(
        9.7 * z + 1.9 * torch.sin(2.7 * x + phase[0])
    )
    return shade(mix(soil.base, soil.patch, blotch), 1 + soil.grain * grain * points.fade(7.0))


def _sprinkle(points: Points, *, size: float, radius: float, share: float, turn: int) -> Tensor:
    """Dots on the ground, in cells of ``size``, that fade far away."""
    pixel = (points.wide + points.deep) / (2 * size)
    dot = dots(points.x / size, points.z / size, pixel, radius=radius, share=share, shift=points.phase[turn])
    return dot * (1.6 * radius / pixel).clamp(max=1)


def _park(points: Points, blotch: Tensor) -> Planes:
    return mix(_soil(points, blotch), (0.98, 0.98, 0.92), _sprinkle(points, size=0.52, radius=0.10, share=0.42, turn=2))


def _desert(points: Points, blotch: Tensor) -> Planes:
    x, z, phase = points.x, points.z, points.phase
    ripple = torch.sin(7.0 * z + 2.4 * x + 1.3 * torch.sin(1.1 * x + 0.7 * z + phase[3]))
    return shade(_soil(points, blotch), 1 + 0.07 * ripple * points.fade(8.0))


def _coast(points: Points, blotch: Tensor) -> Planes:
    """Rock: cracks are the zero lines of two waves, moss grows in patches between."""
    x, z, phase = points.x, points.z, points.phase
    colour = _soil(points, blotch)
    moss = (torch.sin(1.3 * x + phase[2]) * torch.sin(1.6 * z + 1.2 * torch.sin(0.9 * x) + phase[1]) - 0.40) * 4
    colour = mix(colour, (0.38, 0.54, 0.25), moss.clamp(0, 1) * points.fade(_TEXTURE_REACH))
    for a, b, turn in ((1.9, 1.3, 0), (-1.3, 2.7, 3)):
        line = torch.sin(a * x + b * z + 1.2 * torch.sin(2.6 * z - 1.7 * x + phase[turn]) + phase[turn])
        crack = band(line, 0.06, 2.4 * (points.wide + points.deep))
        ledge = (line * 3).clamp(-1, 1) * points.fade(_TEXTURE_REACH)
        colour = shade(colour, (1 - 0.42 * crack) * (1 + 0.06 * ledge))
    return colour


def _lake(points: Points, blotch: Tensor) -> Planes:
    colour = mix(
        _soil(points, blotch), (1.0, 0.86, 0.15), _sprinkle(points, size=0.46, radius=0.13, share=0.46, turn=2)
    )
    return mix(colour, (0.80, 0.55, 0.90), _sprinkle(points, size=0.61, radius=0.10, share=0.3, turn=3))


def _hills(points: Points, blotch: Tensor) -> Planes:
    x, z, phase = points.x, points.z, points.phase
    mown = (torch.sin(2.1 * z + 0.9 * torch.sin(0.7 * x + phase[2])) * 4).clamp(-1, 1)
    colour = shade(_soil(points, blotch), 1 + 0.09 * mown * points.fade(13.0))
    side = points.numbers([1.0 if Random(s.layout, "path").chance(0.5) else -1.0 for s in points.scenes])
    middle = side * (0.65 + 0.10 * (2.0 - z).clamp(min=0)) + 0.55 * torch.sin(0.85 * z + phase[0])
    path = band(x - middle, 0.42, points.wide + 0.5 * points.deep)
    stones = _sprinkle(points, size=0.3, radius=0.2, share=0.4, turn=1)
    return mix(mix(colour, (0.90, 0.76, 0.52), path), (0.70, 0.56, 0.36), path * stones * 0.8)


def _street(points: Points, blotch: Tensor) -> Planes:
    x, z, phase = points.x, points.z, points.phase
    colour = _soil(points, blotch)
    colour = mix(colour, (0.52, 0.53, 0.57), 0.7 * _sprinkle(points, size=0.19, radius=0.2, share=0.4, turn=1))
    shifted = (x + phase[2]) / 1.5
    dash = ((0.30 - (shifted - shifted.floor() - 0.5).abs()) * 1.5 / points.wide + 0.5).clamp(0, 1)
    for middle in (-1.15, 1.0):
        colour = mix(colour, (0.97, 0.97, 0.92), band(z - middle, 0.075, points.deep) * dash)
    colour = mix(colour, (0.95, 0.78, 0.16), band(z + 2.32, 0.06, points.deep))
    # The paved walk, raised by nothing but its paint: a pale kerb and slabs.
    walk = ((-2.55 - z) / points.deep + 0.5).clamp(0, 1)
    slab_x, slab_z = x / 0.62, z / 0.5
    joint = torch.maximum(
        band((slab_x - slab_x.floor() - 0.5).abs() - 0.5, 0.05, points.wide / 0.62),
        band((slab_z - slab_z.floor() - 0.5).abs() - 0.5, 0.05, points.deep / 0.5),
    )
    tone = 1 + 0.06 * torch.sin(slab_x.floor() * 12.99 + slab_z.floor() * 78.23)
    slabs = shade(mix((0.78, 0.74, 0.70), (0.50, 0.47, 0.46), joint), tone)
    colour = mix(colour, slabs, walk)
    return mix(colour, (0.92, 0.91, 0.88), band(z + 2.62, 0.09, points.deep))


def _forest(points: Points, blotch: Tensor) -> Planes:
    colour = _soil(points, blotch)
    for paint, size, turn in (
        ((0.82, 0.42, 0.12), 0.40, 0),
        ((0.70, 0.58, 0.18), 0.33, 3),
        ((0.22, 0.15, 0.09), 0.47, 1),
    ):
        colour = mix(colour, paint, _sprinkle(points, size=size, radius=0.15, share=0.5, turn=turn))
    return colour


def _mist(points: Points) -> tuple[float, float, float]:
    r, g, b = (0.25 + 0.75 * c for c in points.lights.horizon)
    return (r, g, b)


def _puddles(points: Points) -> Tensor:
    """How much of the sky wet ground shows: more far away, most in puddles, where drops make rings."""
    x, z, phase = points.x, points.z, points.phase
    pool = torch.sin(1.1 * x + 0.9 * torch.sin(0.8 * z + phase[3]) + phase[2]) * torch.sin(1.4 * z + phase[1]) - 0.42
    pool = (pool * 7).clamp(0, 1)
    ring = rings(x / 0.42, z / 0.42, points.time, (points.wide + points.deep) / 0.84, rate=1.4, shift=phase[0])
    share = 0.10 + 0.30 * points.depth / (points.depth + 8)
    if points.scene.place in ("snowfield", "desert"):
        share, pool = share * 0.5, pool * 0.5
    return (share + pool * 0.42 + ring * (0.18 + 0.4 * pool) * points.fade(8.0)).clamp(0, 1)


_PAINTS: dict[str, Callable[[Points, Tensor], Planes]] = {
    "park": _park,
    "beach": _soil,
    "snowfield": _soil,
    "desert": _desert,
    "coast": _coast,
    "lake": _lake,
    "hills": _hills,
    "street": _street,
    "forest": _forest,
}
