"""What `kinema generate` does with the prompt: rewriting, styles, checks, and the switches for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kinema.app import rewriter as rewriters
from kinema.media.recipe import read_recipe

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema
    from tests.conftest import FakeEngine

pytestmark = pytest.mark.usefixtures("fake_engine")
TYPED = "please show me a cute pup playing in the meadow, 4k"
BETTER = "a puppy plays in the park"


def test_the_rewritten_prompt_is_shown_used_and_stored(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    answer = kinema("generate", TYPED, "--model", toy_model, "--out", "a.mp4")
    assert f"note: rewritten: {BETTER} (--no-rewrite keeps your words)" in answer.err
    assert "pup -> puppy" in answer.err
    assert "note: toy was not trained on: cute" in answer.err
    assert fake_engine.requests[0].prompt == BETTER
    recipe = read_recipe("a.mp4")
    assert recipe is not None
    assert recipe["request"]["original_prompt"] == TYPED
    assert kinema("reproduce", "a.mp4", "--model", toy_model).code == 0


def test_json_has_both_prompts(kinema: Kinema, toy_model: str) -> None:
    clip = kinema("generate", TYPED, "--model", toy_model, "--out", "a.mp4", "--json").events[-1]
    assert (clip["prompt"], clip["original_prompt"]) == (BETTER, TYPED)


def test_a_dry_run_shows_it(kinema: Kinema, toy_model: str) -> None:
    assert f"prompt: {BETTER}\n" in kinema("generate", TYPED, "--model", toy_model, "--dry-run").out
    plan = kinema("generate", TYPED, "--model", toy_model, "--dry-run", "--json").events[-1]
    assert plan["prompt"]["prompt"] == plan["request"]["prompt"] == BETTER
    assert {"before": "pup", "after": "puppy", "how": "same"} in plan["prompt"]["changes"]


def test_files_are_named_by_what_was_typed(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", TYPED, "--model", toy_model, "--seed", "1")
    assert answer.out == "please-show-me-a-cute-pup-playing-in-the-1.mp4\n"


def test_rewriting_is_switched_off(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    answer = kinema("generate", "a pup", "--model", toy_model, "--out", "a.mp4", "--no-rewrite")
    assert fake_engine.requests[0].prompt == "a pup"
    assert fake_engine.requests[0].original_prompt is None
    assert "toy was not trained on: pup (nearest: puppy)" in answer.err


def test_a_style_adds_its_words(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    answer = kinema("generate", "a puppy", "--model", toy_model, "--out", "a.mp4", "--style", "watercolour")
    assert fake_engine.requests[0].prompt == "a puppy, watercolour painting style, soft washes of colour"
    assert "toy was not trained on the style watercolour" in answer.err
    refused = kinema("generate", "a puppy", "--model", toy_model, "--out", "b.mp4", "--style", "fancy")
    assert (refused.code, refused.err[:43]) == (2, "error: style: 'fancy': must be one of toy, ")


def test_checks_refuse_with_the_category_and_can_be_switched_off(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine
) -> None:
    call = ("generate", "a gory puppy", "--model", toy_model, "--out", "a.mp4")
    answer = kinema(*call)
    assert (answer.code, answer.out) == (2, "")
    assert "asks for graphic violence (gory), which the content checks refuse; --no-check" in answer.err
    assert not fake_engine.requests
    assert kinema(*call, "--no-check").code == 0


def test_a_rewriter_that_fails_is_an_error(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(self: rewriters.ChatRewriter, body: bytes) -> bytes:
        asked.append((self.endpoint, self.model, self.key))
        return b'{"choices": [{"message": {"content": "a puppy plays"}}]}'

    monkeypatch.setattr(rewriters.ChatRewriter, "_ask", ask)
    monkeypatch.setenv("KINEMA_REWRITER_KEY", "secret")
    flags = ("--rewriter", "http://localhost:1/v1", "--rewriter-model", "small")
    assert kinema("generate", TYPED, "--model", toy_model, "--out", "a.mp4", *flags).code == 0
    assert asked == [("http://localhost:1/v1/chat/completions", "small", "secret")]
    assert fake_engine.requests[0].prompt == "a puppy plays"
    monkeypatch.undo()


def test_a_rewriter_s_url_and_its_need_of_rewriting_are_checked(kinema: Kinema, toy_model: str) -> None:
    call = ("generate", "a", "--model", toy_model, "--rewriter")
    assert "rewriter: 'nonsense': must be an http or https URL" in kinema(*call, "nonsense").err
    assert "needs rewriting" in kinema(*call, "http://localhost:1", "--no-rewrite").err
