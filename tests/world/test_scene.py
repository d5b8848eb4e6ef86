from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from kinema.core.errors import InvalidInput
from kinema.world.sampler import sample
from kinema.world.scene import Scene, Subject
from tests.world.scenes import make


@pytest.mark.parametrize("seed", range(12))
def test_a_scene_survives_json(seed: int) -> None:
    for scene in (sample(seed), sample(seed).mirrored()):
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_mirroring_swaps_what_has_a_side_and_undoes_itself() -> None:
    scene = make("car", "walk", direction="left", camera="pan_right")
    mirror = scene.mirrored()
    assert (mirror.subject.direction, mirror.camera, mirror.flipped) == ("right", "pan_left", True)
    assert mirror.mirrored() == scene
    assert mirror.unflipped() == scene.unflipped() == scene
    assert make(camera="around_left").mirrored().camera == "around_right"
    assert make(camera="zoom_in").mirrored().camera == "zoom_in"


@pytest.mark.parametrize(
    "change, field, told",
    [
        ({"place": "moon"}, "place", "snowfield"),
        ({"time": "noon"}, "time", "sunset"),
        ({"camera": "pan"}, "camera", "pan_left"),
        ({"layout": -1}, "layout", "from 0"),
        ({"layout": True}, "layout", "whole number"),
        ({"elevation_deg": float("nan")}, "elevation_deg", "from 2 to 30"),
        ({"flipped": 1}, "flipped", "true or false"),
        ({"weather": "rain"}, "scene.weather", "unknown field"),
        ({"subject": "puppy"}, "subject", "object with kind"),
        ({"subject": {"kind": "puppy", "colour": "red"}}, "subject.action", "required"),
        ({"subject": {"kind": "cat", "colour": "red", "action": "walk"}}, "subject.kind", "puppy"),
        ({"subject": {"kind": "car", "colour": "grey", "action": "walk"}}, "subject.colour", "purple"),
        ({"subject": {"kind": "car", "colour": "red", "action": "fly"}}, "subject.action", "spin"),
        ({"subject": {"kind": "car", "colour": "red", "action": "walk", "size": 9}}, "subject.size", "from 0.5"),
    ],
)
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
