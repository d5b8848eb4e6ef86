"""`Client` and `Job`: a Kinema server from programs that wait for its answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel

from kinema.client import calls, talk
from kinema.client.calls import Call, JobView
from kinema.client.errors import JobFailed
from kinema.client.place import find_place, open_http
from kinema.client.talk import Done, Read, Send, Sleep, Step, Steps, Tell, advance
from kinema.wire.answers import DryRun, Event, ModelEntry, ModelList, NativeStatus, NativeVideo, Variant

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from kinema.client.calls import Continuation, Fields

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Client:
    """A Kinema server. Threads may share it; close it, or use it as a context manager.

    Requests that are safe to repeat are, up to ``retries`` times, when the connection breaks or the server is busy; a job is made once
    however often its request was sent.

    Args:
        base_url: ``http://HOST:PORT``; else KINEMA_URL, else http://127.0.0.1:8000.
        api_key: else KINEMA_API_KEY; a server on this machine may do without.
        timeout_s: of each answer.
        transport: another way to the server, as httpx has them.

    Raises: InvalidInput for a URL or key that can't be one. All its methods raise `kinema.client.errors.ClientError`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        place = find_place(base_url, api_key)
        self.base_url, self._retries = place.url, retries
        self._http = open_http(httpx.Client, place, timeout_s=timeout_s, transport=transport)

    def submit(self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[Fields]) -> Job:
        """A new job: ``client.submit("a red ball rolls", seconds=2, seed=7, image="first.png")``; `Fields` lists what can be said.

        Requests with the same ``idempotency_key`` make one job within a day; without one each call has its own.
        """
        return self._made(calls.submit(prompt, fields, idempotency_key))

    def dry_run(self, prompt: str, **fields: Unpack[Fields]) -> DryRun:
        """What it would take: plan, memory, time. No job is made."""
        return self._ask(calls.dry_run(prompt, fields), DryRun)

    def get(self, id: str) -> Job:
        """The job of that id."""
        return self._made(calls.look(id))

    def jobs(
        self, *, status: Sequence[NativeStatus] = (), limit: int | None = None, oldest_first: bool = False
    ) -> Iterator[Job]:
        """Your jobs, newest first, those in the states ``status`` only if any are named; pages are fetched as they are needed."""
        steps = talk.listed(status, limit, oldest_first=oldest_first, retries=self._retries)
        return (Job(self, info) for info in self._told(steps))

    def models(self) -> list[ModelEntry]:
        """The models of the server, the default first, with their cards."""
        return self._ask(calls.models(), ModelList).data

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def _made(self, call: Call) -> Job:
        return Job(self, self._ask(call, NativeVideo))

    def _ask(self, call: Call, model: type[M]) -> M:
        return self._run(talk.ask(call, model, retries=self._retries))

    def _run(self, steps: Steps[T]) -> T:
        with closing(steps), closing(_Line(self._http)) as line:
            step = advance(steps)
            while not isinstance(step, Done):
                step = advance(steps, line.take(step))
            return step.value

    def _told(self, steps: Steps[None]) -> Iterator[Any]:
        with closing(steps), closing(_Line(self._http)) as line:
            step = advance(steps)
            while not isinstance(step, Done):
                if isinstance(step, Tell):
                    yield step.value
                step = advance(steps, line.take(step))


class Job(JobView):
    """A job of a `Client`. What changes it brings ``info`` up to date."""

    def __init__(self, client: Client, info: NativeVideo) -> None:
        super().__init__(info)
        self._client = client

    def refresh(self) -> Self:
        """Asks how it stands."""
        return self._done(calls.look(self.id))

    def wait(self, timeout_s: float | None = None) -> Self:
        """Waits until it has succeeded. Raises: JobFailed if it won't; WaitTimeout after ``timeout_s`` seconds."""
        self.info = self._client._run(talk.wait(self.id, timeout_s))
        if self.status != "succeeded":
            raise JobFailed(self.info)
        return self

    def stream(self, after: int = 0) -> Iterator[Event]:
        """Its events, those that were before too, as they happen and to the last; or only those above the number ``after``.

        A connection that breaks is made again without losing one; where no stream gets through, the server is asked every second.
        """
        yield from self._client._told(talk.follow(self.id, after))
        self.refresh()

    def save(self, path: str | os.PathLike[str], variant: Variant = "video") -> Path:
        """The path, at which the file is, whole: an existing one is replaced then. A download that breaks off is gone on with.

        Raises: Conflict while the job isn't over, NotFound if it gave no such file, BrokenDownload, StorageError.
        """
        return self._client._run(talk.save(self.id, variant, Path(path), retries=self._client._retries))

    def cancel(self) -> Self:
        """Stops it, within a step if it runs."""
        return self._done(calls.act(self.id, "cancel"))

    def pause(self) -> Self:
        """Holds it back until `resume`; one that runs is let go at its next step and goes on from there later."""
        return self._done(calls.act(self.id, "pause"))

    def resume(self) -> Self:
        """Ends a pause."""
        return self._done(calls.act(self.id, "resume"))

    def remix(self, prompt: str, *, idempotency_key: str | None = None) -> Job:
        """A new job: the same seed, size, length and pictures with another prompt."""
        return self._client._made(calls.remix(self.id, prompt, idempotency_key))

    def extend(self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[Continuation]) -> Job:
        """A new job, whose clip begins with the last frame of this one's."""
        return self._client._made(calls.extend(self.id, prompt, fields, idempotency_key))

    def edit(self, prompt: str, *, model: str | None = None, idempotency_key: str | None = None) -> Job:
        """A new job: this one's clip changed as ``prompt`` says, by a model that takes clips."""
        return self._client._made(calls.edit(self.id, prompt, model, idempotency_key))

    def delete(self) -> None:
        """Deletes it and its files; it has to be over."""
        self._client._run(talk.delete(self.id, retries=self._client._retries))

    def _done(self, call: Call) -> Self:
        self.info = self._client._ask(call, NativeVideo)
        return self


class _Line:
    """Takes steps with an httpx client."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def take(self, step: Step) -> Any:
        """What ``step`` gives, or the error that it ran into."""
        try:
            match step:
                case Send(call=call, streams=streams):
                    return self._send(call, streams=streams)
                case Read():
                    return next(self._pieces, None)
                case Sleep(seconds=seconds):
                    time.sleep(seconds)
        except httpx.RequestError as e:
            return e

    def close(self) -> None:
        """Hangs up."""
        if self._response is not None:
            self._response.close()

    def _send(self, call: Call, *, streams: bool) -> httpx.Response:
        self.close()
        self._response = self._http.send(call.request(self._http), stream=True)
        if streams and self._response.is_success:
            self._pieces = self._response.iter_raw()
        else:
            self._response.read()
        return self._response
