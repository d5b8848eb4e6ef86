from __future__ import annotations

from dataclasses import replace

import pytest

from kinema.world.relations import OPPOSITE, RELATIONS, Relation, relations
from kinema.world.scene import Scene, Subject
from tests.world.random_scenes import random_scene

LEFT = Subject(kind="cube", colour="red", action="stand", x=-0.8)
RIGHT = Subject(kind="ball", colour="blue", action="stand", x=0.8)


def _names(*subjects: Subject, camera: str = "static") -> list[str]:
    scene = Scene(subjects=subjects, place="park", time="day", camera=camera)
    return [r.name for r in relations(scene) if r.subject == 0]


def test_left_and_right_are_the_picture_s() -> None:
    scene = Scene(subjects=(LEFT, RIGHT), place="park", time="day")
    assert relations(scene) == [
        Relation(subject=0, name="left_of", other=1),
        Relation(subject=1, name="right_of", other=0),
    ]
    assert [r.name for r in relations(scene.mirrored())] == ["right_of", "left_of"]


@pytest.mark.parametrize(
    "one, two, names",
    [
        (LEFT, replace(RIGHT, x=-0.4), []),
        (replace(LEFT, x=0.0, z=-1.0), replace(RIGHT, x=0.0), ["behind"]),
        (replace(LEFT, x=0.0, z=-0.6), replace(RIGHT, x=0.0), []),
        (replace(LEFT, x=0.0, size=1.3), replace(RIGHT, x=0.0), ["bigger_than"]),
        (replace(LEFT, x=0.0, size=0.7), replace(RIGHT, x=0.0), ["smaller_than"]),
        (replace(LEFT, x=0.0, size=1.2), replace(RIGHT, x=0.0), []),
        (replace(LEFT, z=-1.0, size=0.7), RIGHT, ["left_of", "behind", "smaller_than"]),
    ],
)
def test_only_what_is_plain_to_see(one: Subject, two: Subject, names: list[str]) -> None:
    assert _names(one, two) == names


def test_who_goes_elsewhere_is_neither_left_nor_right() -> None:
    assert _names(LEFT, replace(RIGHT, action="roll")) == []
    assert _names(LEFT, replace(RIGHT, action="roll", z=-1.0)) == ["in_front_of"]
    assert _names(LEFT, replace(RIGHT, action="collide", target=0, z=-1.0)) == []


def test_a_camera_that_circles_must_not_turn_it_round() -> None:
    near = replace(RIGHT, x=0.0, z=0.9)
    assert _names(replace(LEFT, z=-1.0), near) == ["left_of", "behind"]
    assert _names(replace(LEFT, z=-1.0), near, camera="around_left") == ["behind"]


def test_each_relation_has_its_opposite_the_other_way() -> None:
    for seed in range(200):
        found = relations(random_scene(seed))
        assert {(r.other, OPPOSITE[r.name], r.subject) for r in found} == {(r.subject, r.name, r.other) for r in found}
        assert all(r.name in RELATIONS for r in found)
