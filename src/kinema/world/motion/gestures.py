"""What is done on the spot: standing, spinning, playing, waving, swaying."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kinema.world.motion.act import Act, Fields, about_centre, hold, room_beside, smooth
from kinema.world.motion.air import hang
from kinema.world.motion.constants import (
    AFLOAT,
    ALIVE,
    PLAY_HOP_HEIGHT,
    PLAY_S,
    PLAY_SWAY,
    REST_HEIGHT,
    SAIL_S,
    SPIN_S,
    SWAY_S,
    TOUCH,
    TURNS_S,
    WAVE_S,
)
from kinema.world.nature import KINDS

_HOVERS = ("balloon", "kite")
_BREATHES = (*ALIVE, "car", "ball", "cube")
_RAISE_S = 0.3  # until a waving hand is up


def stand(t: Tensor, act: Act) -> Fields:
    """Hardly moves: breathes, hovers, or bobs on the water; sails drift round, a lamp turns, a flag flies."""
    if act.kind in TURNS_S:
        return {"gait": act.sign * 2 * math.pi * t / TURNS_S[act.kind]}
    if act.kind == "lantern":
        return hang(act, 0.03 * act.sign * _swaying(t))
    if act.kind in _HOVERS:
        return {"y": REST_HEIGHT[act.kind] + 0.025 * torch.sin(2 * math.pi * t / 2.4), "contact": t < 0}
    if act.kind in AFLOAT and act.kind != "cliff":
        return {"y": REST_HEIGHT[act.kind] + 0.015 * torch.sin(2 * math.pi * t / 2.4)}
    return {"squash": 1 + 0.012 * torch.sin(2 * math.pi * t / 2.0)} if act.kind in _BREATHES else {}


def spin(t: Tensor, act: Act) -> Fields:
    """Turns on the spot; a windmill turns its sails."""
    if act.kind == "windmill":
        return {"gait": act.sign * 2 * math.pi * t / SAIL_S, "effort": hold(t, 1.0)}
    fields = {"yaw": act.yaw - act.sign * 2 * math.pi * t / SPIN_S}
    rest = stand(t, act) if KINDS[act.kind].surface != "ground" or act.kind in TURNS_S else {}
    return rest | fields


def play(t: Tensor, act: Act) -> Fields:
    """Hops merrily from side to side."""
    beat = 2 * math.pi * t / PLAY_S
    side = torch.sin(beat)
    y = PLAY_HOP_HEIGHT * torch.cos(beat).abs()
    moves = act.scene.camera.startswith(("pan", "zoom", "tilt", "push", "pull"))
    room = room_beside(act, 0.7)
    sway = min(PLAY_SWAY * (0.65 if moves else 1.0), max(room, 0.15))
    return {
        "x": act.subject.x + act.sign * sway * side,
        "y": y,
        "roll": -act.sign * 0.26 * side,
        "yaw": act.yaw + 0.35 * torch.cos(beat),
        "gait": 2 * beat,
        "effort": torch.ones_like(t),
        "lift": torch.ones_like(t),
        "contact": y < TOUCH,
        "bend": 0.2 * side,
    }


def wave(t: Tensor, act: Act) -> Fields:
    """Raises a hand and waves it, the body going along a little."""
    beat = 2 * math.pi * (t - _RAISE_S) / WAVE_S
    raised = smooth(t / _RAISE_S)
    return {
        "reach": raised,  # up beside the head, and from there in and out
        "lift": raised * (0.65 + 0.35 * torch.cos(beat)),
        "roll": 0.07 * act.sign * raised * torch.sin(beat),
        "squash": 1 + 0.012 * torch.sin(2 * math.pi * t / 2.0),
    }


def sway(t: Tensor, act: Act) -> Fields:
    """Bends in the wind, and a gust at the start; what hangs or hovers swings with it, a tower rocks."""
    bend = _swaying(t) * act.sign
    if act.kind == "lantern":
        return hang(act, 0.06 * bend) | {"bend": 0.26 * bend}
    if act.kind == "kite":
        roll = -0.35 * bend
        height = REST_HEIGHT["kite"] + 0.05 * torch.sin(2 * math.pi * t / (0.5 * SWAY_S))
        x, y = about_centre(act.subject.x + 0.16 * bend, height, roll, 0.8 * act.size)
        return {
            "x": x,
            "y": y,
            "roll": roll,
            "bend": 0.3 * bend,
            "effort": hold(t, 0.6),
            "gait": 2 * math.pi * t / 0.8,
            "contact": t < 0,
        }
    if act.kind == "tower":
        return {"roll": -0.07 * bend, "bend": 0.12 * bend}
    return {"bend": -0.30 * bend}


def _swaying(t: Tensor) -> Tensor:
    """-1 to 1, by two waves."""
    beat = 2 * math.pi * t / SWAY_S
    return 0.8 * torch.sin(beat) + 0.2 * torch.sin(2.7 * beat)
