from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import kinema.world
from kinema.core.errors import InvalidInput
from kinema.prompt.normalise import normalise
from kinema.prompt.vocabulary import words_unknown
from kinema.world.captions import FORMS, LANGUAGES, caption
from kinema.world.nature import KINDS, PLACES, TIMES, WEATHERS
from kinema.world.scene import CAMERA_NAMES, Scene, Subject
from kinema.world.speech_en import is_doubled as is_doubled_en
from kinema.world.speech_zh import is_doubled as is_doubled_zh
from kinema.world.words import vocabulary
from tests.world.caption_check import disagreements
from tests.world.caption_parser import parse
from tests.world.random_scenes import random_scene

SENTENCES = ("short", "full", "dense")
PUPPY = Scene(subjects=(Subject(kind="puppy", colour="brown", action="play"),), place="park", time="day")
CLIFF = Scene(
    subjects=(Subject(kind="cliff", colour="grey", action="stand"),), place="coast", time="sunset", elevation_deg=24.0
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", SENTENCES)
def test_a_thousand_scenes_are_told_as_they_are(language: str, form: str) -> None:
    wrong = {}
    for seed in range(1000):
        scene = random_scene(seed)
        text = caption(scene, language=language, form=form, seed=seed)
        found = disagreements(scene, parse(text, language), form=form)
        if found:
            wrong[seed] = (text, found)
    assert not wrong


@pytest.mark.parametrize(
    "language, text, change",
    [
        ("en", "a red ball rolls to the left in the park at night", {"place": "beach"}),
        ("en", "a red ball rolls to the left in the park at night", {"time": "day"}),
        ("en", "a red ball rolls to the right in the park", {}),
        ("en", "a blue ball rolls in the park", {}),
        ("en", "two red balls roll in the park", {}),
        ("en", "a red ball spins in the park", {}),
        ("en", "a red cube rolls in the park", {}),
        ("en", "a red ball rolls in the park in the rain, the camera zooms in", {}),
        ("en", "a red ball rolls in the park, tilt left", {}),
        ("en", "aerial view of a red ball rolling in the park", {}),
        ("zh", "一个蓝色的球在公园里滚动", {}),
        ("zh", "一个红色的球在公园里向右滚动", {}),
        ("zh", "两个红色的球在公园里滚动", {}),
        ("zh", "一个红色的球在沙滩上滚动", {}),
        ("zh", "一个红色的球白天在公园里滚动", {}),
        ("zh", "一个红色的球在公园里旋转", {}),
        ("zh", "一个红色的球在公园里滚动，镜头拉近", {}),
        ("zh", "雨中，一个红色的球在公园里滚动", {}),
    ],
)
def test_the_reader_finds_what_is_not_so(language: str, text: str, change: dict[str, str]) -> None:
    ball = Subject(kind="ball", colour="red", action="roll", direction="left")
    scene = replace(Scene(subjects=(ball,), place="park", time="night"), **change)
    assert disagreements(scene, parse(text, language), form="short")


@pytest.mark.parametrize(
    "language, text",
    [
        ("en", "a red ball rolls to the left in the park at night"),
        ("zh", "夜晚，一个红色的球在公园里向左滚动，镜头不动"),
    ],
)
def test_the_reader_agrees_with_what_is_so(language: str, text: str) -> None:
    ball = Subject(kind="ball", colour="red", action="roll", direction="left")
    scene = Scene(subjects=(ball,), place="park", time="night")
    assert not disagreements(scene, parse(text, language), form="short")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", SENTENCES)
def test_the_seed_alone_chooses_the_words(language: str, form: str) -> None:
    one = [caption(random_scene(3), language=language, form=form, seed=n) for n in range(6)]
    assert one == [caption(random_scene(3), language=language, form=form, seed=n) for n in range(6)]
    assert len(set(one)) >= 4


def test_wordings_are_the_same_on_every_machine() -> None:
    assert {lang: caption(PUPPY, language=lang, seed=2) for lang in LANGUAGES} == GOLDEN


GOLDEN = {
    "en": "On the lawn of a park in the daytime, a puppy plays happily.",
    "zh": "公园的草地上，一只棕色的狗在欢快地蹦跳",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_hundreds_of_ways_to_say_a_simple_scene(language: str) -> None:
    assert len({caption(PUPPY, language=language, seed=n).rstrip(".。").lower() for n in range(2000)}) >= 400
    for seed in range(20):
        assert len({caption(random_scene(seed), language=language, seed=n) for n in range(80)}) >= 40


@pytest.mark.parametrize(
    "scene, language, prompt",
    [
        (PUPPY, "en", "a puppy plays in the park"),
        (PUPPY, "zh", "一只小狗在公园里玩耍"),
        (CLIFF, "en", "drone view of waves crashing against a rugged cliff at sunset"),
        (CLIFF, "zh", "航拍：日落时，海浪拍打着崎岖的悬崖"),
    ],
)
def test_the_documents_prompts_are_captions(scene: Scene, language: str, prompt: str) -> None:
    assert any(caption(scene, language=language, seed=n).rstrip(".。").lower() == prompt for n in range(30000))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", SENTENCES)
def test_captions_are_spelt_as_prompts_are_read(language: str, form: str) -> None:
    for seed in range(300):
        text = caption(random_scene(seed), language=language, form=form, seed=seed)
        assert normalise(text) == text
        assert not re.search(
            r"[{}|~!]|  | [,.:]|\b(a [aeiou]|an [^aeiou])|，，|的的|在在|。，", text.replace("a u", "")
        ), text
        if language == "zh":
            assert not re.search("[A-Za-z]", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_that_read_captions_knows_their_words(language: str) -> None:
    known = vocabulary()
    unknown = {
        w
        for seed in range(400)
        for w in words_unknown(caption(random_scene(seed), language=language, seed=seed), known)
    }
    assert not unknown


@pytest.mark.parametrize("language, is_doubled", [("en", is_doubled_en), ("zh", is_doubled_zh)])
def test_words_are_hardly_ever_doubled(language: str, is_doubled) -> None:
    texts = [caption(random_scene(seed), language=language, seed=seed) for seed in range(500)]
    assert sum(map(is_doubled, texts)) <= 8
    snow = Scene(subjects=PUPPY.subjects, place="snowfield", time="day", weather="snow")
    assert not any(is_doubled(caption(snow, language=language, seed=n)) for n in range(200))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_thing_is_sometimes_said_and_sometimes_not(language: str) -> None:
    scene = Scene(
        subjects=(Subject(kind="car", colour="purple", action="walk", material="metal"),),
        place="beach", time="night", weather="rain", camera="pan_left", style="cartoon", elevation_deg=22.0,
    )  # fmt: skip
    claims = [parse(caption(scene, language=language, seed=n), language) for n in range(300)]
    for name in ("place", "time", "weather", "camera", "style", "is_aerial"):
        assert 0.3 < sum(bool(getattr(c, name)) for c in claims) / 300 < 0.99, name
    for name in ("colour", "material", "side"):
        assert 0.3 < sum(bool(getattr(c.mentions[0], name)) for c in claims) / 300 < 0.99, name
    still = [parse(caption(PUPPY, language=language, seed=n), language) for n in range(300)]
    assert 0.02 < sum(bool(c.camera) for c in still) / 300 < 0.4


def test_short_captions_are_short() -> None:
    lengths: dict[int, list[int]] = {1: [], 2: [], 3: []}
    for seed in range(600):
        scene = random_scene(seed)
        lengths[len(scene.subjects)].append(len(caption(scene, seed=seed).split()))
    assert 8 < sum(lengths[1]) / len(lengths[1]) < 18
    assert max(lengths[1]) <= 36
    assert sum(lengths[3]) / len(lengths[3]) < 30


@pytest.mark.parametrize("language, low, high", [("en", 40, 120), ("zh", 65, 200)])
def test_dense_captions_are_paragraphs(language: str, low: int, high: int) -> None:
    for seed in range(300):
        scene = random_scene(seed)
        text = caption(scene, language=language, form="dense", seed=seed)
        assert low <= (len(text.split()) if language == "en" else len(text)) <= high, text
        assert text[-1] in ".。"


@pytest.mark.parametrize("language", LANGUAGES)
def test_mirrored_scenes_are_told_mirrored(language: str) -> None:
    walk = Subject(kind="puppy", colour="red", action="walk", direction="left")
    scene = Scene(subjects=(walk,), place="park", time="day")
    sides = {parse(caption(scene, language=language, seed=n), language).mentions[0].side for n in range(60)}
    mirrored = {
        parse(caption(scene.mirrored(), language=language, seed=n), language).mentions[0].side for n in range(60)
    }
    assert (sides, mirrored) == ({None, "left"}, {None, "right"})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_does_everything_in_words(language: str, kind: str) -> None:
    place = "coast" if KINDS[kind].surface == "water" else "street"
    for n, action in enumerate(
        a for a in KINDS[kind].actions if a not in ("collide", "knock_over", "chase", "drink", "pour")
    ):
        scene = Scene(subjects=(Subject(kind=kind, colour="orange", action=action),), place=place, time="dawn")
        claims = parse(caption(scene, language=language, form="dense", seed=n), language)
        assert not disagreements(scene, claims, form="dense"), (
            action,
            caption(scene, language=language, form="dense", seed=n),
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_told_under_every_camera(language: str) -> None:
    seed = 0
    for place, facts in PLACES.items():
        for time in TIMES:
            for weather in ("clear",) if facts.is_indoors else WEATHERS:
                camera = CAMERA_NAMES[seed % len(CAMERA_NAMES)]
                scene = Scene(subjects=PUPPY.subjects, place=place, time=time, weather=weather, camera=camera)
                for form in SENTENCES:
                    text = caption(scene, language=language, form=form, seed=seed)
                    assert not disagreements(scene, parse(text, language), form=form), text
                seed += 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_json_captions_have_hunyuanvideo_s_fields(language: str) -> None:
    fields = json.loads(caption(PUPPY, language=language, form="json"))
    assert list(fields) == [
        "short_description", "dense_description", "background", "style", "shot_type", "lighting", "atmosphere", "camera_motion",
        "motion_score", "sound",
    ]  # fmt: skip
    score = fields.pop("motion_score")
    assert isinstance(score, int)
    assert 1 <= score <= 255
    assert isinstance(fields.pop("sound"), str)
    assert all(isinstance(value, str) and value for value in fields.values())


@pytest.mark.parametrize("language, form, field", [("fr", "short", "language"), ("en", "long", "form")])
def test_bad_arguments_are_named(language: str, form: str, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        caption(PUPPY, language=language, form=form)
    assert error.value.field == field


def test_sentences_need_no_torch() -> None:
    code = (
        "import sys; from kinema.world import captions, edit_words, prompts; from kinema.world.scene import Scene, Subject;"
        "captions.caption(Scene(subjects=(Subject(kind='cat', colour='red', action='jump'),), place='park', time='day'), form='dense');"
        "assert 'torch' not in sys.modules"
    )
    source = str(Path(kinema.world.__path__[0]).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": source})


@pytest.mark.parametrize("language, sails", [("en", "sails"), ("zh", "叶片")])
def test_only_windmills_have_sails(language: str, sails: str) -> None:
    kinds = ("windmill", "volcano")
    pair = tuple(
        Subject(kind=kind, colour="red", action="stand", x=x) for kind, x in zip(kinds, (-0.8, 0.8), strict=True)
    )
    scene = Scene(subjects=pair, place="park", time="day")
    assert not any(sails in caption(scene, language=language, form="dense", seed=n) for n in range(100))


def test_forms_are_those_of_the_documents() -> None:
    assert FORMS == ("short", "full", "dense", "json")
