"""What receivers are told: a job's numbered events as messages. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from kinema.core.errors import InvalidInput, choices
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.reading import StoredEvent

KINDS = ("started", "progress", "completed", "failed", "canceled")
# progress only for those who ask
DEFAULT_KINDS = ("started", "completed", "failed", "canceled")
FINAL_EVENTS = ("succeeded", "failed", "canceled", "expired")
_STATUS = {"started": "running", "progress": "running", "completed": "succeeded"}
_DIRECT = {"progress": "progress", "succeeded": "completed", "failed": "failed", "canceled": "canceled"}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One of `KINDS`, and the event that it tells of."""

    kind: str
    event: StoredEvent


def check_kinds(kinds: Collection[str], *, field: str = "events") -> tuple[str, ...]:
    """``kinds`` in their order. Raises: InvalidInput."""
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidInput(field, kind, f"must be {choices(KINDS)}")
    if not kinds:
        raise InvalidInput(field, "", f"must name at least {choices(KINDS)}")
    return tuple(k for k in KINDS if k in kinds)


def messages_of(job: Job, events: Sequence[StoredEvent]) -> list[Message]:
    """What there is to tell of ``events``, the next of ``job``: its first start, the latest progress among them, its end.

    A job that waited past its deadline has failed, to those who wait for it.
    """
    found: list[Message] = []
    for event in events:
        kind = _DIRECT.get(event.kind)
        if event.kind == "started" and event.at == job.started_at:
            kind = "started"
        elif event.kind == "expired" and job.fence == 0:
            kind = "failed"
        elif kind == "progress" and any(e.kind == "progress" and e.number > event.number for e in events):
            kind = None
        if kind is not None:
            found.append(Message(kind=kind, event=event))
    return found


def payload(message: Message, job: Job, *, message_id: str, base_url: str = "") -> str:
    """The body that is sent, the same at every try. It names the job; what it made is asked for at the API."""
    event, kind = message.event, message.kind
    data: dict[str, Any] = {
        "id": job.id,
        "object": "video",
        "model": job.order.model,
        "status": _STATUS.get(kind, kind),
        "event": event.number,
    }
    if kind == "started":
        data["attempt"] = event.data.get("attempt")
    if kind == "progress":
        data |= {name: event.data.get(name) for name in ("phase", "step", "steps")}
    if kind == "failed":
        late = {"code": "job.deadline", "message": "it was not begun in time", "retryable": True}
        data["error"] = late if event.kind == "expired" else dict(event.data)
    if base_url:
        data["url"] = f"{base_url.rstrip('/')}/v1/videos/{job.id}"
    return envelope(f"video.{kind}", data, message_id=message_id, at=event.at)


def envelope(kind: str, data: dict[str, Any], *, message_id: str, at: float) -> str:
    """A message as Standard Webhooks wants it (type, timestamp, data) that reads like OpenAI's events too (id, object, created_at)."""
    timestamp = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"id": message_id, "object": "event", "type": kind, "created_at": int(at), "timestamp": timestamp}
    return json.dumps({**head, "data": data}, ensure_ascii=False)
