"""`transition`: the one function that says what may happen to a job. Pure; the store runs it, and nothing else changes a status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from kinema.core.jobs import move
from kinema.serve.jobs.commands import (
    Cancel,
    Claim,
    Command,
    ConfirmCancel,
    Edit,
    Event,
    Expire,
    ExpireLease,
    Fail,
    Heartbeat,
    Move,
    PassOver,
    Pause,
    Refusal,
    Release,
    Report,
    Resume,
    SaveCheckpoint,
    Start,
    Step,
    Submit,
    Succeed,
    WorkerCommand,
    WorkerDied,
)
from kinema.serve.jobs.job import Canceled, Canceling, Expired, Failed, Job, JobError, Queued, Running, State, Succeeded

Outcome = tuple[Job, tuple[Event, ...]] | Refusal


def transition(job: Job | None, command: Command, *, now: float) -> Outcome:
    """The job after ``command`` and what there is to tell of it, or why not. ``job`` is None before `Submit`."""
    if isinstance(command, Submit):
        return _submit(job, command, now)
    if job is None:
        return Refusal(code="not_found", message="there is no such job")
    if isinstance(command, WorkerCommand):
        if command.fence != job.fence or isinstance(job.state, Queued):
            return Refusal(
                code="stale_fence", message=f"claim {command.fence} no longer holds the job (the latest is {job.fence})"
            )
        if not isinstance(job.state, (Running, Canceling)):
            return _finished(job)
        if isinstance(job.state, Canceling) and isinstance(command, (Start, Step, Report, SaveCheckpoint)):
            return Refusal(code="canceling", message="the job is being canceled; stop and confirm")
    return _RULES[type(command)](job, command, now)


def _finished(job: Job) -> Refusal:
    return Refusal(code="finished", message=f"the job is {job.status.value}")


def _not_queued(job: Job) -> Refusal:
    return Refusal(code="not_queued", message=f"the job is {job.status.value}, no longer in the queue")


def _to(job: Job, state: State, **changes: Any) -> Job:
    if state.status is not job.status:
        move(job.status, state.status)
    return replace(job, state=state, **changes)


def _submit(job: Job | None, c: Submit, now: float) -> Outcome:
    if job is not None:
        return Refusal(code="exists", message=f"there is a job {c.id} already")
    for count, most, whose in (
        (c.waiting_of_owner, c.limits.per_owner, "of this key"),
        (c.waiting, c.limits.total, "in all"),
    ):
        if count >= most:
            message = f"{count} jobs {whose} are waiting, and {most} may"
            return Refusal(code="queue_full", message=message)
    new = Job(id=c.id, order=c.order, position=c.position, created_at=now, expires_at=c.expires_at)
    return new, (Event(kind="queued", data={"priority": c.order.priority}),)


def _claim(job: Job, c: Claim, now: float) -> Outcome:
    if not isinstance(job.state, Queued) or job.state.paused:
        return _not_queued(job)
    if job.expires_at is not None and job.expires_at <= now:
        return Refusal(code="not_queued", message="its deadline has passed")
    new = _to(
        job,
        Running(worker=c.worker, lease_until=now + c.lease_s),
        fence=job.fence + 1,
        done_steps=job.checkpoint_step,
        # the deadline was for the queue
        expires_at=None,
    )
    return new, (Event(kind="running", data={"attempt": new.fence}),)


def _heartbeat(job: Job, c: Heartbeat, now: float) -> Outcome:
    assert isinstance(job.state, (Running, Canceling))
    # never shorter than what was promised before
    return replace(job, state=replace(job.state, lease_until=max(job.state.lease_until, now + c.lease_s))), ()


def _start(job: Job, c: Start, now: float) -> Outcome:
    assert isinstance(job.state, Running)
    if job.state.begun:
        return Refusal(code="begun", message=f"attempt {job.fence} has started already")
    if c.from_step not in (0, job.checkpoint_step):
        message = f"step {c.from_step} has no checkpoint; begin at 0 or {job.checkpoint_step}"
        return Refusal(code="wrong_step", message=message)
    new = replace(
        job,
        state=replace(job.state, begun=True),
        done_steps=c.from_step,
        checkpoint_step=c.from_step,
        checkpoint_every=max(job.checkpoint_every, c.checkpoint_every),
        started_at=now if job.started_at is None else job.started_at,
    )
    data = {"attempt": job.fence, "from_step": c.from_step, "steps": job.order.steps}
    return new, (Event(kind="started", data=data),)


def _step(job: Job, c: Step, now: float) -> Outcome:
    assert isinstance(job.state, Running)
    if not job.state.begun:
        return Refusal(code="wrong_step", message=f"attempt {job.fence} has not started")
    if c.step != job.done_steps + 1 or c.step > job.order.steps:
        message = f"step {c.step} of {job.order.steps} can't follow step {job.done_steps}"
        return Refusal(code="wrong_step", message=message)
    return replace(job, done_steps=c.step), ()


def _report(job: Job, c: Report, now: float) -> Outcome:
    data = {**c.data, "phase": c.phase, "step": c.step, "steps": c.steps}
    return replace(job, phase=c.phase, step=c.step, steps=c.steps), (Event(kind="progress", data=data),)


def _save_checkpoint(job: Job, c: SaveCheckpoint, now: float) -> Outcome:
    if not job.checkpoint_step < c.step <= job.done_steps:
        message = f"step {c.step} is not after checkpoint {job.checkpoint_step} and among the {job.done_steps} done"
        return Refusal(code="wrong_step", message=message)
    return replace(job, checkpoint_step=c.step, deaths_here=0), (Event(kind="checkpoint", data={"step": c.step}),)


def _succeed(job: Job, c: Succeed, now: float) -> Outcome:
    expires_at = None if c.keep_s is None else now + c.keep_s
    return _to(job, Succeeded(result=c.result), finished_at=now, expires_at=expires_at), (Event(kind="succeeded"),)


def _fail(job: Job, c: Fail, now: float) -> Outcome:
    return _to(job, Failed(error=c.error), finished_at=now), (Event(kind="failed", data=asdict(c.error)),)


def _confirm_cancel(job: Job, c: ConfirmCancel, now: float) -> Outcome:
    if not isinstance(job.state, Canceling):
        return Refusal(code="not_due", message="nobody has asked for a stop; release or fail the job")
    return _to(job, Canceled(), finished_at=now), (Event(kind="canceled"),)


def _release(job: Job, c: Release, now: float) -> Outcome:
    return _back(job, now, reason="released")


def _back(job: Job, now: float, *, reason: str) -> Outcome:
    """Back to the queue, or to where the user wants it."""
    if isinstance(job.state, Canceling):
        return _to(job, Canceled(), finished_at=now), (Event(kind="canceled"),)
    assert isinstance(job.state, Running)
    paused = job.state.pause_wanted
    told = Event(kind="paused" if paused else "queued", data={"reason": reason, "from_step": job.checkpoint_step})
    return _to(job, Queued(paused=paused), done_steps=job.checkpoint_step), (told,)


def _worker_died(job: Job, c: WorkerDied | ExpireLease, now: float) -> Outcome:
    job = replace(job, deaths=job.deaths + 1, deaths_here=job.deaths_here + 1)
    if isinstance(job.state, Canceling) or job.deaths_here < c.max_deaths:
        return _back(job, now, reason="worker died")
    message = f"{job.deaths_here} workers died with this job after step {job.checkpoint_step}; it is not tried again"
    error = JobError(code="worker.died", message=message)
    return _to(job, Failed(error=error), finished_at=now), (Event(kind="failed", data=asdict(error)),)


def _expire_lease(job: Job, c: ExpireLease, now: float) -> Outcome:
    if not isinstance(job.state, (Running, Canceling)):
        return Refusal(code="not_due", message=f"the job is {job.status.value}; nobody holds it")
    if job.state.lease_until > now:
        return Refusal(code="lease_live", message=f"its worker has {job.state.lease_until - now:.3f} s left")
    return _worker_died(job, c, now)


def _cancel(job: Job, c: Cancel, now: float) -> Outcome:
    match job.state:
        case Queued():
            return _to(job, Canceled(), finished_at=now), (Event(kind="canceled"),)
        case Running(worker=worker, lease_until=lease_until):
            return _to(job, Canceling(worker=worker, lease_until=lease_until)), (Event(kind="canceling"),)
        case Canceling() | Canceled():
            return job, ()
        case _:
            return _finished(job)


def _pause(job: Job, c: Pause, now: float) -> Outcome:
    match job.state:
        case Queued(paused=True) | Running(pause_wanted=True):
            return job, ()
        case Queued():
            return replace(job, state=Queued(paused=True)), (Event(kind="paused"),)
        case Running():
            return replace(job, state=replace(job.state, pause_wanted=True)), (Event(kind="pausing"),)
        case Canceling():
            return Refusal(code="canceling", message="the job is being canceled")
        case _:
            return _finished(job)


def _resume(job: Job, c: Resume, now: float) -> Outcome:
    match job.state:
        case Queued(paused=True):
            return replace(job, state=Queued()), (Event(kind="resumed"),)
        case Running(pause_wanted=True):
            return replace(job, state=replace(job.state, pause_wanted=False)), (Event(kind="resumed"),)
        case Queued() | Running():
            return job, ()
        case Canceling():
            return Refusal(code="canceling", message="the job is being canceled")
        case _:
            return _finished(job)


def _edit(job: Job, c: Edit, now: float) -> Outcome:
    if not isinstance(job.state, Queued):
        return _not_queued(job)
    if job.fence:
        return Refusal(code="begun", message="an attempt was made already; cancel it and submit another")
    if c.order.owner != job.order.owner:
        return Refusal(code="not_found", message="there is no such job")
    # another plan may be another batch, and waits its own turns
    return replace(job, order=c.order, passed=0), (Event(kind="edited"),)


def _move(job: Job, c: Move, now: float) -> Outcome:
    if not isinstance(job.state, Queued):
        return _not_queued(job)
    return replace(job, position=c.position), () if c.is_shift else (Event(kind="moved"),)


def _pass_over(job: Job, c: PassOver, now: float) -> Outcome:
    return (replace(job, passed=job.passed + 1), ()) if isinstance(job.state, Queued) else _not_queued(job)


def _expire(job: Job, c: Expire, now: float) -> Outcome:
    if not isinstance(job.state, (Queued, Succeeded)):
        return _finished(job) if job.status.is_final else _not_queued(job)
    if job.expires_at is None or job.expires_at > now:
        return Refusal(code="not_due", message="its time has not come")
    finished_at = now if job.finished_at is None else job.finished_at
    return _to(job, Expired(), finished_at=finished_at), (Event(kind="expired"),)


_RULES: dict[type, Callable[[Job, Any, float], Outcome]] = {
    Claim: _claim,
    Heartbeat: _heartbeat,
    Start: _start,
    Step: _step,
    Report: _report,
    SaveCheckpoint: _save_checkpoint,
    Succeed: _succeed,
    Fail: _fail,
    ConfirmCancel: _confirm_cancel,
    Release: _release,
    WorkerDied: _worker_died,
    ExpireLease: _expire_lease,
    Cancel: _cancel,
    Pause: _pause,
    Resume: _resume,
    Edit: _edit,
    Move: _move,
    PassOver: _pass_over,
    Expire: _expire,
}
