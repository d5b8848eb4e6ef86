from __future__ import annotations

import re

import pytest

from kinema.world.nature import ACTIONS, COLOURS, KINDS, PAIR_ACTIONS, PLACES, STYLES, TIMES, WEATHERS
from kinema.world.relations import RELATIONS
from kinema.world.scene import CAMERA_NAMES, DIRECTIONS, MATERIALS
from kinema.world.words import vocabulary
from kinema.world.words.inflect import article, plural, verb
from kinema.world.words.nouns import MEASURE_WORDS
from kinema.world.words.verbs_en import verbs as verbs_en
from kinema.world.words.verbs_zh import verbs as verbs_zh


def test_the_vocabulary_covers_every_value_in_both_languages() -> None:
    expected = {
        "kind": tuple(KINDS),
        "colour": COLOURS,
        "material": MATERIALS,
        "place": tuple(PLACES),
        "time": TIMES,
        "weather": WEATHERS,
        "action": ACTIONS,
        "direction": DIRECTIONS,
        "camera": CAMERA_NAMES,
        "style": STYLES,
        "relation": RELATIONS,
    }
    table = vocabulary()
    for name, values in expected.items():
        assert set(table[name]) == set(values)
        for value, surface in table[name].items():
            chinese = [bool(re.search("[\u4e00-\u9fff]", word)) for word in surface]
            assert min(sum(chinese), len(chinese) - sum(chinese)) >= 2, (name, value)
            assert len(set(surface)) == len(surface)
            assert all(word.strip() == word and word for word in surface)


@pytest.mark.parametrize("table", ["kind", "colour", "place", "camera", "material"])
def test_no_word_means_two_values(table: str) -> None:
    seen: dict[str, str] = {}
    for value, words in vocabulary()[table].items():
        for word in words:
            assert seen.setdefault(word, value) == value, word


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_kind_does_has_verbs(kind: str) -> None:
    assert len(MEASURE_WORDS[kind]) == 1
    for action in KINDS[kind].actions:
        targets = [k for k in KINDS if PAIR_ACTIONS[action].suits(k)] if action in PAIR_ACTIONS else [None]
        for target in targets:
            for found in (verbs_en(action, kind, target), verbs_zh(action, kind, target)):
                assert found
            for one in verbs_en(action, kind, target):
                assert ("{}" in one.does) == (target is not None)
            for one in verbs_zh(action, kind, target):
                assert ("{}" in one.text) == (target is not None)


@pytest.mark.parametrize(
    "noun, many",
    [
        ("puppy", "puppies"),
        ("bunny", "bunnies"),
        ("box", "boxes"),
        ("person", "people"),
        ("fish", "fish"),
        ("toy figure", "toy figures"),
        ("tuft of grass", "tufts of grass"),
        ("cactus", "cactuses"),
        ("lorry", "lorries"),
        ("little fish", "little fish"),
    ],
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


@pytest.mark.parametrize(
    "bare, does, doing",
    [
        ("run", "runs", "running"),
        ("fly", "flies", "flying"),
        ("lie still", "lies still", "lying still"),
        ("pan left", "pans left", "panning left"),
        ("fall and ~bounce", "falls and bounces", "falling and bouncing"),
        ("be parked", "is parked", "parked"),
        ("dance", "dances", "dancing"),
        ("push in", "pushes in", "pushing in"),
        ("sway", "sways", "swaying"),
        ("hop along", "hops along", "hopping along"),
    ],
)
def test_verbs(bare: str, does: str, doing: str) -> None:
    assert (verb(bare).does, verb(bare).doing) == (does, doing)


def test_articles() -> None:
    assert [article(n) for n in ("orange ball", "red ball", "aqua car")] == [
        "an orange ball",
        "a red ball",
        "an aqua car",
    ]
