"""Requests are checked in full, and every choice is made, before a tensor is read."""

from __future__ import annotations

from typing import Any

import pytest

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.resolve import check_plan, default_plan, resolve
from tests.engine.conftest import run_python, with_card

PICTURE = MediaRef("a.png")


def test_defaults_are_the_cards(tiny_card: ModelCard) -> None:
    resolved = resolve(GenerationRequest(prompt="x"), tiny_card, model="m")
    assert (resolved.steps, resolved.guidance, resolved.video.frames) == (3, 2.5, 9)
    assert resolved.latent.as_tuple() == (5, 3, 4, 6)
    assert resolved.request.model == "m"
    assert resolved.is_guided
    assert resolve(resolved.request, tiny_card, model="m") == resolved, "what is resolved stays"


@pytest.mark.parametrize(
    "at_s, place", [(0.0, 0), (0.05, 0), (0.125, 1), (0.5, 1), (0.7, 2), (-1.0, 2), (-0.5, 2), (-0.9, 1)]
)
def test_times_find_their_latent_frame(tiny_card: ModelCard, at_s: float, place: int) -> None:
    request = GenerationRequest(prompt="x", keyframes=(Keyframe(PICTURE, at_s),))
    assert list(resolve(request, tiny_card, model="m").keyframes) == [place]


@pytest.mark.parametrize(
    "name, value",
    [
        ("source", PICTURE),
        ("references", ((PICTURE, "cat"),)),
        ("controls", (("depth", PICTURE),)),
        ("style", "ink"),
        ("audio", "on"),
    ],
)
def test_what_this_engine_lacks_is_refused_even_if_a_card_has_it(
    tiny_card: ModelCard, name: str, value: object
) -> None:
    request = GenerationRequest(prompt="x").replace(**{name: value})
    with pytest.raises(UnsupportedRequest, match=f"^{name}: .*tiny was not trained on it"):
        resolve(request, tiny_card, model="m")
    with pytest.raises(UnsupportedRequest, match=f"^{name}: .*this version's engine"):
        resolve(request, with_card(tiny_card, conditions=(name,)), model="m")


def test_a_strength_needs_a_source(tiny_card: ModelCard) -> None:
    with pytest.raises(UnsupportedRequest, match="^strength: 0.5"):
        resolve(GenerationRequest(prompt="x", strength=0.5), tiny_card, model="m")


@pytest.mark.parametrize(
    "change, field",
    [
        ({"size": "50x50"}, "size"),
        ({"frames": 10}, "frames"),
        ({"seconds": 60.0}, "seconds"),
        ({"fps": 9.0}, "fps"),
        ({"camera": "spin"}, "camera"),
    ],
)
def test_what_the_model_can_not_do_is_named(tiny_card: ModelCard, change: dict, field: str) -> None:
    with pytest.raises(UnsupportedRequest, match=f"^{field}: "):
        resolve(GenerationRequest(prompt="x").replace(**change), tiny_card, model="m")


def test_guidance_is_filled_in_for_both_networks(tiny_card: ModelCard) -> None:
    two = with_card(tiny_card, default_guidance_2=1.5)
    for asked, found in (((None, None), (2.5, 1.5)), ((4.0, None), (4.0, 4.0)), ((4.0, 0.5), (4.0, 0.5))):
        request = GenerationRequest(prompt="x", guidance=asked[0], guidance_2=asked[1])
        resolved = resolve(request, two, model="m")
        assert (resolved.guidance, resolved.request.guidance_2) == found
        assert resolve(resolved.request, two, model="m") == resolved, "what is resolved stays"
    assert resolve(GenerationRequest(prompt="x"), tiny_card, model="m").request.guidance_2 is None


def test_guidance_that_is_built_in_needs_no_second_evaluation(tiny_card: ModelCard) -> None:
    built_in = with_card(tiny_card, embedded_guidance=True)
    assert not resolve(GenerationRequest(prompt="x", guidance=6.0), built_in, model="m").is_guided


def test_words_stay_as_typed_where_a_model_was_trained_so(tiny_card: ModelCard) -> None:
    typed: dict[str, Any] = {"prompt": "“a”  cat,狗", "negative_prompt": "ｄark"}
    for one_spelling, words in ((True, ('"a" cat，狗', "dark")), (False, tuple(typed.values()))):
        card = with_card(tiny_card, one_spelling=one_spelling)
        resolved = resolve(GenerationRequest(**typed), card, model="m").request
        assert (resolved.prompt, resolved.negative_prompt) == words


def test_a_prompt_of_invisible_characters_is_empty(tiny_card: ModelCard) -> None:
    with pytest.raises(InvalidInput, match="^prompt: .*empty"):
        resolve(GenerationRequest(prompt="\u200b\u2060"), tiny_card, model="m")


def test_plans_fit_their_request(tiny_card: ModelCard) -> None:
    plain = resolve(GenerationRequest(prompt="x", guidance=1.0), tiny_card, model="m")
    guided = resolve(GenerationRequest(prompt="x"), tiny_card, model="m")
    assert default_plan(plain).guidance_mode == "off"
    assert default_plan(guided, threads=3) == RunPlan(threads=3, guidance_mode="batched")
    check_plan(default_plan(plain), plain, tiny_card)
    with pytest.raises(InvalidInput, match="^guidance_mode: "):
        check_plan(RunPlan(guidance_mode="off"), guided, tiny_card)
    with pytest.raises(
        InvalidInput, match="^decode: 'tiles'.*no way in which tiny decodes; must be one of default, exact"
    ):
        check_plan(RunPlan(decode="tiles"), plain, tiny_card)


def test_resolving_loads_no_torch() -> None:
    code = "import sys\nimport kinema.engine.resolve, kinema.engine.choose\nassert 'torch' not in sys.modules"
    run_python(code)
