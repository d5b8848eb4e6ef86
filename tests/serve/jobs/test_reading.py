from __future__ import annotations

import threading
import time

from kinema.core.jobs import JobState
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.reading import last_events, list_jobs, runs_of, wait_for_events
from kinema.serve.jobs.retention import collect, unneeded
from kinema.serve.jobs.store import JobStore
from tests.serve.shared import BOTH, Clock, finish, order, submit

pytestmark = BOTH


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
    assert [e.number for e in wait_for_events(store.database, job.id, timeout_s=60)] == [1]
    begin = time.monotonic()
    assert wait_for_events(store.database, job.id, 1, timeout_s=0.2) == []
    assert time.monotonic() - begin >= 0.2
    threading.Timer(0.2, lambda: store.apply(job.id, c.Pause())).start()
    assert [e.kind for e in wait_for_events(store.database, job.id, 1, timeout_s=30)] == ["paused"]
    assert time.monotonic() - begin < 20
    assert last_events(store.database, [job.id, "vid_none"]) == {job.id: 2}


def test_of_runs_that_were_made_together_each_has_its_share(store: JobStore, clock: Clock) -> None:
    finish(store, clock, 10)
    for _ in range(4):
        submit(store)
    made = store.claim("w", lease_s=1e6, most=4)
    assert len(made) == 4
    for job in made:
        store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=2))
    # one left, and another was given back and is made alone
    store.apply(made[0].id, c.Fail(fence=1, error=JobError(code="x", message="x")))
    store.apply(made[1].id, c.Release(fence=1))
    for job in made[2:]:
        clock.forward(8)
        store.apply(job.id, c.Succeed(fence=1, result={}))
    finish_again(store, clock, 20)
    with store.database.read() as (connection, _):
        assert [run.seconds for run in runs_of(connection, "mini", "cpu")] == [20, 8, 4, 10]


def finish_again(store: JobStore, clock: Clock, seconds: float) -> None:
    """Makes the one job that waits."""
    (job,) = store.claim("w", lease_s=1e6)
    store.apply(job.id, c.Start(fence=job.fence, from_step=0, checkpoint_every=2))
    clock.forward(seconds)
    store.apply(job.id, c.Succeed(fence=job.fence, result={}))


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
