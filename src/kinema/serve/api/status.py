"""Routes about the server itself: models, health, readiness, metrics."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text

from kinema.core.card import ModelCard
from kinema.core.version import VERSION
from kinema.serve.api.auth import allowed
from kinema.serve.api.metrics import CONTENT_TYPE
from kinema.serve.api.parts import Parts, ToRead, problems
from kinema.serve.api.problems import ApiError
from kinema.serve.keys import Caller
from kinema.wire import answers as told_as

router = APIRouter()


@router.get(
    "/v1/models",
    tags=["models"],
    summary="The models of this server",
    responses={200: {"model": told_as.ModelList}, **problems()},
    response_model=None,
)
def list_models(service: Parts, caller: ToRead) -> Response:
    """The default first; each with its card, which says all that it can do."""
    return JSONResponse(
        {"object": "list", "data": [_entry(name, card) for name, card in service.planner.models.items()]}
    )


@router.get(
    "/v1/models/{id:path}",
    tags=["models"],
    summary="A model",
    responses={200: {"model": told_as.ModelEntry}, **problems(404)},
    response_model=None,
)
def get_model(service: Parts, caller: ToRead, id: str) -> Response:
    """Its card."""
    if id not in service.planner.models:
        raise ApiError(404, "not_found", "this server has no such model", field="id")
    return JSONResponse(_entry(id, service.planner.models[id]))


@router.get(
    "/healthz", tags=["server"], summary="Is it up?", responses={200: {"model": told_as.Health}}, response_model=None
)
async def health() -> Response:
    """Answered without a look at anything."""
    return JSONResponse({"status": "ok", "version": VERSION})


@router.get(
    "/readyz",
    tags=["server"],
    summary="Can it take jobs?",
    responses={200: {"model": told_as.Health}, **problems()},
    response_model=None,
)
def ready(service: Parts) -> Response:
    """Whether the database answers and the folder of the files is there."""
    with service.store.database.read() as (connection, _):
        connection.execute(text("SELECT 1"))
    if not service.settings.blobs.is_dir():
        raise ApiError(503, "storage.unavailable", "the folder of the files is not there", retry_after_s=5)
    return JSONResponse({"status": "ok", "version": VERSION})


@router.get(
    "/metrics",
    tags=["server"],
    summary="For Prometheus",
    responses={200: {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
    response_model=None,
)
def metrics(service: Parts, caller: Annotated[Caller, Depends(allowed("admin"))]) -> Response:
    """Jobs by state, queue depth and age, steps left, workers' deaths, durations of requests, event streams."""
    return Response(service.meters.text(), headers={"content-type": CONTENT_TYPE})


def _entry(name: str, card: ModelCard) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": card.family, "card": json.loads(card.to_json())}
