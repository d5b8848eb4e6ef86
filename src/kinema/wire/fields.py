"""The fields that requests of every dialect are made of: types with their bounds and what to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from kinema.core.request import MAX_PROMPT_BYTES, MAX_SEED

MAX_URL = 2048
MAX_SECONDS = 3600
JOB_ID = r"^vid_[0-9A-HJKMNP-TV-Z]{26}$"


class Wire(BaseModel):
    """A body: unknown fields are refused, and nothing is changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Told(BaseModel):
    """An answer: clients leave alone what they don't know, so that fields may be added."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Upload:
    """A file of a multipart body."""

    data: bytes


@dataclass(frozen=True)
class Picture:
    """A picture to begin with: an ``upload``, or a ``url``, which may be a ``data:`` URL."""

    url: str = ""
    upload: Upload | None = None


@dataclass(frozen=True)
class Clip:
    """A clip to go on from: a job's ``id``, a ``url``, or an ``upload``."""

    id: str = ""
    url: str = ""
    upload: Upload | None = None


def _refuse(rule: str) -> PydanticCustomError:
    return PydanticCustomError("media", "{rule}", {"rule": rule})


def _url(value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse("must be text: an http(s) URL or a data URL")
    if not value.isprintable() or not value.isascii():
        raise _refuse("must be a URL of printable ASCII characters")
    start = value[:8].lower()
    if start.startswith("data:"):
        return value
    if not start.startswith(("http://", "https://")):
        raise _refuse("must begin with https://, http:// or data:")
    if len(value) > MAX_URL:
        raise _refuse(f"is {len(value)} characters long; at most {MAX_URL} are read")
    return value


def _picture(value: Any) -> Picture:
    if isinstance(value, Picture):
        return value
    if isinstance(value, Upload):
        return Picture(upload=value)
    if isinstance(value, dict):
        value = dict(value)
        # what clients say besides in such an object, and what changes nothing
        if value.get("type") == "image_url":
            value.pop("type")
        if set(value) == {"file_id"}:
            raise _refuse("file_id: no files are kept here; send the picture itself, or image_url")
        if set(value) not in ({"url"}, {"image_url"}):
            raise _refuse('must be a file, a URL, or an object with the one field "image_url" or "url"')
        (value,) = value.values()
    return Picture(url=_url(value))


def _clip(value: Any) -> Clip:
    if isinstance(value, Clip):
        return value
    if isinstance(value, Upload):
        return Clip(upload=value)
    if not isinstance(value, dict) or set(value) not in ({"id"}, {"url"}):
        raise _refuse('must be a file, or an object with the one field "id" (of a finished job) or "url"')
    if "url" in value:
        return Clip(url=_url(value["url"]))
    if not isinstance(value["id"], str) or len(value["id"]) > 64:
        raise _refuse("id: must be the id of a job")
    return Clip(id=value["id"])


_URL_SCHEMA = {"type": "string", "pattern": "^(?:[hH][tT][tT][pP][sS]?://|[dD][aA][tT][aA]:)", "minLength": 8}
PICTURE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {**_URL_SCHEMA, "description": "An http(s) URL, or the picture itself as a data: URL in base64."},
        {
            "type": "object",
            "properties": {"image_url": _URL_SCHEMA},
            "required": ["image_url"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"url": _URL_SCHEMA}, "required": ["url"], "additionalProperties": False},
    ]
}
CLIP_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"id": {"type": "string", "pattern": JOB_ID}},
            "required": ["id"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"url": _URL_SCHEMA}, "required": ["url"], "additionalProperties": False},
    ]
}


def _seconds(value: Any) -> Any:
    """Clients of OpenAI's say ``"4"``."""
    if isinstance(value, str) and len(value) <= 16:
        try:
            return float(value)
        except ValueError:
            pass
    return value


PictureIn = Annotated[Picture, BeforeValidator(_picture), WithJsonSchema(PICTURE_SCHEMA)]
ClipIn = Annotated[Clip, BeforeValidator(_clip), WithJsonSchema(CLIP_SCHEMA)]
Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PROMPT_BYTES,
        description=f"What the clip shows, in English or Chinese, up to {MAX_PROMPT_BYTES} bytes of UTF-8. It may be rewritten "
        "in the words that the model was trained on; `warnings` say so.",
        examples=["a red ball rolls to the left"],
    ),
]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
SecondsOrText = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0, le=MAX_SECONDS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
                {"type": "string", "pattern": r"^[1-9][0-9]{0,2}$"},
            ]
        }
    ),
]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", examples=["1280x720"])]
Aspect = Annotated[
    str,
    Field(pattern=r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$", description="Width to height.", examples=["16:9"]),
]
Seed = Annotated[
    int,
    Field(
        ge=0, le=MAX_SEED, description="The same request with the same seed is the same clip. Drawn if it is left out."
    ),
]
ModelName = Annotated[
    str, Field(min_length=1, max_length=200, description="One of `GET /v1/models`; the first if it is left out.")
]
Motion = Annotated[
    int, Field(ge=1, le=255, description="How much moves, from 1 (next to nothing) to 255, on models trained on it.")
]
Priority = Annotated[int, Field(ge=-100, le=100)]
