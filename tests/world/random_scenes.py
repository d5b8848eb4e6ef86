"""Random valid scenes of one to three subjects, drawn from the tables of nature alone: every kind, action, place and weather."""

from __future__ import annotations

import random
from dataclasses import replace

from kinema.core.errors import InvalidInput
from kinema.world.nature import COLOURS, KINDS, PAIR_ACTIONS, PLACES, STYLES, TIMES, WEATHERS
from kinema.world.scene import CAMERA_NAMES, DIRECTIONS, MATERIALS, Scene, Subject


def random_scene(seed: int) -> Scene:
    """The scene of ``seed``: a third each with one, two and three subjects, a third of the latter with a pair action."""
    dice = random.Random(seed)
    while True:
        try:
            return _draw(dice)
        except InvalidInput:
            continue


def _draw(dice: random.Random) -> Scene:
    subjects = [_subject(dice) for _ in range(dice.choice((1, 2, 3)))]
    if len(subjects) > 1 and dice.random() < 0.4:  # two alike
        subjects[1] = replace(subjects[1], kind=subjects[0].kind, colour=subjects[0].colour, action=subjects[0].action)
    if len(subjects) > 1 and dice.random() < 0.4:
        subjects[:2] = _pair(dice, subjects[0], subjects[1])
        if dice.random() < 0.3:
            subjects.reverse()
            subjects = [replace(s, target=None if s.target is None else len(subjects) - 1 - s.target) for s in subjects]
    scene = Scene(
        subjects=tuple(subjects),
        place=dice.choice(tuple(PLACES)),
        time=dice.choice(TIMES),
        weather=dice.choice(WEATHERS),
        camera=dice.choice(CAMERA_NAMES),
        style=dice.choice(STYLES),
        elevation_deg=dice.choice((5.0, 6.5, 15.0, 22.0, 30.0)),
        camera_speed=dice.choice((0.8, 1.0, 1.2)),
    )
    return scene.mirrored() if dice.random() < 0.3 else scene


def _subject(dice: random.Random) -> Subject:
    kind = dice.choice(tuple(KINDS))
    return Subject(
        kind=kind,
        colour=dice.choice(COLOURS),
        action=dice.choice([a for a in KINDS[kind].actions if a not in PAIR_ACTIONS]),
        direction=dice.choice(DIRECTIONS),
        size=dice.choice((0.8, 1.0, 1.1, 1.4)),
        material=dice.choice(MATERIALS),
        x=round(dice.uniform(-1.2, 1.2), 2),
        z=round(dice.uniform(-1.5, 0.5), 2),
    )


def _pair(dice: random.Random, one: Subject, two: Subject) -> list[Subject]:
    action = dice.choice(tuple(PAIR_ACTIONS))
    rule = PAIR_ACTIONS[action]
    doers = [k for k, facts in KINDS.items() if action in facts.actions]
    targets = [k for k in KINDS if rule.suits(k) and rule.target_action in KINDS[k].actions]
    return [
        replace(one, kind=dice.choice(doers), action=action, target=1),
        replace(two, kind=dice.choice(targets), action=rule.target_action),
    ]
