"""prepare_prompt: checked, rewritten, styled, and both prompts kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kinema
from kinema.app.clips import fill_order, in_its_words, place_order
from kinema.app.prompts import PromptPolicy, prepare_prompt
from kinema.app.reproduce import read_job, run_job
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, RefusedContent, UnsupportedRequest
from kinema.core.request import GenerationRequest
from kinema.media.recipe import read_recipe

if TYPE_CHECKING:
    from tests.conftest import FakeEngine

TYPED = "please show me a cute pup playing in the meadow, 4k"
BETTER = "a puppy plays in the park"


def request(prompt: str = TYPED, **fields: object) -> GenerationRequest:
    """A request of the toy model."""
    return GenerationRequest.from_dict({"prompt": prompt, "model": "toy", **fields})


def test_rules_rewrite_and_both_prompts_are_kept(toy_card: ModelCard) -> None:
    prepared = prepare_prompt(request(), toy_card)
    assert (prepared.request.prompt, prepared.request.original_prompt) == (BETTER, TYPED)
    assert prepared.notes("toy")[0] == f"rewritten: {BETTER} (--no-rewrite keeps your words)"
    assert prepared.unknown == ("cute",)
    assert prepared.to_dict()["prompt"] == BETTER


def test_what_the_model_knows_and_what_is_switched_off_stays(toy_card: ModelCard) -> None:
    known = prepare_prompt(request(BETTER), toy_card)
    assert (known.request, known.notes("toy")) == (request(BETTER), [])
    off = prepare_prompt(request(), toy_card, PromptPolicy(rewrites=False))
    assert off.request == request()
    assert off.unknown[:1] == ("please",)
    assert "pup (nearest: puppy)" in off.unknown


def test_a_card_without_a_vocabulary_leaves_the_words(toy_card: ModelCard) -> None:
    card = ModelCard.from_json(toy_card.to_json().replace('"vocabulary"', '"vocabulary": {}, "training"', 1))
    prepared = prepare_prompt(request(style="cinematic"), card)
    assert prepared.request.prompt.startswith(f"{TYPED}, cinematic style")
    assert prepared.notes("big") == [], "whose styles nobody listed"


def test_words_stay_as_typed_for_a_model_that_was_trained_so(toy_card: ModelCard) -> None:
    card = replace(toy_card, one_spelling=False, vocabulary={})
    asked = request("“a”  puppy,狗", negative_prompt="ｄark")
    same = in_its_words(asked, card)
    assert (same, prepare_prompt(same, card).request) == (asked, asked)
    assert in_its_words(asked, toy_card).negative_prompt == "dark"


def test_a_prepared_request_is_not_prepared_again(toy_card: ModelCard) -> None:
    once = prepare_prompt(request(style="cartoon"), toy_card).request
    assert prepare_prompt(once, toy_card).request == once


def test_a_style_adds_words_and_is_kept(toy_card: ModelCard) -> None:
    prepared = prepare_prompt(request(style="cartoon"), toy_card)
    assert prepared.request.prompt == f"{BETTER}, cartoon style"
    assert prepared.request.style == "cartoon"
    assert "toy was not trained on the style cartoon" in prepared.notes("toy")[-1]
    toy_card.check(prepared.request)
    with pytest.raises(UnsupportedRequest, match="^style"):
        toy_card.check(request(style="cartoon"))


def test_a_rewriter_is_asked_instead_of_the_rules(toy_card: ModelCard) -> None:
    asked = []

    def rewriter(prompt: str, vocabulary: object) -> str:
        asked.append((prompt, vocabulary))
        return "小狗 in the park"

    prepared = prepare_prompt(request(), toy_card, PromptPolicy(rewriter=rewriter))
    assert asked == [(TYPED, toy_card.vocabulary)]
    assert (prepared.request.prompt, prepared.request.original_prompt) == ("小狗 in the park", TYPED)


def test_what_a_rewriter_answers_is_checked_too(toy_card: ModelCard) -> None:
    with pytest.raises(RefusedContent, match="sexual content"):
        prepare_prompt(request(), toy_card, PromptPolicy(rewriter=lambda prompt, vocabulary: "a nude puppy owner"))


def test_checks_block_warn_or_are_off(toy_card: ModelCard) -> None:
    bad = request("a gory puppy")
    with pytest.raises(
        RefusedContent, match=r"^prompt: 'a gory puppy': asks for graphic violence \(gory\), .*--no-check"
    ):
        prepare_prompt(bad, toy_card)
    warned = prepare_prompt(bad, toy_card, PromptPolicy(checks="warn"))
    assert "the checks object: graphic violence (gory)" in warned.notes("toy")
    assert prepare_prompt(bad, toy_card, PromptPolicy(checks="off")).findings == ()


def test_the_negative_prompt_is_checked_where_it_is_what_the_clip_shows(toy_card: ModelCard) -> None:
    assert prepare_prompt(request(negative_prompt="gore"), toy_card).findings == ()
    with pytest.raises(RefusedContent):
        prepare_prompt(request(negative_prompt="gore", guidance=0), toy_card)


@pytest.mark.parametrize("fields", [{"checks": "loud"}, {"rewrites": False, "rewriter": lambda p, v: p}])
def test_a_policy_is_checked(fields: dict) -> None:
    with pytest.raises(InvalidInput):
        PromptPolicy(**fields)


def test_a_rewritten_clip_is_made_again_from_its_file(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    order = place_order(request(model=toy_model, seed=3, style="cartoon"), out=str(path))
    (made,) = fill_order(order, fake_engine)
    assert (made.prompt, made.original_prompt) == (f"{BETTER}, cartoon style", TYPED)
    recipe = read_recipe(path)
    assert recipe is not None
    assert (recipe["request"]["prompt"], recipe["request"]["original_prompt"]) == (made.prompt, TYPED)
    outcome = run_job(read_job(str(path), model=toy_model))
    assert outcome.is_same
    assert fake_engine.requests[0] == fake_engine.requests[-1]


def test_generate_rewrites_checks_and_can_be_told_not_to(fake_engine: FakeEngine, toy_model: str) -> None:
    clip = kinema.generate(TYPED, model=toy_model, seed=1)
    assert clip.recipe["request"]["original_prompt"] == TYPED
    kinema.generate(TYPED, model=toy_model, seed=1, rewrite=False)
    assert [r.prompt for r in fake_engine.requests] == [BETTER, TYPED]
    with pytest.raises(RefusedContent):
        kinema.generate("a gory puppy", model=toy_model)
    kinema.generate("a gory puppy", model=toy_model, check=False, rewrite=False)
    kinema.generate("a puppy", model=toy_model, style="cartoon", rewriter=lambda prompt, vocabulary: "小狗")
    assert fake_engine.requests[-1].prompt == "小狗，卡通风格"
