"""Bodies: unknown fields refused, bounds kept, both vocabularies told apart; the schema says what validation does."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel, ValidationError

from kinema.wire import requests
from kinema.wire.fields import Clip, Picture, Upload

BODIES = [
    requests.VideoCreate,
    requests.GenerationCreate,
    requests.VideoRemix,
    requests.VideoEdit,
    requests.VideoExtend,
    requests.VideoMove,
    requests.VideoChange,
    requests.CharacterCreate,
]


@pytest.mark.parametrize("model", BODIES)
def test_unknown_fields_are_refused_by_name(model: type[BaseModel]):
    with pytest.raises(ValidationError) as error:
        model.model_validate({"surprise": 1})
    assert ("surprise",) in {e["loc"] for e in error.value.errors()}


@pytest.mark.parametrize("model", BODIES)
def test_every_text_and_number_has_a_bound(model: type[BaseModel]):
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        for kind in [field, *field.get("anyOf", [])]:
            if kind.get("type") == "string":
                assert {"maxLength", "pattern"} & set(kind), name
            if kind.get("type") in ("integer", "number"):
                assert {"maximum", "exclusiveMaximum"} & set(kind), name
            if kind.get("type") == "array":
                assert "maxItems" in kind, name


@pytest.mark.parametrize("value", [4, 4.0, "4"])
def test_seconds_as_openais_clients_say_them(value: object):
    assert requests.VideoCreate.model_validate({"prompt": "a", "seconds": value}, strict=True).seconds == 4.0


@pytest.mark.parametrize(
    "value, picture",
    [
        ("https://a.example/x.png", Picture(url="https://a.example/x.png")),
        ("HTTP://a.example/x.png", Picture(url="HTTP://a.example/x.png")),
        ({"image_url": "data:,a"}, Picture(url="data:,a")),
        ({"type": "image_url", "url": "data:,a"}, Picture(url="data:,a")),
        (Upload(b"a"), Picture(upload=Upload(b"a"))),
    ],
)
def test_pictures(value: object, picture: Picture):
    form = requests.VideoCreate.model_validate({"prompt": "a", "input_reference": value}, strict=True)
    assert form.input_reference == picture


@pytest.mark.parametrize(
    "value, clip", [({"id": "vid_1"}, Clip(id="vid_1")), (Upload(b"a"), Clip(upload=Upload(b"a")))]
)
def test_clips(value: object, clip: Clip):
    assert requests.VideoEdit.model_validate({"prompt": "a", "video": value}, strict=True).video == clip


def test_the_schema_of_urls_is_what_is_taken():
    from kinema.wire.fields import PICTURE_SCHEMA

    pattern = PICTURE_SCHEMA["anyOf"][0]["pattern"]
    for url, is_taken in (("https://a", True), ("Data:,", True), ("ftp://a", False), ("sha256:00", False)):
        assert bool(re.match(pattern, url)) == is_taken
