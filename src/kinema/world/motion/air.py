"""Jumping, falling, tossing, flying, floating and swinging."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.world.motion.act import (
    Act,
    Fields,
    about_centre,
    facing,
    headroom,
    hold,
    lane,
    room_beside,
    smooth,
    way,
)
from kinema.world.motion.constants import (
    AFLOAT,
    FALL_HEIGHT,
    FLOAT_S,
    FLY_S,
    GRAVITY,
    JUMP_AIR_S,
    JUMP_HEIGHT,
    JUMP_REST_S,
    NUM_BOUNCES,
    REST_HEIGHT,
    RESTITUTION,
    SQUASH_S,
    SWING_ANGLE,
    TOSS_HEIGHT,
    TOSS_KEEP,
    half_width,
    rolling_radius,
    tall,
)

LEAP_HALF = 0.22  # of the way of a fish that leaps
_FISH_DEPTH = -0.06  # from which a fish leaps
_TOSS_REST_S = 0.5
_ROCKET_S = (0.3, 0.9, 0.45, 1.0, 1.6, 0.5)  # ignition, thrust, coasting to a stop, hovering, coming down, rest


@dataclass(frozen=True, kw_only=True)
class Flight:
    """One arc of what bounces: it leaves the ground at ``start_s`` with ``speed`` upwards and is back ``air_s`` later."""

    start_s: float
    speed: float

    @property
    def air_s(self) -> float:
        """Seconds in the air."""
        return 2 * self.speed / GRAVITY


def bounces(start_s: float, speed: float, *, num: int = NUM_BOUNCES) -> list[Flight]:
    """The ``num`` arcs of what leaves the ground with ``speed`` at ``start_s`` and keeps `RESTITUTION` of it at each landing."""
    flights = []
    for _ in range(num):
        flights.append(Flight(start_s=start_s, speed=speed))
        start_s += flights[-1].air_s
        speed *= RESTITUTION
    return flights


def arcs(t: Tensor, flights: list[Flight]) -> tuple[Tensor, Tensor]:
    """The height over the ground at ``t``, and whether it is in the air."""
    y, flying = torch.zeros_like(t), torch.zeros_like(t, dtype=torch.bool)
    for flight in flights:
        s = t - flight.start_s
        here = (s > 0) & (s < flight.air_s)
        y = torch.where(here, flight.speed * s - GRAVITY * s * s / 2, y)
        flying = flying | here
    return y.clamp(min=0.0), flying


def dent(t: Tensor, hits: list[tuple[float, float]]) -> Tensor:
    """The squash of what hits the ground at (seconds, speed)."""
    squash = torch.ones_like(t)
    for time_s, speed in hits:
        after = ((t - time_s) / SQUASH_S).clamp(min=0.0)
        squash = squash - 0.05 * speed * after * torch.exp(1 - after)
    return squash


def jump(t: Tensor, act: Act) -> Fields:
    """A crouch, an arc and a landing, again and again; a fish leaps out of the water and dives back."""
    period = JUMP_AIR_S + JUMP_REST_S
    within = t % period
    air = within - JUMP_REST_S
    speed = GRAVITY * JUMP_AIR_S / 2
    flying = air > 0
    y = torch.where(flying, speed * air - GRAVITY * air * air / 2, 0.0).clamp(min=0.0)
    if act.kind == "fish":
        return _leap(t, act, y, within, flying)
    crouch = torch.sin(math.pi * (within / JUMP_REST_S).clamp(0, 1))
    stretch = smooth(air / 0.06) - smooth((air - JUMP_AIR_S + 0.06) / 0.06)
    squash = 1 + 0.04 * stretch - 0.16 * torch.where(flying, 0.0, crouch)
    effort = 0.9 * (smooth(air / 0.08) - smooth((air - JUMP_AIR_S + 0.08) / 0.08))
    return {
        "y": y, "squash": squash, "contact": ~flying, "effort": effort, "lift": effort, "gait": 2 * math.pi * t / 0.4,
    }  # fmt: skip


def _leap(t: Tensor, act: Act, y: Tensor, within: Tensor, flying: Tensor) -> Fields:
    steep = (2 * within - JUMP_AIR_S - 2 * JUMP_REST_S) / JUMP_AIR_S  # -1 as it leaves the water, 1 as it enters
    dive = 1 - 2 * smooth(within / JUMP_REST_S)
    nose_up = -torch.where(flying, steep, dive)
    period = JUMP_AIR_S + JUMP_REST_S
    forth = torch.cos(2 * math.pi * t / (2 * period))
    roll = 0.6 * act.sign * nose_up
    x, height = about_centre(
        act.subject.x - act.sign * LEAP_HALF * forth, _FISH_DEPTH + 1.25 * y, roll, tall(act.subject) / 2
    )
    return {
        "x": x,
        "y": height,
        "roll": roll,
        "contact": ~flying,
        "effort": hold(t, 1.0),
        "gait": 2 * math.pi * t / 0.5,
    }


def fall_height(act: Act) -> float:
    """How high a fall starts."""
    height = FALL_HEIGHT * (0.6 if act.scene.camera in ("zoom_out", "pull_out") else 1.0)  # these cameras start close
    return max(0.4, min(height, headroom(act.scene, at_start=True) + 0.06 - act.subject.size))


def fall_hits(act: Act) -> list[tuple[float, float]]:
    """(seconds, speed) of all contacts of a fall with the ground."""
    time, speed = math.sqrt(2 * fall_height(act) / GRAVITY), math.sqrt(2 * fall_height(act) * GRAVITY)
    flights = bounces(time, speed * RESTITUTION)
    return [(time, speed)] + [(f.start_s + f.air_s, f.speed) for f in flights]


def fall(t: Tensor, act: Act) -> Fields:
    """A drop from above with bounces."""
    height, hits = fall_height(act), fall_hits(act)
    landed, speed = hits[0]
    bounce, flying = arcs(t, bounces(landed, speed * RESTITUTION))
    y = torch.where(t < landed, height - GRAVITY * t * t / 2, bounce)
    effort = 0.7 * smooth(y / 0.2)
    return {
        "y": y,
        "squash": dent(t, hits[:-1]),
        "contact": (t >= landed) & ~flying,
        "effort": effort,
        "lift": effort,
        "gait": 2 * math.pi * t / 0.5,
    }


@dataclass(frozen=True, kw_only=True)
class Toss:
    """A throw along the picture from ``start`` to ``end``: ``flights``, the speed along the ground in each, and the lap's length."""

    start: float
    end: float
    flights: list[Flight]
    speeds: list[float]
    lap_s: float


def tossed(act: Act) -> Toss:
    """The throw of the subject: it is repeated the other way after a rest."""
    room = headroom(act.scene) - tall(act.subject)
    height = max(0.45, min(TOSS_HEIGHT, room))
    start, end = way(act, longest=1.35, shortest=0.7, reach=0.95 * half_width(act.subject))
    flights = bounces(0.0, math.sqrt(2 * GRAVITY * height), num=4)
    shares = [TOSS_KEEP**n for n in range(len(flights))]
    speed = abs(end - start) / sum(s * f.air_s for s, f in zip(shares, flights, strict=True))
    lap_s = flights[-1].start_s + flights[-1].air_s + _TOSS_REST_S
    return Toss(start=start, end=end, flights=flights, speeds=[speed * s for s in shares], lap_s=lap_s)


def toss(t: Tensor, act: Act) -> Fields:
    """Projectiles: an arc, landings that keep a share of the speed, rest, and back again. What is round rolls, the rest tumbles once."""
    throw = tossed(act)
    lap = torch.floor(t / throw.lap_s)
    within = t - lap * throw.lap_s
    y, flying = arcs(within, throw.flights)
    gone = torch.zeros_like(t)
    for flight, speed in zip(throw.flights, throw.speeds, strict=True):
        gone = gone + speed * (within - flight.start_s).clamp(0.0, flight.air_s)
    forth = 1 - 2 * (lap % 2)
    towards = math.copysign(1.0, throw.end - throw.start)
    x = (throw.start + throw.end) / 2 + towards * forth * (gone - abs(throw.end - throw.start) / 2)
    hits = [(f.start_s + f.air_s, f.speed) for f in throw.flights]
    fields = {"x": x, "y": y, "contact": ~flying, "squash": dent(within, hits)}
    if act.kind in ("ball", "ring"):
        turned = act.sign * (x - throw.start) / rolling_radius(act.subject)
        return fields | {"turned": turned, "yaw": hold(t, facing(act.sign))}
    turns = (within / throw.flights[0].air_s).clamp(max=1.0)
    roll = -towards * 2 * math.pi * (_forth_and_back(lap, turns))
    fields["x"], fields["y"] = about_centre(x, y, roll, tall(act.subject) / 2)
    return fields | {"roll": roll}


def _forth_and_back(lap: Tensor, share: Tensor) -> Tensor:
    """``share`` on even laps, what is left of it on odd ones: forth and back."""
    odd = lap % 2
    return odd + (1 - 2 * odd) * share


def fly(t: Tensor, act: Act) -> Fields:
    """Round through the air in view; a balloon drifts, a kite draws eights, a rocket lifts off, hovers and comes down."""
    if act.kind == "rocket":
        return _lift_off(t, act)
    low, high = lane(act)
    reach = half_width(act.subject)
    wide = min(0.75, max((high - low) / 2 - 0.95 * reach, 0.22))
    middle = (
        min(max(act.subject.x, low + 0.95 * reach + wide), high - 0.95 * reach - wide)
        if high - low > 1.9 * reach + 2 * wide - 1e-9
        else act.subject.x
    )
    top = max(headroom(act.scene) - tall(act.subject), 0.3)
    if act.kind == "kite":
        return _eights(t, act, middle, wide, top)
    if act.kind == "balloon":
        beat = 2 * math.pi * t / (1.3 * FLY_S)
        return {
            "x": middle - act.sign * wide * torch.cos(beat),
            "y": top * (0.55 - 0.45 * torch.cos(beat * 2)),
            "roll": -0.10 * act.sign * torch.sin(beat),
            "contact": t < 0,
        }
    phase = 2 * math.pi * t / FLY_S + 0.2 * math.pi  # the first half passes before the camera, the second behind
    low_y, climb, deep = min(0.25, 0.3 * top), min(0.42, 0.6 * top), 0.3
    heading = torch.atan2(-deep * phase.cos(), act.sign * wide * phase.sin())
    return {
        "x": middle - act.sign * wide * phase.cos(),
        "y": low_y + climb * (0.5 - 0.5 * phase.cos()),  # climbs in front, comes down behind
        "z": act.subject.z + deep * phase.sin(),
        "yaw": _unwound(heading, act.sign * phase - math.pi / 2),
        "roll": hold(t, act.sign * min(0.35 * climb / wide, 0.22)),
        "lift": hold(t, 1.0),
        "effort": hold(t, 1.0),
        "gait": 2 * math.pi * t / (0.9 if act.kind != "aeroplane" else 0.5),
        "contact": t < 0,
    }


def _unwound(heading: Tensor, about: Tensor) -> Tensor:
    """``heading`` without jumps of 2 pi: as near to ``about`` as it can be."""
    return heading + 2 * math.pi * torch.round((about - heading) / (2 * math.pi))


def _eights(t: Tensor, act: Act, middle: float, wide: float, top: float) -> Fields:
    beat = 2 * math.pi * t / (0.75 * FLY_S)
    roll = -0.45 * act.sign * torch.sin(beat)
    x, y = about_centre(
        middle - act.sign * wide * torch.cos(beat), top * (0.55 + 0.4 * torch.sin(2 * beat)), roll, 0.8 * act.size
    )
    return {
        "x": x,
        "y": y,
        "roll": roll,
        "gait": 2 * math.pi * t / 0.8,
        "effort": hold(t, 1.0),
        "contact": t < 0,
    }


def rocket_climb(act: Act) -> float:
    """How high a rocket climbs."""
    return max(0.45, min(1.2, headroom(act.scene) - tall(act.subject) - 0.04))


def rocket_times(act: Act) -> tuple[float, ...]:
    """Seconds at which a rocket's flight goes from ignition to thrust, coasting, hovering, coming down, rest and the next ignition."""
    return tuple(sum(_ROCKET_S[:n]) for n in range(1, len(_ROCKET_S) + 1))


def _lift_off(t: Tensor, act: Act) -> Fields:
    lift, burnt, top, down, landed, period = rocket_times(act)
    within = t % period
    thrust_s, coast_s = burnt - lift, top - burnt
    # Even acceleration, then even deceleration to a stop at the top.
    rate = rocket_climb(act) / (thrust_s * (thrust_s + coast_s) / 2)
    climb = (within - lift).clamp(0.0, thrust_s)
    coast = (within - burnt).clamp(0.0, coast_s)
    y = rate * climb * climb / 2 + rate * thrust_s * (coast - coast * coast / (2 * coast_s))
    y = y * (1 - smooth((within - down) / (landed - down)))
    shake = 0.03 * torch.sin(2 * math.pi * within / 0.16) * (smooth(within / 0.1) - smooth((within - lift) / 0.3))
    hover = (
        0.04
        * torch.sin(2 * math.pi * (within - top) / 0.8)
        * (smooth((within - top) / 0.2) - smooth((within - down) / 0.2))
    )
    return {
        "y": y + hover,
        "roll": shake,
        "contact": (within <= lift) | (within >= landed),
        "effort": rocket_thrust(t, act),
    }


def rocket_thrust(t: Tensor, act: Act) -> Tensor:
    """How strongly a rocket burns, 0 to 1."""
    lift, burnt, top, _, landed, period = rocket_times(act)
    within = t % period
    full = smooth((within - 0.05) / (lift - 0.05)) - 0.45 * smooth((within - burnt) / (top - burnt))
    return full - 0.55 * smooth((within - landed + 0.1) / 0.2)


def float_(t: Tensor, act: Act) -> Fields:
    """Bobbing on the water, or hovering in the air; an astronaut drifts and turns slowly."""
    beat = 2 * math.pi * t / FLOAT_S
    if act.kind in AFLOAT:
        swell = 0.07 if act.kind != "iceberg" else 0.06
        return {
            "y": REST_HEIGHT[act.kind] + swell * torch.sin(beat),
            "roll": 0.09 * torch.sin(beat * 0.8 + 0.9) - 0.09 * math.sin(0.9),
            "gait": beat,
            "effort": hold(t, 0.35),
        }
    room = min(max(headroom(act.scene) - tall(act.subject), 0.3), 0.75)
    drift = min(0.16, max(room_beside(act, 1.0), 0.05))
    fields = {
        "x": act.subject.x + act.sign * drift * torch.sin(beat * 0.63),
        "y": room * (0.52 - 0.38 * torch.cos(beat)),
        "roll": 0.07 * torch.sin(beat * 0.8),
        "contact": t < 0,
        "gait": beat,
        "effort": hold(t, 0.35),
    }
    if act.kind == "astronaut":
        fields |= {
            "roll": -0.38 * act.sign * torch.sin(beat * 0.7), "yaw": act.yaw + 0.5 * torch.sin(beat * 0.5),
            "lift": 0.55 + 0.25 * torch.sin(beat), "effort": hold(t, 0.5),
        }  # fmt: skip
    return fields


@dataclass(frozen=True, kw_only=True)
class Pendulum:
    """What hangs on a rope: the ``pivot`` (x, y), the ``rope``'s length to the top of the thing, and the ``length`` to its centre."""

    pivot: tuple[float, float]
    rope: float
    length: float
    angle: float

    @property
    def period_s(self) -> float:
        """Seconds of a swing forth and back. Source: the series of the pendulum's period to the fourth power of the amplitude."""
        a = self.angle
        return 2 * math.pi * math.sqrt(self.length / GRAVITY) * (1 + a**2 / 16 + 11 * a**4 / 3072)


def pendulum(act: Act) -> Pendulum:
    """The rope of the subject, which hangs from near the top of the picture."""
    high = min(headroom(act.scene), 2.3) - 0.06
    height = tall(act.subject)
    low = max(0.06, min(0.30, high - height - 0.45))
    rope = max(high - low - height, 0.25)
    length = rope + height / 2
    room = room_beside(act, 0.9)
    angle = min(SWING_ANGLE if act.subject.action == "swing" else 0.10, math.asin(min(max(room / length, 0.12), 1.0)))
    return Pendulum(pivot=(act.subject.x, low + height + rope), rope=rope, length=length, angle=angle)


def swing(t: Tensor, act: Act) -> Fields:
    """A pendulum on a rope, let go at one side."""
    hung = pendulum(act)
    angle = -act.sign * hung.angle * torch.cos(2 * math.pi * t / hung.period_s)
    return hang(act, angle)


def hang(act: Act, angle: Tensor) -> Fields:
    """The place of what hangs at ``angle`` radians to the right of straight down."""
    hung = pendulum(act)
    foot = hung.rope + tall(act.subject)
    return {
        "x": hung.pivot[0] + foot * angle.sin(),
        "y": hung.pivot[1] - foot * angle.cos(),
        "roll": angle,
        "yaw": hold(angle, facing(act.sign, 0.35 if act.kind in ("cube", "lantern") else 0.0)),
    }


def jump_times(seconds: float) -> Iterator[tuple[float, float]]:
    """(take-off, landing) of the jumps that begin within ``seconds``."""
    period = JUMP_AIR_S + JUMP_REST_S
    for k in range(math.ceil(seconds / period)):
        yield k * period + JUMP_REST_S, (k + 1) * period


JUMP_SPEED = math.sqrt(2 * GRAVITY * JUMP_HEIGHT)
