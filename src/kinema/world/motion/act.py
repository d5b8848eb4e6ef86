"""`Act`: what a formula of motion is told of its subject, and the room that the camera and the others leave it.

All formulas have the form ``(t, act) -> dict``: the fields of `Pose` that differ from rest, with ``x`` and ``z`` in the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.kinds import subject_size
from kinema.world.motion.constants import TARGET_HEIGHT, VIEW_SPAN, half_width, view_span
from kinema.world.nature import PAIR_ACTIONS
from kinema.world.scene import Scene, Subject

Fields = dict[str, Tensor]

TRAVELS = ("walk", "run", "roll", "slide", "toss", "fly")
# How far each action turns the nose from the picture's plane to the camera.
_TURN_TO_CAMERA_DEG = {
    "walk": 14.0, "run": 14.0, "roll": 0.0, "slide": 14.0, "play": 50.0, "wave": 72.0, "toss": 14.0, "topple": 12.0,
    "collide": 0.0, "knock_over": 0.0, "drink": 16.0,
}  # fmt: skip
_TURN_OTHERWISE_DEG = 35.0
_ZOOM_SHARE = 0.78  # what a camera that comes near leaves of the picture
_SIDEWAYS = 0.4  # how far pans and tilts carry the picture's middle off the subject, at the smallest span
_UPWARDS = 0.33
_TREMBLE = 0.15
_SLIM = 0.42  # half of how broad most kinds are
_MARGIN = 0.06  # below the picture's upper edge, since what is nearer seems higher


@dataclass(frozen=True, kw_only=True)
class Act:
    """Subject ``number`` of an unflipped ``scene``."""

    scene: Scene
    number: int

    @property
    def subject(self) -> Subject:
        """The subject itself."""
        return self.scene.subjects[self.number]

    @property
    def kind(self) -> str:
        """The subject's kind."""
        return self.subject.kind

    @property
    def size(self) -> float:
        """World units per own unit of the subject."""
        return subject_size(self.subject)

    @property
    def sign(self) -> float:
        """1 if it faces right, -1 if left."""
        return 1.0 if self.subject.direction == "right" else -1.0

    @property
    def yaw(self) -> float:
        """The yaw that it starts with."""
        from_plane = math.radians(_TURN_TO_CAMERA_DEG.get(self.subject.action, _TURN_OTHERWISE_DEG))
        return facing(self.sign, from_plane)


def facing(sign: float, turn_to_camera: float = 0.0) -> float:
    """The yaw of a nose to the right (``sign`` 1) or left (-1), turned to the camera by some radians."""
    return -turn_to_camera if sign > 0 else math.pi + turn_to_camera


def half_picture(scene: Scene, *, towards: float | None = None) -> float:
    """How far from the middle a thing at the subjects' plane stays in the picture all along the camera's way.

    ``towards`` is the sign of the way that the thing goes, which may be the camera's own way.
    """
    half = (
        view_span(scene) / 2 * (_ZOOM_SHARE if scene.camera in ("zoom_in", "zoom_out", "push_in", "pull_out") else 1.0)
    )
    stretch = view_span(scene) / VIEW_SPAN
    move, _, way = scene.camera.partition("_")
    if move in ("pan", "tilt") and way in ("left", "right"):
        along = towards == (1.0 if way == "right" else -1.0)
        half -= 0.0 if along else _SIDEWAYS * stretch * scene.camera_speed
    return half - (_TREMBLE * scene.camera_speed if scene.camera == "handheld" else 0.0)


def headroom(scene: Scene, *, at_start: bool = False) -> float:
    """The height up to which the picture shows things, all along the camera's way or just when it starts."""
    span = view_span(scene)
    stretch = span / VIEW_SPAN
    near = ("zoom_out", "pull_out") if at_start else ("zoom_in", "zoom_out", "push_in", "pull_out")
    high = TARGET_HEIGHT * math.sqrt(stretch) + span / 2 * (_ZOOM_SHARE if scene.camera in near else 1.0)
    low_start = scene.camera in ("pan_up", "tilt_up")
    low_end = scene.camera in ("pan_down", "tilt_down")
    if low_start or (low_end and not at_start):
        high -= _UPWARDS * stretch * scene.camera_speed
    return high - _MARGIN - (_TREMBLE * scene.camera_speed if scene.camera == "handheld" else 0.0)


def lane(act: Act) -> tuple[float, float]:
    """The (low, high) between which the subject's sides stay: in the picture, and clear of those who stand in its way."""
    scene, subject = act.scene, act.subject
    half = half_picture(scene, towards=act.sign)
    low, high = min(-half, subject.x - 0.5), max(half, subject.x + 0.5)
    width = half_width(subject)
    for number, other in enumerate(scene.subjects):
        if number == act.number or not _shares_lane(subject, other):
            continue
        middle = (subject.x + other.x) / 2 + (width - half_width(other)) / 2 * (1 if other.x > subject.x else -1)
        edge = other.x - half_width(other) if other.x > subject.x else other.x + half_width(other)
        edge = middle if other.action in (*TRAVELS, *PAIR_ACTIONS) else edge
        if other.x > subject.x:
            high = min(high, edge)
        else:
            low = max(low, edge)
    return low, high


def way(act: Act, *, longest: float, shortest: float, reach: float) -> tuple[float, float]:
    """(start, end) of a way along the picture in the direction that the subject faces, for one that reaches so far ahead."""
    low, high = lane(act)
    free = high - low - 2 * reach
    length = min(longest, max(free, shortest if is_alone(act) else 0.0))
    middle = (
        min(max(act.subject.x, low + reach + length / 2), high - reach - length / 2)
        if free >= length
        else (low + high) / 2
    )
    return middle - act.sign * length / 2, middle + act.sign * length / 2


def room_beside(act: Act, share: float) -> float:
    """How far the subject may move to both sides of its home, if ``share`` of its width has to stay in its lane."""
    low, high = lane(act)
    return min(high - act.subject.x, act.subject.x - low) - share * half_width(act.subject)


def is_alone(act: Act) -> bool:
    """Whether nobody else stands in the subject's lane."""
    others = (o for n, o in enumerate(act.scene.subjects) if n != act.number)
    return not any(_shares_lane(act.subject, o) for o in others)


def _shares_lane(one: Subject, other: Subject) -> bool:
    """Whether ``other`` stands where ``one`` would pass, which goes along the picture and is slim seen from ahead."""
    return abs(other.z - one.z) < _SLIM * one.size + 0.75 * half_width(other)


def smooth(u: Tensor) -> Tensor:
    """0 before 0, 1 after 1, and a smooth step between."""
    u = u.clamp(0, 1)
    return u * u * (3 - 2 * u)


def pulse(t: Tensor, start: float, up_s: float, hold_s: float, down_s: float) -> Tensor:
    """0, rising to 1 from ``start`` on, held, and falling to 0 again."""
    return smooth((t - start) / up_s) - smooth((t - start - up_s - hold_s) / down_s)


def triangle(u: Tensor) -> Tensor:
    """Up from 0 to 1 and down again with period 2."""
    return 1 - (1 - u % 2).abs()


def hold(t: Tensor, value: float) -> Tensor:
    """``value`` at all moments."""
    return torch.full_like(t, value)


def about_centre(x: Tensor, y: Tensor, roll: Tensor, height: float) -> tuple[Tensor, Tensor]:
    """The foot's (x, y) of a thing whose centre is ``height`` above its foot and stands where an upright one's at (x, y) would."""
    return x + height * roll.sin(), y + height * (1 - roll.cos())
