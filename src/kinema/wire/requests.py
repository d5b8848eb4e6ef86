"""What clients ask for, in each dialect. All become one `kinema.core.request.GenerationRequest`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinema.core.request import MAX_PROMPT_BYTES
from kinema.wire.fields import (
    JOB_ID,
    MAX_URL,
    Aspect,
    ClipIn,
    ModelName,
    Motion,
    PictureIn,
    Priority,
    Prompt,
    Seconds,
    SecondsOrText,
    Seed,
    Size,
    Wire,
)


class KeyframeIn(Wire):
    """A picture that the clip shows at a time."""

    image: PictureIn
    at_s: float = Field(default=0.0, ge=-3600, le=3600, description="Seconds from the start; -1: the last frame.")


class Extras(Wire):
    """The fields that this server has beyond the dialects', taken by all of them. What a model can't do is refused by name."""

    model: ModelName | None = None
    negative_prompt: str = Field(default="", max_length=MAX_PROMPT_BYTES, description="What the clip should not show.")
    seed: Seed | None = None
    steps: int | None = Field(default=None, ge=1, le=1000, description="Denoising steps; more take longer.")
    guidance: float | None = Field(
        default=None, ge=0, le=100, description="How closely the prompt is followed; 1: unguided."
    )
    guidance_2: float | None = Field(
        default=None, ge=0, le=100, description="Guidance of the second network, on models that have two."
    )
    fps: float | None = Field(default=None, gt=0, le=240, description="Frames a second, one of the model's.")
    frames: int | None = Field(
        default=None, ge=1, le=86400, description="Frames in all, instead of a length; 1: a picture."
    )
    style: str | None = Field(default=None, min_length=1, max_length=100, description="A named style.")
    camera: str | None = Field(
        default=None, min_length=1, max_length=100, description="A camera motion of the model's card."
    )
    rewrite: bool = Field(default=True, description="Whether the prompt may be rewritten.")
    priority: Priority = Field(
        default=0, description="Higher goes first among all jobs; a key may ask for its `max_priority`."
    )


class NewJob(Extras):
    """What can be said of a job when it is made, and not later."""

    keyframes: list[KeyframeIn] = Field(default=[], max_length=16, description="Pictures and when the clip shows them.")
    wait_s: float | None = Field(
        default=None, gt=0, le=30 * 86400, description="The job expires if it has not begun within so many seconds."
    )
    webhook_url: Annotated[str, Field(min_length=8, max_length=MAX_URL)] | None = Field(
        default=None, description="Where this job's events are sent, signed as Standard Webhooks say."
    )


class VideoCreate(NewJob):
    """`POST /v1/videos`, in OpenAI's words and this server's own.

    As OpenAI's, `size` and `seconds` become the nearest that the model can do, and a warning says so. With the header
    `Kinema-Dialect: native` they are taken exactly, and what the model can't do is refused.
    """

    prompt: Prompt
    seconds: SecondsOrText | None = Field(default=None, description="Length in seconds, as a number or text.")
    size: Size | None = Field(default=None, description="WIDTHxHEIGHT in pixels.")
    aspect_ratio: Aspect | None = None
    motion: Motion | None = None
    input_reference: PictureIn | None = Field(default=None, description="The picture that the clip begins with.")


class GenerationCreate(NewJob):
    """`POST /v1/videos/generations`. Two vocabularies meet here, and don't mix.

    `duration_seconds`, `image_url` and `motion_bucket_id` are answered with `processing|succeeded|failed|canceled`;
    `duration`, `image` and `resolution` (xAI's) with `pending|done|failed|expired`. A body with neither is xAI's if `model` is the
    only field of this server's own, and else the first.
    """

    prompt: Prompt
    duration_seconds: Seconds | None = Field(default=None, description="Length in seconds.")
    image_url: PictureIn | None = Field(default=None, description="The picture that the clip begins with.")
    motion_bucket_id: Motion | None = None
    duration: Seconds | None = Field(default=None, description="xAI: length in seconds.")
    image: PictureIn | None = Field(default=None, description="xAI: the picture that the clip begins with.")
    resolution: Annotated[str, Field(pattern=r"^[0-9]{3,4}p$")] | None = Field(
        default=None, description="xAI: taken, and answered with a warning; the model's nearest size is made."
    )
    aspect_ratio: Aspect | None = None
    size: Size | None = None

    @property
    def is_xai(self) -> bool:
        """Whether it is answered as xAI does."""
        own = {"duration_seconds", "image_url", "motion_bucket_id", "size", *NewJob.model_fields} - {"model"}
        theirs = {"duration", "image", "resolution"}
        return bool(self.model_fields_set & theirs) or (
            "model" in self.model_fields_set and not self.model_fields_set & own
        )


class VideoRemix(Wire):
    """`POST /v1/videos/{id}/remix`: the same seed, size, length and pictures with another prompt."""

    prompt: Prompt


class VideoEdit(Wire):
    """`POST /v1/videos/edits`: a finished clip, changed as the prompt says, on models that take a clip as their source."""

    prompt: Prompt
    video: ClipIn = Field(description="The clip: `id` of a finished job, or `url` of its content.")
    model: ModelName | None = None


class VideoExtend(Wire):
    """`POST /v1/videos/extensions`: a new clip that begins with the last frame of a finished one. The two are not joined."""

    prompt: Prompt
    video: ClipIn = Field(description="The clip: `id` of a finished job, or `url` of its content.")
    seconds: SecondsOrText | None = Field(default=None, description="Length of the new clip.")
    duration: Seconds | None = Field(default=None, description="xAI: length of the new clip.")
    model: ModelName | None = None
    seed: Seed | None = None


class CharacterCreate(Wire):
    """`POST /v1/videos/characters`: well-formed, and refused, since no model here knows characters."""

    name: str = Field(min_length=1, max_length=80)


class VideoMove(Wire):
    """`POST /v1/videos/{id}/move`: another place among the owner's queued jobs."""

    before: Annotated[str, Field(pattern=JOB_ID)] | None = Field(
        default=None, description="The queued job that it shall go before; null: behind them all."
    )


class VideoChange(Extras):
    """`PATCH /v1/videos/{id}`: fields to change in a job that no worker has begun; the others stay.

    As when a job is made, `size` and `seconds` are mapped in OpenAI's and xAI's dialects, and taken exactly in the others.
    """

    prompt: Prompt | None = None
    seconds: SecondsOrText | None = None
    size: Size | None = None
    aspect_ratio: Aspect | None = None
    motion: Motion | None = None
