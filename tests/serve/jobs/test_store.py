from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kinema.core.jobs import JobState
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.commands import Limits, Refusal
from kinema.serve.jobs.job import Canceled, Canceling, Expired, Failed, Job, Queued, Running, Succeeded
from kinema.serve.jobs.order import MAX_PASSED
from kinema.serve.jobs.reading import attempts_of, audit_steps, events_after, last_checkpoint
from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.shared import BOTH, Clock, order, queue_order, submit

pytestmark = BOTH


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    store = open_store(url, clock=clock, limits=Limits(per_owner=4, total=9))
    yield store
    store.close()


def claim(store: JobStore, worker: str = "w", **changes: object) -> list[Job]:
    return store.claim(worker, lease_s=10, **changes)  # pyright: ignore[reportArgumentType]


def done(outcome: Job | Refusal) -> Job:
    assert isinstance(outcome, Job), outcome
    return outcome


def code(outcome: Job | Refusal) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


def test_a_job_comes_back_as_it_was_put_in(store: JobStore) -> None:
    wanted = replace(
        order(
            request={"prompt": "雪地里，一个红色的方块 \x00 \ud800", "z": 1, "a": [None, 1.5]},
            resolved={"seed": 2**63 - 1},
            parents=("vid_0",),
            priority=-3,
            cost=1.25e20,
            dialect="openai",
            kind="extend",
        )
    )
    job = done(store.submit(wanted))
    assert job.order == wanted
    assert store.get(job.id) == job
    assert list(job.order.request) == ["prompt", "z", "a"]


def test_every_state_comes_back_as_it_was_put_in(store: JobStore, clock: Clock) -> None:
    states: list[Job] = []

    def see(outcome: Job | Refusal) -> Job:
        job = done(outcome)
        assert store.get(job.id) == job
        states.append(job)
        return job

    first = see(store.submit(order(), wait_s=60))
    see(store.apply(first.id, c.Pause()))
    see(store.apply(first.id, c.Resume()))
    (job,) = claim(store)
    see(store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=2), c.Step(fence=1, step=1)))
    see(store.apply(job.id, c.Report(fence=1, phase="denoise", step=1, steps=5), c.Pause()))
    see(store.apply(job.id, c.Cancel()))
    see(store.apply(job.id, c.ConfirmCancel(fence=1)))
    for end in (
        c.Succeed(fence=1, result={"urls": ["x"]}, keep_s=3),
        c.Fail(fence=1, error=c.JobError(code="engine.failed", message="two\nlines \x00", retryable=True)),
    ):
        submit(store)
        (job,) = claim(store)
        see(store.apply(job.id, end))
    clock.forward(3)
    see(store.apply(states[-2].id, c.Expire()))
    assert {s.status for s in states} == set(JobState)


def test_owners_see_their_own_jobs_only(store: JobStore) -> None:
    job = submit(store, "ann")
    assert store.get(job.id, owner="ann") == job
    assert store.get(job.id, owner="bob") is None
    assert code(store.apply(job.id, c.Cancel(), owner="bob")) == "not_found"
    assert code(store.reorder(job.id, before=None, owner="bob")) == "not_found"
    assert code(store.apply("vid_none", c.Cancel())) == "not_found"
    assert store.get(job.id) == job


def test_a_full_queue_says_when_to_come_again(store: JobStore, clock: Clock) -> None:
    for _ in range(4):
        submit(store, "ann")
    refusal = store.submit(order("ann"))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry_after_s) == ("queue_full", 30.0)
    (job,) = claim(store)
    clock.forward(7)
    done(store.apply(job.id, c.Succeed(fence=1, result={})))
    submit(store, "ann")
    refusal = store.submit(order("ann"))
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == 7.0
    for owner in ("bob", "bob", "bob", "cleo", "cleo"):
        submit(store, owner)
    assert code(store.submit(order("dan"))) == "queue_full"


def test_commands_are_carried_out_together_or_not_at_all(store: JobStore) -> None:
    submit(store)
    (job,) = claim(store)
    before = events_after(store.database, job.id)
    start = c.Start(fence=1, from_step=0, checkpoint_every=2)
    assert code(store.apply(job.id, start, c.Step(fence=1, step=1), c.Step(fence=1, step=3))) == "wrong_step"
    assert store.get(job.id) == job
    assert events_after(store.database, job.id) == before
    assert audit_steps(store.database, job.id).executed == 0


def test_claims_follow_the_order_that_was_foretold(store: JobStore, clock: Clock) -> None:
    for owner, priority in (("ann", 0), ("ann", 0), ("ann", 0), ("bob", 0), ("cleo", 0), ("bob", 1), ("bob", 0)):
        submit(store, owner, priority=priority)
    foretold = queue_order(store.database)
    assert len(foretold) == 7
    for job_id in foretold:
        assert claim(store)[0].id == job_id
        clock.forward(1)
    assert claim(store) == []


def test_fairness_remembers_who_was_served(store: JobStore, clock: Clock) -> None:
    for owner in ("ann", "ann", "bob"):
        submit(store, owner)
    owners = []
    for _ in range(3):
        (job,) = claim(store)
        owners.append(job.order.owner)
        clock.forward(1)
        done(store.apply(job.id, c.Succeed(fence=1, result={})))
    assert owners == ["ann", "bob", "ann"]


def test_a_worker_gets_what_it_can_run(store: JobStore) -> None:
    submit(store, model="large")
    job = submit(store, model="mini")
    assert claim(store, models=["mini"])[0].id == job.id
    assert claim(store, models=["mini"]) == []
    assert claim(store, models=[]) == []


def test_a_warm_model_is_preferred_within_bounds(url: str, clock: Clock) -> None:
    store = open_store(url, clock=clock)
    cold = submit(store, "ann", model="cold")
    for _ in range(MAX_PASSED + 2):
        submit(store, "bob", model="warm")
    taken = [claim(store, warm={"warm"})[0] for _ in range(MAX_PASSED + 1)]
    assert [j.order.model for j in taken] == ["warm"] * MAX_PASSED + ["cold"]
    assert taken[-1].passed == MAX_PASSED
    assert taken[-1].id == cold.id
    store.close()


def test_a_batch_is_of_one_plan_and_fair(store: JobStore) -> None:
    plans = [("ann", "p"), ("ann", "p"), ("ann", "q"), ("bob", "p"), ("bob", "q"), ("cleo", "p")]
    made = [submit(store, owner, plan_key=plan) for owner, plan in plans]
    batch = claim(store, most=3)
    assert [j.id for j in batch] == [made[0].id, made[3].id, made[5].id]
    assert [j.fence for j in batch] == [1, 1, 1]
    assert [j.id for j in claim(store, most=3)] == [made[1].id]
    assert [j.id for j in claim(store, most=3)] == [made[4].id, made[2].id]


def test_jobs_of_a_plan_that_is_kept_apart_come_one_by_one(store: JobStore) -> None:
    for plan in ("p", "p", "q", "q"):
        submit(store, plan_key=plan)
    apart = {(order().model, "p")}
    assert [len(store.claim("w", lease_s=9, most=3, apart=apart)) for _ in range(3)] == [1, 1, 2]


def test_what_may_have_killed_a_worker_runs_alone(store: JobStore) -> None:
    for _ in range(3):
        submit(store)
    (first,) = claim(store)
    done(store.apply(first.id, c.WorkerDied(fence=1)))
    assert [j.id for j in claim(store, most=3)] == [first.id]
    assert len(claim(store, most=3)) == 2


def test_paused_and_late_jobs_are_not_claimed(store: JobStore, clock: Clock) -> None:
    paused, late = submit(store), done(store.submit(order(), wait_s=5))
    done(store.apply(paused.id, c.Pause()))
    clock.forward(5)
    assert claim(store) == []
    assert queue_order(store.database) == []
    done(store.apply(paused.id, c.Resume()))
    assert claim(store)[0].id == paused.id
    after = store.get(late.id)
    assert after is not None
    assert after.state == Expired()


def test_a_lease_that_ran_out_goes_to_the_next(store: JobStore, clock: Clock) -> None:
    submit(store)
    (job,) = claim(store, "first")
    done(store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=2), c.Step(fence=1, step=1)))
    save = c.SaveCheckpoint(fence=1, step=2, blob="b", meta={"plan": 1})
    done(store.apply(job.id, c.Step(fence=1, step=2), save, c.Step(fence=1, step=3)))
    clock.forward(9.9)
    assert claim(store, "second") == []
    assert store.heartbeat({job.id: 1}, lease_s=10) == {job.id: "go_on"}
    clock.forward(10)
    (again,) = claim(store, "second")
    assert (again.id, again.fence, again.deaths, again.done_steps) == (job.id, 2, 1, 2)
    checkpoint = last_checkpoint(store.database, job.id)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.blob, checkpoint.meta) == (2, "b", {"plan": 1})
    # the zombie wakes up
    zombie = (c.Step(fence=1, step=4), c.SaveCheckpoint(fence=1, step=3, blob="z"), c.Succeed(fence=1, result={"z": 1}))
    assert [code(store.apply(job.id, command)) for command in zombie] == ["stale_fence"] * 3
    assert store.heartbeat({job.id: 1}, lease_s=10) == {job.id: "lost"}
    done(store.apply(job.id, c.Start(fence=2, from_step=2, checkpoint_every=2), *steps(2, 3, 4, 5)))
    ended = done(store.apply(job.id, c.Succeed(fence=2, result={"url": "u"})))
    assert ended.state == Succeeded(result={"url": "u"})
    assert (audit_steps(store.database, job.id).executed, audit_steps(store.database, job.id).allowed) == (6, 7)
    rows = attempts_of(store.database, job.id)
    assert [(r["worker"], r["from_step"], r["outcome"]) for r in rows] == [
        ("first", 0, "died"),
        ("second", 2, "succeeded"),
    ]
    assert last_checkpoint(store.database, job.id) is None


def steps(fence: int, *numbers: int) -> list[c.Step]:
    return [c.Step(fence=fence, step=number) for number in numbers]


def test_a_job_that_kills_its_workers_fails(store: JobStore, clock: Clock) -> None:
    submit(store)
    for attempt in (1, 2, 3):
        (job,) = claim(store)
        assert job.fence == attempt
        clock.forward(10)
    (failed,) = store.reap()
    assert isinstance(failed.state, Failed)
    assert failed.state.error.code == "worker.died"
    assert claim(store) == []


def test_a_job_that_gets_on_is_not_to_blame(store: JobStore, clock: Clock) -> None:
    submit(store)
    for attempt in range(1, 6):
        (job,) = claim(store)
        start = c.Start(fence=attempt, from_step=attempt - 1, checkpoint_every=1)
        save = c.SaveCheckpoint(fence=attempt, step=attempt, blob="b")
        done(store.apply(job.id, start, *steps(attempt, attempt), save))
        clock.forward(10)
    (job,) = store.reap()
    assert (job.state, job.deaths, job.deaths_here) == (Queued(), 5, 1)


def test_beginning_anew_forgets_the_checkpoint(store: JobStore) -> None:
    submit(store)
    (job,) = claim(store)
    save = c.SaveCheckpoint(fence=1, step=1, blob="b")
    start = c.Start(fence=1, from_step=0, checkpoint_every=1)
    done(store.apply(job.id, start, *steps(1, 1), save, c.Release(fence=1)))
    claim(store)
    done(store.apply(job.id, c.Start(fence=2, from_step=0, checkpoint_every=1)))
    assert last_checkpoint(store.database, job.id) is None
    assert [r["outcome"] for r in attempts_of(store.database, job.id)] == ["released", None]


def test_a_heartbeat_brings_the_user_s_wishes(store: JobStore) -> None:
    made = [submit(store) for _ in range(3)]
    held = {j.id: j.fence for j in claim(store, most=3)}
    done(store.apply(made[0].id, c.Cancel()))
    done(store.apply(made[1].id, c.Pause()))
    signals = store.heartbeat({**held, "vid_none": 1}, lease_s=10)
    assert signals == {made[0].id: "cancel", made[1].id: "pause", made[2].id: "go_on", "vid_none": "lost"}
    assert store.heartbeat({}, lease_s=10) == {}


def test_the_lease_of_a_canceled_job_ends_in_canceled(store: JobStore, clock: Clock) -> None:
    submit(store)
    (job,) = claim(store)
    done(store.apply(job.id, c.Cancel()))
    clock.forward(10)
    assert [j.state for j in store.reap()] == [Canceled()]
    assert store.reap() == []


def test_a_job_that_waited_too_long_expires_when_leases_are_looked_at(store: JobStore, clock: Clock) -> None:
    late, patient = store.submit(order(), wait_s=5), store.submit(order(), wait_s=6)
    assert isinstance(late, Job)
    assert isinstance(patient, Job)
    clock.forward(4.9)
    assert store.reap() == []
    clock.forward(0.1)
    assert [(j.id, j.state) for j in store.reap()] == [(late.id, Expired())]
    assert [j.id for j in claim(store)] == [patient.id]
    # begun in time, it goes on
    clock.forward(5)
    assert store.reap() == []


def test_reordering(store: JobStore) -> None:
    mine = [submit(store, "ann").id for _ in range(2)]
    other = submit(store, "bob").id
    mine += [submit(store, "ann").id for _ in range(2)]
    urgent = submit(store, "bob", priority=5).id
    done(store.reorder(mine[3], before=mine[0]))
    done(store.reorder(mine[1], before=None))
    assert queue_order(store.database) == [urgent, mine[3], other, mine[0], mine[2], mine[1]]
    assert [e.kind for e in events_after(store.database, mine[3])] == ["queued", "moved"]
    assert [e.kind for e in events_after(store.database, mine[0])] == ["queued"]
    for neighbour in (other, urgent, "vid_none", mine[0]):
        assert code(store.reorder(mine[0], before=neighbour)) == "not_a_neighbour"
    (job,) = claim(store)
    assert code(store.reorder(job.id, before=None)) == "not_queued"
    assert code(store.reorder("vid_none", before=None)) == "not_found"


def test_an_edited_job_runs_as_edited(store: JobStore) -> None:
    job = submit(store)
    new = order(request={"prompt": "a ball"}, plan_key="q", priority=7)
    done(store.apply(job.id, c.Edit(order=new), owner="ann"))
    assert claim(store)[0].order == new


def test_events_are_numbered_without_a_gap(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    claim(store)
    done(store.apply(job.id, c.Start(fence=1, from_step=0, checkpoint_every=2)))
    reports = [c.Report(fence=1, phase="denoise", step=i, steps=5, data={"eta_s": 5.0 - i}) for i in (1, 2)]
    clock.forward(1)
    done(store.apply(job.id, *reports))
    done(store.apply(job.id, c.Cancel()))
    seen = events_after(store.database, job.id)
    assert [e.number for e in seen] == list(range(1, 7))
    assert [e.kind for e in seen] == ["queued", "running", "started", "progress", "progress", "canceling"]
    assert seen[3].data == {"eta_s": 4.0, "phase": "denoise", "step": 1, "steps": 5}
    assert seen[3].at == clock.now
    assert [e.number for e in events_after(store.database, job.id, 4)] == [5, 6]
    assert [e.number for e in events_after(store.database, job.id, limit=2)] == [1, 2]
    after = store.get(job.id)
    assert after is not None
    assert isinstance(after.state, Canceling)
    assert after.last_event == 6


def test_a_stopped_worker_s_lease_is_live_again_if_nobody_took_it(store: JobStore, clock: Clock) -> None:
    submit(store)
    (job,) = claim(store)
    clock.forward(11)
    assert store.heartbeat({job.id: 1}, lease_s=10) == {job.id: "go_on"}
    assert store.reap() == []
    after = store.get(job.id)
    assert after is not None
    assert after.state == Running(worker="w", lease_until=clock.now + 10)
