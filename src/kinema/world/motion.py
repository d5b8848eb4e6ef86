"""Where the subject is at any moment: actions as closed formulas of time, so a clip of any length and rate samples one motion.

World axes: x to the right of the picture, y up, z towards the camera; the ground is y = 0. Lengths in subject heights (about 1),
times in seconds. All motion starts at phase 0: a jump on the ground, a fall above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kinema.world.scene import Scene

GRAVITY = 6.0  # a toy's: slow enough that 8 frames a second show an arc
RESTITUTION = 0.55
FALL_HEIGHT = 0.75
JUMP_HEIGHT = 0.55
JUMP_REST_S = 0.25
# From one side to the other: as far as the length of each kind leaves it inside the picture.
WALK_SPAN = {"puppy": 0.95, "person": 1.25, "car": 0.85, "bird": 1.05, "ball": 1.15, "cube": 1.15}
WALK_S = 2.0
TURN_S = 0.35
SPIN_S = 2.0
PLAY_S = 1.5
PLAY_HOP_HEIGHT = 0.26
PLAY_SWAY = 0.34
NUM_BOUNCES = 6
STRIDE = 0.55
SQUASH_S = 0.06  # from an impact to its flattest
_TOUCH = 0.03  # lower than this is on the ground
JUMP_AIR_S = 2 * math.sqrt(2 * JUMP_HEIGHT / GRAVITY)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """The subject at n moments. ``yaw`` turns its nose from +x (the right) about y; ``roll`` is a lean about the view axis.

    ``gait`` is the phase of legs and wings in radians, ``effort`` how far they swing (0 to 1), ``lift`` how far arms and wings are
    raised (0 to 1), ``squash`` the vertical stretch, ``travelled`` the way rolled along the ground.
    """

    x: Float[Tensor, " n"]
    y: Float[Tensor, " n"]
    yaw: Float[Tensor, " n"]
    roll: Float[Tensor, " n"]
    gait: Float[Tensor, " n"]
    effort: Float[Tensor, " n"]
    lift: Float[Tensor, " n"]
    squash: Float[Tensor, " n"]
    travelled: Float[Tensor, " n"]
    contact: Bool[Tensor, " n"]


def pose(scene: Scene, times_s: Float[Tensor, " n"]) -> Pose:
    """The subject of an unflipped ``scene`` at ``times_s``."""
    t = times_s.to(torch.float64)
    sign = 1.0 if scene.subject.direction == "right" else -1.0
    zero = torch.zeros_like(t)
    parts = {
        "x": zero,
        "y": zero,
        "yaw": zero + _start_yaw(scene),
        "roll": zero,
        "gait": zero,
        "effort": zero,
        "lift": zero,
        "squash": zero + 1,
        "travelled": zero,
        "contact": zero == 0,
    }
    return Pose(**(parts | _ACTIONS[scene.subject.action](t, sign, scene)))


def join(poses: Sequence[Pose]) -> Pose:
    """The moments of several poses, one after the other."""
    if len(poses) == 1:
        return poses[0]
    return Pose(**{f.name: torch.cat([getattr(p, f.name) for p in poses]) for f in fields(Pose)})


# How far each action turns the nose from the picture's plane to the camera.
_TURN_TO_CAMERA_DEG = {"stand": 35.0, "walk": 14.0, "jump": 35.0, "spin": 35.0, "play": 50.0, "fall": 35.0}


def _start_yaw(scene: Scene) -> float:
    subject = scene.subject
    turn = math.radians(_TURN_TO_CAMERA_DEG[subject.action])
    if subject.action == "walk" and subject.kind in ("ball", "car"):
        turn = 0.0  # what rolls without slipping goes where it points
    return -turn if subject.direction == "right" else math.pi + turn


def _stand(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    return {"squash": 1 + 0.012 * torch.sin(2 * math.pi * t / 2.0)}


def _walk(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    span = WALK_SPAN[scene.subject.kind] * _room(scene)
    lap = torch.floor(t / (WALK_S + TURN_S))
    within = t - lap * (WALK_S + TURN_S)
    progress = (within / WALK_S).clamp(max=1.0)
    forth = 1 - 2 * (lap % 2)
    x = sign * forth * span * (progress - 0.5)
    turning = ((within - WALK_S) / TURN_S).clamp(min=0.0)
    half_turns = lap + turning * turning * (3 - 2 * turning)
    travelled = span * (lap + progress)
    start = _start_yaw(scene)
    end = (-math.pi if sign > 0 else 3 * math.pi) - start  # the nose passes by the camera when it turns
    yaw = start + (end - start) * _triangle(half_turns)
    gait = 2 * math.pi * travelled / STRIDE
    hop = 0.13 * torch.sin(gait / 2).abs() if scene.subject.kind == "bird" else 0.025 * torch.sin(gait).abs()
    if scene.subject.kind in ("car", "ball", "cube"):
        hop = torch.zeros_like(t)
    effort = torch.where(turning > 0, 0.3, 1.0).to(t.dtype)
    lift = effort if scene.subject.kind == "bird" else torch.zeros_like(t)
    return {
        "x": x,
        "y": hop,
        "yaw": yaw,
        "gait": gait,
        "effort": effort,
        "lift": lift,
        "travelled": travelled,
        "contact": hop < _TOUCH,
    }


def gait_step_s(scene: Scene) -> float:
    """Seconds between the steps of an unflipped walking ``scene``: a bird hops once where others take two steps."""
    speed = WALK_SPAN[scene.subject.kind] * _room(scene) / WALK_S
    return STRIDE / speed / (1 if scene.subject.kind == "bird" else 2)


def _room(scene: Scene) -> float:
    """The share of the usual walk that stays inside the picture under this camera."""
    if scene.camera in ("zoom_in", "zoom_out"):
        return 0.78
    # Against a panning camera the subject crosses the picture at the sum of both speeds.
    against = scene.camera == ("pan_left" if scene.subject.direction == "right" else "pan_right")
    return 0.5 if against else 1.0


def _triangle(u: Tensor) -> Tensor:
    return 1 - (1 - u % 2).abs()


def _jump(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    period = JUMP_AIR_S + JUMP_REST_S
    within = t % period
    air = within - JUMP_REST_S
    speed = GRAVITY * JUMP_AIR_S / 2
    flying = air > 0
    y = torch.where(flying, speed * air - GRAVITY * air * air / 2, 0.0).clamp(min=0.0)
    crouch = torch.sin(math.pi * (within / JUMP_REST_S).clamp(0, 1))
    squash = torch.where(flying, 1.04, 1 - 0.16 * crouch)
    effort = flying.to(t.dtype) * 0.9
    return {
        "y": y,
        "squash": squash,
        "contact": ~flying,
        "effort": effort,
        "lift": effort,
        "gait": 2 * math.pi * t / 0.4,
    }


def _spin(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    return {"yaw": _start_yaw(scene) - sign * 2 * math.pi * t / SPIN_S}


def _play(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    beat = 2 * math.pi * t / PLAY_S
    side = torch.sin(beat)
    hop = torch.cos(beat).abs()
    y = PLAY_HOP_HEIGHT * hop
    return {
        "x": sign * PLAY_SWAY * (0.65 if scene.camera.startswith(("pan", "zoom")) else 1.0) * side,
        "y": y,
        "roll": -sign * 0.26 * side,
        "yaw": _start_yaw(scene) + 0.35 * torch.cos(beat),
        "gait": 2 * beat,
        "effort": torch.ones_like(t),
        "lift": torch.ones_like(t),
        "contact": y < _TOUCH,
    }


def fall_height(scene: Scene) -> float:
    """How high a fall starts."""
    return FALL_HEIGHT * (0.6 if scene.camera == "zoom_out" else 1.0)  # that camera starts close


def _fall(t: Tensor, sign: float, scene: Scene) -> dict[str, Tensor]:
    height = fall_height(scene)
    y = (height - GRAVITY * t * t / 2).clamp(min=0.0)
    landed = math.sqrt(2 * height / GRAVITY)
    speed = GRAVITY * landed
    contact = t >= landed
    squash = torch.ones_like(t)
    for _ in range(NUM_BOUNCES):
        after = ((t - landed) / SQUASH_S).clamp(min=0.0)
        squash = squash - 0.05 * speed * after * torch.exp(1 - after)
        speed *= RESTITUTION
        air = 2 * speed / GRAVITY
        s = t - landed
        flying = (s > 0) & (s < air)
        y = torch.where(flying, speed * s - GRAVITY * s * s / 2, y)
        contact = contact & ~flying
        landed += air
    effort = (y > _TOUCH).to(t.dtype) * 0.7
    return {
        "y": y,
        "squash": squash,
        "contact": contact,
        "effort": effort,
        "lift": effort,
        "gait": 2 * math.pi * t / 0.5,
    }


_ACTIONS = {"stand": _stand, "walk": _walk, "jump": _jump, "spin": _spin, "play": _play, "fall": _fall}
