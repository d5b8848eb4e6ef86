"""Questions: one scene and seed in both languages, only words that the model knows, suites that are what they say, an end to the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kinema.core.errors import InvalidInput
from kinema.evaluation import questions as module
from kinema.evaluation.questions import OF_SUBJECTS, OF_WHOLE, SUITES, Question, asked, knows, questions
from kinema.prompt.normalise import normalise
from kinema.world.captions import caption
from kinema.world.nature import ACTIONS, COLOURS, KINDS
from kinema.world.prompts import hand_written_prompts
from kinema.world.sampler import DIFFICULTIES, attributes, is_held_out, sample
from tests.world.scenes import make, pair, three

ALL: Mapping[str, Any] = {}


@pytest.mark.parametrize("suite", ["plain", "held_out", "together"])
def test_both_languages_ask_for_one_scene_with_one_seed(suite: str) -> None:
    found = questions(suite, 4, vocabulary=ALL)
    assert [q.language for q in found] == ["en", "zh"] * 4
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert (one.seed, one.scene, one.subjects, one.whole) == (other.seed, other.scene, other.subjects, other.whole)
        assert one.prompt.isascii()
        assert not other.prompt.isascii()
        base = sample(one.seed, split="test", difficulty="core")
        assert scene_of(one).place == base.place
        assert one.scene == base or suite == "together"
        assert {one.suite, other.suite} == {suite}
    assert len({q.seed for q in found}) == 4


@pytest.mark.parametrize("suite", ["plain", "held_out", "together"])
def test_fewer_questions_are_the_first_of_more(suite: str) -> None:
    found = questions(suite, 5, vocabulary=ALL)
    assert questions(suite, 2, vocabulary=ALL) == found[:4]
    assert questions(suite, 5, vocabulary=ALL, languages=("zh",)) == found[1::2]
    assert questions(suite, 0, vocabulary=ALL) == []


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("level", DIFFICULTIES)
def test_plain_scenes_hold_no_held_out_pair(split: str, level: str) -> None:
    found = questions("plain", 12, vocabulary=ALL, split=split, difficulty=level, languages=("en",))
    assert not any(is_held_out(scene_of(q)) for q in found)
    assert [q.scene for q in found] == [sample(q.seed, split=split, difficulty=level) for q in found]


def test_suites_are_what_they_say() -> None:
    assert all(is_held_out(scene_of(q)) for q in questions("held_out", 12, vocabulary=ALL))
    together = questions("together", 24, vocabulary=ALL)
    assert {len(q.subjects) for q in together} == {2, 3}
    assert {s["kind"] for q in together for s in q.subjects} <= set(DIFFICULTIES["core"].kinds)
    assert not any(is_held_out(scene_of(q)) for q in together)


def test_scenes_with_an_unknown_word_are_left_out() -> None:
    known = {"kind": {"puppy": [], "car": []}, "camera": {"static": [], "zoom_in": []}, "sound": {}}
    found = questions("plain", 12, vocabulary=known)
    assert {q.subjects[0]["kind"] for q in found} == {"puppy", "car"}
    assert {q.whole["camera"] for q in found} == {"static", "zoom_in"}
    assert len({q.whole["place"] for q in found}) > 2  # the vocabulary says nothing of places
    free = questions("plain", 40, vocabulary=ALL)
    assert [q for q in free if q.subjects[0]["kind"] in known["kind"] and q.whole["camera"] in known["camera"]] == [
        q for q in found if q.seed <= free[-1].seed
    ]


def test_every_subject_has_to_be_known() -> None:
    scene = three()
    assert knows({"kind": {"cube": [], "ball": [], "cone": []}}, scene)
    assert not knows({"kind": {"cube": [], "ball": []}}, scene)
    assert not knows({"place": {}}, scene)
    assert not knows({"material": {"wood": ["wooden"]}}, scene)
    assert knows(ALL, scene)


@pytest.mark.parametrize(
    "suite, how",
    [
        ("plain", {"vocabulary": {"kind": {}}}),
        ("held_out", {"vocabulary": {"colour": {"red": []}, "kind": {"puppy": []}, "place": {"park": []}}}),
        ("together", {"vocabulary": {"place": {}}}),
    ],
)
def test_a_search_for_what_there_is_not_ends(monkeypatch: pytest.MonkeyPatch, suite: str, how: dict[str, Any]) -> None:
    monkeypatch.setattr(module, "_MOST_LOOKED_AT", 300)
    with pytest.raises(InvalidInput, match="too few scenes of the .* split in words that this model knows") as caught:
        questions(suite, 1, **how)
    assert (caught.value.field, caught.value.value) == ("suite", suite)


def test_a_search_that_finds_some_but_not_all_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    one = questions("plain", 1, vocabulary=ALL, languages=("en",))[0]
    rare = {name: {word: []} for name, word in attributes(scene_of(one)).items()}
    monkeypatch.setattr(module, "_MOST_LOOKED_AT", 50)
    assert questions("plain", 1, vocabulary=rare, languages=("en",)) == [one]
    with pytest.raises(InvalidInput, match="too few scenes"):
        questions("plain", 1000, vocabulary=rare)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_only_the_test_split_holds_pairs_that_were_held_out(split: str) -> None:
    with pytest.raises(
        InvalidInput, match=f"suite: 'held_out': has no scenes in the {split} split; name the split test"
    ):
        questions("held_out", 1, vocabulary=ALL, split=split)


def test_questions_about_one_scene_share_a_key() -> None:
    found = [q for suite in SUITES for q in questions(suite, 4, vocabulary=ALL)]
    keys = [q.scene_key for q in found]
    assert keys[:24:2] == keys[1:24:2]
    assert len(set(keys)) == 3 * 4 + 8  # what people wrote is in one language each


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InvalidInput, match="suite: 'hard': must be one of plain, held_out, together, hand_written"):
        questions("hard", 1, vocabulary=ALL)
    with pytest.raises(InvalidInput, match="difficulty: 'hard': must be one of core"):
        questions("plain", 1, vocabulary=ALL, difficulty="hard")
    with pytest.raises(InvalidInput, match="split: 'all'"):
        questions("plain", 1, vocabulary=ALL, split="all")


def test_all_of_a_scene_is_asked_for() -> None:
    scene = replace(three(camera="pan_left"), weather="rain", style="cartoon")
    for language in ("en", "zh"):
        question = asked(scene, language=language, seed=5)
        assert question.prompt == caption(scene, language=language, form="full", seed=5)
        assert [dict(s) for s in question.subjects] == [
            {name: getattr(s, name) for name in OF_SUBJECTS} for s in scene.subjects
        ]
        assert question.whole == {name: getattr(scene, name) for name in OF_WHOLE}
        assert (question.suite, question.scene, question.seed) == ("plain", scene, 5)


def test_what_one_does_to_whom_something_is_done_is_not_asked() -> None:
    scene = pair("collide", "car", "cube")
    first, second = asked(scene, language="en", seed=0).subjects
    assert first["action"] == "collide"
    assert second == {"kind": "cube", "colour": "blue"}
    for row in questions("hand_written", 60, vocabulary=ALL):
        targets = {s.get("target") for s in hand_written_prompts()[row.seed].scene["subjects"]}
        assert not any("action" in s for n, s in enumerate(row.subjects) if n in targets)


def test_hand_written_prompts_ask_for_what_they_state() -> None:
    found = questions("hand_written", 60, vocabulary=ALL)
    assert len(found) == len(hand_written_prompts()) == 60
    for question in found:
        row = hand_written_prompts()[question.seed]
        assert (question.prompt, question.language) == (normalise(row.prompt), row.language)
        assert question.scene is None
        assert [s["kind"] for s in question.subjects] == [s["kind"] for s in row.scene["subjects"]]
        assert question.whole == {name: row.scene[name] for name in OF_WHOLE if name in row.scene}


def test_hand_written_prompts_are_counted_by_language() -> None:
    found = questions("hand_written", 3, vocabulary=ALL)
    assert [q.language for q in found] == ["en"] * 3 + ["zh"] * 3
    every = questions("hand_written", 60, vocabulary=ALL)
    assert found == every[:3] + [q for q in every if q.language == "zh"][:3]
    assert {q.language for q in questions("hand_written", 3, vocabulary=ALL, languages=("zh",))} == {"zh"}


def test_hand_written_prompts_state_only_what_is_known() -> None:
    known = {"kind": {"puppy": []}, "colour": {"red": []}, "action": {"play": []}}
    found = questions("hand_written", 60, vocabulary=known)
    assert [q.language for q in found] == ["en", "zh"]
    assert all(q.subjects == ({"kind": "puppy", "action": "play"},) and q.whole == {"place": "park"} for q in found)
    with pytest.raises(InvalidInput, match="hand_written.*no prompts in words"):
        questions("hand_written", 60, vocabulary={"kind": {}})


def test_words_are_those_of_the_world() -> None:
    for suite in SUITES:
        for question in questions(suite, 6, vocabulary=ALL):
            for subject in question.subjects:
                assert subject["kind"] in KINDS
                assert subject.get("colour", "red") in COLOURS
                assert subject.get("action", "walk") in ACTIONS


def scene_of(question: Question) -> Any:
    assert question.scene is not None
    return question.scene


def test_a_plain_scene_of_one_is_asked_for_by_all_its_words() -> None:
    question = asked(make("car", "walk", camera="zoom_in"), language="en", seed=1)
    assert question.subjects == ({"kind": "car", "colour": "red", "action": "walk"},)
    assert question.whole == {"place": "park", "time": "day", "weather": "clear", "style": "toy", "camera": "zoom_in"}
