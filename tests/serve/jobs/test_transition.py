from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.core.jobs import JobState, can_move
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.commands import Command, Event, Refusal
from kinema.serve.jobs.job import Canceled, Canceling, Expired, Failed, Job, JobError, Queued, Running, Succeeded
from kinema.serve.jobs.transition import transition
from tests.serve.shared import order

NOW = 100.0
ERROR = JobError(code="engine.failed", message="no")


def job_in(state: object = None, **changes: object) -> Job:
    job = Job(id="vid_1", order=order(), position=1, created_at=1.0, **changes)  # pyright: ignore[reportArgumentType]
    return job if state is None else replace(job, state=state)  # pyright: ignore[reportArgumentType]


def running(*, begun: bool = True, **changes: object) -> Job:
    return job_in(Running(worker="w", lease_until=NOW + 5, begun=begun), fence=3, **changes)


def canceling(**changes: object) -> Job:
    return job_in(Canceling(worker="w", lease_until=NOW + 5), fence=3, **changes)


def after(job: Job | None, *commands: Command, now: float = NOW) -> tuple[Job, list[Event]]:
    told: list[Event] = []
    for command in commands:
        outcome = transition(job, command, now=now)
        assert not isinstance(outcome, Refusal), outcome
        job = outcome[0]
        told += outcome[1]
    assert job is not None
    return job, told


def refused(job: Job | None, command: Command, *, now: float = NOW) -> str:
    outcome = transition(job, command, now=now)
    assert isinstance(outcome, Refusal), outcome
    assert outcome.message
    return outcome.code


SUBMIT = c.Submit(id="vid_2", order=order(), position=7, waiting=0, waiting_of_owner=0)
CLAIM = c.Claim(worker="w", device="cpu", lease_s=5)
FINAL = [Succeeded(result={}), Failed(error=ERROR), Canceled(), Expired()]
OF_WORKER: list[Callable[[int], Command]] = [
    lambda f: c.Heartbeat(fence=f, lease_s=5),
    lambda f: c.Start(fence=f, from_step=0, checkpoint_every=2),
    lambda f: c.Step(fence=f, step=1),
    lambda f: c.Report(fence=f, phase="denoise", step=1, steps=5),
    lambda f: c.SaveCheckpoint(fence=f, step=1, blob="b"),
    lambda f: c.Succeed(fence=f, result={}),
    lambda f: c.Fail(fence=f, error=ERROR),
    lambda f: c.ConfirmCancel(fence=f),
    lambda f: c.Release(fence=f),
    lambda f: c.WorkerDied(fence=f),
]
OF_OTHERS: list[Command] = [
    SUBMIT,
    CLAIM,
    c.ExpireLease(),
    c.Cancel(),
    c.Pause(),
    c.Resume(),
    c.Edit(order=order()),
    c.Move(position=2),
    c.PassOver(),
    c.Expire(),
]


def test_every_command_is_tried_here() -> None:
    tried = {type(make(1)) for make in OF_WORKER} | {type(command) for command in OF_OTHERS}
    assert tried == set(get_args(Command))


def test_a_life_without_trouble() -> None:
    job, told = after(
        None,
        SUBMIT,
        CLAIM,
        c.Start(fence=1, from_step=0, checkpoint_every=2),
        c.Step(fence=1, step=1),
        c.Step(fence=1, step=2),
        c.SaveCheckpoint(fence=1, step=2, blob="b"),
        c.Report(fence=1, phase="denoise", step=2, steps=5, data={"preview": "p"}),
        c.Succeed(fence=1, result={"url": "u"}, keep_s=60),
    )
    assert job.state == Succeeded(result={"url": "u"})
    assert (job.started_at, job.finished_at, job.expires_at) == (NOW, NOW, NOW + 60)
    assert [e.kind for e in told] == ["queued", "running", "started", "checkpoint", "progress", "succeeded"]
    assert told[4].data == {"preview": "p", "phase": "denoise", "step": 2, "steps": 5}


@pytest.mark.parametrize(
    "counts, code", [((3, 0), "queue_full"), ((2, 2), "queue_full"), ((2, 1), None)], ids=["all", "owner", "fits"]
)
def test_a_full_queue_takes_no_more(counts: tuple[int, int], code: str | None) -> None:
    command = replace(SUBMIT, waiting=counts[0], waiting_of_owner=counts[1], limits=c.Limits(per_owner=2, total=3))
    outcome = transition(None, command, now=NOW)
    assert (outcome.code if isinstance(outcome, Refusal) else None) == code


@pytest.mark.parametrize("make", OF_WORKER)
@pytest.mark.parametrize("job", [running(), canceling(), job_in(fence=3), *(job_in(s, fence=3) for s in FINAL)])
def test_a_zombie_changes_nothing(make: Callable[[int], Command], job: Job) -> None:
    assert refused(job, make(2)) == "stale_fence"
    assert refused(job, make(4)) == "stale_fence"


@pytest.mark.parametrize("make", OF_WORKER)
def test_nobody_holds_a_queued_or_finished_job(make: Callable[[int], Command]) -> None:
    assert refused(job_in(fence=3), make(3)) == "stale_fence"
    for state in FINAL:
        assert refused(job_in(state, fence=3), make(3)) == "finished"


@pytest.mark.parametrize("command", OF_OTHERS)
@pytest.mark.parametrize("state", FINAL)
def test_finished_stays_finished(command: Command, state: object) -> None:
    job = job_in(state, fence=3)
    if isinstance(command, c.Cancel) and isinstance(state, Canceled):
        assert after(job, command) == (job, [])
    else:
        assert refused(job, command)


def test_there_is_nothing_before_submit() -> None:
    for command in [*OF_OTHERS[1:], *(make(0) for make in OF_WORKER)]:
        assert refused(None, command) == "not_found"


def test_a_claim_raises_the_fence_and_goes_on_from_the_checkpoint() -> None:
    job, _ = after(job_in(fence=3, checkpoint_step=2, done_steps=4, expires_at=NOW + 1), CLAIM)
    assert job.state == Running(worker="w", lease_until=NOW + 5)
    assert (job.fence, job.done_steps, job.expires_at) == (4, 2, None)
    assert refused(job, CLAIM) == "not_queued"
    assert refused(job_in(Queued(paused=True)), CLAIM) == "not_queued"
    assert refused(job_in(expires_at=NOW), CLAIM) == "not_queued"


def test_a_lease_is_longer_after_a_heartbeat_and_never_shorter() -> None:
    job, told = after(running(), c.Heartbeat(fence=3, lease_s=9))
    assert job.state == Running(worker="w", lease_until=NOW + 9, begun=True)
    assert not told
    assert after(job, c.Heartbeat(fence=3, lease_s=1))[0] == job
    assert refused(job, c.ExpireLease(), now=NOW + 8.9) == "lease_live"


def test_work_starts_at_the_checkpoint_or_at_the_beginning() -> None:
    job = running(begun=False, checkpoint_step=4, done_steps=4)
    assert after(job, c.Start(fence=3, from_step=4, checkpoint_every=2))[0].done_steps == 4
    anew, _ = after(job, c.Start(fence=3, from_step=0, checkpoint_every=2))
    assert (anew.done_steps, anew.checkpoint_step) == (0, 0)
    for step in (2, 5):
        assert refused(job, c.Start(fence=3, from_step=step, checkpoint_every=2)) == "wrong_step"
    # an attempt runs no step twice
    for step in (0, 4):
        assert refused(anew, c.Start(fence=3, from_step=step, checkpoint_every=2)) == "begun"
    assert refused(job, c.Step(fence=3, step=5)) == "wrong_step"


@pytest.mark.parametrize("step", [0, 1, 2, 4, 5])
def test_steps_follow_one_another(step: int) -> None:
    assert refused(running(done_steps=2), c.Step(fence=3, step=step)) == "wrong_step"


def test_there_are_no_more_steps_than_were_ordered() -> None:
    assert after(running(done_steps=4), c.Step(fence=3, step=5))[0].done_steps == 5
    assert refused(running(done_steps=5), c.Step(fence=3, step=6)) == "wrong_step"


@pytest.mark.parametrize("step, fits", [(2, False), (3, True), (4, True), (5, False)])
def test_a_checkpoint_is_new_and_of_a_step_that_ran(step: int, fits: bool) -> None:
    job, command = (
        running(checkpoint_step=2, done_steps=4, deaths=2, deaths_here=2),
        c.SaveCheckpoint(fence=3, step=step, blob="b"),
    )
    if not fits:
        assert refused(job, command) == "wrong_step"
        return
    saved, _ = after(job, command)
    assert (saved.checkpoint_step, saved.deaths, saved.deaths_here) == (step, 2, 0)


DEATHS = [c.WorkerDied(fence=3), c.ExpireLease()]


@pytest.mark.parametrize("death", DEATHS)
def test_a_job_outlives_its_worker(death: Command) -> None:
    job, told = after(running(checkpoint_step=2, done_steps=4), death, now=NOW + 5)
    assert job.state == Queued()
    assert (job.fence, job.deaths, job.done_steps) == (3, 1, 2)
    assert told == [Event(kind="queued", data={"reason": "worker died", "from_step": 2})]


@pytest.mark.parametrize("death", DEATHS)
def test_the_third_death_in_one_place_is_the_last(death: Command) -> None:
    assert after(running(deaths=7, deaths_here=1), death, now=NOW + 5)[0].status is JobState.QUEUED
    job, told = after(running(deaths=7, deaths_here=2, checkpoint_step=4), death, now=NOW + 5)
    assert isinstance(job.state, Failed)
    assert job.state.error.code == "worker.died"
    assert not job.state.error.retryable
    assert "3 workers died with this job after step 4" in job.state.error.message
    assert [e.kind for e in told] == ["failed"]
    assert after(canceling(deaths_here=2), death, now=NOW + 5)[0].state == Canceled()


def test_canceling() -> None:
    assert after(job_in(), c.Cancel())[0].state == Canceled()
    job, told = after(running(), c.Cancel())
    assert job.state == Canceling(worker="w", lease_until=NOW + 5)
    assert told == [Event(kind="canceling")]
    assert after(job, c.Cancel()) == (job, [])
    for make in OF_WORKER[1:5]:
        assert refused(job, make(3)) == "canceling"
    assert after(job, c.ConfirmCancel(fence=3))[0].state == Canceled()
    assert after(job, c.Release(fence=3))[0].state == Canceled()
    # what is ready before the worker hears of it is not thrown away
    assert after(job, c.Succeed(fence=3, result={}))[0].status is JobState.SUCCEEDED
    assert refused(running(), c.ConfirmCancel(fence=3)) == "not_due"
    assert refused(job, c.Pause()) == refused(job, c.Resume()) == "canceling"


def test_pausing() -> None:
    held, told = after(job_in(), c.Pause())
    assert held.state == Queued(paused=True)
    assert told == [Event(kind="paused")]
    assert after(held, c.Pause()) == (held, [])
    assert after(held, c.Resume())[0].state == Queued()
    wanted, _ = after(running(checkpoint_step=2, done_steps=3), c.Pause())
    assert isinstance(wanted.state, Running)
    assert wanted.state.pause_wanted
    assert after(wanted, c.Pause(), c.Pause()) == (wanted, [])
    assert after(wanted, c.Release(fence=3))[0].state == Queued(paused=True)
    assert after(wanted, c.WorkerDied(fence=3))[0].state == Queued(paused=True)
    assert after(wanted, c.Heartbeat(fence=3, lease_s=9), c.Resume(), c.Release(fence=3))[0].state == Queued()
    assert after(running(), c.Resume()) == (running(), [])
    assert after(job_in(), c.Resume()) == (job_in(), [])


def test_a_release_is_no_death() -> None:
    job, _ = after(running(checkpoint_step=2, done_steps=4), c.Release(fence=3))
    assert (job.state, job.deaths, job.deaths_here, job.done_steps) == (Queued(), 0, 0, 2)


def test_editing_is_for_jobs_that_nobody_began() -> None:
    new = order(steps=9)
    edited, told = after(job_in(passed=3), c.Edit(order=new))
    assert (edited.order, edited.passed) == (new, 0)
    assert told == [Event(kind="edited")]
    assert refused(job_in(fence=1), c.Edit(order=new)) == "begun"
    assert refused(running(), c.Edit(order=new)) == "not_queued"
    assert refused(job_in(), c.Edit(order=order("bob"))) == "not_found"


def test_only_a_wait_and_files_expire() -> None:
    late = job_in(expires_at=NOW)
    assert after(late, c.Expire())[0].state == Expired()
    assert refused(late, c.Expire(), now=NOW - 1) == "not_due"
    assert refused(job_in(), c.Expire()) == "not_due"
    gone, _ = after(job_in(Succeeded(result={"url": "u"}), expires_at=NOW, finished_at=3.0), c.Expire())
    assert (gone.state, gone.finished_at) == (Expired(), 3.0)
    assert refused(running(expires_at=NOW), c.Expire()) == "not_queued"


def test_moving_and_passing_are_of_the_queue() -> None:
    assert after(job_in(), c.Move(position=5))[0].position == 5
    assert after(job_in(), c.Move(position=5, is_shift=True))[1] == []
    assert after(job_in(), c.PassOver())[0].passed == 1
    assert refused(running(), c.Move(position=5)) == refused(running(), c.PassOver()) == "not_queued"


any_command = st.one_of(
    st.sampled_from(OF_OTHERS),
    st.builds(lambda make, fence: make(fence), st.sampled_from(OF_WORKER), st.integers(0, 4)),
    st.builds(lambda fence, step: c.Step(fence=fence, step=step), st.integers(1, 4), st.integers(1, 5)),
)


@settings(max_examples=400)
@given(script=st.lists(st.tuples(any_command, st.floats(0, 7)), max_size=40))
def test_no_script_breaks_the_rules(script: list[tuple[Command, float]]) -> None:
    """Whatever is asked in whatever order: moves are those of `core.jobs`, fences rise by one a claim, steps stay in bounds."""
    job, now = after(None, SUBMIT)[0], NOW
    for command, wait_s in script:
        now += wait_s
        outcome = transition(job, command, now=now)
        if isinstance(outcome, Refusal):
            continue
        new, told = outcome
        assert new.status is job.status or can_move(job.status, new.status)
        assert new.fence == job.fence + isinstance(command, c.Claim)
        assert 0 <= new.checkpoint_step <= new.done_steps <= new.order.steps
        assert new.deaths_here <= new.deaths
        assert told or new.status is job.status, "a change of status that nobody is told of"
        assert (new.finished_at is not None) == new.status.is_final
        job = new


@pytest.mark.parametrize(
    "field, value",
    [
        ("owner", ""),
        ("owner", "a\x00b"),
        ("model", 7),
        ("plan_key", "x" * 201),
        ("request", [1]),
        ("request", {"x": float("nan")}),
        ("request", {"x": object()}),
        ("steps", -1),
        ("priority", 101),
        ("cost", 0),
        ("parents", ["vid_1"]),
    ],
)
def test_an_order_that_no_database_could_hold_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        order(**{field: value})  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


def test_commands_are_frozen() -> None:
    for kind in get_args(Command):
        assert kind.__dataclass_params__.frozen
        assert all(f.kw_only for f in fields(kind))
