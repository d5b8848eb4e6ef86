from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from kinema.core.errors import InvalidInput
from kinema.world.sampler import sample
from kinema.world.scene import Scene, Subject
from tests.world.scenes import make, three


@pytest.mark.parametrize("seed", range(12))
def test_a_scene_survives_json(seed: int) -> None:
    for scene in (sample(seed), sample(seed).mirrored(), replace(sample(seed), span=3.1)):
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_mirroring_swaps_what_has_a_side_and_undoes_itself() -> None:
    scene = make("car", "walk", direction="left", camera="pan_right")
    mirror = scene.mirrored()
    assert (mirror.subject.direction, mirror.camera, mirror.flipped) == ("right", "pan_left", True)
    assert mirror.mirrored() == scene
    assert mirror.unflipped() == scene.unflipped() == scene
    assert make(camera="around_left").mirrored().camera == "around_right"
    assert make(camera="zoom_in").mirrored().camera == "zoom_in"
    assert [s.x for s in three().mirrored().subjects] == [1.1, 0.0, -1.1]


def test_what_floats_sets_the_scene_afloat() -> None:
    assert make("boat", place="beach").is_afloat
    assert not make("car", place="beach").is_afloat


_CAR = {"kind": "car", "colour": "red", "action": "walk"}
_BOAT = {"kind": "boat", "colour": "red", "action": "walk"}
_CUBE = {"kind": "cube", "colour": "blue", "action": "stand"}


@pytest.mark.parametrize(
    "change, field, told",
    [
        ({"place": "moon"}, "place", "snowfield"),
        ({"time": "noon"}, "time", "sunset"),
        ({"weather": "hail"}, "weather", "snow"),
        ({"style": "oil"}, "style", "cartoon"),
        ({"camera": "pan"}, "camera", "pan_left"),
        ({"layout": -1}, "layout", "from 0"),
        ({"layout": 2**63}, "layout", "from 0"),
        ({"layout": True}, "layout", "whole number"),
        ({"elevation_deg": float("nan")}, "elevation_deg", "from 2 to 35"),
        ({"camera_speed": "fast"}, "camera_speed", "from 0.5 to 1.5"),
        ({"span": 1.0}, "span", "from 2 to 5"),
        ({"flipped": 1}, "flipped", "true or false"),
        ({"lens": "wide"}, "scene.lens", "weather"),
        ({"subjects": "puppy"}, "subjects", "list of subjects"),
        ({"subjects": ["puppy"]}, "subjects", "objects with kind"),
        ({"subjects": []}, "subjects", "1 to 3"),
        ({"subjects": [_CAR] * 4}, "subjects", "1 to 3"),
        ({"subjects": [{"kind": "puppy", "colour": "red"}]}, "subject.action", "required"),
        ({"subjects": [_CAR | {"kind": "unicorn"}]}, "subject.kind", "puppy"),
        ({"subjects": [_CAR | {"colour": "beige"}]}, "subject.colour", "purple"),
        ({"subjects": [_CAR | {"material": "glass"}]}, "subject.material", "wood"),
        ({"subjects": [_CAR | {"action": "swim"}]}, "subject.action", "collide"),
        ({"subjects": [_CAR | {"action": "fly"}]}, "subject.action", "nothing that a car does"),
        ({"subjects": [_CAR | {"size": 9}]}, "subject.size", "from 0.5"),
        ({"subjects": [_CAR | {"x": float("inf")}]}, "subject.x", "from -2"),
        ({"subjects": [_CAR | {"wheels": 4}]}, "subject.wheels", "material"),
        ({"subjects": [_CAR | {"target": 0}]}, "subject.target", "must be absent"),
        ({"subjects": [_CAR | {"action": "collide"}]}, "subject.target", "must be the number"),
        ({"subjects": [_CAR | {"action": "collide", "target": 0}]}, "subject.target", "another subject"),
        ({"subjects": [_CAR | {"action": "collide", "target": 1}, _CAR | {"action": "stand", "kind": "house"}]},
         "subject.target", "nothing that one can collide"),
        ({"subjects": [_CAR | {"action": "collide", "target": 1}, _CUBE | {"action": "jump"}]}, "subject.action", "must be stand"),
        ({"subjects": [_BOAT]}, "place", "lake"),
        ({"place": "beach", "subjects": [_BOAT, _CAR]}, "subjects", "all on the water"),
        ({"place": "room", "weather": "rain"}, "weather", "indoors"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_with_its_choices(change: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as error:
        Scene.from_dict(make().to_dict() | change)
    assert error.value.field == field


def test_a_missing_field_is_named() -> None:
    data = make().to_dict()
    del data["place"]
    with pytest.raises(InvalidInput, match="scene.place"):
        Scene.from_dict(data)


def test_scenes_are_frozen_values() -> None:
    scene = make()
    with pytest.raises(FrozenInstanceError):
        scene.place = "beach"  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(scene, place="park") == scene
    assert hash(scene) == hash(make())
    with pytest.raises(InvalidInput, match="direction"):
        Subject(kind="car", colour="red", action="walk", direction="up")
