"""The routes of API keys, for those whose key has the scope ``admin``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import JSONResponse

from kinema.core.errors import InvalidInput
from kinema.serve import keys
from kinema.serve.api.auth import allowed
from kinema.serve.api.parts import JsonIn, Parts, parse, problems, takes
from kinema.serve.api.problems import ApiError
from kinema.wire import access

router = APIRouter(prefix="/v1/keys", tags=["keys"])
ToAdmin = Annotated[keys.Caller, Depends(allowed("admin"))]


@router.post(
    "",
    summary="Make an API key",
    status_code=201,
    responses={201: {"model": access.Key}, **problems(400, 415)},
    openapi_extra=takes(access.KeyCreate),
    response_model=None,
)
def create_key(service: Parts, caller: ToAdmin, body: JsonIn) -> Response:
    """The answer has the token, this once. After the first key was made, every request needs one."""
    form = parse(access.KeyCreate, body)
    new = keys.create_key(
        service.store.database,
        owner=form.owner,
        name=form.name,
        scopes=form.scopes,
        limits=keys.KeyLimits(**form.limits.model_dump()),
        valid_s=form.valid_seconds,
    )
    return JSONResponse({**_told(new.key), "token": new.token}, 201, {"cache-control": "no-store"})


@router.get("", summary="All API keys", responses={200: {"model": access.KeyList}, **problems()}, response_model=None)
def list_keys(service: Parts, caller: ToAdmin) -> Response:
    """Without their secrets, which nobody has but their holders."""
    had = keys.usage(service.store.database)
    found = keys.list_keys(service.store.database)
    data = [{**_told(key), "today": had.get(key.id, keys.Usage()).to_dict()} for key in found]
    return JSONResponse({"object": "list", "data": data})


@router.delete(
    "/{id}", summary="Revoke an API key", responses={200: {"model": access.Key}, **problems(404)}, response_model=None
)
def revoke_key(
    service: Parts, caller: ToAdmin, id: Annotated[str, Path(description="The key's id, 12 hex digits.")]
) -> Response:
    """At once, on every replica, and for good."""
    try:
        if not re.fullmatch("[0-9a-f]{12}", id):
            raise InvalidInput("id", id, "is no key's id")
        return JSONResponse(_told(keys.revoke_key(service.store.database, id)))
    except InvalidInput as e:
        raise ApiError(404, "not_found", "there is no such key", field="id") from e


def _told(key: keys.ApiKey) -> dict[str, Any]:
    return {**key.to_dict(), "object": "key"}
