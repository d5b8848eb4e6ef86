"""Counting: whom judges see is matched to who was asked for; shares, pairs, passes and worse slices against counts by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kinema.core.geometry import VideoShape
from kinema.evaluation.questions import Question, asked, questions
from kinema.evaluation.scores import (
    Answer,
    answer,
    paired,
    passes,
    share_of,
    shares,
    table,
    worse,
)
from kinema.evaluation.statistics import wilson
from tests.evaluation.fakes import answers, mistaken, subject, verdict_of
from tests.world.scenes import make, pair, three

ONE = asked(make("car", "walk", camera="zoom_in"), language="en", seed=3)
THREE = asked(three(), language="en", seed=3)
SEEN = verdict_of(ONE)
NAMES = ("kind", "colour", "action", "place", "time", "weather", "style", "camera")


def test_the_truth_is_right_and_its_opposite_wrong_in_all() -> None:
    for question in (ONE, THREE, asked(pair("collide", "car", "cube"), language="zh", seed=0)):
        right = answer(question, verdict_of(question))
        assert right.is_right
        assert set(right.right.values()) == {True}
        wrong = answer(question, mistaken(verdict_of(question)))
        assert not wrong.is_right
        assert set(wrong.right.values()) == {False}
        assert set(right.right) == set(wrong.right) == {*NAMES, "count"}


def test_one_too_many_is_wrong_in_number_and_as_a_whole() -> None:
    for question in (ONE, THREE):
        seen = verdict_of(question)
        for extra in (subject("cup", "pink", "spin"), seen.subjects[0]):
            for subjects in ((*seen.subjects, extra), (extra, *seen.subjects)):
                found = answer(question, replace(seen, subjects=subjects))
                assert [name for name, is_right in found.right.items() if not is_right] == ["count"]
                rows = shares([found])
                assert rows["count"]["share"] == rows["all"]["share"] == 0


def test_a_picture_is_asked_for_no_camera_and_no_action() -> None:
    still = VideoShape(frames=1, height_px=32, width_px=32, fps=8.0)
    seen = verdict_of(ONE, shape=still, camera="static")
    assert set(answer(ONE, seen).right) == {"kind", "colour", "count", "place", "time", "weather", "style"}
    assert answer(ONE, seen).is_right
    assert answer(replace(ONE, subjects=(), whole={"camera": "static"}, scene=None), seen).right == {}


def test_only_what_was_asked_is_scored() -> None:
    question = replace(ONE, subjects=({"kind": "car"},), whole={"place": "park"}, scene=None)
    seen = verdict_of(question, camera="zoom_out", weather="rain")
    assert answer(question, seen).right == {"place": True, "kind": True}
    bare = replace(question, subjects=({"kind": "car"}, {"kind": "car", "colour": "red"}))
    found = answer(bare, replace(seen, subjects=(subject("car", "blue"), subject("car", "red"))))
    assert found.right == {"place": True, "kind": True, "colour": True, "count": True}


def seen_as(question: Question, *seen: str) -> Answer:
    """The answer where judges see subjects in "kind colour action"."""
    return answer(question, replace(verdict_of(question), subjects=tuple(subject(*s.split()) for s in seen)))


def right_of(question: Question, *seen: str) -> str:
    found = seen_as(question, *seen).right
    return " ".join(name for name in ("kind", "colour", "action", "count") if found.get(name))


CUBE, BALL, CONE = "cube red stand", "ball blue stand", "cone green stand"
TWO = replace(
    ONE,
    subjects=(
        {"kind": "puppy", "colour": "red", "action": "walk"},
        {"kind": "cat", "colour": "blue", "action": "run"},
    ),
    scene=None,
)
ALL = "kind colour action count"


@pytest.mark.parametrize(
    "seen, right",
    [
        ((CUBE, BALL, CONE), ALL),
        ((CONE, CUBE, BALL), ALL),
        ((BALL, CONE, CUBE), ALL),
        ((CUBE, BALL, "cone red stand"), "kind action count"),
        (("cube blue stand", "ball red stand", CONE), "kind action count"),
        ((CUBE, BALL), ""),
        ((CUBE,), ""),
        ((), ""),
        ((CUBE, BALL, "cup green stand"), "colour action count"),
        ((CUBE, CUBE, CUBE), "action count"),
    ],
)
def test_three_are_matched_in_any_order(seen: Sequence[str], right: str) -> None:
    assert right_of(THREE, *seen) == right


@pytest.mark.parametrize(
    "seen, right",
    [
        (("puppy red walk", "cat blue run"), ALL),
        (("cat blue run", "puppy red walk"), ALL),
        (("cup pink spin", "cat blue run", "puppy red walk"), "kind colour action"),  # one too many
        (("puppy blue run", "cat red walk"), "kind count"),  # the kind says who is meant
        (("cat red walk", "puppy blue run"), "kind count"),
        (("puppy red walk", "puppy blue run"), "colour action count"),
        (("cat blue run", "cat red walk"), "colour action count"),
        (("dog blue run", "dog red walk"), "colour action count"),
        (("dog blue walk", "dog red walk"), "colour count"),
        (("puppy red walk",), ""),
    ],
)
def test_kinds_say_who_is_meant_before_all_else(seen: Sequence[str], right: str) -> None:
    assert right_of(TWO, *seen) == right
    assert right_of(TWO, *reversed(seen)) == right


def test_one_is_found_among_many() -> None:
    assert right_of(ONE, "cup pink spin", "car red walk") == "kind colour action"
    assert right_of(ONE, "cup red walk", "car pink spin") == "kind"
    assert right_of(ONE, "car red walk") == ALL
    assert right_of(ONE) == ""


def test_shares_are_of_what_was_asked() -> None:
    found = shares([*answers(ONE, True, True, False), *answers(replace(THREE, scene=None, seed=9), True)])
    assert list(found) == ["kind", "colour", "action", "count", "place", "time", "weather", "style", "camera", "all"]
    assert (found["kind"]["share"], found["kind"]["asked"]) == (0.75, 4)
    assert (found["count"]["share"], found["count"]["asked"]) == (0.75, 4)
    assert found["all"] == {
        "share": 0.75, "interval_95": [round(x, 4) for x in wilson(1.5, 2)], "asked": 4, "scenes": 2,
    }  # fmt: skip
    assert shares([]) == {}


def test_intervals_count_scenes_and_not_clips() -> None:
    """Languages and seeds are no further trials: the same scenes asked for more often are known no better."""
    of_scenes = [n < 6 for n in range(8)]
    once = shares([a for n, is_right in enumerate(of_scenes) for a in both(n, [is_right], [])])
    often = shares([a for n, is_right in enumerate(of_scenes) for a in both(n, [is_right] * 5, [is_right] * 5)])
    assert once["all"]["interval_95"] == often["all"]["interval_95"] == [round(x, 4) for x in wilson(6, 8)]
    assert (once["all"]["asked"], often["all"]["asked"]) == (8, 80)
    assert {row["scenes"] for row in often.values()} == {8}
    assert share_of(of_scenes) == once["all"]
    # the same number in another suite is another scene
    other = [replace(a, question=replace(a.question, suite="held_out")) for a in both(0, [True], [True])]
    assert shares([*both(0, [True], [True]), *other])["all"]["scenes"] == 2
    assert worse(slices([True] * 20, [True] * 20)) == []
    few = [
        replace(a, question=replace(a.question, seed=a.question.seed % 7)) for a in slices([False] * 40, [True] * 40)
    ]
    assert worse(few) == []  # forty clips of seven scenes


def test_all_is_right_only_where_everything_is() -> None:
    seen = verdict_of(ONE, camera="static")
    found = shares([answer(ONE, seen)])
    assert {name for name, row in found.items() if row["share"] == 0} == {"camera", "all"}


def test_the_table_is_by_suite_and_language() -> None:
    other = replace(ONE, language="zh", suite="held_out")
    found = table([*answers(ONE, True, True), *answers(other, True, False, False)])
    assert {k: v["all"]["share"] for k, v in found["suites"].items()} == {"plain": 1.0, "held_out": 0.3333}
    assert {k: v["all"]["asked"] for k, v in found["languages"].items()} == {"en": 2, "zh": 3}
    assert found["attributes"]["all"]["share"] == 0.6
    assert json.loads(json.dumps(found)) == found


def both(number: int, en: Sequence[bool], zh: Sequence[bool]) -> list[Answer]:
    """Answers to one scene in both languages."""
    row = replace(ONE, seed=number)
    return [*answers(row, *en), *answers(replace(row, language="zh"), *zh)]


def test_languages_are_paired_by_scene() -> None:
    rows = [
        *both(0, [True], [True]), *both(1, [True], [False]), *both(2, [True], [False]), *both(3, [False], [True]),
        *both(4, [False], [False]), *both(5, [True], []), *both(6, [], [False]),
    ]  # fmt: skip
    random.Random(3).shuffle(rows)
    found = paired(rows)
    assert set(found) == {*NAMES, "count"}
    assert set(map(json.dumps, found.values())) == {json.dumps({"pairs": 5, "only_en": 2, "only_zh": 1, "gap": 0.2})}


def test_every_seed_of_a_prompt_is_paired_with_its_own() -> None:
    found = paired([*both(0, [True, False, True], [False, False, True]), *both(1, [True] * 3, [False] * 3)])
    assert found["kind"] == {"pairs": 6, "only_en": 4, "only_zh": 0, "gap": 0.6667}


def test_suites_are_paired_apart_and_what_people_wrote_is_not() -> None:
    en, zh = both(0, [True], [False])
    assert paired([en, answers(replace(zh.question, suite="held_out"), False)[0]]) == {}
    assert paired([replace(a, question=replace(a.question, scene=None)) for a in (en, zh)]) == {}
    assert paired([en]) == paired([]) == {}


def test_passes_are_by_prompt_in_each_language() -> None:
    rows = [*both(0, [True, False], [False, False]), *both(1, [False, True], [True, True])]
    assert passes(rows) == {"prompts": 4, "pass@1": 0.5, "pass@2": 0.75}
    assert passes([*both(0, [True, False, False], [False, True])]) == {"prompts": 2, "pass@1": 0.4, "pass@2": 1.0}
    assert passes(both(0, [False] * 4, [False] * 4)) == {"prompts": 2, "pass@1": 0.0, "pass@4": 0.0}


def test_scenes_asked_for_in_the_same_words_are_not_one_prompt_with_two_seeds() -> None:
    rows = [*both(0, [True], [True]), *both(1, [False], [False])]
    assert len({a.question.prompt for a in rows}) == 1
    assert passes(rows) == {}
    assert passes([]) == {}


PLAIN = questions("plain", 100, vocabulary={}, split="train")


def told(names: Sequence[str], rng: random.Random, weak: tuple[str, str] | None = None) -> list[Answer]:
    """Answers to plain scenes, each attribute right by chance, kinds less often where ``weak`` is asked for."""
    found = []
    for question in PLAIN:
        is_weak = weak is not None and weak in {**question.subjects[0], **question.whole}.items()
        right = {name: rng.random() < (0.25 if is_weak and name == "kind" else 0.8) for name in names}
        found.append(Answer(question=question, verdict=SEEN, right=right))
    return found


def test_a_slice_that_is_clearly_worse_is_named() -> None:
    found = worse(told(NAMES, random.Random(5), ("place", "beach")))
    (row,) = [r for r in found if r["attribute"] == "kind"]
    assert row["where"] == {"place": "beach"}
    assert row["share"] < 0.45 < 0.7 < row["rest"]
    assert row["asked"] >= 8
    assert len(found) <= 2


def test_chance_names_hardly_any_slice() -> None:
    counts = [len(worse(told(NAMES, random.Random(seed)))) for seed in range(3)]
    assert sum(counts) <= 2


def slices(inside: Sequence[bool], outside: Sequence[bool]) -> list[Answer]:
    """Answers about colour: asked for at night, and by day."""
    parts = [(replace(ONE, whole={"time": time}), right) for time, right in (("night", inside), ("day", outside))]
    return [
        Answer(question=replace(q, seed=seed), verdict=SEEN, right={"colour": is_right})
        for q, right in parts
        for seed, is_right in enumerate(right)
    ]


@pytest.mark.parametrize(
    "inside, outside, is_named",
    [
        ((0, 20), (20, 20), True),
        ((8, 20), (20, 20), True),
        ((0, 8), (20, 20), True),
        ((0, 7), (20, 20), False),  # too few to say
        ((20, 20), (7, 7), False),
        ((6, 10), (7, 10), False),
        ((4, 10), (7, 10), False),  # may be chance
        ((430, 500), (480, 500), False),  # sure, and little
        ((400, 500), (480, 500), True),
        ((20, 20), (20, 20), False),
    ],
)
def test_worse_is_clear_and_large(inside: tuple[int, int], outside: tuple[int, int], is_named: bool) -> None:
    rows = slices(*([n < right for n in range(total)] for right, total in (inside, outside)))
    wanted = {
        "attribute": "colour", "where": {"time": "night"}, "share": round(inside[0] / inside[1], 4),
        "rest": round(outside[0] / outside[1], 4), "asked": inside[1],
    }  # fmt: skip
    assert worse(rows) == ([wanted] if is_named else [])


def test_the_worst_slice_comes_first_and_empty_ones_are_none() -> None:
    rows = slices([n < 10 for n in range(40)], [True] * 40)
    rows += [replace(a, right={"place": not a.right["colour"] or n % 2 == 0}) for n, a in enumerate(rows)]
    rows += [replace(a, right={"kind": n >= 40}) for n, a in enumerate(rows[:80])]
    found = worse(rows)
    gaps = [row["rest"] - row["share"] for row in found]
    assert gaps == sorted(gaps, reverse=True)
    assert found[0]["attribute"] == "kind"
    assert worse([]) == []
