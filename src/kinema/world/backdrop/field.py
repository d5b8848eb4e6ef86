"""Helpers of what is painted pixel by pixel: mixing, numbers a scene, and the points of the ground that pixels see.

Legend: n views (all moments of all scenes), h w pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kinema.world.lights import Lights
from kinema.world.rng import Random
from kinema.world.scene import Scene

Planes = list[Tensor]
Paint = Sequence[float | Tensor]
WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Points:
    """What the pixels of a window see of the plane y = 0, and all that paints need to know.

    ``x`` and ``z`` are world places, ``depth`` is along the view axis, ``wide`` and ``deep`` are the size of a pixel there along x and z.
    """

    scenes: Sequence[Scene]
    moments: int
    lights: Lights
    x: Tensor  # n h w
    z: Tensor  # n h w
    depth: Tensor  # n h 1
    wide: Tensor  # n h 1
    deep: Tensor  # n h 1
    time: Tensor  # n 1 1, seconds
    rays: tuple[Tensor, Tensor, Tensor]
    focal: Tensor  # n 1 1
    phase: list[Tensor]  # n 1 1 each, random angles

    @property
    def scene(self) -> Scene:
        """Any of the scenes: they have one place, time and weather."""
        return self.scenes[0]

    def fade(self, reach: float) -> Tensor:
        """1 near by, 0 beyond depth ``reach``: what is fine fades before it aliases."""
        return 1 / (1 + (self.depth / reach).square().square())

    def rows(self, rows: slice) -> Points:
        """Some rows of the points."""
        cropped = {name: getattr(self, name)[:, rows] for name in ("x", "z", "depth", "wide", "deep")}
        rx, rise, rz = self.rays
        return replace(self, rays=(rx[:, rows], rise[:, rows], rz[:, rows]), **cropped)

    def numbers(self, values: Sequence[float]) -> Tensor:
        """One number a scene, shaped to meet the planes."""
        return numbers(values, self.moments, self.x.device)


def column(values: Tensor, device: torch.device) -> Tensor:
    """A number a view, shaped to meet (n h w)."""
    return values.to(device, torch.float32)[:, None, None]


def numbers(values: Sequence[float], moments: int, device: torch.device) -> Tensor:
    """One number a scene, at all its moments, shaped to meet (n h w)."""
    return torch.tensor(values, dtype=torch.float32, device=device).repeat_interleave(moments)[:, None, None]


def phases(scenes: Sequence[Scene], name: str, count: int, moments: int, device: torch.device) -> list[Tensor]:
    """``count`` random angles a scene."""
    drawn = [[Random(s.layout, f"{name}/{k}").uniform(0, 2 * math.pi) for s in scenes] for k in range(count)]
    return [numbers(d, moments, device) for d in drawn]


def mix(a: Paint, b: Paint, share: Tensor) -> Planes:
    """``a`` where ``share`` is 0, ``b`` where it is 1."""
    return [p + (q - p) * share for p, q in zip(a, b, strict=True)]


def shade(a: Paint, factor: Tensor) -> Planes:
    """``a`` made darker or lighter."""
    return [p * factor for p in a]


def smooth(x: Tensor) -> Tensor:
    """A soft step from 0 at 0 to 1 at 1."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def band(distance: Tensor, half_width: float, pixel: Tensor) -> Tensor:
    """1 within ``half_width`` of a line, with an edge a pixel wide, and fainter where a pixel is wider than the line."""
    return ((half_width - distance.abs()) / pixel + 0.5).clamp(0, 1) * (2 * half_width / pixel).clamp(max=1)


def dots(u: Tensor, v: Tensor, pixel: Tensor, *, radius: float, share: float, shift: Tensor) -> Tensor:
    """Round dots, one in some cells of the unit grid of (u, v): 1 within, 0 outside. ``pixel`` is a pixel's size there.

    ``share`` is how many cells hold one. ``shift`` (an angle) makes another pattern.
    """
    distance, lot = cells(u, v, room=0.5 - radius, shift=shift)
    return ((radius - distance) / pixel + 0.5).clamp(0, 1) * (lot < 2 * share - 1)


def cells(u: Tensor, v: Tensor, *, room: float, shift: Tensor) -> tuple[Tensor, Tensor]:
    """In the unit grid of (u, v): how far the point of one's cell is, up to ``room`` off its middle; and the cell's lot, -1 to 1."""
    i, j = u.floor(), v.floor()
    a, b, c = (torch.sin(i * p + j * q + shift) for p, q in ((12.99, 78.23), (39.35, 11.13), (63.73, 26.68)))
    du, dv = u - i - 0.5 - a * room, v - j - 0.5 - b * room
    return (du * du + dv * dv).sqrt(), c


def rings(u: Tensor, v: Tensor, time: Tensor, pixel: Tensor, *, rate: float, shift: Tensor) -> Tensor:
    """Rings that widen and fade, one in each cell of the unit grid of (u, v), born ``rate`` times a second."""
    i, j = u.floor(), v.floor()
    a, b, c = (torch.sin(i * p + j * q + shift) for p, q in ((12.99, 78.23), (39.35, 11.13), (63.73, 26.68)))
    du, dv = u - i - 0.5 - a * 0.18, v - j - 0.5 - b * 0.18
    age = (time * rate + c * 3).frac()
    age = age + (age < 0)
    distance = (du * du + dv * dv).sqrt() - 0.3 * age
    return (1 - distance.abs() / (0.04 + pixel)).clamp(0, 1) * (1 - age)
