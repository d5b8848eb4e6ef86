"""What one does to another: colliding, knocking over and chasing. The cause comes first.

Formulas have the form ``(t, act, other) -> fields``; those of the one that it is done to end in ``_target``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kinema.world.kinds import ROLL_RADIUS
from kinema.world.motion.act import Act, Fields, facing, half_picture, hold, pulse, smooth
from kinema.world.motion.constants import (
    HOPPING,
    LEGGED,
    RUN_STRIDE,
    TOUCH,
    half_width,
    mass,
    reach,
    rolling_radius,
)
from kinema.world.motion.ground import rolling_drum
from kinema.world.motion.tipping import fallen_reach, toppled_by

RESTITUTION = 0.6  # between two that collide
_SPEED = 1.5  # of the one that comes
_RUN_UP = (0.55, 0.9)
_SEEN_AT_START = 1.2  # heights of one that is longer
_FRICTION = 0.5
_STOP_S = 0.25  # in which one that has knocked another over stops
CHASE_SPEED = 1.45
_OVAL = (0.6, 1.1, 0.55)  # of a chase: least and most half width, half depth


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One comes from ``start`` with ``speed`` and touches the other, which stands at ``other``, at ``hit_s`` when it is at ``contact``."""

    sign: float
    start: float
    contact: float
    other: float
    hit_s: float
    speed: float
    ahead: float  # room for the other to move on


def strike(act: Act, other: Act) -> Strike:
    """The approach of ``act`` to ``other``: from their homes, shifted as far as they need to stay in the picture."""
    sign, half = act.sign, half_picture(act.scene)
    own, its = reach(act.subject), reach(other.subject)
    needs = fallen_reach(other.subject) if act.subject.action == "knock_over" else its + 0.35
    short, long = _RUN_UP
    low, high = -half + _in_view(own) + short + its, half - needs
    place = min(max(sign * other.subject.x, low), high) if low <= high else (low + high) / 2
    contact = place - own - its
    back = min(max(contact - sign * act.subject.x, short), long)
    back = max(short, min(back, contact + own - _in_view(own) + half))
    return Strike(
        sign=sign,
        start=sign * (contact - back),
        contact=sign * contact,
        other=sign * place,
        hit_s=back / _SPEED,
        speed=_SPEED,
        ahead=max(half - place - its, 0.2),
    )


def fits(act: Act, other: Act) -> bool:
    """Whether both, the run-up and what comes after find room in the picture; if not, the sides of the picture cut them."""
    needs = fallen_reach(other.subject) if act.subject.action == "knock_over" else reach(other.subject) + 0.35
    return (
        _in_view(reach(act.subject)) + _RUN_UP[0] + reach(other.subject) + needs <= 2 * half_picture(act.scene) + 0.15
    )


def _in_view(reach: float) -> float:
    """How much of one that reaches ``reach`` ahead and behind is seen at the start: long vehicles come in from outside."""
    return min(2 * reach, _SEEN_AT_START)


@dataclass(frozen=True, kw_only=True)
class Impact:
    """The speeds of both along the strike after it, and the friction that slows them."""

    own: float
    other: float
    friction: float


def impact(act: Act, other: Act) -> Impact:
    """What a collision leaves: momentum is kept, and `RESTITUTION` of the speed between the two."""
    hit = strike(act, other)
    m1, m2 = mass(act.subject), mass(other.subject)
    after = (1 + RESTITUTION) * m1 / (m1 + m2) * hit.speed
    return Impact(
        own=(m1 - RESTITUTION * m2) / (m1 + m2) * hit.speed,
        other=after,
        friction=max(_FRICTION, after * after / (2 * hit.ahead)),
    )


def slowed(s: Tensor, speed: float, friction: float) -> Tensor:
    """The way after ``s`` seconds of one that starts with ``speed`` (either sign) and comes to rest."""
    s = s.clamp(0.0, abs(speed) / friction)
    return speed * s - math.copysign(friction, speed) * s * s / 2


def collide(t: Tensor, act: Act, other: Act) -> Fields:
    """Rolls, drives or slides into the other, and goes on or back with what momentum is left."""
    hit, after = strike(act, other), impact(act, other)
    way = hit.speed * t.clamp(max=hit.hit_s) + slowed(t - hit.hit_s, after.own, after.friction)
    if act.kind == "cylinder":
        x = hit.start + hit.sign * way
        drum = rolling_drum(act, x, hit.sign * way)
        return drum | {"x": x, "z": drum["z"] + (other.subject.z - act.subject.z)}
    return {
        "x": hit.start + hit.sign * way,
        "z": hold(t, other.subject.z),
        "yaw": hold(t, facing(hit.sign)),
        "turned": way / rolling_radius(act.subject),
    }


def collide_target(t: Tensor, act: Act, by: Act) -> Fields:
    """Is hit and takes over momentum; an upright cylinder and a cube slide, a ball and wheels roll."""
    hit, after = strike(by, act), impact(by, act)
    way = slowed(t - hit.hit_s, after.other, after.friction)
    rolls = act.kind in ROLL_RADIUS and act.kind != "cylinder"
    along = hit.sign * act.sign
    return {
        "x": hit.other + hit.sign * way,
        "yaw": hold(t, facing(act.sign)),
        "turned": along * way / rolling_radius(act.subject) if rolls else torch.zeros_like(t),
    }


def knock_over(t: Tensor, act: Act, other: Act) -> Fields:
    """Runs, rolls or drives into the other and stops."""
    hit = strike(act, other)
    way = hit.speed * t.clamp(max=hit.hit_s) + slowed(t - hit.hit_s, 0.25 * hit.speed, 0.25 * hit.speed / _STOP_S)
    fields = {
        "x": hit.start + hit.sign * way,
        "z": hold(t, other.subject.z),
        "yaw": hold(t, facing(hit.sign)),
        "turned": way / rolling_radius(act.subject),
    }
    if act.kind in LEGGED:
        moving = 1 - smooth((t - hit.hit_s) / _STOP_S)
        fields |= strides(way, moving, act)
        fields |= {"lift": 0.8 * pulse(t, hit.hit_s - 0.12, 0.12, 0.25, 0.4), "roll": -0.08 * hit.sign * moving}
    return fields


def knock_over_target(t: Tensor, act: Act, by: Act) -> Fields:
    """Stands until it is hit, then tips over."""
    hit = strike(by, act)
    return toppled_by(t, act, start_s=hit.hit_s, sign=hit.sign) | {"x": hold(t, hit.other)}


def strides(way: Tensor, effort: Tensor, act: Act) -> Fields:
    """The fields of running legs after ``way``."""
    gait = 2 * math.pi * way / RUN_STRIDE
    hop = effort * (0.17 * torch.sin(gait / 2).abs() if act.kind in HOPPING else 0.06 * torch.sin(gait).abs())
    lift = effort if act.kind in HOPPING else torch.zeros_like(way)
    return {"gait": gait, "effort": effort, "y": hop, "contact": hop < TOUCH, "lift": lift}


@dataclass(frozen=True, kw_only=True)
class Oval:
    """The path of a chase: an ellipse on the ground; ``gap`` is how far along it the pursuer stays behind."""

    x: float
    z: float
    wide: float
    deep: float
    length: float
    gap: float
    lead: float  # where along it the pursued begins

    @property
    def delay_s(self) -> float:
        """How much later the pursuer is where the pursued was."""
        return self.gap / CHASE_SPEED

    @property
    def lap_s(self) -> float:
        """Seconds of a round."""
        return self.length / CHASE_SPEED


def oval(act: Act, other: Act) -> Oval:
    """The path on which ``act`` chases ``other``."""
    half = half_picture(act.scene)
    widest = max(half_width(act.subject), half_width(other.subject))
    least, most, deep = _OVAL
    wide = min(max(half - 0.75 * widest, least), most)
    middle = (act.subject.x + other.subject.x) / 2
    room = max(half - 0.75 * widest - wide, 0.0)
    length = float(_arc(wide, deep)[-1])
    gap = min(0.95 * (half_width(act.subject) + half_width(other.subject)) + 0.22, 0.42 * length)
    return Oval(
        x=min(max(middle, -room), room),
        z=(act.subject.z + other.subject.z) / 2,
        wide=wide,
        deep=deep,
        length=length,
        gap=gap,
        lead=0.27 * length + 0.35 * gap,
    )


_ARC_STEPS = 4096


@lru_cache(maxsize=64)
def _arc(wide: float, deep: float) -> Tensor:
    """The way along an ellipse up to each of `_ARC_STEPS` angles of one round, by the midpoint rule."""
    phase = (torch.arange(_ARC_STEPS, dtype=torch.float64) + 0.5) * (2 * math.pi / _ARC_STEPS)
    steps = torch.sqrt((wide * phase.sin()) ** 2 + (deep * phase.cos()) ** 2) * (2 * math.pi / _ARC_STEPS)
    return torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])


def phase_after(path: Oval, way: Tensor) -> Tensor:
    """The ellipse's angle after ``way`` along it."""
    table = _arc(path.wide, path.deep)
    lap = torch.floor(way / path.length)
    rest = way - lap * path.length
    row = (torch.searchsorted(table, rest.contiguous(), right=True) - 1).clamp(0, _ARC_STEPS - 1)
    share = (rest - table[row]) / (table[row + 1] - table[row])
    return 2 * math.pi * (lap + (row + share) / _ARC_STEPS)


def chase(t: Tensor, act: Act, other: Act) -> Fields:
    """Runs after the other, round the same path."""
    path = oval(act, other)
    return _round(t, act, path, path.lead - path.gap, act.sign)


def chase_target(t: Tensor, act: Act, by: Act) -> Fields:
    """Runs away round an oval."""
    path = oval(by, act)
    return _round(t, act, path, path.lead, by.sign)


def _round(t: Tensor, act: Act, path: Oval, start: float, sign: float) -> Fields:
    way = CHASE_SPEED * t
    phase = phase_after(path, way + start)
    heading = torch.atan2(-path.deep * phase.cos(), sign * path.wide * phase.sin())
    about = sign * phase - math.pi / 2
    fields = {
        "x": path.x - sign * path.wide * phase.cos(),
        "z": path.z + path.deep * phase.sin(),
        "yaw": heading + 2 * math.pi * torch.round((about - heading) / (2 * math.pi)),
        "turned": way / rolling_radius(act.subject),
    }
    return fields | (strides(way, torch.ones_like(t), act) if act.kind in LEGGED else {})
