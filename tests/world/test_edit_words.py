from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kinema.core.errors import InvalidInput
from kinema.world.edit_words import EDIT_KINDS, instruction
from kinema.world.scene import Scene, Subject
from tests.world.random_scenes import random_scene

BALL = Subject(kind="ball", colour="red", action="roll")
SCENE = Scene(subjects=(BALL,), place="park", time="day")
CUBE = Subject(kind="cube", colour="green", action="jump", material="wood", x=0.8)
AFTER = {
    "recolour": replace(SCENE, subjects=(replace(BALL, colour="blue"),)),
    "replace": replace(SCENE, subjects=(replace(BALL, kind="cylinder"),)),
    "add": replace(SCENE, subjects=(BALL, CUBE)),
    "remove": SCENE,
    "time": replace(SCENE, time="night"),
    "weather": replace(SCENE, weather="rain"),
    "style": replace(SCENE, style="cartoon"),
    "camera": replace(SCENE, camera="zoom_in"),
}
WORDS = {
    "recolour": ("blue", "蓝"),
    "replace": ("cylinder|column|pillar", "圆柱|圆筒"),
    "add": ("cube|block|box", "方块|立方体|盒子"),
    "remove": ("cube|block|box", "方块|立方体|盒子"),
    "time": ("night", "夜"),
    "weather": ("rain", "雨"),
    "style": ("cartoon", "卡通"),
    "camera": ("zoom in", "拉近|放大"),
}


def _ask(kind: str, language: str, seed: int) -> str:
    before = AFTER["add"] if kind == "remove" else SCENE
    number = {"recolour": 0, "replace": 0, "add": 1, "remove": 1}.get(kind)
    return instruction(kind, before=before, after=AFTER[kind], number=number, language=language, seed=seed)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_instructions_name_what_changes(kind: str) -> None:
    for n, language in enumerate(("en", "zh")):
        texts = {_ask(kind, language, seed) for seed in range(60)}
        assert len(texts) >= 3
        for text in texts:
            assert re.search(WORDS[kind][n], text), text
            assert not re.search(r"[{}|]|  |的的", text), text


def test_the_example_is_among_them() -> None:
    assert "Make the red ball blue." in {_ask("recolour", "en", n) for n in range(500)}
    assert "把红色的球变成蓝色" in {_ask("recolour", "zh", n) for n in range(500)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_of_two_alike_the_one_is_named_by_its_place(language: str) -> None:
    pair = replace(SCENE, subjects=(replace(BALL, x=-0.8), replace(BALL, x=0.8)))
    texts = [instruction("remove", before=pair, after=SCENE, number=1, language=language, seed=n) for n in range(20)]
    assert all(("on the right" if language == "en" else "右边的") in t for t in texts)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_any_scene_can_be_asked_for(language: str) -> None:
    for seed in range(150):
        scene = random_scene(seed)
        for number in range(len(scene.subjects)):
            for kind in ("recolour", "replace", "add", "remove"):
                text = instruction(kind, before=scene, after=scene, number=number, language=language, seed=seed)
                assert text
                assert not re.search(r"[{}|]|  |\ban? [aeiou]\w* ?$|的的", text.replace("an ", "")), text


@pytest.mark.parametrize(
    "kind, number, language, field",
    [
        ("melt", None, "en", "edit"),
        ("time", None, "fr", "language"),
        ("remove", None, "en", "number"),
        ("remove", 3, "en", "number"),
    ],
)
def test_bad_arguments_are_named(kind: str, number: int | None, language: str, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        instruction(kind, before=SCENE, after=SCENE, number=number, language=language)
    assert error.value.field == field
