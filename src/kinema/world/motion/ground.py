"""Walking, running, rolling and sliding along the ground, to and fro."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.kinds import FRONT_EDGE
from kinema.world.motion.act import Act, Fields, facing, hold, is_alone, smooth, triangle, way
from kinema.world.motion.constants import (
    AFLOAT,
    HOPPING,
    KICK_PAUSE_S,
    LEGGED,
    MAX_SPAN,
    MIN_SPAN,
    REST_HEIGHT,
    ROLL_S,
    RUN_S,
    RUN_STRIDE,
    SLIDE_S,
    STRIDE,
    TALL,
    TOUCH,
    TRACKING_SPAN,
    TURN_S,
    WALK_S,
    WALK_SPAN,
    WINGED,
    half_width,
    rolling_radius,
)

_LYING_TIP = 1.45  # of a penguin on its belly
_LYING_HEIGHT = 0.09
_LYING_BACK = 0.55  # from the middle of one that lies to its foot


@dataclass(frozen=True, kw_only=True)
class Course:
    """A way from ``start`` to ``end`` in ``move_s``, a pause of ``pause_s``, and back, again and again."""

    start: float
    end: float
    move_s: float
    pause_s: float

    @property
    def length(self) -> float:
        """The way's length."""
        return abs(self.end - self.start)

    @property
    def lap_s(self) -> float:
        """Seconds from one start to the next."""
        return self.move_s + self.pause_s

    def laps(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the lap and the seconds since its start."""
        lap = torch.floor(t / self.lap_s)
        return lap, t - lap * self.lap_s

    def x(self, lap: Tensor, progress: Tensor) -> Tensor:
        """Where one is at ``progress`` (0 to 1) of a ``lap``."""
        forth = 1 - 2 * (lap % 2)
        return (self.start + self.end) / 2 + (self.end - self.start) * forth * (progress - 0.5)


def course(act: Act) -> Course:
    """Where and how fast the subject goes."""
    action = act.subject.action
    move_s, pause_s = {
        "walk": (WALK_S, TURN_S), "run": (RUN_S, TURN_S), "roll": (ROLL_S, KICK_PAUSE_S), "slide": (SLIDE_S, 2 * KICK_PAUSE_S),
    }[action]  # fmt: skip
    if act.scene.camera == "tracking" and act.number == 0 and is_alone(act):
        start = act.subject.x - act.sign * TRACKING_SPAN / 2
        return Course(start=start, end=start + act.sign * TRACKING_SPAN, move_s=1.6 * move_s, pause_s=pause_s)
    longest = shortest = WALK_SPAN.get(act.kind, 0.0) * _room(act)
    if not longest:
        longest, shortest = MAX_SPAN, MIN_SPAN
    if action == "slide":
        longest = shortest = min(longest, 1.15)
    reach = 0.97 * half_width(act.subject) if act.kind != "penguin" or action != "slide" else 0.6 * act.size
    start, end = way(act, longest=longest, shortest=min(shortest, longest), reach=reach)
    return Course(start=start, end=end, move_s=move_s, pause_s=pause_s)


def _room(act: Act) -> float:
    """The share of the usual walk that stays inside the picture under this camera."""
    move, _, side = act.scene.camera.partition("_")
    if move in ("zoom", "push", "pull"):
        return 0.78
    # Against a panning camera the subject crosses the picture at the sum of both speeds.
    against = move in ("pan", "tilt") and side == ("left" if act.sign > 0 else "right")
    return 0.5 if against else 1.0


def _stride(act: Act) -> float:
    return RUN_STRIDE if act.subject.action == "run" else STRIDE


def step_s(act: Act) -> float:
    """Seconds between the steps of one that walks or runs: a bird hops once where others take two steps."""
    line = course(act)
    return _stride(act) / (line.length / line.move_s) / (1 if act.kind in HOPPING else 2)


def go(t: Tensor, act: Act) -> Fields:
    """Walking and running, each kind in its way: on legs, on wheels, rolling, sailing or swimming."""
    line, runs = course(act), act.subject.action == "run"
    lap, within = line.laps(t)
    progress = (within / line.move_s).clamp(max=1.0)
    turning = ((within - line.move_s) / line.pause_s).clamp(min=0.0)
    half_turns = lap + turning * turning * (3 - 2 * turning)
    travelled = line.length * (lap + progress)
    rolls = act.kind == "ball"
    start = (
        facing(act.sign) if math.isfinite(rolling_radius(act.subject)) else act.yaw
    )  # what rolls goes where it points
    end = (-math.pi if act.sign > 0 else 3 * math.pi) - start  # the nose passes by the camera when it turns
    gait = 2 * math.pi * travelled / _stride(act)
    effort = _settled(turning)
    fields = {
        "x": line.x(lap, progress),
        "yaw": hold(t, start) if rolls else start + (end - start) * triangle(half_turns),
        "gait": gait,
        "effort": effort,
        "turned": travelled / rolling_radius(act.subject),
    }
    if rolls:  # a ball has no nose to turn: it rolls back
        fields["turned"] = act.sign * (fields["x"] - line.start) / rolling_radius(act.subject)
    if act.kind in AFLOAT:
        return fields | _float_along(t, act, runs)
    if act.kind in LEGGED:
        fields |= _bob(gait, effort, act, runs)
    return fields


def _settled(turning: Tensor) -> Tensor:
    """1 on the way, less in the middle of a turn."""
    return 1 - 0.7 * torch.sin(math.pi * turning)


def _bob(gait: Tensor, effort: Tensor, act: Act, runs: bool) -> Fields:
    """The rise of a body on legs."""
    beat, height = (gait / 2, 0.17 if runs else 0.13) if act.kind in HOPPING else (gait, 0.07 if runs else 0.025)
    hop = height * torch.sin(beat).abs()
    lean = -0.10 * act.sign if runs else 0.0
    return {
        "y": hop,
        "contact": hop < TOUCH,
        "lift": effort if act.kind in HOPPING else hold(gait, 0.5 if runs and act.kind in WINGED else 0.0),
        "roll": hold(gait, lean) * _leaning(gait),
    }


def _leaning(gait: Tensor) -> Tensor:
    """How far a runner leans ahead: from upright at once to all."""
    return smooth(gait / (2 * math.pi))


def _float_along(t: Tensor, act: Act, runs: bool) -> Fields:
    """Bobbing on the water, the bow up when it goes fast."""
    beat = 2 * math.pi * t
    wild = 1.6 if runs else 1.0
    return {
        "y": REST_HEIGHT[act.kind] + 0.03 * wild * torch.sin(beat / 1.3),
        "roll": 0.045 * wild * torch.sin(beat / 1.7),
        "gait": beat / (0.55 if runs else 0.9),
        "effort": hold(t, 1.0),
    }


def roll(t: Tensor, act: Act) -> Fields:
    """Kicked, rolling on without slipping while friction slows it to rest, and kicked back."""
    line = course(act)
    lap, within = line.laps(t)
    x = line.x(lap, _slowing(within, line))
    if act.kind == "cylinder":
        return {"x": x} | rolling_drum(act, x, x - line.start)
    return {
        "x": x,
        "yaw": hold(t, facing(act.sign)),
        "turned": act.sign * (x - line.start) / rolling_radius(act.subject),
    }


def rolling_drum(act: Act, x: Tensor, way: Tensor) -> Fields:
    """The fields of a cylinder that lies with its top to the camera and has rolled ``way`` to the right."""
    back = (FRONT_EDGE["cylinder"] + 0.5 * TALL["cylinder"]) * act.size
    return {
        "z": act.subject.z - back + 0 * x,
        "yaw": hold(x, -math.pi / 2),
        "tip": hold(x, math.pi / 2),
        "turned": way / rolling_radius(act.subject),
    }


def slide(t: Tensor, act: Act) -> Fields:
    """Pushed, sliding while friction slows it to rest, and pushed back; a penguin slides on its belly."""
    line = course(act)
    lap, within = line.laps(t)
    x = line.x(lap, _slowing(within, line))
    if act.kind != "penguin":
        lean = -0.09 * act.sign * (1 - 2 * (lap % 2)) * torch.sin(math.pi * (within / 0.35).clamp(0, 1))
        return {"x": x, "roll": lean}
    down = smooth(t / 0.25)
    return {
        "x": x - act.sign * _LYING_BACK * act.size * down,
        "y": _LYING_HEIGHT * act.size * down,
        "tip": _LYING_TIP * down,
        "yaw": hold(t, facing(act.sign, 0.1)),
        "lift": down,
    }


def _slowing(within: Tensor, line: Course) -> Tensor:
    """Progress under an even deceleration to rest."""
    left = 1 - (within / line.move_s).clamp(max=1.0)
    return 1 - left * left


def kick_speed(line: Course) -> float:
    """The speed that a kick or push gives."""
    return 2 * line.length / line.move_s


def friction(line: Course) -> float:
    """The deceleration of what rolls or slides on ``line``."""
    return 2 * line.length / line.move_s**2
