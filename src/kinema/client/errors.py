"""What clients of the service meet.

    KinemaError
    └── ClientError
        ├── ApiError            the server's answer is an error; `code` says which
        │   ├── BadRequest      something in the request: `field` says what (400, 413, 422 ...; exit code 2)
        │   ├── NotAllowed      no API key, a wrong one, or one that may not do this (401, 403)
        │   ├── NotFound        no such job, or its files are gone (404, 410)
        │   ├── Conflict        the job's state doesn't allow it (409)
        │   ├── RateLimited     a full queue, a rate or a quota; `retry_after_s` says when to come again (429)
        │   └── ServerError     the server failed, or can't at the moment (5xx)
        ├── Unreachable         nobody answered
        ├── JobFailed           a job that was waited for failed, was canceled or expired
        ├── WaitTimeout         a job was not over in time (a TimeoutError too)
        └── BrokenDownload      a file that kept breaking off, or is not the one that the server named

A request that can't even be made (a picture that can't be read, an id that is none) is `kinema.core.errors.InvalidInput`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx
from pydantic import ValidationError

from kinema.core.errors import KinemaError
from kinema.wire.answers import ErrorBody, JobFailure, NativeVideo, Problem


class ClientError(KinemaError):
    """Base of what a client of the service meets. ``tries``: how often the server was asked."""

    tries = 1


class ApiError(ClientError):
    """An answer other than the one that was hoped for. ``problem`` is all of it, as the server's OpenAPI describes it.

    ``code`` is dotted, for programs (``http.STATUS`` where something other than a Kinema server answered), ``field`` what of the request
    it is about, ``retryable`` whether the same may succeed another time, ``retry_after_s`` when, if the server knows.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem, self.status, self.code, self.field = problem, problem.status, problem.code, problem.field
        self.retryable, self.retry_after_s = problem.retryable, problem.retry_after_s

    def __str__(self) -> str:
        return self.problem.detail


class BadRequest(ApiError):
    """Something in the request can't be understood or done; ``field`` says what."""

    exit_code = 2


class NotAllowed(ApiError):
    """No API key, a wrong one, or one that may not do this."""


class NotFound(ApiError):
    """There is no such job of this key's, or its files are gone."""


class Conflict(ApiError):
    """The state of the job doesn't allow it."""


class RateLimited(ApiError):
    """The queue is full, or a rate or quota used up."""


class ServerError(ApiError):
    """The server failed, or can't at the moment."""


class Unreachable(ClientError):
    """Nobody answered. ``is_transient``: somebody may, another time."""

    is_transient = True


class JobFailed(ClientError):
    """A job that gave no clip: ``code`` and ``message`` say why, ``retryable`` whether the same may succeed another time."""

    def __init__(self, video: NativeVideo) -> None:
        super().__init__(video)
        why = video.error or JobFailure(code=f"job.{video.status}", message="the server does not say why")
        self.video, self.code, self.message, self.retryable = video, why.code, why.message, why.retryable
        self.exit_code = 130 if video.status == "canceled" else 1

    def __str__(self) -> str:
        return f"{self.video.id}: {self.video.status}: {self.message}"


class WaitTimeout(ClientError, TimeoutError):
    """A job was not over in time; it goes on."""


class BrokenDownload(ClientError):
    """A file that kept breaking off, or is not the one that the server named."""


_KINDS: Mapping[int, type[ApiError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    429: RateLimited,
}


def error_of(response: httpx.Response, names: Mapping[str, str] | None = None) -> ApiError:
    """The error that ``response``, read already, stands for; ``names``: the wire's names of fields in the caller's words."""
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = _problem(status, f"http.{status}", _told(response))
    if problem.code == "auth.missing":
        hint = "this server wants an API key: api_key, --key or KINEMA_API_KEY"
        problem = problem.model_copy(update={"detail": hint})
    own = (names or {}).get(problem.field or "")
    if own:
        detail = own + problem.detail.removeprefix(problem.field or "")
        problem = problem.model_copy(update={"field": own, "detail": detail})
    if problem.retry_after_s is None:
        problem = problem.model_copy(update={"retry_after_s": _retry_after_s(response.headers.get("retry-after"))})
    kind = _KINDS.get(status, ServerError if status >= 500 else BadRequest if status >= 400 else ApiError)
    return kind(problem)


def unreadable(response: httpx.Response) -> ApiError:
    """An answer of success that isn't one of a Kinema server's."""
    message = f"what answers at {origin(response.request.url)} is no Kinema server, or one of another version"
    return ApiError(_problem(response.status_code, "answer.unreadable", message))


def unreachable(error: httpx.RequestError) -> Unreachable:
    """No answer."""
    where, why = origin(error.request.url), str(error) or type(error).__name__
    message = f"the connection to {where} broke: {why}"
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        message = f"no server answers at {where} ({why}); `kinema serve` starts one, KINEMA_URL or --url names another"
    found = Unreachable(message)
    found.is_transient = isinstance(error, (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError))
    return found


def origin(url: httpx.URL) -> str:
    """Scheme, host and port of ``url``."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _problem(status: int, code: str, message: str) -> Problem:
    body = ErrorBody(code=code, message=message, param=None, type="server_error")
    return Problem(
        title=code, status=status, detail=message, code=code, retryable=status in (502, 503, 504), error=body
    )


def _told(response: httpx.Response) -> str:
    where = f", which points to {response.headers['location']}" if response.has_redirect_location else ""
    return f"{origin(response.request.url)} answered {response.status_code} {response.reason_phrase}{where}".rstrip()


def _retry_after_s(header: str | None) -> float | None:
    """Seconds from ``Retry-After``, which is a number or a date."""
    if not header or header.isdecimal():
        return float(header) if header else None
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
