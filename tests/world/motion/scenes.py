"""Scenes for tests of motion: one subject, or one that does something to another."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from kinema.world.nature import KINDS, PAIR_ACTIONS, can
from kinema.world.scene import Scene, Subject

STEP_S = 1e-3
LONG = torch.arange(0, 9, STEP_S, dtype=torch.float64)


def one(
    kind: str, action: str, *, direction: str = "right", camera: str = "static", size: float = 1.0, x: float = 0.0
) -> Scene:
    """A scene of one subject."""
    place = "lake" if KINDS[kind].surface == "water" else "park"
    subject = Subject(kind=kind, colour="red", action=action, direction=direction, size=size, x=x)
    return Scene(subjects=(subject,), place=place, time="day", camera=camera)


def two(
    kind: str, action: str, other: str, *, direction: str = "right", camera: str = "static", sizes: tuple[float, float] = (1.0, 1.0),
    homes: tuple[float, float] = (-0.8, 0.45),
) -> Scene:  # fmt: skip
    """A scene of one that does something to another, which stands ahead of it."""
    sign = 1.0 if direction == "right" else -1.0
    first = Subject(
        kind=kind, colour="red", action=action, direction=direction, x=sign * homes[0], size=sizes[0], target=1
    )
    its = PAIR_ACTIONS[action].target_action
    second = Subject(kind=other, colour="blue", action=its, direction=direction, x=sign * homes[1], size=sizes[1])
    return Scene(subjects=(first, second), place="park", time="day", camera=camera)


def solos() -> Iterator[tuple[str, str]]:
    """All (kind, action) of one alone."""
    for kind, facts in KINDS.items():
        yield from ((kind, action) for action in facts.actions if action not in PAIR_ACTIONS)


def pairs(action: str) -> Iterator[tuple[str, str]]:
    """All (kind, other kind) of a pair action."""
    rule = PAIR_ACTIONS[action]
    for kind in KINDS:
        for other in KINDS:
            if can(kind, action) and rule.suits(other) and can(other, rule.target_action):
                yield kind, other


def every(camera: str = "static", *, direction: str = "right") -> Iterator[Scene]:
    """A scene of every kind and action; of pair actions each kind with two others, so that all others come up too."""
    yield from (one(kind, action, direction=direction, camera=camera) for kind, action in solos())
    for action in PAIR_ACTIONS:
        chosen = [pair for number, pair in enumerate(pairs(action)) if number % 7 in (0, 3)]
        yield from (two(a, action, b, direction=direction, camera=camera) for a, b in chosen)
