"""The routes that make a job: from words, pictures and earlier jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from kinema.core.errors import UnsupportedRequest
from kinema.serve.api.orders import Dialect, Draft, Drafts
from kinema.serve.api.parts import (
    AnyVideo,
    BodyIn,
    DialectHeader,
    DryRun,
    JsonIn,
    KeyHeader,
    Parts,
    ToRead,
    ToSubmit,
    VideoId,
    base_url,
    made_answer,
    parse,
    problems,
    takes,
)
from kinema.serve.api.problems import ApiError, of_input
from kinema.serve.api.service import Service
from kinema.serve.keys import Caller
from kinema.wire import answers as told_as
from kinema.wire import requests as asked_as

router = APIRouter(tags=["videos"])
_MADE = problems(400, 404, 409, 415, 422)


@dataclass(frozen=True)
class Maker:
    """What every route here is given besides the body: who asks for a job, in which dialect, under which Idempotency-Key."""

    request: Request
    service: Service
    caller: Caller
    dialect: Dialect | None
    key: str | None

    @property
    def drafts(self) -> Drafts:
        """Makes the caller's orders."""
        return self.service.drafts(self.caller, base_url(self.request))

    def dry_run(self, draft: Draft) -> Response:
        """What ``draft`` would take."""
        return JSONResponse(self.service.dry_run(draft, self.caller))

    def submit(self, draft: Callable[[], Draft], *asked: object) -> Response:
        """The job of ``draft``, or that which was made when ``asked``, all that the client said, came with the same key before."""
        made = self.service.submit(draft, self.caller, key=self.key, asked=list(asked))
        return made_answer(self.request, made, self.dialect)


def maker(
    request: Request, service: Parts, caller: ToSubmit, dialect: DialectHeader = None, key: KeyHeader = None
) -> Maker:
    """Of ``request``."""
    return Maker(request, service, caller, dialect, key)


Making = Annotated[Maker, Depends(maker)]


@router.post(
    "/v1/videos",
    summary="Make a video",
    responses={200: {"model": AnyVideo | told_as.DryRun}, **_MADE},
    openapi_extra=takes(asked_as.VideoCreate, files="input_reference"),
    response_model=None,
)
def create_video(making: Making, body: BodyIn, dry_run: DryRun = False) -> Response:
    """Makes a job from words, and a picture if one is given; the answer is OpenAI's, or native with the header."""
    form = parse(asked_as.VideoCreate, body)
    chosen = making.dialect or "openai"
    if dry_run:
        return making.dry_run(making.drafts.video(form, chosen))
    return making.submit(lambda: making.drafts.video(form, chosen), "videos", chosen, form)


@router.post(
    "/v1/videos/generations",
    summary="Make a video, with the fields of the documents or xAI's",
    responses={200: {"model": AnyVideo | told_as.DryRun}, **_MADE},
    openapi_extra=takes(asked_as.GenerationCreate, files="image_url"),
    response_model=None,
)
def create_generation(making: Making, body: BodyIn, dry_run: DryRun = False) -> Response:
    """Makes a job; `id` and `request_id` are the same. Poll `/v1/videos/generations/{id}`, or `/v1/videos/{request_id}` as xAI's do."""
    form = parse(asked_as.GenerationCreate, body)
    chosen = making.dialect or ("xai" if form.is_xai else "mission")
    if dry_run:
        return making.dry_run(making.drafts.generation(form, making.dialect))
    return making.submit(lambda: making.drafts.generation(form, making.dialect), "generations", chosen, form)


@router.post(
    "/v1/videos/edits",
    summary="Change a finished video by words",
    responses={200: {"model": AnyVideo}, **_MADE},
    openapi_extra=takes(asked_as.VideoEdit, files="video"),
    response_model=None,
)
def edit_video(making: Making, body: BodyIn) -> Response:
    """On models that take a clip as their source; refused by name on others."""
    form = parse(asked_as.VideoEdit, body)
    chosen = making.dialect or ("xai" if form.video.url else "openai")
    return making.submit(lambda: making.drafts.edit(form, chosen), "edits", chosen, form)


@router.post(
    "/v1/videos/extensions",
    summary="Go on from a finished video",
    responses={200: {"model": AnyVideo}, **_MADE},
    openapi_extra=takes(asked_as.VideoExtend, files="video"),
    response_model=None,
)
def extend_video(making: Making, body: BodyIn) -> Response:
    """A new clip that begins with the last frame of a finished one, in its size."""
    form = parse(asked_as.VideoExtend, body)
    chosen = making.dialect or ("xai" if form.video.url or form.duration is not None else "openai")
    return making.submit(lambda: making.drafts.extend(form, chosen), "extensions", chosen, form)


@router.post(
    "/v1/videos/characters",
    summary="Refused: no model here knows characters",
    responses=problems(400, 415),
    openapi_extra=takes(asked_as.CharacterCreate),
    response_model=None,
    status_code=400,
)
def create_character(caller: ToSubmit) -> Response:
    """Refused by name, whatever is sent."""
    raise of_input(UnsupportedRequest("characters", "a character", "no model of this server knows characters"))


@router.get("/v1/videos/characters/{id}", summary="There are none", responses=problems(404), status_code=404)
def get_character(id: VideoId, caller: ToRead) -> Response:
    """No model here knows characters."""
    raise ApiError(404, "not_found", "there is no such character", field="id")


@router.post(
    "/v1/videos/{id}/remix",
    summary="The same with another prompt",
    responses={200: {"model": AnyVideo}, **_MADE},
    openapi_extra=takes(asked_as.VideoRemix),
    response_model=None,
)
def remix_video(making: Making, id: VideoId, body: JsonIn) -> Response:
    """Seed, size, length, steps and pictures are those of the finished job."""
    form = parse(asked_as.VideoRemix, body)
    parent, limits = making.service.find(id, making.caller), making.caller.limits
    chosen: Dialect = making.dialect or parent.order.dialect  # pyright: ignore[reportAssignmentType]

    def draft() -> Draft:
        made = making.drafts.remix(id, form.prompt, chosen)
        # the parent's priority, as far as this key may ask for it
        return made if making.caller.key_id is None else replace(made, priority=min(made.priority, limits.max_priority))

    return making.submit(draft, "remix", chosen, id, form)
