"""Far silhouettes: hills, headlands, firs and roofs as heights over azimuth, drawn before the sky and mirrored in calm water.

Legend: n views, h w pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.backdrop.field import phases
from kinema.world.lights import Lights
from kinema.world.scene import Scene
from kinema.world.solids import Colour


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One silhouette. ``height`` is the highest slope above the horizon, ``waves`` how many a radian, ``far`` how hazy it is."""

    colour: Colour
    height: float
    waves: float
    shape: str = "rolling"
    far: float = 0.35
    lit: Colour | None = None  # windows at night


# From the farthest to the nearest. The four old places have the hills that they had.
FAR_LAYERS: dict[str, tuple[Layer, ...]] = {
    "park": (Layer(colour=(0.20, 0.46, 0.22), height=0.05, waves=9.0),),
    "beach": (),
    "beach afloat": (Layer(colour=(0.24, 0.52, 0.24), height=0.055, waves=6.0, far=0.3),),
    "snowfield": (Layer(colour=(0.70, 0.80, 0.94), height=0.10, waves=5.0),),
    "desert": (Layer(colour=(0.85, 0.55, 0.28), height=0.085, waves=3.5),),
    "coast": (Layer(colour=(0.44, 0.38, 0.36), height=0.075, waves=2.6, shape="rugged", far=0.9),),
    "lake": (
        Layer(colour=(0.34, 0.50, 0.56), height=0.15, waves=3.2, far=1.2),
        Layer(colour=(0.06, 0.28, 0.20), height=0.062, waves=24.0, shape="firs", far=0.25),
    ),
    "hills": (
        Layer(colour=(0.42, 0.62, 0.62), height=0.19, waves=2.6, far=0.9),
        Layer(colour=(0.34, 0.64, 0.38), height=0.135, waves=3.9, far=0.55),
        Layer(colour=(0.46, 0.74, 0.26), height=0.085, waves=5.1, far=0.15),
    ),
    "street": (
        Layer(colour=(0.52, 0.54, 0.62), height=0.15, waves=11.0, shape="roofs", far=0.7, lit=(1.0, 0.82, 0.42)),
    ),
    "forest": (
        Layer(colour=(0.16, 0.38, 0.26), height=0.20, waves=9.0, shape="firs", far=0.45),
        Layer(colour=(0.05, 0.22, 0.12), height=0.15, waves=14.0, shape="firs", far=0.1),
    ),
    "room": (),
}


def layers_of(scene: Scene) -> tuple[Layer, ...]:
    """The silhouettes of ``scene``'s place."""
    return FAR_LAYERS.get(f"{scene.place} afloat" if scene.is_afloat else scene.place, FAR_LAYERS[scene.place])


def silhouettes(
    picture: Tensor,
    scenes: Sequence[Scene],
    moments: int,
    lights: Lights,
    azimuth: Tensor,
    slope: Tensor,
    focal: Tensor,
) -> None:
    """Draws the far layers over ``picture`` (n c h w) in place, in the rows that they reach."""
    layers = layers_of(scenes[0])
    lowest = slope.amin((0, 2)).cpu()
    for number, layer in enumerate(layers):
        top = int((lowest > layer.height + 0.02).sum())
        if top == slope.shape[1]:
            continue
        a, s = azimuth[:, top:], slope[:, top:]
        height = profile(layer, scenes, moments, a, number)
        share = ((height - s) * focal + 0.5).clamp(0, 1)[:, None]
        crop = picture[:, :, top:]
        paint = torch.tensor(layer_paint(layer, lights), device=picture.device)[:, None, None]
        crop.add_((paint - crop) * share)
        if layer.lit is not None and scenes[0].time == "night":
            _windows(crop, layer, a, s, share)


def layer_paint(layer: Layer, lights: Lights) -> Colour:
    """The colour of ``layer`` in this light and haze."""
    far = min(0.9, layer.far * lights.haze)
    r, g, b = (
        c * li * (1 - far) + h * far for c, li, h in zip(layer.colour, lights.on_far, lights.horizon, strict=True)
    )
    return (r, g, b)


def profile(layer: Layer, scenes: Sequence[Scene], moments: int, azimuth: Tensor, number: int) -> Tensor:
    """The slope that ``layer`` reaches at ``azimuth``."""
    name = "hills" if number == 0 else f"hills/{number}"
    return layer.height * _SHAPES[layer.shape](azimuth * layer.waves, phases(scenes, name, 2, moments, azimuth.device))


def _rolling(x: Tensor, phase: list[Tensor]) -> Tensor:
    waves = torch.sin(x + phase[0]) * 0.6 + torch.sin(x * 2.3 + phase[1]) * 0.4
    return 0.62 + 0.38 * waves


def _rugged(x: Tensor, phase: list[Tensor]) -> Tensor:
    """Steep-sided blocks with broken tops, and gaps that show the horizon."""
    blocks = (torch.sin(x + phase[0]) * 2.2 + 0.2).clamp(0, 1)
    crags = torch.sin(x * 6.1 + phase[1]).abs() * 0.16 + ((x * 3.7 + phase[0]).frac() > 0.5) * 0.12
    return blocks * (1 - crags)


def _firs(x: Tensor, phase: list[Tensor]) -> Tensor:
    """A row of pointed trees of several heights."""
    shifted = x + phase[0]
    tree = shifted.floor()
    tooth = 1 - (2 * (shifted - tree) - 1).abs()
    tall = 0.72 + 0.28 * torch.sin(tree * 12.99 + phase[1])
    return 0.34 + 0.66 * tooth * tall


def _roofs(x: Tensor, phase: list[Tensor]) -> Tensor:
    """Blocks of flats of several heights."""
    return 0.55 + 0.45 * torch.sin((x + phase[0]).floor() * 12.99 + phase[1])


def _windows(crop: Tensor, layer: Layer, azimuth: Tensor, slope: Tensor, share: Tensor) -> None:
    u, v = azimuth * layer.waves * 4, slope * 70
    i, j = u.floor(), v.floor()
    is_lit = (torch.sin(i * 12.99 + j * 78.23) > 0.35) & ((u - i - 0.5).abs() < 0.28) & ((v - j - 0.5).abs() < 0.3)
    paint = torch.tensor(layer.lit, device=crop.device)[:, None, None]
    crop.add_((paint - crop) * (share * 0.8 * is_lit[:, None]))


_SHAPES: dict[str, Callable[[Tensor, list[Tensor]], Tensor]] = {
    "rolling": _rolling,
    "rugged": _rugged,
    "firs": _firs,
    "roofs": _roofs,
}
