from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinema.core.errors import InvalidInput
from kinema.serve.jobs.commands import Cancel, WorkerDied
from kinema.serve.jobs.reading import events_after
from kinema.serve.jobs.retention import collect
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.webhooks.messages import KINDS, check_kinds, messages_of, payload
from tests.serve.shared import Clock, order
from tests.serve.webhooks.shared import begin, fail, progress, submit, succeed


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db", clock=clock)
    yield store
    store.close()


def told(store: JobStore, job_id: str, after: int = 0) -> list[tuple[str, int]]:
    job = store.get(job_id)
    assert job is not None
    return [(m.kind, m.event.number) for m in messages_of(job, events_after(store.database, job_id, after))]


def test_a_life(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    assert told(store, job.id) == []
    clock.forward(1)
    job = begin(store)
    assert told(store, job.id) == [("started", 3)]
    progress(store, job, 1, 2, 3)
    # the latest only
    assert told(store, job.id, 3) == [("progress", 6)]
    succeed(store, job)
    assert told(store, job.id, 6) == [("completed", 7)]
    assert told(store, job.id) == [("started", 3), ("progress", 6), ("completed", 7)]


def test_a_job_starts_once_to_those_who_hear_of_it(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    # dies before it starts
    (claimed,) = store.claim("w", lease_s=60)
    store.apply(job.id, WorkerDied(fence=claimed.fence))
    clock.forward(1)
    started = begin(store)
    first = told(store, job.id)
    assert [kind for kind, _ in first] == ["started"]
    clock.forward(1)
    store.apply(job.id, WorkerDied(fence=started.fence))
    begin(store)
    assert told(store, job.id) == first


def test_ends(store: JobStore, clock: Clock) -> None:
    canceled = submit(store)
    store.apply(canceled.id, Cancel())
    assert told(store, canceled.id) == [("canceled", 2)]
    failed = submit(store)
    fail(store, begin(store))
    assert told(store, failed.id)[-1][0] == "failed"
    done = submit(store)
    succeed(store, begin(store))
    late = store.submit(order(), wait_s=5)
    clock.forward(6)
    collect(store.database)
    assert told(store, done.id)[-1][0] == "completed"
    job = store.get(late.id)  # pyright: ignore[reportAttributeAccessIssue]
    assert job is not None
    (message,) = messages_of(job, events_after(store.database, job.id))
    assert json.loads(payload(message, job, message_id="m"))["data"]["error"]["code"] == "job.deadline"


def test_bodies(store: JobStore, clock: Clock) -> None:
    submit(store)
    job = begin(store)
    progress(store, job, 1)
    fail(store, job)
    bodies = [
        json.loads(payload(m, job, message_id="msg_1", base_url="https://api.example/"))
        for m in messages_of(job, events_after(store.database, job.id))
    ]
    started, going, failed = bodies
    assert started == {
        "id": "msg_1",
        "object": "event",
        "type": "video.started",
        "created_at": 1_000_000,
        "timestamp": "1970-01-12T13:46:40.000Z",
        "data": {
            "id": job.id,
            "object": "video",
            "model": "mini",
            "status": "running",
            "event": 3,
            "attempt": 1,
            "url": f"https://api.example/v1/videos/{job.id}",
        },
    }
    assert going["type"] == "video.progress"
    assert (going["data"]["phase"], going["data"]["step"], going["data"]["steps"]) == ("denoise", 1, 5)
    assert failed["data"]["status"] == "failed"
    assert failed["data"]["error"] == {"code": "model.broken", "message": "it broke", "retryable": True}


def test_kinds() -> None:
    assert check_kinds(KINDS[::-1]) == KINDS
    for kinds in ([], ["completed", "done"], ["video.completed"]):
        with pytest.raises(InvalidInput, match="^events: "):
            check_kinds(kinds)
