"""Tipping over: a rigid body that turns about the front edge of its foot, falls, bounces a little and lies still."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kinema.world.kinds import FRONT_EDGE, subject_size
from kinema.world.motion.act import Act, Fields, facing, half_picture, lane
from kinema.world.motion.constants import GRAVITY, tall
from kinema.world.scene import Subject

# (height of the centre of mass, angle when it lies), in the kind's own units. A tree lies on its crown, a cactus on its arm.
SHAPES: dict[str, tuple[float, float]] = {
    "robot": (0.55, 1.52),
    "tree": (0.60, 1.17),
    "cactus": (0.48, 1.13),
    "rocket": (0.50, math.pi / 2),
    "cube": (0.40, math.pi / 2),
    "cylinder": (0.45, math.pi / 2),
    "cone": (0.30, math.pi / 2 + 0.40),
    "cup": (0.42, 1.50),
    "tower": (0.50, 1.66),
}
TOPPLE_S = 0.22  # when a solo topple begins
_PUSH = 1.35  # speed of the tipping over what just reaches the balance
_LEAST_PUSH = 1.5  # radians a second
_KEEPS = 0.28  # of the angular speed when it hits the ground
_NUM_BOUNCES = 2
_STEP_S = 1 / 960
_SETBACK = 0.5  # how far back one that topples begins, in heights


@dataclass(frozen=True, kw_only=True)
class Fall:
    """A fall over an edge from its push on: angles and angular speeds every `_STEP_S`, when it lands, how fast, and how it bounces."""

    angles: Tensor
    speeds: Tensor
    land_s: float
    land_speed: float
    lying: float
    settling: float  # angular deceleration that brings it down again after a bounce

    def bounces(self) -> list[tuple[float, float]]:
        """(start, angular speed) of the small bounces."""
        out, time, speed = [], self.land_s, self.land_speed
        for _ in range(_NUM_BOUNCES):
            speed *= _KEEPS
            out.append((time, speed))
            time += 2 * speed / self.settling
        return out

    def angle(self, t: Tensor) -> Tensor:
        """The angle ``t`` seconds after the push."""
        place = (t / _STEP_S).clamp(0.0, len(self.angles) - 1.001)
        row = place.floor().to(torch.int64)
        u = place - row
        a, b = self.angles[row], self.angles[row + 1]
        va, vb = self.speeds[row] * _STEP_S, self.speeds[row + 1] * _STEP_S
        # Cubic through both angles and both speeds.
        falling = a + u * (va + u * (3 * (b - a) - 2 * va - vb + u * (va + vb - 2 * (b - a))))
        angle = torch.where(t < self.land_s, falling, self.lying)
        for start, speed in self.bounces():
            s = t - start
            back = (speed * s - self.settling * s * s / 2).clamp(min=0.0)
            angle = angle - torch.where((s > 0) & (s < 2 * speed / self.settling), back, 0.0)
        return torch.where(t > 0, angle, 0.0)


def fall_of(subject: Subject) -> Fall:
    """How ``subject`` falls over when it is pushed."""
    (centre, lying), size = SHAPES[subject.kind], subject_size(subject)
    return _fall(round(FRONT_EDGE[subject.kind] * size, 9), round(centre * size, 9), lying)


@lru_cache(maxsize=256)
def _fall(edge: float, centre: float, lying: float) -> Fall:
    """Integrates the turning of a block about its edge: angle'' = gravity r / (I/m) sin(angle - balance). Source: I = 4/3 m r^2."""
    arm, balance = math.hypot(edge, centre), math.atan2(edge, centre)
    rate = 3 * GRAVITY / (4 * arm)
    angle, speed = 0.0, max(_PUSH * math.sqrt(2 * rate * (1 - math.cos(balance))), _LEAST_PUSH)
    angles, speeds = [angle], [speed]
    while angle < lying:
        angle, speed = _runge_kutta(angle, speed, rate, balance, _STEP_S)
        angles.append(angle)
        speeds.append(speed)
    # The share of the last step at which it lands, by Newton's method.
    share, land_speed = 1.0, speed
    for _ in range(4):
        share -= (angle - lying) / (land_speed * _STEP_S)
        angle, land_speed = _runge_kutta(angles[-2], speeds[-2], rate, balance, share * _STEP_S)
    return Fall(
        angles=torch.tensor(angles, dtype=torch.float64),
        speeds=torch.tensor(speeds, dtype=torch.float64),
        land_s=(len(angles) - 2 + share) * _STEP_S,
        land_speed=land_speed,
        lying=lying,
        settling=rate * max(math.sin(lying - balance), 0.3),
    )


def _runge_kutta(angle: float, speed: float, rate: float, balance: float, h: float) -> tuple[float, float]:
    def pull(a: float) -> float:
        return rate * math.sin(a - balance)

    a1, v1 = pull(angle), speed
    a2, v2 = pull(angle + h / 2 * v1), speed + h / 2 * a1
    a3, v3 = pull(angle + h / 2 * v2), speed + h / 2 * a2
    a4, v4 = pull(angle + h * v3), speed + h * a3
    return angle + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), speed + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)


def fallen_reach(subject: Subject) -> float:
    """How far ahead of its foot's middle ``subject`` reaches when it lies."""
    return FRONT_EDGE[subject.kind] * subject_size(subject) + tall(subject)


def topple(t: Tensor, act: Act) -> Fields:
    """Tips over ahead, so that it lies about where it stood."""
    return {"tip": fall_of(act.subject).angle(t - TOPPLE_S), "x": t * 0 + topple_x(act)}


def topple_x(act: Act) -> float:
    """Where one that topples stands: back from its home, so that it has room ahead."""
    low, high = lane(act)
    half = half_picture(act.scene)
    low, high = max(low, -half), min(high, half)
    side = _SETBACK * act.size
    free = (high - act.subject.x) if act.sign > 0 else (act.subject.x - low)
    back = max(side, fallen_reach(act.subject) - free)
    room = (act.subject.x - low if act.sign > 0 else high - act.subject.x) - 0.35 * act.size
    return act.subject.x - act.sign * min(back, max(room, 0.0))


def toppled_by(t: Tensor, act: Act, *, start_s: float, sign: float) -> Fields:
    """Stands until ``start_s``, then tips over to the side ``sign``."""
    return {"tip": fall_of(act.subject).angle(t - start_s), "yaw": t * 0 + facing(sign)}
