"""Numbers that no word says: how well a clip follows a motion score, a camera path, a first picture; how much it flickers.

Legend: t and u frames, h w pixels, n clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Frames = UInt8[Tensor, "t h w 3"]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The rank correlation of two equally long rows, ties at their mean rank; 0 where a row doesn't vary."""
    a, b = _ranks(one), _ranks(other)
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a.square().sum() * b.square().sum()))
    return float((a * b).sum()) / spread if spread else 0.0


def psnr(one: Frames, other: Frames) -> float:
    """Peak signal to noise ratio in dB over all frames and pixels; 99 for equal ones."""
    error = float((one.float() - other.float()).square().mean())
    return min(99.0, 10 * math.log10(255**2 / error)) if error else 99.0


def flicker(frames: Frames) -> float:
    """The mean second difference over time, in grey levels: what changes and changes back, where smooth motion changes steadily."""
    if len(frames) < 3:
        return 0.0
    x = frames.float().mean(-1)
    return float((x[2:] - 2 * x[1:-1] + x[:-2]).abs().mean())


def path_errors(path: Float[Tensor, "t 7"], wanted: Float[Tensor, "u 7"]) -> dict[str, float]:
    """How far a camera's path is from ``wanted``: degrees (the largest of the three turns), distances to the subject, and log zoom.

    Both as `kinema.world.camera.camera_features` states them; means over the frames that both have.
    """
    count = min(len(path), len(wanted))
    off = (path[:count] - wanted[:count]).abs()
    return {
        "degrees": math.degrees(float(off[:, :3].amax(-1).mean())),
        "distances": float(off[:, 3:6].square().sum(-1).sqrt().mean()),
        "log_zoom": float(off[:, 6].mean()),
    }


def _ranks(values: Sequence[float]) -> Float[Tensor, " n"]:
    x = torch.tensor(values, dtype=torch.float64)
    return ((x[:, None] > x).sum(1) + (x[:, None] >= x).sum(1) + 1).double() / 2
