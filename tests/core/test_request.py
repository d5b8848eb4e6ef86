from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given, settings

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import MAX_PROMPT_BYTES, MAX_SEED, GenerationRequest
from tests.core.cards import requests

CAT = MediaRef("cat.png")


@settings(max_examples=60)
@given(request=requests())
def test_a_request_survives_json(request: GenerationRequest) -> None:
    data = json.loads(json.dumps(request.to_dict(), allow_nan=False))
    again = GenerationRequest.from_dict(data)
    assert again == request
    assert hash(again) == hash(request)
    assert again.to_dict() == request.to_dict()


def test_only_what_is_set_is_written() -> None:
    assert GenerationRequest(prompt="a cat").to_dict() == {"prompt": "a cat"}
    assert GenerationRequest(prompt="一只猫", seed=0, audio="on").to_dict() == {
        "prompt": "一只猫",
        "seed": 0,
        "audio": "on",
    }


def test_every_field_round_trips_alone() -> None:
    """So that a new field can't be forgotten by the encoders."""
    examples: dict[str, Any] = {
        "prompt": "a cat",
        "negative_prompt": "blur",
        "seconds": 2.5,
        "frames": 17,
        "size": "96x96",
        "aspect_ratio": "16:9",
        "fps": 12.0,
        "seed": 5,
        "steps": 7,
        "guidance": 3.5,
        "guidance_2": 2.5,
        "model": "other",
        "style": "ink",
        "keyframes": (Keyframe(CAT, 1.5), Keyframe(CAT, -1)),
        "source": CAT,
        "strength": 0.3,
        "references": ((CAT, "tom"),),
        "camera": "pan_left",
        "motion": 99,
        "controls": (("depth", CAT),),
        "audio": CAT,
        "original_prompt": "a kitty",
    }
    assert set(examples) == {f.name for f in fields(GenerationRequest)}
    for name, value in examples.items():
        request = GenerationRequest(**{"prompt": "a dog", name: value})
        data = json.loads(json.dumps(request.to_dict()))
        assert name in data
        assert getattr(GenerationRequest.from_dict(data), name) == value


BAD: list[tuple[str, Any]] = [
    *(("prompt", v) for v in ("", " \n", None, 5, b"cat", "\ud800", "猫" * MAX_PROMPT_BYTES)),
    *(("original_prompt", v) for v in ("", 5, "x" * (MAX_PROMPT_BYTES + 1))),
    *(("negative_prompt", v) for v in (None, "x" * (MAX_PROMPT_BYTES + 1))),
    *(("seconds", v) for v in (0, -1, 3601, float("nan"), float("inf"), "2", True, 10**400)),
    *(("fps", v) for v in (0, 241, float("nan"), "8")),
    *(("guidance", v) for v in (-0.1, 101, float("nan"), float("-inf"))),
    *(("strength", v) for v in (-0.1, 1.1, "half")),
    *(("frames", v) for v in (0, 86401, 1.0, "17", True)),
    *(("steps", v) for v in (0, 1001, 2.5, -3)),
    *(("motion", v) for v in (0, 256, 1.5)),
    *(("seed", v) for v in (-1, MAX_SEED + 1, 1.0, "1", True)),
    *(("size", v) for v in ("96", "0x0", "96:96", "", (96, 96), 96, "9" * 9999 + "x9")),
    *(("aspect_ratio", v) for v in ("16/9", "16:0", 1.78, "", "1:1:1")),
    *((name, 5) for name in ("model", "style", "camera", "source", "audio")),
    ("model", None),
    ("source", "cat.png"),
    *(("audio", v) for v in ("loud", None, True, ["off"])),
    *(("keyframes", v) for v in ("cat.png", [Keyframe(CAT)], ("cat.png",), (CAT,), None)),
    *(("references", v) for v in ((CAT,), (("tom", CAT),), ((CAT, "tom", 3),), None)),
    *(("controls", v) for v in ((("smell", CAT),), ((CAT, "depth"),), ("depth",), None)),
]


@pytest.mark.parametrize("field,value", BAD, ids=[f"{f}-{i}" for i, (f, _) in enumerate(BAD)])
def test_a_field_that_is_wrong_is_named_on_one_line(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        GenerationRequest(**{"prompt": "a cat", field: value})
    assert caught.value.field == field
    text = str(caught.value)
    assert text.startswith(f"{field}: ")
    assert "\n" not in text
    assert len(text) < 250
    text.encode("utf-8")


BAD_JSON: list[tuple[str, Any]] = [
    *(("keyframes", v) for v in ("cat.png", ["cat.png"], [{}], [{"media": 5}], [{"media": ""}], 5, None)),
    *(("keyframes", [{"media": "a.png", "at_s": v}]) for v in ("1", None, float("nan"))),
    *(("source", v) for v in (5, "", ["a.png"], "sha256:1")),
    *(("references", v) for v in ("x", [{}], [{"media": "a.png"}], [{"media": "a.png", "name": 5}], 5)),
    *(("controls", v) for v in ("x", [{}], [{"kind": "depth"}], [{"kind": "smell", "media": "a.png"}], 5)),
    *(("audio", v) for v in ("loud", {}, {"media": ""}, {"media": 5}, 5, None)),
    ("seed", "1"),
    ("colour", "red"),
]


@pytest.mark.parametrize("field,value", BAD_JSON, ids=[f"{f}-{i}" for i, (f, _) in enumerate(BAD_JSON)])
def test_json_that_is_wrong_is_named_by_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        GenerationRequest.from_dict({"prompt": "a cat", field: value})
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [{}, {"seed": 1}])
def test_a_prompt_is_required(data: dict) -> None:
    with pytest.raises(InvalidInput, match="prompt.*required"):
        GenerationRequest.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "a cat", 5])
def test_what_is_no_request_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput, match="request"):
        GenerationRequest.from_dict(data)


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"secnds.*seconds"):
        GenerationRequest.from_dict({"prompt": "a cat", "secnds": 2})


def test_two_ways_to_say_one_thing_are_one_too_many() -> None:
    with pytest.raises(InvalidInput, match="seconds or frames, not both"):
        GenerationRequest(prompt="a cat", seconds=2, frames=17)
    with pytest.raises(InvalidInput, match="size or aspect_ratio, not both"):
        GenerationRequest(prompt="a cat", size="96x96", aspect_ratio="1:1")


def test_replace_checks_anew() -> None:
    request = GenerationRequest(prompt="a cat", seed=5)
    assert request.replace(seed=7) == GenerationRequest(prompt="a cat", seed=7)
    with pytest.raises(InvalidInput, match="seed"):
        request.replace(seed=-1)
    with pytest.raises(FrozenInstanceError):
        request.seed = 7  # pyright: ignore[reportAttributeAccessIssue]


def test_the_longest_prompt_is_counted_in_bytes() -> None:
    assert GenerationRequest(prompt="x" * MAX_PROMPT_BYTES)
    assert GenerationRequest(prompt="猫" * (MAX_PROMPT_BYTES // 3))
    with pytest.raises(InvalidInput, match="bytes long"):
        GenerationRequest(prompt="猫" * (MAX_PROMPT_BYTES // 3 + 1))
