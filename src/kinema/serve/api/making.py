"""The routes that make a job: from words, pictures and earlier jobs."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kinema.core.errors import UnsupportedRequest
from kinema.serve.api.orders import Dialect, Draft
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
from kinema.wire import answers as told_as
from kinema.wire import requests as asked_as

router = APIRouter(tags=["videos"])
_MADE = problems(400, 404, 409, 415, 422)


@router.post(
    "/v1/videos",
    summary="Make a video",
    responses={200: {"model": AnyVideo | told_as.DryRun}, **_MADE},
    openapi_extra=takes(asked_as.VideoCreate, files="input_reference"),
    response_model=None,
)
def create_video(
    request: Request,
    service: Parts,
    caller: ToSubmit,
    body: BodyIn,
    dialect: DialectHeader = None,
    key: KeyHeader = None,
    dry_run: DryRun = False,
) -> Response:
    """Makes a job from words, and a picture if one is given; the answer is OpenAI's, or native with the header."""
    form = parse(asked_as.VideoCreate, body)
    chosen = dialect or "openai"
    drafts = service.drafts(caller, base_url(request))
    if dry_run:
        return JSONResponse(service.dry_run(drafts.video(form, chosen), caller))
    asked = ["videos", chosen, form]
    return made_answer(
        request, service.submit(lambda: drafts.video(form, chosen), caller, key=key, asked=asked), dialect
    )


@router.post(
    "/v1/videos/generations",
    summary="Make a video, with the fields of the documents or xAI's",
    responses={200: {"model": AnyVideo | told_as.DryRun}, **_MADE},
    openapi_extra=takes(asked_as.GenerationCreate, files="image_url"),
    response_model=None,
)
def create_generation(
    request: Request,
    service: Parts,
    caller: ToSubmit,
    body: BodyIn,
    dialect: DialectHeader = None,
    key: KeyHeader = None,
    dry_run: DryRun = False,
) -> Response:
    """Makes a job; `id` and `request_id` are the same. Poll `/v1/videos/generations/{id}`, or `/v1/videos/{request_id}` as xAI's do."""
    form = parse(asked_as.GenerationCreate, body)
    chosen: Dialect = dialect or ("xai" if form.is_xai else "mission")
    drafts = service.drafts(caller, base_url(request))
    if dry_run:
        return JSONResponse(service.dry_run(drafts.generation(form, dialect), caller))
    asked = ["generations", chosen, form]
    return made_answer(
        request, service.submit(lambda: drafts.generation(form, dialect), caller, key=key, asked=asked), dialect
    )


@router.post(
    "/v1/videos/edits",
    summary="Change a finished video by words",
    responses={200: {"model": AnyVideo}, **_MADE},
    openapi_extra=takes(asked_as.VideoEdit, files="video"),
    response_model=None,
)
def edit_video(
    request: Request,
    service: Parts,
    caller: ToSubmit,
    body: BodyIn,
    dialect: DialectHeader = None,
    key: KeyHeader = None,
) -> Response:
    """On models that take a clip as their source; refused by name on others."""
    form = parse(asked_as.VideoEdit, body)
    chosen = dialect or ("xai" if form.video.url else "openai")
    drafts = service.drafts(caller, base_url(request))
    made = service.submit(lambda: drafts.edit(form, chosen), caller, key=key, asked=["edits", chosen, form])
    return made_answer(request, made, dialect)


@router.post(
    "/v1/videos/extensions",
    summary="Go on from a finished video",
    responses={200: {"model": AnyVideo}, **_MADE},
    openapi_extra=takes(asked_as.VideoExtend, files="video"),
    response_model=None,
)
def extend_video(
    request: Request,
    service: Parts,
    caller: ToSubmit,
    body: BodyIn,
    dialect: DialectHeader = None,
    key: KeyHeader = None,
) -> Response:
    """A new clip that begins with the last frame of a finished one, in its size."""
    form = parse(asked_as.VideoExtend, body)
    chosen = dialect or ("xai" if form.video.url or form.duration is not None else "openai")
    drafts = service.drafts(caller, base_url(request))
    made = service.submit(lambda: drafts.extend(form, chosen), caller, key=key, asked=["extensions", chosen, form])
    return made_answer(request, made, dialect)


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
def remix_video(
    request: Request,
    service: Parts,
    caller: ToSubmit,
    id: VideoId,
    body: JsonIn,
    dialect: DialectHeader = None,
    key: KeyHeader = None,
) -> Response:
    """Seed, size, length, steps and pictures are those of the finished job."""
    form = parse(asked_as.VideoRemix, body)
    parent = service.find(id, caller)
    chosen: Dialect = dialect or parent.order.dialect  # pyright: ignore[reportAssignmentType]
    drafts = service.drafts(caller, base_url(request))
    asked = ["remix", chosen, id, form]

    def make() -> Draft:
        draft = drafts.remix(id, form.prompt, chosen)
        # the parent's priority, as far as this key may ask for it
        return (
            draft if caller.key_id is None else replace(draft, priority=min(draft.priority, caller.limits.max_priority))
        )

    made = service.submit(make, caller, key=key, asked=asked)
    return made_answer(request, made, dialect)
