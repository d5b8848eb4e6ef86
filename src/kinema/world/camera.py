"""Where the camera is at any moment, the convention of every class, and what a model is told of it.

HunyuanVideo (arXiv:2412.03603, section 3.2) names 14 classes: zoom in and out; pan up, down, left, right; tilt up, down, left,
right; around left and right; static; handheld. It doesn't define them. Pan and tilt both come in four directions there, so they
can't be the film crew's pair (pan: turn sideways, tilt: turn up and down); we read pan as a translation and tilt as a rotation,
each along the picture's axes. Movie Gen (arXiv:2410.13720) adds push in, pull out and tracking, and has other names for three
that are here already (`ALIASES`). `CAMERAS` states what this module draws of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.world.motion import poses
from kinema.world.motion.constants import TARGET_HEIGHT, VIEW_SPAN, view_span
from kinema.world.scene import CAMERA_ALIASES, Scene

# class -> (what the camera does, what the picture does). Left and right are the camera operator's.
CAMERAS: dict[str, tuple[str, str]] = {
    "static": ("nothing moves", "the background stands still"),
    "zoom_in": ("the focal length grows, the camera stays", "everything grows about the centre, no parallax"),
    "zoom_out": ("the focal length shrinks, the camera stays", "everything shrinks about the centre, no parallax"),
    "pan_up": ("translates up, looking straight on", "things move down, near ones faster"),
    "pan_down": ("translates down, looking straight on", "things move up, near ones faster"),
    "pan_left": ("translates to its left, looking straight on", "things move right, near ones faster"),
    "pan_right": ("translates to its right, looking straight on", "things move left, near ones faster"),
    "tilt_up": ("stays and turns to look higher", "everything moves down alike"),
    "tilt_down": ("stays and turns to look lower", "everything moves up alike"),
    "tilt_left": ("stays and turns to its left", "everything moves right alike"),
    "tilt_right": ("stays and turns to its right", "everything moves left alike"),
    "around_left": ("circles the subject to its left, looking at it", "the background moves left, the subject turns"),
    "around_right": ("circles the subject to its right, looking at it", "the background moves right, the subject turns"),
    "handheld": ("sways a little in place and angle", "everything trembles and drifts to and fro"),
    "push_in": ("moves ahead, towards the subject", "things grow, near ones faster"),
    "pull_out": ("moves back, away from the subject", "things shrink, near ones faster"),
    "tracking": ("translates sideways with the subject", "the subject stays in the middle, the background passes"),
}  # fmt: skip
ALIASES = CAMERA_ALIASES  # of movements that have a name already
CAMERA_FEATURE_NAMES = ("yaw", "pitch", "roll", "x", "y", "z", "log_zoom")
CAMERA_FEATURES = len(CAMERA_FEATURE_NAMES)

FIELD_OF_VIEW_DEG = 32.0  # along the picture's shorter side, at zoom 1
_ZOOM_RANGE = (0.84, 1.26)
_PAN_SPAN = 0.8
_PEDESTAL_SPAN = 0.62
_TILT_DEG = 9.0
_AROUND_DEG = 50.0
_PUSH_RANGE = (1.20, 0.78)  # of the distance
_MOVE_S = 2.0
# handheld: (amplitude, cycles a second, phase) of each part; no two share a period
_SWAY_DEG = ((0.9, 0.71, 0.4), (0.5, 1.63, 2.1))
_SWAY = ((0.045, 0.53, 1.0), (0.022, 1.37, 0.2))


@dataclass(frozen=True, kw_only=True)
class CameraPath:
    """A camera at n moments: orthonormal axes as seen in the world, its place, and its zoom.

    ``axes`` rows are right, up and forward; a point p stands at ``axes @ (p - position)`` in camera coordinates. ``distance`` is from
    the camera's usual place to what it looks at.
    """

    axes: Float[Tensor, "n 3 3"]
    position: Float[Tensor, "n 3"]
    zoom: Float[Tensor, " n"]
    distance: float

    def mirrored(self) -> CameraPath:
        """The path seen in the mirror x -> -x, with right-handed axes again."""
        flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
        axes = self.axes * flip
        return CameraPath(
            axes=axes * flip[:, None], position=self.position * flip, zoom=self.zoom, distance=self.distance
        )


@dataclass(frozen=True, kw_only=True)
class _Move:
    """What a class changes, each a number at n moments: angles in radians, lengths in subject heights at the smallest span."""

    azimuth: Tensor | float = 0.0  # of the camera about its target
    yaw: Tensor | float = 0.0  # to its left
    pitch: Tensor | float = 0.0  # up
    across: Tensor | float = 0.0
    up: Tensor | float = 0.0
    near: Tensor | float = 1.0  # share of the distance
    zoom: Tensor | float = 1.0


def camera_path(
    name: str, *, times_s: Float[Tensor, " n"], elevation_deg: float = 6.0, speed: float = 1.0, span: float = VIEW_SPAN,
    follow: Float[Tensor, " n"] | None = None,
) -> CameraPath:  # fmt: skip
    """The path of camera class ``name`` at ``times_s``.

    ``span`` is what the picture's shorter side shows at the target, in subject heights; ``follow`` how far right a tracking camera
    has to be. Raises: InvalidInput for an unknown class.
    """
    name = ALIASES.get(name, name)
    if name not in CAMERAS:
        raise InvalidInput("camera", name, f"must be {choices([*CAMERAS, *ALIASES])}")
    t = times_s.to(torch.float64)
    zero = torch.zeros_like(t)
    move = _move(name, t, speed, zero if follow is None else follow)
    distance = span / 2 / math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))
    stretch = span / VIEW_SPAN
    azimuth, elevation = zero + move.azimuth, math.radians(elevation_deg)
    look = -(zero + elevation)
    across = zero + (move.across * stretch if name != "tracking" else move.across)
    target = torch.stack([across, zero + TARGET_HEIGHT * stretch**0.5 + move.up * stretch, zero], -1)
    position = target - distance * (zero + move.near)[:, None] * _axes(azimuth, look)[:, 2]
    return CameraPath(
        axes=_axes(azimuth + move.yaw, look + move.pitch), position=position, zoom=zero + move.zoom, distance=distance
    )


def scene_camera(scene: Scene, times_s: Float[Tensor, " n"]) -> CameraPath:
    """The camera of ``scene`` at ``times_s``, as it is seen (a flipped scene's path is mirrored)."""
    inner = scene.unflipped()
    follow = poses(inner, times_s)[0].x if inner.camera == "tracking" else None
    path = camera_path(
        inner.camera, times_s=times_s, elevation_deg=inner.elevation_deg, speed=inner.camera_speed, span=view_span(inner),
        follow=follow,
    )  # fmt: skip
    return path.mirrored() if scene.flipped else path


def frame_times(frames: Sequence[int] | int, fps: float) -> Float[Tensor, " n"]:
    """Seconds of the given frame numbers (or of the first ``frames``)."""
    numbers = range(frames) if isinstance(frames, int) else frames
    return torch.tensor([n / fps for n in numbers], dtype=torch.float64)


def camera_features(
    camera: Scene | str, frame_indices: Sequence[int], *, fps: float = 8.0, elevation_deg: float = 6.0
) -> Float[Tensor, "n features"]:
    """(n, CAMERA_FEATURES) float32: the pose at each frame relative to frame 0's.

    yaw (left positive), pitch (up positive), roll in radians; x (right), y (up), z (forward) in units of the subject's distance, in
    frame 0's axes; log zoom over frame 0's. ``camera`` is a scene or a class name (of a scene with one subject that stays).
    """
    times = frame_times([0, *frame_indices], fps)
    is_scene = isinstance(camera, Scene)
    path = scene_camera(camera, times) if is_scene else camera_path(camera, times_s=times, elevation_deg=elevation_deg)
    return relative_features(path)[1:].to(torch.float32) + 0.0  # no negative zeros


def relative_features(path: CameraPath) -> Float[Tensor, "n features"]:
    """The poses of ``path`` relative to its first one, as `camera_features` states them, in float64."""
    first = path.axes[0]
    moved = (first * (path.position - path.position[0])[:, None, :]).sum(-1) / path.distance
    relative = (first[None, :, None, :] * path.axes[:, None, :, :]).sum(-1)  # [n, axis of frame 0, axis of frame n]
    forward = relative[:, :, 2]
    yaw = torch.atan2(-forward[:, 0], forward[:, 2])
    pitch = torch.asin(forward[:, 1].clamp(-1, 1))
    roll = torch.atan2(relative[:, 1, 0], relative[:, 1, 1])
    zoom = torch.log(path.zoom / path.zoom[0])
    features = torch.stack([yaw, pitch, roll, moved[:, 0], moved[:, 1], moved[:, 2], zoom], -1)
    return features - features[0]  # exactly zero there


def _axes(azimuth: Tensor, look: Tensor) -> Float[Tensor, "n 3 3"]:
    """Right, up and forward of a camera that is turned by ``azimuth`` about y and looks up by ``look``."""
    sin_a, cos_a, sin_p, cos_p = azimuth.sin(), azimuth.cos(), look.sin(), look.cos()
    zero = torch.zeros_like(azimuth)
    right = torch.stack([cos_a, zero, -sin_a], -1)
    up = torch.stack([sin_a * sin_p, cos_p, cos_a * sin_p], -1)
    forward = torch.stack([-sin_a * cos_p, sin_p, -cos_a * cos_p], -1)
    return torch.stack([right, up, forward], -2)


def _move(name: str, t: Tensor, speed: float, follow: Tensor) -> _Move:
    """What class ``name`` does at ``t`` seconds."""
    u = _progress(t / _MOVE_S * speed)
    middle = u - 0.5 * min(1.0, speed)
    kind, _, way = name.partition("_")
    sign = 1.0 if way in ("right", "up") else -1.0
    if name in ("zoom_in", "zoom_out"):
        start, end = _ZOOM_RANGE if way == "in" else _ZOOM_RANGE[::-1]
        return _Move(zoom=start * torch.exp(u * math.log(end / start)))
    if name in ("push_in", "pull_out"):
        start, end = _PUSH_RANGE if way == "in" else _PUSH_RANGE[::-1]
        return _Move(near=start * torch.exp(u * math.log(end / start)))
    if kind == "pan":
        shift = sign * middle
        return _Move(across=shift * _PAN_SPAN) if way in ("left", "right") else _Move(up=shift * _PEDESTAL_SPAN)
    if kind == "tilt":
        angle = sign * middle * math.radians(_TILT_DEG)
        return _Move(yaw=-angle) if way in ("left", "right") else _Move(pitch=angle)
    if kind == "around":
        return _Move(azimuth=sign * middle * math.radians(_AROUND_DEG))
    if name == "handheld":
        return _handheld(t, speed)
    return _Move(across=follow) if name == "tracking" else _Move()


def _handheld(t: Tensor, speed: float) -> _Move:
    def sway(parts: Sequence[tuple[float, float, float]], shift: float) -> Tensor:
        waves = [a * torch.sin(2 * math.pi * f * t + p + shift) for a, f, p in parts]
        return speed * torch.stack(waves).sum(0)

    return _Move(
        yaw=sway(_SWAY_DEG, 0.0) * math.pi / 180,
        pitch=sway(_SWAY_DEG, 1.9) * math.pi / 180,
        across=sway(_SWAY, 0.7),
        up=sway(_SWAY, 3.1),
    )


def _progress(u: Tensor) -> Tensor:
    """``u`` to begin with, easing to a limit later, so that a long clip never loses the subject."""
    start, room = 1.2, 0.4
    over = (u - start).clamp(min=0.0)
    return torch.where(u < start, u, start + room * (1 - torch.exp(-over / room)))
