"""`AsyncClient` and `AsyncJob`: a Kinema server from asynchronous programs, on asyncio or trio.

Every method is described at its namesake in `kinema.client.sync`. Pictures and downloads are read and written between two awaits.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
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


class AsyncClient:
    """`kinema.client.sync.Client` for asynchronous programs."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retries: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        place = find_place(base_url, api_key)
        self.base_url, self._retries = place.url, retries
        self._http = open_http(httpx.AsyncClient, place, timeout_s=timeout_s, transport=transport)

    async def submit(self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[Fields]) -> AsyncJob:
        """A new job."""
        return await self._made(calls.submit(prompt, fields, idempotency_key))

    async def dry_run(self, prompt: str, **fields: Unpack[Fields]) -> DryRun:
        """What it would take."""
        return await self._ask(calls.dry_run(prompt, fields), DryRun)

    async def get(self, id: str) -> AsyncJob:
        """The job of that id."""
        return await self._made(calls.look(id))

    async def jobs(
        self, *, status: Sequence[NativeStatus] = (), limit: int | None = None, oldest_first: bool = False
    ) -> AsyncGenerator[AsyncJob, None]:
        """Your jobs, newest first."""
        steps = talk.listed(status, limit, oldest_first=oldest_first, retries=self._retries)
        async with aclosing(self._told(steps)) as found:
            async for info in found:
                yield AsyncJob(self, info)

    async def models(self) -> list[ModelEntry]:
        """The models of the server."""
        return (await self._ask(calls.models(), ModelList)).data

    async def close(self) -> None:
        """Ends its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    async def _made(self, call: Call) -> AsyncJob:
        return AsyncJob(self, await self._ask(call, NativeVideo))

    async def _ask(self, call: Call, model: type[M]) -> M:
        return await self._run(talk.ask(call, model, retries=self._retries))

    async def _run(self, steps: Steps[T]) -> T:
        with closing(steps):
            async with aclosing(_Line(self._http)) as line:
                step = advance(steps)
                while not isinstance(step, Done):
                    step = advance(steps, await line.take(step))
                return step.value

    async def _told(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        with closing(steps):
            async with aclosing(_Line(self._http)) as line:
                step = advance(steps)
                while not isinstance(step, Done):
                    if isinstance(step, Tell):
                        yield step.value
                    step = advance(steps, await line.take(step))


class AsyncJob(JobView):
    """A job of an `AsyncClient`."""

    def __init__(self, client: AsyncClient, info: NativeVideo) -> None:
        super().__init__(info)
        self._client = client

    async def refresh(self) -> Self:
        """Asks how it stands."""
        return await self._done(calls.look(self.id))

    async def wait(self, timeout_s: float | None = None) -> Self:
        """Waits until it has succeeded. Raises: JobFailed, WaitTimeout."""
        self.info = await self._client._run(talk.wait(self.id, timeout_s))
        if self.status != "succeeded":
            raise JobFailed(self.info)
        return self

    async def stream(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Its events. Who leaves before the last closes the iterator (`contextlib.aclosing`), and with it the connection."""
        async with aclosing(self._client._told(talk.follow(self.id, after))) as found:
            async for event in found:
                yield event
        await self.refresh()

    async def save(self, path: str | os.PathLike[str], variant: Variant = "video") -> Path:
        """The path, at which the file is, whole."""
        return await self._client._run(talk.save(self.id, variant, Path(path), retries=self._client._retries))

    async def cancel(self) -> Self:
        """Stops it."""
        return await self._done(calls.act(self.id, "cancel"))

    async def pause(self) -> Self:
        """Holds it back."""
        return await self._done(calls.act(self.id, "pause"))

    async def resume(self) -> Self:
        """Ends a pause."""
        return await self._done(calls.act(self.id, "resume"))

    async def remix(self, prompt: str, *, idempotency_key: str | None = None) -> AsyncJob:
        """A new job with another prompt."""
        return await self._client._made(calls.remix(self.id, prompt, idempotency_key))

    async def extend(
        self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[Continuation]
    ) -> AsyncJob:
        """A new job, whose clip begins with the last frame of this one's."""
        return await self._client._made(calls.extend(self.id, prompt, fields, idempotency_key))

    async def edit(self, prompt: str, *, model: str | None = None, idempotency_key: str | None = None) -> AsyncJob:
        """A new job: this one's clip changed by words."""
        return await self._client._made(calls.edit(self.id, prompt, model, idempotency_key))

    async def delete(self) -> None:
        """Deletes it and its files."""
        await self._client._run(talk.delete(self.id, retries=self._client._retries))

    async def _done(self, call: Call) -> Self:
        self.info = await self._client._ask(call, NativeVideo)
        return self


class _Line:
    """Takes steps with an httpx client."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def take(self, step: Step) -> Any:
        """What ``step`` gives, or the error that it ran into."""
        try:
            match step:
                case Send(call=call, streams=streams):
                    return await self._send(call, streams=streams)
                case Read():
                    return self._pieces and await anext(self._pieces, None)
                case Sleep(seconds=seconds):
                    await anyio.sleep(seconds)
        except httpx.RequestError as e:
            return e

    async def aclose(self) -> None:
        """Hangs up."""
        if self._response is not None:
            await self._response.aclose()

    async def _send(self, call: Call, *, streams: bool) -> httpx.Response:
        await self.aclose()
        self._response = await self._http.send(call.request(self._http), stream=True)
        if streams and self._response.is_success:
            self._pieces = self._response.aiter_raw()
        else:
            await self._response.aread()
        return self._response
