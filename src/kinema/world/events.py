"""What happens in a clip and when: contacts and causes, from the motion's own formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kinema.world.motion import air, cups, ground, pairs, tipping
from kinema.world.motion.act import Act
from kinema.world.motion.actions import doer_to
from kinema.world.motion.constants import (
    AFLOAT,
    FLOAT_S,
    HOPPING,
    LEGGED,
    PLAY_HOP_HEIGHT,
    PLAY_S,
    RUN_STRIDE,
    SAIL_S,
    SEA_CRASH_S,
    SEA_S,
    SPIN_S,
    WAVE_S,
)
from kinema.world.scene import Scene

EVENTS = (
    "step", "turn", "take_off", "land", "splash", "impact", "push", "stop", "full_turn", "release", "swing_low", "launch", "topple_start",
    "hit_ground", "collision", "touch", "lift", "sip", "put_down", "pour_start", "pour_end", "wave", "wave_crash",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens at a moment, to ``subject`` (its number; None: to the place), by or with the subject ``other``.

    ``strength`` is the speed of contact in subject heights a second, where there is one.
    """

    kind: str
    time_s: float
    subject: int | None = 0
    other: int | None = None
    strength: float = 0.0


_Happening = Iterator[tuple[str, float, float]]  # kind, seconds, strength


def events(scene: Scene, seconds: float) -> list[Event]:
    """What happens in the first ``seconds`` of ``scene``, in order of time; a cause stands before its effect."""
    inner = scene.unflipped()
    found: list[Event] = []
    for number, subject in enumerate(inner.subjects):
        act = Act(scene=inner, number=number)
        if subject.target is not None:
            found += _PAIRS[subject.action](act, Act(scene=inner, number=subject.target), seconds)
        elif doer_to(inner, number) is None:
            found += [
                Event(kind=kind, time_s=time, subject=number, strength=strength)
                for kind, time, strength in _SOLOS.get(subject.action, _none)(act, seconds)
            ]
    if has_cliff(inner):
        found += _repeated("wave_crash", SEA_CRASH_S, SEA_S, seconds, subject=None, strength=1.0)
    return sorted((e for e in found if 0 <= e.time_s < seconds), key=lambda e: e.time_s)


def has_cliff(scene: Scene) -> bool:
    """Whether waves break on a cliff in ``scene``."""
    return scene.place == "coast" or any(s.kind == "cliff" for s in scene.subjects)


def _none(act: Act, seconds: float) -> _Happening:
    return iter(())


def _repeated(
    kind: str, first: float, period: float, seconds: float, *, subject: int | None = 0, other: int | None = None, strength: float = 0.0
) -> list[Event]:  # fmt: skip
    count = max(0, math.ceil((seconds - first) / period))
    return [
        Event(kind=kind, time_s=first + k * period, subject=subject, other=other, strength=strength)
        for k in range(count)
    ]


def _go(act: Act, seconds: float) -> _Happening:
    line, step = ground.course(act), ground.step_s(act)
    for k in range(math.ceil(seconds / line.lap_s)):
        yield "turn", k * line.lap_s + line.move_s, 0.0
        if act.kind not in LEGGED:
            continue
        # Steps are counted over all the way, since the legs go on where they were.
        for n in range(math.floor(k * line.move_s / step) + 1, math.floor((k + 1) * line.move_s / step) + 1):
            yield "step", n * step + k * line.pause_s, 0.0


def _kicked(act: Act, seconds: float) -> _Happening:
    line = ground.course(act)
    for k in range(math.ceil(seconds / line.lap_s)):
        yield "push", k * line.lap_s, ground.kick_speed(line)
        yield "stop", k * line.lap_s + line.move_s, 0.0


def _jump(act: Act, seconds: float) -> _Happening:
    is_fish = act.kind == "fish"
    for up, down in air.jump_times(seconds):
        yield "splash" if is_fish else "take_off", up, air.JUMP_SPEED
        yield "splash" if is_fish else "land", down, air.JUMP_SPEED


def _spin(act: Act, seconds: float) -> _Happening:
    turn = SAIL_S if act.kind == "windmill" else SPIN_S
    for k in range(math.floor(seconds / turn)):
        yield "full_turn", (k + 1) * turn, 0.0


def _play(act: Act, seconds: float) -> _Happening:
    speed = PLAY_HOP_HEIGHT * 2 * math.pi / PLAY_S
    for k in range(math.ceil(2 * seconds / PLAY_S)):
        yield "land", (k + 0.5) * PLAY_S / 2, speed


def _fall(act: Act, seconds: float) -> _Happening:
    for time, speed in air.fall_hits(act):
        yield "impact", time, speed


def _toss(act: Act, seconds: float) -> _Happening:
    throw = air.tossed(act)
    for k in range(math.ceil(seconds / throw.lap_s)):
        start = k * throw.lap_s
        yield "take_off", start, math.hypot(throw.flights[0].speed, throw.speeds[0])
        for flight in throw.flights:
            yield "impact", start + flight.start_s + flight.air_s, flight.speed


def _swing(act: Act, seconds: float) -> _Happening:
    hung = air.pendulum(act)
    yield "release", 0.0, 0.0
    speed = hung.length * hung.angle * 2 * math.pi / hung.period_s
    for k in range(math.ceil(2 * seconds / hung.period_s)):
        yield "swing_low", (k + 0.5) * hung.period_s / 2, speed


def _fly(act: Act, seconds: float) -> _Happening:
    if act.kind != "rocket":
        return
    lift, _, _, _, landed, period = air.rocket_times(act)
    for k in range(math.ceil(seconds / period)):
        yield "launch", k * period + lift, 0.0
        yield "land", k * period + landed, 0.0


def _float(act: Act, seconds: float) -> _Happening:
    if act.kind in AFLOAT:  # a slap of water at the bottom of each bob
        for k in range(math.ceil(seconds / FLOAT_S)):
            yield "splash", (k + 0.75) * FLOAT_S, 0.2


def _wave(act: Act, seconds: float) -> _Happening:
    for k in range(math.ceil(seconds / WAVE_S)):
        yield "wave", 0.3 + k * WAVE_S, 0.0


def _topple(act: Act, seconds: float) -> _Happening:
    yield "topple_start", tipping.TOPPLE_S, 0.0
    yield from _hits(act, tipping.TOPPLE_S)


def _hits(act: Act, start_s: float) -> _Happening:
    """The contacts of one that tips over from ``start_s`` on, at the speed of its far end."""
    fall = tipping.fall_of(act.subject)
    yield "hit_ground", start_s + fall.land_s, fall.land_speed * act.size
    for time, speed in fall.bounces():
        yield "hit_ground", start_s + time + 2 * speed / fall.settling, speed * act.size


def _strides_until(act: Act, stop_s: float, speed: float) -> list[Event]:
    if act.kind not in LEGGED:
        return []
    step = RUN_STRIDE / speed / (1 if act.kind in HOPPING else 2)
    return _repeated("step", step, step, stop_s, subject=act.number)


def _collide(act: Act, other: Act, seconds: float) -> list[Event]:
    hit, after = pairs.strike(act, other), pairs.impact(act, other)
    both = {"subject": act.number, "other": other.number}
    return [
        Event(kind="collision", time_s=hit.hit_s, strength=hit.speed, **both),
        Event(kind="stop", time_s=hit.hit_s + abs(after.own) / after.friction, subject=act.number),
        Event(kind="stop", time_s=hit.hit_s + after.other / after.friction, subject=other.number),
    ]


def _knock_over(act: Act, other: Act, seconds: float) -> list[Event]:
    hit = pairs.strike(act, other)
    start = Event(kind="topple_start", time_s=hit.hit_s, subject=other.number, other=act.number)
    hits = [
        Event(kind=kind, time_s=time, subject=other.number, strength=strength)
        for kind, time, strength in _hits(other, hit.hit_s)
    ]
    cause = Event(kind="collision", time_s=hit.hit_s, subject=act.number, other=other.number, strength=hit.speed)
    return [*_strides_until(act, hit.hit_s, hit.speed), cause, start, *hits]


def _chase(act: Act, other: Act, seconds: float) -> list[Event]:
    runners = (act, other)
    return [e for runner in runners for e in _strides_until(runner, seconds, pairs.CHASE_SPEED)]


def _drink(act: Act, other: Act, seconds: float) -> list[Event]:
    plan, period = cups.drinking(act, other), cups.DRINK_S - cups.WALK_UP_S
    hand = {"subject": act.number, "other": other.number}
    return [
        *_repeated("lift", plan.lift_s, period, seconds, **hand),
        *_repeated("sip", plan.sip_s, period, seconds, **hand),
        *_repeated("put_down", plan.down_s, period, seconds, subject=other.number, other=act.number),
    ]


def _pour(act: Act, other: Act, seconds: float) -> list[Event]:
    plan, period = cups.pouring(act, other), cups.POUR_LAP_S
    return [
        *_repeated("lift", cups.RISE_START_S, period, seconds, subject=act.number),
        *_repeated("pour_start", plan.flow_s, period, seconds, subject=act.number, other=other.number),
        *_repeated("pour_end", plan.stop_s, period, seconds, subject=act.number, other=other.number),
        *_repeated("put_down", plan.down_s, period, seconds, subject=act.number),
    ]


_SOLOS: dict[str, Callable[[Act, float], _Happening]] = {
    "walk": _go, "run": _go, "roll": _kicked, "slide": _kicked, "jump": _jump, "spin": _spin, "play": _play, "fall": _fall, "toss": _toss,
    "swing": _swing, "fly": _fly, "float": _float, "wave": _wave, "topple": _topple,
}  # fmt: skip
_PAIRS: dict[str, Callable[[Act, Act, float], list[Event]]] = {
    "collide": _collide, "knock_over": _knock_over, "chase": _chase, "drink": _drink, "pour": _pour,
}  # fmt: skip
