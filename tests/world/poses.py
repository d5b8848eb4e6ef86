"""Poses, views and subjects for tests of shapes, without a scene."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kinema.world.nature import KINDS
from kinema.world.pose import Pose
from kinema.world.scene import Subject
from kinema.world.view import View

DISTANCE = 4.3


def pose(n: int = 1, **parts: float | list[float] | Tensor) -> Pose:
    """At rest, but for ``parts``."""
    zero = torch.zeros(n, dtype=torch.float64)
    names = ("x", "y", "z", "yaw", "roll", "tip", "turned", "gait", "effort", "lift", "reach", "bend")
    still = dict.fromkeys(names, zero) | {"squash": zero + 1}
    moved = {name: zero + torch.as_tensor(value, dtype=torch.float64) for name, value in parts.items()}
    return Pose(**(still | moved), contact=zero == 0)


def subject(kind: str, colour: str = "red", material: str = "matte") -> Subject:
    """One of ``kind``, alone."""
    return Subject(kind=kind, colour=colour, action=KINDS[kind].actions[0], material=material)


def views(*azimuths_deg: float, height_px: int, width_px: int, pitch_deg: float = 8.0) -> View:
    """Views of the place (0, 0.6, 0) from all round."""
    a = torch.tensor(azimuths_deg, dtype=torch.float64).deg2rad()
    zero, p = torch.zeros_like(a), math.radians(pitch_deg)
    right = torch.stack([a.cos(), zero, -a.sin()], -1)
    up = torch.stack([-a.sin() * math.sin(p), zero + math.cos(p), -a.cos() * math.sin(p)], -1)
    forward = torch.stack([-a.sin() * math.cos(p), zero - math.sin(p), -a.cos() * math.cos(p)], -1)
    middle = torch.tensor([0.0, 0.6, 0.0], dtype=torch.float64)
    return View(
        axes=torch.stack([right, up, forward], -2), position=middle - DISTANCE * forward, zoom=zero + 1,
        height_px=height_px, width_px=width_px,
    )  # fmt: skip
