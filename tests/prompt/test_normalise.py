"""normalise: one spelling, reached in one step, and training captions are already there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.prompt.normalise import language, normalise
from kinema.world.captions import caption
from kinema.world.sampler import sample

SPELLINGS = [
    ("  a puppy \t plays\n in the park ", "a puppy plays in the park"),
    ("ａ ｐｕｐｐｙ plays", "a puppy plays"),
    ("３ 只小狗", "3 只小狗"),
    ("一只小狗,在公园里玩耍.", "一只小狗，在公园里玩耍。"),
    ("一只小狗, 在公园里玩耍", "一只小狗，在公园里玩耍"),
    ("一只小狗，在公园里玩耍。", "一只小狗，在公园里玩耍。"),
    ("一只 小狗 在　公园里", "一只小狗在公园里"),
    ("好!真好?", "好！真好？"),
    ("“a puppy’s ball”", '"a puppy\'s ball"'),
    ("a puppy, in the park.", "a puppy, in the park."),
    ("a puppy\u200b plays\ufeff", "a puppy plays"),
    ("caf\u0065\u0301", "café"),
    ("the ﬁsh", "the fish"),
    ("at 16:9, 3.5 s", "at 16:9, 3.5 s"),
    ("snow-white\u2014cube", "snow-white-cube"),
]


@pytest.mark.parametrize("text,expected", SPELLINGS)
def test_spellings(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("，,.。 　一只小狗a1!！（(\u200b“")), max_size=40))
def test_twice_is_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip()


@pytest.mark.parametrize("words", ["en", "zh"])
def test_training_captions_are_normal_already(words: str) -> None:
    for seed in range(300):
        text = caption(sample(seed), language=words, seed=seed)
        assert normalise(text) == text


@pytest.mark.parametrize("words", ["en", "zh"])
def test_the_language_of_captions_is_found(words: str) -> None:
    assert all(language(caption(sample(seed), language=words, seed=seed)) == words for seed in range(100))


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", "en"),
        ("123", "en"),
        ("小狗 puppy", "zh"),
        ("a puppy called 小 in the park", "en"),
        ("用drone拍摄的海浪", "zh"),
    ],
)
def test_language_of_mixed_text(text: str, expected: str) -> None:
    assert language(text) == expected
