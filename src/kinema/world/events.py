"""What happens in a clip and when: contacts with the ground, from the motion's own formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from kinema.world.motion import (
    GRAVITY,
    JUMP_AIR_S,
    JUMP_REST_S,
    NUM_BOUNCES,
    PLAY_HOP_HEIGHT,
    PLAY_S,
    RESTITUTION,
    SPIN_S,
    TURN_S,
    WALK_S,
    fall_height,
    gait_step_s,
)
from kinema.world.scene import Scene

EVENTS = ("take_off", "land", "impact", "step", "turn", "full_turn")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens at a moment. ``strength`` is the speed of contact in subject heights a second, where there is one."""

    kind: str
    time_s: float
    strength: float = 0.0


def events(scene: Scene, seconds: float) -> list[Event]:
    """What happens in the first ``seconds`` of ``scene``, in order of time."""
    happening = _ACTIONS[scene.subject.action](scene.unflipped(), seconds)
    return sorted((e for e in happening if e.time_s < seconds), key=lambda e: e.time_s)


def _none(scene: Scene, seconds: float) -> Iterator[Event]:
    return iter(())


def _walk(scene: Scene, seconds: float) -> Iterator[Event]:
    lap, step = WALK_S + TURN_S, gait_step_s(scene)
    for k in range(math.ceil(seconds / lap)):
        yield Event(kind="turn", time_s=k * lap + WALK_S)
        if scene.subject.kind in ("puppy", "person", "bird"):
            for n in range(1, math.floor(WALK_S / step) + 1):
                yield Event(kind="step", time_s=k * lap + n * step)


def _jump(scene: Scene, seconds: float) -> Iterator[Event]:
    period, speed = JUMP_AIR_S + JUMP_REST_S, GRAVITY * JUMP_AIR_S / 2
    for k in range(math.ceil(seconds / period)):
        yield Event(kind="take_off", time_s=k * period + JUMP_REST_S, strength=speed)
        yield Event(kind="land", time_s=(k + 1) * period, strength=speed)


def _spin(scene: Scene, seconds: float) -> Iterator[Event]:
    for k in range(math.floor(seconds / SPIN_S)):
        yield Event(kind="full_turn", time_s=(k + 1) * SPIN_S)


def _play(scene: Scene, seconds: float) -> Iterator[Event]:
    speed = PLAY_HOP_HEIGHT * 2 * math.pi / PLAY_S
    for k in range(math.ceil(2 * seconds / PLAY_S)):
        yield Event(kind="land", time_s=(k + 0.5) * PLAY_S / 2, strength=speed)


def _fall(scene: Scene, seconds: float) -> Iterator[Event]:
    time, speed = math.sqrt(2 * fall_height(scene) / GRAVITY), math.sqrt(2 * fall_height(scene) * GRAVITY)
    for _ in range(NUM_BOUNCES + 1):
        yield Event(kind="impact", time_s=time, strength=speed)
        speed *= RESTITUTION
        time += 2 * speed / GRAVITY


_ACTIONS = {"stand": _none, "walk": _walk, "jump": _jump, "spin": _spin, "play": _play, "fall": _fall}
