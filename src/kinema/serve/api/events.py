"""Events of jobs as they happen: one look at the database every tenth of a second for all who listen, on whichever replica."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from kinema.core.errors import InvalidInput, StorageError
from kinema.core.jobs import JobState
from kinema.serve.api.problems import ApiError
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.reading import StoredEvent, events_after, last_events

EVERY_S = 0.1
# proxies cut a connection on which nothing is said for half a minute or so
HEARTBEAT_S = 15.0
# how long a client waits before it connects again
RETRY_MS = 1000
_AT_ONCE = 200
_LAST = {s.value for s in JobState if s.is_final}
_MAX_PREVIEW_BYTES = 65536
_log = logging.getLogger("kinema.serve")


class EventHub:
    """Wakes listeners of a process when their jobs have news. Nothing is asked while nobody listens."""

    def __init__(
        self, database: Database, *, most: int, on_count: Callable[[int], None], every_s: float = EVERY_S
    ) -> None:
        self._database, self._most, self._on_count, self._every_s = database, most, on_count, every_s
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._seen: dict[str, int] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def close(self) -> None:
        """Ends every stream, so that a server that stops need not wait for its readers; they come back and go on elsewhere."""
        self._is_closing = True
        for events in self._listeners.values():
            for event in events:
                event.set()

    def admit(self) -> None:
        """Raises: ApiError while as many streams are open as may be."""
        if self._count >= self._most:
            message = f"{self._count} event streams are open, and no more may be"
            raise ApiError(503, "capacity.streams", message, retry_after_s=10)

    async def listen(self, job_id: str, after: int) -> AsyncIterator[list[StoredEvent]]:
        """Events of the job above number ``after``, as they come, to the last; an empty list is a sign of life."""
        news = asyncio.Event()
        self._listeners[job_id].add(news)
        self._counted(1)
        try:
            while not self._is_closing:
                # before the look: what comes while it lasts wakes again
                news.clear()
                found = await run_in_threadpool(events_after, self._database, job_id, after, limit=_AT_ONCE)
                if found:
                    after = found[-1].number
                    yield found
                    if found[-1].kind in _LAST:
                        return
                    if len(found) == _AT_ONCE:
                        continue
                try:
                    await asyncio.wait_for(news.wait(), HEARTBEAT_S)
                except asyncio.TimeoutError:
                    yield []
                if job_id not in self._listeners:
                    return
        finally:
            self._counted(-1)
            if listeners := self._listeners.get(job_id):
                listeners.discard(news)
                if not listeners:
                    self._forget(job_id)

    def _counted(self, change: int) -> None:
        self._count += change
        self._on_count(self._count)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def _forget(self, job_id: str) -> None:
        self._listeners.pop(job_id, None)
        self._seen.pop(job_id, None)

    async def _watch(self) -> None:
        """Until nobody listens."""
        while self._listeners and not self._is_closing:
            await asyncio.sleep(self._every_s)
            ids = list(self._listeners)
            try:
                numbers = await run_in_threadpool(last_events, self._database, ids)
            except StorageError as e:
                _log.warning("events: %s", e)
                await asyncio.sleep(1)
                continue
            for job_id in ids:
                number = numbers.get(job_id)
                if number is not None and self._seen.get(job_id) == number:
                    continue
                listeners = self._listeners.get(job_id, set())
                if number is None:
                    # deleted: its listeners end
                    self._forget(job_id)
                elif listeners:
                    self._seen[job_id] = number
                for news in listeners:
                    news.set()


async def server_sent(hub: EventHub, blobs: BlobStore, job_id: str, after: int) -> AsyncIterator[bytes]:
    """The stream of `EventHub.listen` as text/event-stream."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    async for events in hub.listen(job_id, after):
        text = [_text(job_id, event, blobs) for event in events] or [": still here\n\n"]
        yield "".join(text).encode()


def told(job_id: str, event: StoredEvent, blobs: BlobStore) -> dict[str, Any]:
    """``event`` as clients read it; a preview is a small picture as a data URL, null where it is swept away already."""
    data = dict(event.data)
    if "preview" in data:
        data["preview"] = _preview(data["preview"], blobs)
    return {"id": job_id, "number": event.number, "at": event.at, "event": event.kind, **data}


def _text(job_id: str, event: StoredEvent, blobs: BlobStore) -> str:
    # JSON in ASCII has no line break
    return f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(told(job_id, event, blobs))}\n\n"


def _preview(ref: object, blobs: BlobStore) -> str | None:
    try:
        data = blobs.path(str(ref)).read_bytes()
    except (InvalidInput, StorageError, OSError):
        return None
    if len(data) > _MAX_PREVIEW_BYTES:
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
