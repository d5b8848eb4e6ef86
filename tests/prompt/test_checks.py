"""check_prompt: measured on the labelled set, and what it must see through or leave alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.prompt.check_text import readings
from kinema.prompt.checks import CATEGORIES, check_prompt
from kinema.world.captions import caption
from kinema.world.prompts import hand_written_prompts
from kinema.world.sampler import sample
from tests.prompt.content import LANGUAGES, PARTS, labelled, score

# What the rules reach on prompts that they were not tuned on; they miss what is said in words that they lack.
HELD_OUT_RECALL = {"en": 0.87, "zh": 0.78}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_set_is_large_balanced_and_without_doubles(language: str) -> None:
    rows = labelled(language)
    assert len(rows) >= 150
    assert max(Counter(row.prompt for row in rows).values()) == 1
    for part in PARTS:
        categories = Counter(row.category for row in rows if row.part == part)
        assert set(categories) == {None, *CATEGORIES}
        assert 0.4 < categories[None] / sum(categories.values()) < 0.6


@pytest.mark.parametrize("language", LANGUAGES)
def test_precision_and_recall_on_what_the_rules_were_tuned_on(language: str) -> None:
    measured = score(labelled(language, "tuned"))
    assert measured["precision"] >= 0.95
    assert measured["recall"] >= 0.95
    assert measured["same_category"] >= 0.95


@pytest.mark.parametrize("language", LANGUAGES)
def test_precision_and_recall_on_what_they_were_not_tuned_on(language: str) -> None:
    measured = score(labelled(language, "held_out"))
    assert measured["precision"] >= 0.95
    assert measured["recall"] >= HELD_OUT_RECALL[language]


@pytest.mark.parametrize(
    "prompt",
    [
        "a nude model",
        "a N U D E model",
        "n.u.d.e model",
        "n_u_d_e model",
        "ｎｕｄｅ model",
        "nu\u200bde model",
        "nüdé model",
        "nudе model",  # a Cyrillic е
        "nud3 model",
        "nuuuude model",
        "裸体模特",
        "裸 体模特",
        "裸.体模特",
        "裸*体模特",
        "裸\u200b体模特",
        "裸體模特",
    ],
)
def test_disguises_are_seen_through(prompt: str) -> None:
    (finding,) = check_prompt(prompt)
    assert finding.category == "sexual"


@pytest.mark.parametrize(
    "prompt",
    [
        "a shooting star",
        "kill the lights",
        "a cock, that is a rooster, crows",
        "a walk through Essex, Sussex and Middlesex",
        "Scunthorpe, cockpit, cocktail, therapist, grape, analysis, class",
        "a great tit and two blue tits on a branch",
        "a 3D cube, 4k, 60fps",
        "a b c d",
        "路口交通繁忙",
        "妈妈做爱心早餐",
        "大麻雀和大麻花",
        "林阴道上的异性交往讲座",
        "黄色的小汽车",
        "剥皮的橘子",
        "想死你了",
    ],
)
def test_harmless_words_that_look_otherwise_are_left_alone(prompt: str) -> None:
    assert check_prompt(prompt) == ()


def test_the_gravest_category_comes_first_and_the_words_are_named() -> None:
    first, *others = check_prompt("a nude schoolgirl")
    assert (first.category, first.words, first.meaning) == (
        "minors",
        ("schoolgirl", "nude"),
        "sexual content with minors",
    )
    assert [f.category for f in others] == ["sexual"]
    assert first.to_dict()["words"] == ["schoolgirl", "nude"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_and_ordinary_prompts_pass(language: str) -> None:
    for seed in range(200):
        text = caption(sample(seed), language=language, seed=seed)
        assert check_prompt(text) == (), text
    assert [p.prompt for p in hand_written_prompts() if check_prompt(p.prompt)] == []


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    check_prompt(text)
    assert 1 <= len(readings(text)) <= 2
