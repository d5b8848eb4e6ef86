from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kinema.core.jobs import JobState
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.eta import Eta
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.reading import eta, last_events, list_jobs, wait_for_events
from kinema.serve.jobs.retention import collect, unneeded
from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.shared import BOTH, Clock, order, submit

pytestmark = BOTH


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    store = open_store(url, clock=clock)
    yield store
    store.close()


def finish(store: JobStore, clock: Clock, seconds: float, *, device: str = "cpu", **changes: Any) -> Job:
    """A job that ran for so long."""
    submit(store, **changes)
    (job,) = store.claim("w", lease_s=1e6, device=device)
    store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=2))
    clock.forward(seconds)
    after = store.apply(job.id, c.Succeed(fence=1, result={}, outputs=("out", job.id), keep_s=100))
    assert isinstance(after, Job)
    return after


def test_lists_go_from_the_newest_on(store: JobStore) -> None:
    made = [submit(store, owner) for owner in ("ann", "bob", "ann", "ann")]
    store.apply(made[2].id, c.Cancel())
    mine = [made[i].id for i in (3, 2, 0)]
    assert [j.id for j in list_jobs(store.database, owner="ann")] == mine
    assert [j.id for j in list_jobs(store.database, owner="ann", after=mine[0], limit=1)] == [mine[1]]
    assert [j.id for j in list_jobs(store.database, statuses=[JobState.CANCELED])] == [made[2].id]
    assert len(list_jobs(store.database)) == 4


def test_who_waits_for_events_hears_of_them_at_once(store: JobStore) -> None:
    job = submit(store)
    assert [e.number for e in wait_for_events(store.database, job.id, timeout_s=9)] == [1]
    begin = time.monotonic()
    assert wait_for_events(store.database, job.id, 1, timeout_s=0.2) == []
    assert time.monotonic() - begin >= 0.2
    threading.Timer(0.2, lambda: store.apply(job.id, c.Pause())).start()
    assert [e.kind for e in wait_for_events(store.database, job.id, 1, timeout_s=30)] == ["paused"]
    assert time.monotonic() - begin < 20
    assert last_events(store.database, [job.id, "vid_none"]) == {job.id: 2}


def test_an_estimate_is_of_this_server_s_own_runs(store: JobStore, clock: Clock) -> None:
    waiting = submit(store, "bob")
    assert eta(store.database, waiting.id, device="cpu") is None
    store.apply(waiting.id, c.Cancel())
    for seconds in (10, 12, 30):
        finish(store, clock, seconds)
    finish(store, clock, 1000, device="cuda")
    finish(store, clock, 500, model="large")
    first, second = submit(store), submit(store)
    large = submit(store, shape="13x7x11", cost=2.0)
    assert eta(store.database, first.id, device="cpu") == Eta(median_s=12, p90_s=30)
    assert eta(store.database, second.id, device="cpu") == Eta(median_s=24, p90_s=60)
    assert eta(store.database, second.id, device="cpu", workers=2) == Eta(median_s=12, p90_s=30)
    # of the same model but another shape, twice the cost
    assert eta(store.database, large.id, device="cpu", workers=3) == Eta(median_s=24, p90_s=60)
    assert eta(store.database, first.id, device="cuda") == Eta(median_s=1000, p90_s=1000)
    assert eta(store.database, first.id, device="tpu") is None
    store.claim("w", lease_s=1e6)
    store.apply(first.id, c.Start(fence=1, from_step=0, checkpoint_every=2))
    clock.forward(5)
    assert eta(store.database, first.id, device="cpu") == Eta(median_s=7, p90_s=25)
    assert eta(store.database, second.id, device="cpu") == Eta(median_s=19, p90_s=55)
    store.apply(second.id, c.Pause())
    assert eta(store.database, second.id, device="cpu") is None
    assert eta(store.database, waiting.id, device="cpu") is None


def test_what_went_on_from_a_checkpoint_has_less_to_do_and_is_no_measure(store: JobStore, clock: Clock) -> None:
    finish(store, clock, 10)
    job = submit(store)
    store.claim("w", lease_s=1e6)
    steps = [c.Step(fence=1, step=i) for i in (1, 2, 3, 4)]
    save = c.SaveCheckpoint(fence=1, step=4, blob="b")
    store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=4), *steps, save, c.Release(fence=1))
    store.claim("w", lease_s=1e6)
    store.apply(job.id, c.Start(fence=2, from_step=4, checkpoint_every=4))
    clock.forward(0.5)
    left = eta(store.database, job.id, device="cpu")
    assert left is not None
    assert left.median_s == pytest.approx(10 * 1 / 5 - 0.5)
    store.apply(job.id, c.Succeed(fence=2, result={}))
    other = submit(store)
    assert eta(store.database, other.id, device="cpu") == Eta(median_s=10, p90_s=10)


def test_files_expire_and_then_jobs_are_forgotten(store: JobStore, clock: Clock) -> None:
    job, forever = finish(store, clock, 1), submit(store)
    (claimed,) = store.claim("w", lease_s=1e6)
    store.apply(claimed.id, c.Succeed(fence=1, result={}))
    waiting = submit(store)
    late = store.submit(order(), wait_s=5)
    assert isinstance(late, Job)
    clock.forward(99)
    assert collect(store.database).expired == (late.id,)
    clock.forward(1)
    assert collect(store.database).expired == (job.id,)
    after = store.get(job.id)
    assert after is not None
    assert after.status is JobState.EXPIRED
    clock.forward(30 * 86400 - 1)
    collected = collect(store.database, keep_events_s=1e9)
    # the late one was over before the files of the other were
    assert (collected.jobs, collected.events) == (1, 0)
    clock.forward(1)
    assert collect(store.database).jobs == 1
    assert {j.id for j in list_jobs(store.database)} == {forever.id, waiting.id}
    assert last_events(store.database, [job.id]) == {}


def test_old_events_go_but_the_last_stays(store: JobStore, clock: Clock) -> None:
    job, waiting = finish(store, clock, 1), submit(store)
    clock.forward(60)
    assert collect(store.database, keep_events_s=61).events == 0
    assert collect(store.database, keep_events_s=60).events == job.last_event - 1
    assert [e.kind for e in wait_for_events(store.database, job.id, timeout_s=0)] == ["succeeded"]
    assert [e.kind for e in wait_for_events(store.database, waiting.id, timeout_s=0)] == ["queued"]


def test_files_that_no_job_needs_are_found(store: JobStore, clock: Clock) -> None:
    job = store.submit(order(), inputs=["in", "in"])
    assert isinstance(job, Job)
    (job,) = store.claim("w", lease_s=1e6)
    every = {"in", "out", "one", "two", "stray", job.id}

    def needed() -> set[str]:
        return every - unneeded(store.database, every)

    start = c.Start(fence=1, from_step=0, checkpoint_every=1)
    store.apply(job.id, start, c.Step(fence=1, step=1), c.SaveCheckpoint(fence=1, step=1, blob="one"))
    assert needed() == {"in", "one"}
    store.apply(job.id, c.Step(fence=1, step=2), c.SaveCheckpoint(fence=1, step=2, blob="two"))
    assert needed() == {"in", "two"}
    store.apply(job.id, c.Succeed(fence=1, result={}, outputs=("out",), keep_s=5))
    assert needed() == {"in", "out"}
    other = finish(store, clock, 5)
    collect(store.database)
    # another job's clip has the same bits
    assert needed() == {"out"}
    assert unneeded(store.database, {other.id}) == set()
    assert unneeded(store.database, []) == set()


def test_a_failed_job_needs_no_checkpoint(store: JobStore) -> None:
    submit(store)
    (job,) = store.claim("w", lease_s=1e6)
    start = c.Start(fence=1, from_step=0, checkpoint_every=1)
    store.apply(job.id, start, c.Step(fence=1, step=1), c.SaveCheckpoint(fence=1, step=1, blob="one"))
    store.apply(job.id, c.Fail(fence=1, error=JobError(code="x", message="y")))
    assert unneeded(store.database, {"one"}) == {"one"}
    again = submit(store)
    store.claim("w", lease_s=1e6)
    store.apply(
        again.id, start, c.Step(fence=1, step=1), c.SaveCheckpoint(fence=1, step=1, blob="one"), c.Release(fence=1)
    )
    assert unneeded(store.database, {"one"}) == set()
    store.apply(again.id, c.Cancel())
    assert unneeded(store.database, {"one"}) == {"one"}
