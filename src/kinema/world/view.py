"""Views, windows and rays: from the picture's pixels to slopes in the world, and back to boxes in the picture.

Legend: n views, p solids, h w samples. A ray is forward + x right + y up, with slopes x and y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.world.camera import FIELD_OF_VIEW_DEG, CameraPath
from kinema.world.solids import Shape, Solids

_ALL_ROUND, _ROUND_ABOUT_Y, _ROUND_ABOUT_Z = ("ellipsoid",), ("cylinder", "cone", "capsule", "dome"), ("ring",)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of the picture, of one size in all n views and with a corner of its own in each.

    ``grain`` is the number of samples per pixel along each axis.
    """

    top: Int[Tensor, " n"]
    left: Int[Tensor, " n"]
    height_px: int
    width_px: int
    grain: int


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Ray slopes at a window's samples."""

    x: Float[Tensor, "n 1 w"]
    y: Float[Tensor, "n h 1"]


@dataclass(frozen=True, kw_only=True)
class View:
    """The cameras of n views and the size of their picture."""

    axes: Float[Tensor, "n 3 3"]
    position: Float[Tensor, "n 3"]
    zoom: Float[Tensor, " n"]
    height_px: int
    width_px: int

    @classmethod
    def of(cls, paths: Sequence[CameraPath], *, height_px: int, width_px: int) -> View:
        """The view of several camera paths, one after the other."""
        return cls(
            axes=torch.cat([p.axes for p in paths]),
            position=torch.cat([p.position for p in paths]),
            zoom=torch.cat([p.zoom for p in paths]),
            height_px=height_px,
            width_px=width_px,
        )

    def __len__(self) -> int:
        return self.zoom.shape[0]

    @property
    def focal_px(self) -> Float[Tensor, " n"]:
        """Pixels per unit of slope."""
        return min(self.height_px, self.width_px) / 2 / math.tan(math.radians(FIELD_OF_VIEW_DEG / 2)) * self.zoom

    def take(self, numbers: Int[Tensor, " m"]) -> View:
        """Some of the views."""
        return View(
            axes=self.axes[numbers],
            position=self.position[numbers],
            zoom=self.zoom[numbers],
            height_px=self.height_px,
            width_px=self.width_px,
        )

    def whole(self) -> Window:
        """The window of all pixels, one sample in each."""
        zero = torch.zeros(len(self), dtype=torch.int64)
        return Window(top=zero, left=zero, height_px=self.height_px, width_px=self.width_px, grain=1)

    def window(self, boxes: Float[Tensor, "n 4"], *, grain: int) -> Window | None:
        """The smallest window of one size that holds each view's box, clipped to the picture; None if all lie outside."""
        limits = torch.tensor([self.width_px, self.height_px], dtype=torch.float64)
        low = (boxes[:, :2].floor() - 1).clamp(min=0).minimum(limits)
        high = (boxes[:, 2:].ceil() + 1).minimum(limits).clamp(min=0)
        width, height = (int(x) for x in (high - low).amax(0).tolist())
        if width <= 0 or height <= 0:
            return None
        corner = torch.minimum(low, limits - torch.tensor([width, height])).to(torch.int64)
        return Window(left=corner[:, 0], top=corner[:, 1], height_px=height, width_px=width, grain=grain)

    def slopes(self, window: Window, device: torch.device) -> Slopes:
        """The slopes of ``window``'s samples."""
        focal = self.focal_px.to(device, torch.float32)[:, None]
        columns = (
            torch.arange(window.width_px * window.grain, device=device, dtype=torch.float32) + 0.5
        ) / window.grain
        rows = (torch.arange(window.height_px * window.grain, device=device, dtype=torch.float32) + 0.5) / window.grain
        x = (columns + (window.left.to(device)[:, None] - self.width_px / 2)) / focal
        y = (self.height_px / 2 - window.top.to(device)[:, None] - rows) / focal
        return Slopes(x=x[:, None, :], y=y[:, :, None])

    def rays(self, slopes: Slopes, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """World parts (x, y, z) of the rays; y is (n h 1), since the cameras never roll."""
        axes = self.axes.to(device, torch.float32)[:, :, :, None, None]
        rise = axes[:, 2, 1] + slopes.y * axes[:, 1, 1]
        x, z = (axes[:, 2, k] + slopes.x * axes[:, 0, k] + slopes.y * axes[:, 1, k] for k in (0, 2))
        return x, rise, z

    def eye(self, device: torch.device) -> Float[Tensor, "n 3 1 1"]:
        """The cameras' places, shaped to meet (n h w)."""
        return self.position.to(device, torch.float32)[:, :, None, None]


def screen_boxes(solids: Solids, view: View) -> Float[Tensor, "n p 4"]:
    """Conservative picture boxes of every solid (left, top, right, bottom; pixels, not clipped)."""
    axes = view.axes[:, None]  # n 1 3 3
    centre = (axes * (solids.matrix[..., 3] - view.position[:, None])[..., None, :]).sum(-1)  # n p axis
    reach = (axes[..., None] * solids.matrix[..., None, :, :3]).sum(-2)  # n p axis radius
    extent = _extent(solids.shapes, reach)
    near = (centre[..., 2] - extent[..., 2]).clamp(min=0.05)
    far = (centre[..., 2] + extent[..., 2]).clamp(min=0.05)
    sides = []
    for axis, sign, middle in (
        (0, -1, view.width_px),
        (1, 1, view.height_px),
        (0, 1, view.width_px),
        (1, -1, view.height_px),
    ):
        edge = sign * centre[..., axis] + extent[..., axis]
        slope = torch.maximum(edge / near, edge / far) * view.focal_px[:, None]
        # Up in the world is towards row 0.
        sides.append(middle / 2 + (slope if axis == 0 else -slope) * sign)
    return torch.stack(sides, -1)


def _extent(shapes: Sequence[Shape], reach: Float[Tensor, "n p axis radius"]) -> Float[Tensor, "n p axis"]:
    """How far shapes reach from their middles along axes on which their radii have the parts ``reach``."""
    square = reach.square()
    all_round = square.sum(-1).sqrt()
    about_y = (square[..., 0] + square[..., 2]).sqrt() + reach[..., 1].abs()
    about_z = (square[..., 0] + square[..., 1]).sqrt() + reach[..., 2].abs()
    extent = reach.abs().sum(-1)
    for names, tight in ((_ALL_ROUND, all_round), (_ROUND_ABOUT_Y, about_y), (_ROUND_ABOUT_Z, about_z)):
        extent = torch.where(torch.tensor([s.name in names for s in shapes])[:, None], tight, extent)
    return extent


def around(boxes: Float[Tensor, "n p 4"]) -> Float[Tensor, "n 4"]:
    """The box around each view's boxes."""
    return torch.cat([boxes[..., :2].amin(1), boxes[..., 2:].amax(1)], -1)


def crops(boxes: Float[Tensor, "n p 4"], window: Window) -> list[tuple[int, int, int, int]]:
    """For each solid the (top, bottom, left, right) samples of ``window`` that hold it in all views."""
    corner = torch.stack([window.left, window.top, window.left, window.top], -1)[:, None].to(torch.float64)
    inside = (boxes - corner) * window.grain
    low = inside[..., :2].amin(0).floor().to(torch.int64).tolist()
    high = inside[..., 2:].amax(0).ceil().to(torch.int64).tolist()
    h, w = window.height_px * window.grain, window.width_px * window.grain
    return [
        (max(0, top - 1), min(h, bottom + 1), max(0, left - 1), min(w, right + 1))
        for (left, top), (right, bottom) in zip(low, high, strict=True)
    ]
