"""What the files of routes share: parameters, what the OpenAPI says of them, and answers that show a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from kinema.core.errors import choices
from kinema.serve.api.auth import allowed
from kinema.serve.api.body import Body, read_body, read_json
from kinema.serve.api.orders import Dialect
from kinema.serve.api.problems import ApiError, of_validation
from kinema.serve.api.queue import NOWHERE, Place
from kinema.serve.api.service import Service, Submitted
from kinema.serve.api.views import poll_after_ms, view
from kinema.serve.jobs.job import Job
from kinema.serve.keys import Caller
from kinema.wire import answers as told_as

M = TypeVar("M", bound=BaseModel)
AnyVideo = told_as.NativeVideo | told_as.OpenAIVideo | told_as.Generation | told_as.XaiVideo
VideoId = Annotated[str, Path(description="The job's id, `vid_` and 26 letters and digits.")]
DialectHeader = Annotated[
    Dialect | None,
    Header(alias="Kinema-Dialect", description="Answers in this dialect instead of the one that made the job."),
]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same request with the same key makes one job, for a day.",
        min_length=1,
        max_length=200,
    ),
]
DryRun = Annotated[bool, Query(description="Only tells what the request would take; no job is made.")]
ToSubmit = Annotated[Caller, Depends(allowed("submit"))]
ToRead = Annotated[Caller, Depends(allowed("read"))]
ToCancel = Annotated[Caller, Depends(allowed("cancel"))]
BodyIn = Annotated[Body, Depends(read_body)]
JsonIn = Annotated[Body, Depends(read_json)]


async def service_of(request: Request) -> Service:
    """The parts of the server that ``request`` came to."""
    return request.app.state.service


Parts = Annotated[Service, Depends(service_of)]


async def only_known_parameters(request: Request) -> None:
    """Raises: ApiError for a query parameter that the route doesn't have: ``dryrun`` for ``dry_run`` would make a job."""
    route = request.scope["route"]
    if not route.path.startswith("/v1"):
        # whoever looks whether the server is up may add what they like
        return
    known = {p.alias for p in route.dependant.query_params}
    for name in request.query_params:
        if name not in known:
            shown = ascii(name[:64])[1:-1]
            rule = f"is no parameter of this path; {choices(sorted(known))}" if known else "this path has no parameters"
            raise ApiError(400, "input.unknown_parameter", f"{shown}: {rule}", field=shown)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers besides success."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    every = sorted({400, 401, 403, 413, 414, 421, 429, 431, 503, *({408} if 415 in statuses else ()), *statuses})
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in every}


def takes(model: type[BaseModel], *, files: str | None = None) -> dict[str, Any]:
    """The OpenAPI of a body; ``files`` names the field that a multipart body has a file in."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    if files is not None:
        content["multipart/form-data"] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}Form"}}
    return {"requestBody": {"required": True, "content": content}}


_DESCRIPTIONS = {
    400: "The request can't be understood, or asks for what can't be done; `field` says where.",
    401: "No key was given, or not a valid one.",
    403: "The key may not do this, or a page of another site asks.",
    404: "There is no such job of this caller's.",
    408: "The body came too slowly.",
    409: "The state of the job, or of the secret, does not allow it.",
    410: "The files are gone.",
    413: "The body is too large.",
    414: "The path is too long.",
    415: "The body is neither JSON nor multipart.",
    416: "The file has no such range.",
    421: "The server is not known by this host name.",
    422: "The Idempotency-Key was used for another request.",
    429: "The queue is full, or a quota is used up; `Retry-After` says when to come again.",
    431: "Too many headers.",
    500: "The server failed.",
    503: "The storage can't be used at the moment, or as many pictures as may are being taken in; `Retry-After` says when to come again.",
}


def parse(model: type[M], body: Body) -> M:
    """``body`` as ``model``; text becomes numbers in forms alone. Raises: ApiError that names what is wrong."""
    try:
        return model.model_validate(body.fields, strict=not body.is_form)
    except ValidationError as e:
        raise of_validation(e.errors(include_url=False, include_input=False, include_context=False)) from e


def base_url(request: Request) -> str:
    """How the client reaches this server."""
    public = request.app.state.service.settings.public_url
    return public.rstrip("/") or str(request.base_url).rstrip("/")


async def status_answer(
    request: Request, service: Service, caller: Caller, job_id: str, dialect: Dialect | None
) -> Response:
    """What is asked most often."""
    job = await service.quickly(service.find, job_id, caller)
    if job.status.is_final or service.queue.is_fresh:
        return answer(request, service, job, dialect)
    return await run_in_threadpool(answer, request, service, job, dialect)


def place_of(service: Service, job: Job) -> Place:
    """Where ``job`` is in the queue."""
    return NOWHERE if job.status.is_final else service.queue.place(job.id)


def made_answer(request: Request, made: Submitted, dialect: Dialect | None) -> Response:
    """The answer to a request that made a job, or that was told of before."""
    headers = {"location": f"/v1/videos/{made.job.id}"}
    if made.is_replay:
        headers["idempotency-replayed"] = "true"
    service = request.app.state.service
    # a look at the queue from before the job was made doesn't know it; to look anew for each would slow down with the queue
    place = place_of(service, made.job) if made.is_replay else service.queue.add(made.job)
    return answer(request, service, made.job, dialect, place=place, headers=headers)


def answer(
    request: Request,
    service: Service,
    job: Job,
    dialect: Dialect | None,
    *,
    place: Place | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """``job`` in ``dialect``, or in the one that made it."""
    place = place or place_of(service, job)
    told = view(job, dialect or job.order.dialect, place, base_url=base_url(request))  # pyright: ignore[reportArgumentType]
    poll = {} if job.status.is_final else {"openai-poll-after-ms": str(poll_after_ms(place))}
    return JSONResponse(told, headers={"cache-control": "no-store", **poll, **(headers or {})})
