"""The routes of jobs that there are: how they stand, their files and events, and what can be done with them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from kinema.core.jobs import JobState
from kinema.serve.api.content import Variant, content
from kinema.serve.api.events import server_sent, told
from kinema.serve.api.orders import Dialect
from kinema.serve.api.parts import (
    AnyVideo,
    DialectHeader,
    JsonIn,
    Parts,
    ToCancel,
    ToRead,
    ToSubmit,
    VideoId,
    answer,
    base_url,
    parse,
    place_of,
    problems,
    status_answer,
    takes,
)
from kinema.serve.api.problems import ApiError
from kinema.serve.api.service import accepted
from kinema.serve.api.views import view
from kinema.serve.jobs.commands import Cancel, Pause, Resume
from kinema.serve.jobs.reading import events_after, list_jobs
from kinema.serve.jobs.retention import remove
from kinema.wire import answers as told_as
from kinema.wire import requests as asked_as
from kinema.wire.fields import JOB_ID

router = APIRouter(tags=["videos"])
# PostgreSQL's integers end here
_MAX_NUMBER = 2**31 - 1
_CHANGED = problems(400, 404, 409)


@router.get(
    "/v1/videos/generations/{id}",
    summary="A job as the documents have it",
    responses={200: {"model": told_as.Generation}, **problems(400, 404)},
    response_model=None,
)
async def get_generation(request: Request, service: Parts, caller: ToRead, id: VideoId) -> Response:
    """`processing`, `succeeded` with `output`, `failed` with `error`, or `canceled`."""
    return await status_answer(request, service, caller, id, "mission")


@router.get(
    "/v1/videos",
    summary="Your jobs",
    responses={200: {"model": told_as.OpenAIPage}, **problems(400)},
    response_model=None,
)
def list_videos(
    request: Request,
    service: Parts,
    caller: ToRead,
    dialect: Annotated[
        Literal["native", "openai"] | None, Header(alias="Kinema-Dialect", description="How the jobs are told.")
    ] = None,
    after: Annotated[str | None, Query(description="Goes on after this job, be it deleted.", pattern=JOB_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    status: Annotated[list[JobState] | None, Query(description="Only jobs in these states.", max_length=7)] = None,
) -> Response:
    """Newest first unless `order=asc`. A page after the last job is empty."""
    jobs = list_jobs(
        service.store.database,
        owner=caller.owner,
        statuses=status or (),
        after=after,
        limit=limit + 1,
        oldest_first=order == "asc",
    )
    page = jobs[:limit]
    where = base_url(request)
    return JSONResponse(
        {
            "object": "list",
            "data": [view(j, dialect or "openai", place_of(service, j), base_url=where) for j in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(jobs) > limit,
        }
    )


@router.get(
    "/v1/videos/{id}",
    summary="A job",
    responses={200: {"model": AnyVideo}, **problems(400, 404)},
    response_model=None,
)
async def get_video(
    request: Request, service: Parts, caller: ToRead, id: VideoId, dialect: DialectHeader = None
) -> Response:
    """In the dialect that made it; `openai-poll-after-ms` says when it is worth asking again."""
    return await status_answer(request, service, caller, id, dialect)


@router.delete(
    "/v1/videos/{id}",
    summary="Delete a finished job and its files",
    responses={200: {"model": told_as.Deleted}, **problems(404, 409)},
    response_model=None,
)
def delete_video(service: Parts, caller: ToCancel, id: VideoId) -> Response:
    """Files that no other job needs are swept away soon after. A job that isn't finished has to be canceled first."""
    job = service.find(id, caller)
    accepted(remove(service.store.database, job.id, owner=caller.owner))
    return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})


@router.patch(
    "/v1/videos/{id}",
    summary="Change a job that waits",
    responses={200: {"model": AnyVideo}, **problems(400, 404, 409, 415)},
    openapi_extra=takes(asked_as.VideoChange),
    response_model=None,
)
def change_video(
    request: Request, service: Parts, caller: ToSubmit, id: VideoId, body: JsonIn, dialect: DialectHeader = None
) -> Response:
    """Until its first attempt. What isn't named stays, a seed that was drawn too; `"seed": null` draws another."""
    form = parse(asked_as.VideoChange, body)
    job = service.find(id, caller)
    drafts = service.drafts(caller, base_url(request))
    words: Dialect = dialect or job.order.dialect  # pyright: ignore[reportAssignmentType]
    return answer(request, service, service.change(job, form, caller, drafts=drafts, dialect=words), dialect)


@router.post(
    "/v1/videos/{id}/cancel",
    summary="Stop a job",
    responses={200: {"model": AnyVideo}, **_CHANGED},
    response_model=None,
)
def cancel_video(
    request: Request, service: Parts, caller: ToCancel, id: VideoId, dialect: DialectHeader = None
) -> Response:
    """A job that waits is canceled at once; one that runs within a step."""
    return answer(request, service, service.apply(service.find(id, caller), Cancel()), dialect)


@router.post(
    "/v1/videos/{id}/pause",
    summary="Hold a job back",
    responses={200: {"model": AnyVideo}, **_CHANGED},
    response_model=None,
)
def pause_video(
    request: Request, service: Parts, caller: ToSubmit, id: VideoId, dialect: DialectHeader = None
) -> Response:
    """It is not begun until it is resumed; one that runs is let go at its next step, with a checkpoint."""
    return answer(request, service, service.apply(service.find(id, caller), Pause()), dialect)


@router.post(
    "/v1/videos/{id}/resume",
    summary="End a pause",
    responses={200: {"model": AnyVideo}, **_CHANGED},
    response_model=None,
)
def resume_video(
    request: Request, service: Parts, caller: ToSubmit, id: VideoId, dialect: DialectHeader = None
) -> Response:
    """Back into the queue, at its old place."""
    return answer(request, service, service.apply(service.find(id, caller), Resume()), dialect)


@router.post(
    "/v1/videos/{id}/move",
    summary="Another place in the queue",
    responses={200: {"model": AnyVideo}, **problems(400, 404, 409, 415)},
    openapi_extra=takes(asked_as.VideoMove),
    response_model=None,
)
def move_video(
    request: Request, service: Parts, caller: ToSubmit, id: VideoId, body: JsonIn, dialect: DialectHeader = None
) -> Response:
    """Among your own queued jobs of the same priority; others' keep their places."""
    form = parse(asked_as.VideoMove, body)
    job = service.find(id, caller)
    moved = accepted(service.store.reorder(job.id, before=form.before, owner=caller.owner))
    return answer(request, service, moved, dialect)


@router.get(
    "/v1/videos/{id}/content",
    summary="A file of a finished job",
    responses={
        200: {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "A range of it.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "The client has it already."},
        **problems(400, 404, 409, 410, 416),
    },
    response_model=None,
)
@router.head("/v1/videos/{id}/content", include_in_schema=False, response_model=None)
def get_content(
    request: Request, service: Parts, caller: ToRead, id: VideoId, variant: Annotated[Variant, Query()] = "video"
) -> Response:
    """`Range`, `If-Range` and `If-None-Match` are heeded; the ETag is the hash of the file."""
    return content(service.find(id, caller), variant, request, service.blobs)


@router.get(
    "/v1/videos/{id}/events",
    summary="What happens to a job, as it happens",
    responses={
        200: {
            "description": "Server-sent events, numbered from 1; the stream ends with the job.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The job is over and nothing came after that number."},
        **problems(400, 404),
    },
    response_model=None,
)
async def get_events(
    request: Request,
    service: Parts,
    caller: ToRead,
    id: VideoId,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Goes on after this number.")
    ] = None,
    after: Annotated[int, Query(ge=0, le=_MAX_NUMBER, description="The same, for those who can't set headers.")] = 0,
) -> Response:
    """Replays from the database on any replica. Comments every 15 s are signs of life."""
    job = await service.quickly(service.find, id, caller)
    number = _number(last_event_id) if last_event_id else after
    if job.status.is_final and job.last_event <= number:
        # tells an EventSource to stay away
        return Response(status_code=204)
    hub = request.app.state.hub
    hub.admit()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    stream = server_sent(hub, service.blobs, job.id, number)
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


@router.get(
    "/v1/videos/{id}/log",
    summary="What has happened to a job",
    responses={200: {"description": "Events in order, at most 1,000."}, **problems(400, 404)},
    response_model=None,
)
def get_log(
    service: Parts, caller: ToRead, id: VideoId, after: Annotated[int, Query(ge=0, le=_MAX_NUMBER)] = 0
) -> Response:
    """The events as a list, without waiting for more."""
    job = service.find(id, caller)
    found = events_after(service.store.database, job.id, after)
    return JSONResponse({"object": "list", "data": [told(job.id, event, service.blobs) for event in found]})


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or int(text) > _MAX_NUMBER:
        raise ApiError(400, "input.invalid", "Last-Event-ID: must be the number of an event", field="Last-Event-ID")
    return int(text)
