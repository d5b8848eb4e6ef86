"""Lexicon: what words mean to a model, in which language, and how far misspellings go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.prompt.inflect import article, does, doing, plural, singular, stem
from kinema.prompt.lexicon import Lexicon, slips
from kinema.prompt.vocabulary import name_unknown
from kinema.world.words import KIND_WORDS, vocabulary

SMALL = {"kind": {"horse": ["horse", "马"], "car": ["car"]}, "action": {"run": ["runs", "running"]}}
letters = st.text("abc", max_size=6)


def distance(word: str, other: str) -> int:
    """Letters put in, left out, changed or swapped, by the plain recursion."""
    if not word or not other:
        return len(word) + len(other)
    least = min(
        distance(word[1:], other) + 1,
        distance(word, other[1:]) + 1,
        distance(word[1:], other[1:]) + (word[0] != other[0]),
    )
    if len(word) > 1 and len(other) > 1 and word[0] == other[1] and word[1] == other[0]:
        least = min(least, distance(word[2:], other[2:]) + 1)
    return least


@given(letters, letters)
def test_slips_are_counted_right(word: str, other: str) -> None:
    assert slips(word, other, 12) == distance(word, other)


@pytest.mark.parametrize("word", ["race", "run", "dance", "play", "hop", "fly", "wave", "push", "carry", "lie"])
def test_forms_have_one_stem(word: str) -> None:
    assert stem(does(word)) == stem(doing(word)) == stem(word)


def test_plurals_and_singulars() -> None:
    for words in KIND_WORDS.values():
        for noun in words["en"]:
            if " of " not in noun:
                assert singular(plural(noun)) == singular(noun) == noun
    assert article("orange cat") == "an orange cat"


@pytest.mark.parametrize(
    "word,attribute,value,how",
    [
        ("horse", "kind", "horse", "known"),
        ("steed", "kind", "horse", "same"),
        ("zebra", "kind", "horse", "near"),
        ("truck", "kind", "car", "near"),
        ("galloping", "action", "run", "same"),
        ("running", "action", "run", "known"),
    ],
)
def test_english_words(word: str, attribute: str, value: str, how: str) -> None:
    (meaning,) = Lexicon(SMALL, "en").find(word)
    assert (meaning.attribute, meaning.value, meaning.how) == (attribute, value, how)


def test_a_value_that_the_card_lacks_is_not_used() -> None:
    assert Lexicon(SMALL, "en").find("kitty") == ()
    assert Lexicon(SMALL, "zh").find("猫") == ()
    assert Lexicon(SMALL, "zh").find("汽车") == (), "the card has no Chinese word for it"


@pytest.mark.parametrize(
    "word,guess", [("hoorse", "horse"), ("hrose", "horse"), ("house", None), ("car", None), ("cattle", None)]
)
def test_misspellings(word: str, guess: str | None) -> None:
    assert Lexicon(SMALL, "en").typo(word) == guess


def test_unknown_words_are_named_with_the_nearest_known() -> None:
    assert name_unknown("a zebra and a tuba", SMALL) == ("zebra (nearest: horse)", "tuba")
    assert name_unknown("斑马和大象", SMALL) == ("斑马 (nearest: 马)", "大象")
    assert name_unknown("a kitty", vocabulary()) == ("kitty (nearest: cat)",)
