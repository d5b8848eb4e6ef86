"""What the service answers, in each dialect."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kinema.wire.fields import Told

NativeStatus = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]
Variant = Literal["video", "thumbnail", "cover", "spritesheet", "last_frame", "recipe"]


class ErrorBody(Told):
    """An error as OpenAI's clients read it."""

    code: str = Field(description="A dotted code that stays the same.", examples=["input.invalid"])
    message: str
    param: str | None = Field(description="The field that it is about.")
    type: str


class FieldError(Told):
    """One of several things that are wrong with a body."""

    field: str
    code: str
    message: str


class Problem(Told):
    """An RFC 9457 problem that also carries `error` for OpenAI's clients."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="A dotted code that stays the same.")
    field: str | None = None
    retryable: bool = Field(description="Whether the same request may succeed another time.")
    retry_after_s: float | None = None
    errors: list[FieldError] = Field(default=[], description="Everything that is wrong, where several fields are.")
    error: ErrorBody


class Output(Told):
    """A file of a finished job."""

    url: str
    media_type: str
    bytes: int
    name: str


class JobFailure(Told):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool = False


class Urls(Told):
    """Where to go on; `content` is the video's, `?variant=` names the other files."""

    self: str
    events: str
    cancel: str
    content: str


class Metrics(Told):
    """What was measured; null: it was not."""

    queue_ms: float | None = None
    load_ms: float | None = None
    encode_ms: float | None = None
    denoise_ms: float | None = None
    decode_ms: float | None = None
    peak_memory_mb: float | None = None
    flops: float | None = None
    shared_by: int = Field(
        1, description="Jobs that were denoised together with it, itself included; times are its share."
    )


class NativeVideo(Told):
    """A job, in full. Times are seconds since 1970."""

    id: str
    object: Literal["video"] = "video"
    status: NativeStatus
    kind: str = Field(description="generate, extend, remix or edit.")
    dialect: str
    model: str
    priority: int
    paused: bool = Field(description="It waits until it is resumed, or is asked to let go.")
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None = Field(
        description="Of a queued job the deadline, of a finished one the end of its files."
    )
    queue_position: int | None = Field(description="How many jobs go before it; 0: it is next. Null unless it waits.")
    eta_seconds: float | None = Field(description="As many jobs take less as take more. Null where nothing is known.")
    eta_p90_seconds: float | None = Field(description="One job in ten takes longer.")
    progress: int = Field(ge=0, le=100)
    phase: str | None
    step: int
    steps: int
    attempts: int = Field(description="How many workers began it.")
    parents: list[str] = Field(description="Jobs that this one goes on from.")
    request: dict[str, Any] = Field(description="What was asked for.")
    resolved: dict[str, Any] = Field(description="The same with every default made explicit.")
    warnings: list[str] = Field(description="What is not as it was asked for.")
    error: JobFailure | None
    metrics: Metrics | None
    outputs: dict[str, Output]
    last_event: int
    urls: Urls


class OpenAIVideo(Told):
    """A job as OpenAI's clients read it, with what else there is to know."""

    id: str
    object: Literal["video"] = "video"
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(ge=0, le=100)
    model: str
    prompt: str
    size: str
    seconds: str
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: dict[str, Any] | None
    remixed_from_video_id: str | None
    eta_seconds: float | None
    warnings: list[str]
    resolved: dict[str, Any]


class OpenAIPage(Told):
    """A page of jobs; go on with `after=last_id` while `has_more`."""

    object: Literal["list"] = "list"
    data: list[OpenAIVideo | NativeVideo]
    first_id: str | None
    last_id: str | None
    has_more: bool


class NativePage(Told):
    """`OpenAIPage` as the native dialect has it."""

    data: list[NativeVideo]
    last_id: str | None
    has_more: bool


class Event(Told):
    """What happened to a job; `number` counts from 1. Of `progress`: phase, step, steps, and sometimes `eta_s` and a preview."""

    id: str
    number: int
    at: float
    event: str
    phase: str | None = None
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    preview: str | None = Field(default=None, description="A small picture as a data: URL.")
    reason: str | None = Field(default=None, description="Why a job that was begun waits again.")


class EventList(Told):
    """`GET /v1/videos/{id}/log`."""

    data: list[Event]


class Deleted(Told):
    """The job and its files are gone."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class GenerationOutput(Told):
    """Where the files are."""

    url: str
    cover: str | None


class Generation(Told):
    """A job at `/v1/videos/generations`; `request_id` is its `id`, for clients of xAI's."""

    id: str
    request_id: str
    status: Literal["processing", "succeeded", "failed", "canceled"]
    eta: float | None = Field(
        description="Seconds until it is done, by this server's own runs; null where nothing is known."
    )
    progress: int = Field(ge=0, le=100)
    model: str
    output: GenerationOutput | None
    error: dict[str, Any] | None
    warnings: list[str]


class XaiVideo(Told):
    """A job as xAI's clients read it."""

    request_id: str
    id: str
    status: Literal["pending", "done", "failed", "expired"]
    progress: int = Field(ge=0, le=100)
    model: str
    video: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    eta: float | None
    warnings: list[str]


class DryRun(Told):
    """What a request would take; no job was made."""

    object: Literal["video.dry_run"] = "video.dry_run"
    model: str
    resolved: dict[str, Any]
    warnings: list[str]
    shape: str
    steps: int
    plan: dict[str, Any]
    estimate: dict[str, Any] = Field(description="FLOPs and bytes of each phase, by the card's formulas.")
    placements: list[dict[str, Any]] = Field(description="Other places for the weights, and what they need.")
    memory_bytes: int | None = Field(description="Of the device; null where it isn't known.")
    fits: bool | None
    run_seconds: float | None = Field(
        description="Median by this server's own runs, without the queue; null without any."
    )
    run_p90_seconds: float | None
    queue_length: int


class ModelEntry(Told):
    """A model; `card` is all that it can do, so that a form can be built from it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    card: dict[str, Any]


class ModelList(Told):
    """The models of this server, the default first."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]


class Health(Told):
    """Whether the server is up, or ready."""

    status: Literal["ok"] = "ok"
    version: str
