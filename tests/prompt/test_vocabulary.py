"""words_unknown: training captions are known in full, strange words are named."""

from __future__ import annotations

import pytest

from kinema.prompt.vocabulary import words_unknown
from kinema.world.captions import caption
from kinema.world.sampler import sample
from kinema.world.words import vocabulary

SMALL = {
    "kind": {"puppy": ["puppy", "little dog", "小狗"]},
    "action": {"play": ["plays", "playing", "玩耍"]},
    "place": {"park": ["in the park", "公园里"]},
}


@pytest.mark.parametrize(
    "prompt,expected",
    [
        ("A puppy plays in the park.", ()),
        ("two puppies play", ("play",)),
        ("two puppys playing", ()),
        ("the puppy's park", ()),
        ("an elephant plays in the park with an Elephant and a tuba", ("elephant", "Elephant", "tuba")),
        ("一只小狗在公园里玩耍", ()),
        ("一只大象在公园里唱歌", ("大象", "唱歌")),
        ("大象和puppy在tuba里", ("大象", "tuba")),
        ("小狗大象小狗", ("大象",)),
        ("2 puppy", ()),
        ("", ()),
    ],
)
def test_unknown_words(prompt: str, expected: tuple[str, ...]) -> None:
    assert words_unknown(prompt, SMALL) == expected


@pytest.mark.parametrize("words", ["en", "zh"])
def test_the_model_s_own_captions_are_known(words: str) -> None:
    known = vocabulary()
    for seed in range(200):
        text = caption(sample(seed), language=words, seed=seed)
        assert words_unknown(text, known) == (), text


def test_without_a_vocabulary_every_word_is_unknown() -> None:
    assert words_unknown("a puppy plays", {}) == ("puppy", "plays")
