"""add_style: words in the prompt's language, the model's own where it has them."""

from __future__ import annotations

import pytest

from kinema.core.errors import InvalidInput
from kinema.prompt.styles import STYLES, add_style

SMALL = {"style": {"cartoon": ["drawn as a cartoon", "卡通画面"], "ink": ["inked"]}}


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("prompt", ["a cat", "一只猫"])
def test_every_preset_adds_its_words_once(name: str, prompt: str) -> None:
    styled = add_style(prompt, name, {})
    assert styled.prompt.startswith(prompt)
    assert len(styled.prompt) > len(prompt)
    assert styled.is_known is None
    assert add_style(styled.prompt, name, {}).prompt == styled.prompt


def test_the_model_s_own_words_come_first() -> None:
    assert add_style("a cat", "cartoon", SMALL).prompt == "a cat, drawn as a cartoon"
    assert add_style("一只猫。", "cartoon", SMALL).prompt == "一只猫，卡通画面。"
    assert add_style("a cat, drawn as a cartoon.", "cartoon", SMALL).prompt == "a cat, drawn as a cartoon."


def test_a_style_that_the_model_does_not_know_is_added_and_said_so() -> None:
    assert add_style("a cat.", "noir", SMALL).prompt == "a cat, film noir style, black and white, hard shadows."
    assert add_style("a cat", "noir", SMALL).is_known is False
    assert add_style("a cat", "cartoon", SMALL).is_known is True


def test_an_unknown_name_is_refused_with_those_that_work() -> None:
    with pytest.raises(InvalidInput, match="^style: 'fancy': must be one of toy, cartoon"):
        add_style("a cat", "fancy", SMALL)
