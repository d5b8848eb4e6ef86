"""Errors on the wire: RFC 9457 problems that also carry the error object of OpenAI's clients."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from kinema.core.errors import (
    AccessError,
    InvalidInput,
    KinemaError,
    MediaError,
    RefusedContent,
    StorageError,
    UnsupportedRequest,
)
from kinema.serve.jobs.commands import Refusal

_log = logging.getLogger("kinema.serve")
_CODES = {
    401: "auth.missing",
    403: "auth.forbidden",
    404: "not_found",
    405: "method.not_allowed",
    413: "body.too_large",
    415: "body.media_type",
}
# for refusals of the store; what isn't here is a conflict with the job's state
_REFUSALS = {"not_found": (404, "not_found"), "queue_full": (429, "capacity.queue_full")}
_MAX_TOLD = 200


class ApiError(Exception):
    """An answer other than the one that was hoped for.

    Args:
        status: the HTTP status.
        code: dotted, for programs; it stays the same.
        message: one line, for people.
        field: what of the request it is about.
        retry_after_s: the same may work then; ``retryable`` without it: at any time.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field, self.errors = status, code, message, field, errors
        self.retryable, self.retry_after_s = retryable or retry_after_s is not None, retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        """The problem, JSON-ready."""
        after = {} if self.retry_after_s is None else {"retry_after_s": round(self.retry_after_s, 3)}
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "field": self.field,
            "retryable": self.retryable,
            **after,
            "errors": list(self.errors),
            "error": {"code": self.code, "message": self.message, "param": self.field, "type": _kind(self.status)},
        }

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer."""
        after = {} if self.retry_after_s is None else {"retry-after": str(max(1, math.ceil(self.retry_after_s)))}
        # ASCII: whatever was sent, broken Unicode too, can be told
        content = json.dumps(self.body, ensure_ascii=True).encode()
        asks = {"www-authenticate": "Bearer"} if self.status == 401 else {}
        if self.status == 408:
            # the rest of the request may come for ever
            asks = {"connection": "close"}
        headers = {**(headers or {}), **after, **asks, "cache-control": "no-store"}
        return Response(content, self.status, headers, media_type="application/problem+json")


def not_found() -> ApiError:
    """There is no such job, or it is another tenant's: nobody shall know which."""
    return ApiError(404, "not_found", "there is no such job", field="id")


def of_refusal(refusal: Refusal) -> ApiError:
    """What a refusal of the store is on the wire."""
    status, code = _REFUSALS.get(refusal.code, (409, f"job.{refusal.code}"))
    return ApiError(status, code, refusal.message, retry_after_s=refusal.retry_after_s)


def of_access(error: AccessError) -> ApiError:
    """What a caller who may not is told."""
    kind = error.code.partition(".")[0]
    status = 401 if error.code in ("auth.missing", "auth.invalid") else 403 if kind == "auth" else 429
    return ApiError(status, error.code, str(error), retry_after_s=error.retry_after_s)


def of_input(error: InvalidInput, names: Mapping[str, str] | None = None) -> ApiError:
    """What a broken rule is on the wire; ``names``: our fields' names in the caller's dialect."""
    field = (names or {}).get(error.field, error.field)
    codes = {RefusedContent: "content.refused", MediaError: "input.media", UnsupportedRequest: "input.unsupported"}
    code = next((c for kind, c in codes.items() if isinstance(error, kind)), "input.invalid")
    message = f"{field}{str(error)[len(error.field) :]}"
    return ApiError(400, code, message, field=field)


def of_validation(details: Sequence[ErrorDetails]) -> ApiError:
    """What pydantic found wrong, the first told and all listed."""
    errors = [_told(d) for d in details[:20]]
    first = errors[0]
    message = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return ApiError(400, first["code"], message, field=first["field"] or None, errors=errors)


def _told(d: ErrorDetails) -> dict[str, str]:
    kind = d["type"]
    code = {"missing": "input.missing", "extra_forbidden": "input.unknown_field"}.get(kind, "input.invalid")
    message = {"missing": "is required", "extra_forbidden": "is not a field of this request"}.get(kind, d["msg"])
    field = ".".join(str(part) for part in d["loc"])
    return {"field": field[:_MAX_TOLD], "code": code, "message": message[:_MAX_TOLD]}


def _kind(status: int) -> str:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 409: "conflict_error"}
    return kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")


def install(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(KinemaError)
    async def _kinema_error(request: Request, error: KinemaError) -> Response:
        if isinstance(error, InvalidInput):
            return of_input(error).response()
        if isinstance(error, AccessError):
            return of_access(error).response()
        _log.error("%s %s: %s", request.method, request.url.path, error)
        if isinstance(error, StorageError):
            # its text names places of this machine
            message = "the server's storage can't be used at the moment"
            return ApiError(503, "storage.unavailable", message, retry_after_s=5).response()
        return ApiError(500, "internal", "the server failed; its log says why").response()

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> Response:
        # the first part of a place is query, path or header
        details = [{**d, "loc": d["loc"][1:]} for d in error.errors()]
        return of_validation(details).response()  # pyright: ignore[reportArgumentType]

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "request.invalid")
        message = {404: "there is nothing at this path", 405: "the path does not take this method"}
        told = message.get(error.status_code, str(error.detail))
        return ApiError(error.status_code, code, told).response(error.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        return ApiError(500, "internal", "the server failed; its log says why", retryable=True).response()
