"""The oracle: everything that is known of a clip, as JSON-ready values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world.camera import CAMERAS, camera_features, frame_times, scene_camera
from kinema.world.captions import FORMS, LANGUAGES, caption
from kinema.world.events import events
from kinema.world.geometry import geometry, mask_boxes
from kinema.world.motion import poses
from kinema.world.pose import Pose
from kinema.world.sampler import is_held_out
from kinema.world.scene import Scene
from kinema.world.score import motion_score
from kinema.world.view import View

TRUTH_VERSION = 2
_STEP_S = 1e-4  # velocities are those of the moment just after a frame's


def truth(scene: Scene, shape: VideoShape) -> dict[str, Any]:
    """All that is known of ``scene``'s clip of ``shape``, ready for JSON.

    Lengths in subject heights (world: x right, y up, z to the camera), angles in radians, boxes in pixels. ``camera.frames`` holds
    each frame's world-to-camera matrix (3 rows of 4; right, up, forward) and its focal length in pixels. ``subjects`` has an entry
    for each subject of the scene: its state and box in every frame. Raises: InvalidInput if no subject is ever in the picture.
    """
    times = frame_times(shape.frames, shape.fps)
    path = scene_camera(scene, times)
    view = View.of([path], height_px=shape.height_px, width_px=shape.width_px)
    offset = -(path.axes * path.position[:, None]).sum(-1, keepdim=True)
    matrices, focal = (torch.cat([path.axes, offset], -1) + 0.0).tolist(), view.focal_px.tolist()
    action, image = CAMERAS[scene.camera]
    masks = geometry(scene, shape).masks(len(scene.subjects))
    if not masks.any():
        homes = ", ".join(f"{s.kind} at x={s.x:g}" for s in scene.subjects)
        raise InvalidInput(
            "subjects", homes, "none is ever in the picture; bring one nearer to x=0 or widen the scene's span"
        )
    states = _states(scene, times)
    return {
        "version": TRUTH_VERSION,
        "shape": asdict(shape),
        "scene": scene.to_dict(),
        "held_out": is_held_out(scene),
        "camera": {
            "class": scene.camera,
            "convention": f"{action}; {image}",
            "distance": path.distance,
            "frames": [{"matrix": m, "focal_px": f} for m, f in zip(matrices, focal, strict=True)],
            "features": camera_features(scene, range(shape.frames), fps=shape.fps).tolist(),
        },
        "subjects": [
            {"states": held, "boxes": _boxes(mask_boxes(mask))} for held, mask in zip(states, masks, strict=True)
        ],
        "events": [asdict(e) for e in events(scene, shape.seconds)],
        "motion_score": motion_score(scene, shape),
        "captions": {
            language: {form: caption(scene, language=language, form=form) for form in FORMS} for language in LANGUAGES
        },
    }


def _states(scene: Scene, times: Float[Tensor, " t"]) -> list[list[dict[str, Any]]]:
    """Of each subject in each frame: position and velocity of its foot, heading, contact."""
    inner = scene.unflipped()
    side = -1.0 if scene.flipped else 1.0
    sides = torch.tensor([side, 1.0, 1.0], dtype=torch.float64)
    out = []
    for now, later in zip(poses(inner, times), poses(inner, times + _STEP_S), strict=True):
        position = _position(now) * sides + 0.0  # no negative zeros
        velocity = (_position(later) - _position(now)) * sides / _STEP_S
        heading = torch.stack([now.yaw.cos(), -now.yaw.sin()], -1) * sides[[0, 2]]
        rows = zip(position.tolist(), velocity.tolist(), heading.tolist(), now.contact.tolist(), strict=True)
        out.append([{"position": p, "velocity": v, "heading_xz": h, "contact": c} for p, v, h, c in rows])
    return out


def _position(at: Pose) -> Float[Tensor, "t 3"]:
    return torch.stack([at.x, at.y, at.z], -1)


def _boxes(boxes: Int[Tensor, "t 4"]) -> list[list[int] | None]:
    """(left, top, right, bottom) of what is visible in each frame, right and bottom exclusive; None where nothing is."""
    return [None if box[0] < 0 else box for box in boxes.tolist()]
