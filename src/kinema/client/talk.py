"""What a client does, without doing it: generators that yield steps (send this, read on, wait) for a shell to take.

`kinema.client.sync` and `kinema.client.aio` take the same steps, one waiting and one awaiting. A step that failed is an
`httpx.RequestError` raised where it was yielded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from kinema.client import calls
from kinema.client.calls import Call, is_over
from kinema.client.errors import (
    ApiError,
    BrokenDownload,
    ClientError,
    Conflict,
    NotFound,
    Unreachable,
    WaitTimeout,
    error_of,
    unreachable,
    unreadable,
)
from kinema.client.part import Part
from kinema.client.sse import EventParser
from kinema.wire.answers import Event, EventList, NativePage, NativeVideo, Variant

# who waits for a job lets a server be away for so long
PATIENCE_S = 60.0
# a request whose server died holds its Idempotency-Key for a minute
IN_FLIGHT_S = 75.0
# a quota that is used up until tomorrow is told, not waited for
MAX_PAUSE_S = 60.0
POLL_S = 1.0
# streams in a row that brought not a byte, as through a proxy that collects whole answers
MAX_SILENT = 2
_PAGE = 100


@dataclass(frozen=True)
class Send:
    """Gives the response, read, or with ``streams`` and success open until the next `Send` or the end."""

    call: Call
    streams: bool = False


@dataclass(frozen=True)
class Read:
    """Gives the next bytes of the open response, None after the last."""


@dataclass(frozen=True)
class Sleep:
    """Waits."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Something that the caller waits for."""

    value: Any


@dataclass(frozen=True)
class Done:
    """The steps are over, and this is what came of them."""

    value: Any


T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Step = Send | Read | Sleep | Tell
Steps = Generator[Step, Any, T]


def advance(steps: Steps[Any], outcome: Any = None) -> Step | Done:
    """The next step, after the one before gave ``outcome``."""
    try:
        return steps.throw(outcome) if isinstance(outcome, httpx.RequestError) else steps.send(outcome)
    except StopIteration as e:
        return Done(e.value)


def pause_s(error: ClientError, failures: int) -> float | None:
    """Seconds until a call that failed with ``error`` is made again; None: it isn't."""
    is_busy = isinstance(error, ApiError) and error.status in (429, 502, 503, 504)
    is_away = isinstance(error, Unreachable) and error.is_transient
    if not (is_busy or is_away or _is_in_flight(error)):
        return None
    after_s = error.retry_after_s if isinstance(error, ApiError) else None
    if after_s is None:
        return backoff_s(failures)
    # not all at once, and none too early
    return after_s + random.uniform(0.0, 0.25) if after_s <= MAX_PAUSE_S else None


def backoff_s(failures: int) -> float:
    """Longer from time to time, and not for all alike."""
    return min(8.0, 0.25 * 2**failures) * random.uniform(0.5, 1.0)


def _is_in_flight(error: ClientError) -> bool:
    return isinstance(error, Conflict) and error.code == "idempotency.in_flight"


def exchange(
    call: Call, *, retries: int, until: float | None = None, streams: bool = False
) -> Generator[Step, Any, httpx.Response]:
    """The answer of success to ``call``, which is made again ``retries`` times, or until ``until`` on the monotonic clock.

    Raises: ClientError.
    """
    start, failures = time.monotonic(), 0
    while True:
        cause: httpx.RequestError | None = None
        try:
            response: httpx.Response = yield Send(call, streams)
            if response.is_success:
                return response
            error: ClientError = error_of(response, call.names)
        except httpx.RequestError as e:
            error, cause = unreachable(e), e
        pause = pause_s(error, failures)
        failures += 1
        error.tries = failures
        if until is not None:
            goes_on = pause is not None and time.monotonic() + pause < until
        elif _is_in_flight(error):
            goes_on = time.monotonic() - start < IN_FLIGHT_S
        else:
            goes_on = failures <= retries
        if pause is None or not goes_on:
            raise error from cause
        yield Sleep(pause)


def ask(call: Call, model: type[M], *, retries: int, until: float | None = None) -> Steps[M]:
    """The answer to ``call`` as ``model``. Raises: ClientError."""
    return read((yield from exchange(call, retries=retries, until=until)), model)


def read(response: httpx.Response, model: type[M]) -> M:
    """``response`` as ``model``. Raises: ApiError."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as e:
        raise unreadable(response) from e


def delete(job_id: str, *, retries: int) -> Steps[None]:
    """Deletes a job. Raises: ClientError."""
    try:
        yield from exchange(calls.delete(job_id), retries=retries)
    except NotFound as e:
        # the answer to an earlier try was lost
        if e.tries == 1:
            raise


def wait(job_id: str, timeout_s: float | None) -> Steps[NativeVideo]:
    """The job when it is over, asked for when the server says it is worth it. Raises: ClientError, WaitTimeout among them."""
    end = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    late = WaitTimeout(f"{job_id}: was not over within {timeout_s} s; it goes on")
    while True:
        now = time.monotonic()
        until = min(end, now + PATIENCE_S)
        timeout = httpx.Timeout(max(0.5, min(30.0, end - now)))
        try:
            response = yield from exchange(calls.look(job_id, timeout=timeout), retries=0, until=until)
        except Unreachable as e:
            if until == end and e.is_transient:
                raise late from e
            raise
        video = read(response, NativeVideo)
        if is_over(video):
            return video
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise late
        yield Sleep(min(left_s, _poll_s(response)))


def _poll_s(response: httpx.Response) -> float:
    advice = response.headers.get("openai-poll-after-ms", "")
    return min(10.0, int(advice) / 1000) if advice.isdecimal() else POLL_S


def follow(job_id: str, after: int) -> Steps[None]:
    """Tells the events above number ``after``, each once, to the last. Raises: ClientError.

    A stream that breaks is gone on with after the last event that came; where there are no streams the log is asked.
    """
    silent = 0
    while True:
        parser, was_heard = EventParser(), False
        try:
            if silent < MAX_SILENT:
                response = yield Send(calls.events(job_id, after), streams=True)
                if response.status_code == 204:
                    return
                if response.is_success and response.headers.get("content-type", "").startswith("text/event-stream"):
                    while (piece := (yield Read())) is not None:
                        was_heard = True
                        for data in parser.feed(piece):
                            event = _event(data, response)
                            if event.number > after:
                                after = event.number
                                yield Tell(event)
                            if _is_last(event):
                                return
        except httpx.RequestError:
            pass
        silent = 0 if was_heard else silent + 1
        # what is wrong, if it is not the stream alone, is found here too
        found = yield from ask(calls.log(job_id, after), EventList, retries=0, until=time.monotonic() + PATIENCE_S)
        for event in found.data:
            after = event.number
            yield Tell(event)
            if _is_last(event):
                return
        if not found.data:
            video = yield from ask(calls.look(job_id), NativeVideo, retries=0, until=time.monotonic() + PATIENCE_S)
            if is_over(video) and video.last_event <= after:
                return
        yield Sleep(min(10.0, parser.retry_s or POLL_S) * random.uniform(0.75, 1.0))


def _event(data: str, response: httpx.Response) -> Event:
    try:
        return Event.model_validate_json(data)
    except ValidationError as e:
        raise unreadable(response) from e


def _is_last(event: Event) -> bool:
    return event.event in ("succeeded", "failed", "canceled", "expired")


def listed(statuses: Sequence[str], limit: int | None, *, oldest_first: bool, retries: int) -> Steps[None]:
    """Tells jobs, page by page as they are asked for. Raises: ClientError."""
    after, left = None, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        call = calls.page(statuses, after, size, "asc" if oldest_first else "desc")
        page = yield from ask(call, NativePage, retries=retries)
        for video in page.data:
            yield Tell(video)
        if not page.has_more or page.last_id is None:
            return
        after, left = page.last_id, None if left is None else left - len(page.data)


def save(job_id: str, variant: Variant, path: Path, *, retries: int) -> Steps[Path]:
    """Writes a file of the job to ``path``, whole or not at all; one that breaks off is gone on with. Raises: ClientError, StorageError."""
    failures = 0
    with closing(Part(path)) as part:
        while not part.is_whole:
            before, cause = part.size, None
            try:
                call = calls.content(job_id, variant, part.headers)
                part.begin((yield from exchange(call, retries=retries, streams=True)))
                while (piece := (yield Read())) is not None:
                    part.write(piece)
                part.check()
            except httpx.RequestError as e:
                cause = e
            if part.is_whole:
                break
            failures = 0 if part.size > before else failures + 1
            if failures > retries:
                message = f"{job_id}: its {variant} broke off {failures} times in a row at byte {part.size}"
                raise BrokenDownload(f"{message} of {part.total or 'an unknown number'}") from cause
            yield Sleep(backoff_s(failures))
        part.keep()
    return path
