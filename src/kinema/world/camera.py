"""Where the camera is at any moment, the convention of every class, and what a model is told of it.

HunyuanVideo (arXiv:2412.03603, section 3.2) names 14 classes: zoom in and out; pan up, down, left, right; tilt up, down, left,
right; around left and right; static; handheld. It doesn't define them. Pan and tilt both come in four directions there, so they
can't be the film crew's pair (pan: turn sideways, tilt: turn up and down); we read pan as a translation and tilt as a rotation,
each along the picture's axes. `CAMERAS` states what this module draws of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.world.scene import Scene

# class -> (what the camera does, what the picture does). Left and right are the camera operator's.
CAMERAS: dict[str, tuple[str, str]] = {
    "static": ("nothing moves", "the background stands still"),
    "zoom_in": ("the focal length grows, the camera stays", "everything grows about the centre, no parallax"),
    "zoom_out": ("the focal length shrinks, the camera stays", "everything shrinks about the centre, no parallax"),
    "pan_left": ("translates to its left, looking straight on", "things move right, near ones faster"),
    "pan_right": ("translates to its right, looking straight on", "things move left, near ones faster"),
    "around_left": ("circles the subject to its left, looking at it", "the background moves left, the subject turns"),
    "around_right": (
        "circles the subject to its right, looking at it",
        "the background moves right, the subject turns",
    ),
}
CAMERA_FEATURE_NAMES = ("yaw", "pitch", "roll", "x", "y", "z", "log_zoom")
CAMERA_FEATURES = len(CAMERA_FEATURE_NAMES)

FIELD_OF_VIEW_DEG = 32.0  # along the picture's shorter side, at zoom 1
VIEW_SPAN = 2.45  # what that side shows at the subject, in subject heights
DISTANCE = VIEW_SPAN / 2 / math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))
TARGET_HEIGHT = 0.62
_ZOOM_RANGE = (0.84, 1.26)
_PAN_SPAN = 0.8
_AROUND_DEG = 50.0
_MOVE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class CameraPath:
    """A camera at n moments: orthonormal axes as seen in the world, its place, and its zoom.

    ``axes`` rows are right, up and forward; a point p stands at ``axes @ (p - position)`` in camera coordinates.
    """

    axes: Float[Tensor, "n 3 3"]
    position: Float[Tensor, "n 3"]
    zoom: Float[Tensor, " n"]

    def mirrored(self) -> CameraPath:
        """The path seen in the mirror x -> -x, with right-handed axes again."""
        flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
        axes = self.axes * flip
        return CameraPath(axes=axes * flip[:, None], position=self.position * flip, zoom=self.zoom)


def camera_path(name: str, *, times_s: Float[Tensor, " n"], elevation_deg: float = 6.0) -> CameraPath:
    """The path of camera class ``name`` at ``times_s``. Raises: InvalidInput for an unknown class."""
    if name not in CAMERAS:
        raise InvalidInput("camera", name, f"must be {choices(CAMERAS)}")
    t = times_s.to(torch.float64)
    u = _progress(t / _MOVE_S)
    zero = torch.zeros_like(u)
    azimuth, shift, zoom = zero, zero, zero + 1
    if name == "zoom_in":
        zoom = _ZOOM_RANGE[0] * torch.exp(u * math.log(_ZOOM_RANGE[1] / _ZOOM_RANGE[0]))
    elif name == "zoom_out":
        zoom = _ZOOM_RANGE[1] * torch.exp(-u * math.log(_ZOOM_RANGE[1] / _ZOOM_RANGE[0]))
    elif name in ("pan_left", "pan_right"):
        shift = (u - 0.5) * _PAN_SPAN * (1 if name == "pan_right" else -1)
    elif name in ("around_left", "around_right"):
        azimuth = (u - 0.5) * math.radians(_AROUND_DEG) * (1 if name == "around_right" else -1)
    pitch = math.radians(elevation_deg)
    sin_a, cos_a = azimuth.sin(), azimuth.cos()
    sin_p, cos_p = math.sin(pitch), math.cos(pitch)
    right = torch.stack([cos_a, zero, -sin_a], -1)
    up = torch.stack([-sin_a * sin_p, zero + cos_p, -cos_a * sin_p], -1)
    forward = torch.stack([-sin_a * cos_p, zero - sin_p, -cos_a * cos_p], -1)
    target = torch.stack([shift, zero + TARGET_HEIGHT, zero], -1)
    return CameraPath(axes=torch.stack([right, up, forward], -2), position=target - DISTANCE * forward, zoom=zoom)


def scene_camera(scene: Scene, times_s: Float[Tensor, " n"]) -> CameraPath:
    """The camera of ``scene`` at ``times_s``, as it is seen (a flipped scene's path is mirrored)."""
    inner = scene.unflipped()
    path = camera_path(inner.camera, times_s=times_s, elevation_deg=inner.elevation_deg)
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
    frame 0's axes; log zoom over frame 0's. ``camera`` is a scene or a class name.
    """
    times = frame_times([0, *frame_indices], fps)
    is_scene = isinstance(camera, Scene)
    path = scene_camera(camera, times) if is_scene else camera_path(camera, times_s=times, elevation_deg=elevation_deg)
    first = path.axes[0]
    moved = (first * (path.position - path.position[0])[:, None, :]).sum(-1) / DISTANCE
    relative = (first[None, :, None, :] * path.axes[:, None, :, :]).sum(-1)  # [n, axis of frame 0, axis of frame n]
    forward = relative[:, :, 2]
    yaw = torch.atan2(-forward[:, 0], forward[:, 2])
    pitch = torch.asin(forward[:, 1].clamp(-1, 1))
    roll = torch.atan2(relative[:, 1, 0], relative[:, 1, 1])
    zoom = torch.log(path.zoom / path.zoom[0])
    features = torch.stack([yaw, pitch, roll, moved[:, 0], moved[:, 1], moved[:, 2], zoom], -1)
    return features[1:].to(torch.float32) + 0.0  # no negative zeros


def _progress(u: Tensor) -> Tensor:
    """``u`` to begin with, easing to a limit later, so that a long clip never loses the subject."""
    start, room = 1.2, 0.4
    over = (u - start).clamp(min=0.0)
    return torch.where(u < start, u, start + room * (1 - torch.exp(-over / room)))
