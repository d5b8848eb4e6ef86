"""Carries out commands inside an open transaction: the only place that writes a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, and_, delete, insert, select, update

from kinema.serve.jobs.commands import (
    Claim,
    Command,
    Event,
    Expire,
    ExpireLease,
    Refusal,
    SaveCheckpoint,
    Start,
    Step,
    Succeed,
    WorkerDied,
)
from kinema.serve.jobs.job import Canceling, Job, Queued, Running
from kinema.serve.jobs.rows import job_of, row_of
from kinema.serve.jobs.schema import attempts, blobs, checkpoints, events, jobs, steps
from kinema.serve.jobs.transition import transition


def lock(connection: Connection, job_id: str, *, owner: str | None = None, skip: bool = False) -> Job | None:
    """The job, which nobody else can write before this transaction ends.

    None if there is none, it isn't ``owner``'s, or, with ``skip``, another transaction has it.
    """
    named = jobs.c.id == job_id if owner is None else and_(jobs.c.id == job_id, jobs.c.owner == owner)
    row = connection.execute(select(jobs).where(named).with_for_update(skip_locked=skip)).mappings().one_or_none()
    return None if row is None else job_of(row)


def run(connection: Connection, job: Job | None, commands: Sequence[Command], now: float) -> Job | Refusal:
    """The job after ``commands``, written; or the first refusal, and nothing is written. A job that exists must be locked."""
    new, moves, told = job, list[tuple[Job | None, Command, Job]](), list[Event]()
    for command in commands:
        outcome = transition(new, command, now=now)
        if isinstance(outcome, Refusal):
            return outcome
        moves.append((new, command, outcome[0]))
        told += outcome[1]
        new = outcome[0]
    if new is None:
        return Refusal(code="not_found", message="there is no such job")
    numbered = [
        {"job_id": new.id, "number": number, "at": now, "kind": event.kind, "data": dict(event.data)}
        for number, event in enumerate(told, new.last_event + 1)
    ]
    new = replace(new, last_event=new.last_event + len(told))
    if job is None:
        connection.execute(insert(jobs), row_of(new))
    else:
        before = row_of(job)
        changed = {name: value for name, value in row_of(new).items() if value != before[name]}
        if changed:
            connection.execute(update(jobs).where(jobs.c.id == new.id).values(changed))
    if numbered:
        connection.execute(insert(events), numbered)
    for old, command, after in moves:
        _note(connection, command, after, now)
        if old is not None:
            _close(connection, old, command, after, now)
    return new


def _note(connection: Connection, command: Command, job: Job, now: float) -> None:
    """What ``command`` leaves in the other tables."""
    of_job = {"job_id": job.id, "fence": job.fence}
    this_attempt = and_(attempts.c.job_id == job.id, attempts.c.fence == job.fence)
    match command:
        case Claim(worker=worker, device=device):
            row = {"owner": job.order.owner, "worker": worker, "device": device, "claimed_at": now}
            connection.execute(insert(attempts).values(**of_job, **row))
        case Start(from_step=from_step):
            connection.execute(update(attempts).where(this_attempt).values(started_at=now, from_step=from_step))
            if from_step == 0:
                _forget_checkpoint(connection, job)
        case Step(step=step):
            connection.execute(insert(steps).values(**of_job, step=step, at=now))
        case SaveCheckpoint(step=step, blob=blob, meta=meta):
            _forget_checkpoint(connection, job)
            connection.execute(insert(checkpoints).values(**of_job, step=step, blob=blob, meta=dict(meta), at=now))
        case Succeed(outputs=outputs) if outputs:
            rows = [{"job_id": job.id, "role": "output", "blob": blob} for blob in sorted(set(outputs))]
            connection.execute(insert(blobs), rows)
        case Expire():
            connection.execute(delete(blobs).where(blobs.c.job_id == job.id))
        case _:
            pass


def _close(connection: Connection, old: Job, command: Command, job: Job, now: float) -> None:
    """Ends the attempt that ``command`` ended; a finished job needs no checkpoint."""
    if isinstance(old.state, (Running, Canceling)) and not isinstance(job.state, (Running, Canceling)):
        outcome = "released" if isinstance(job.state, Queued) else job.status.value
        if isinstance(command, (WorkerDied, ExpireLease)):
            outcome = "died"
        this_attempt = and_(attempts.c.job_id == job.id, attempts.c.fence == job.fence)
        connection.execute(update(attempts).where(this_attempt).values(ended_at=now, outcome=outcome))
        if job.status.is_final:
            _forget_checkpoint(connection, job)
    elif isinstance(old.state, Queued) and job.status.is_final:
        _forget_checkpoint(connection, job)


def _forget_checkpoint(connection: Connection, job: Job) -> None:
    connection.execute(delete(checkpoints).where(checkpoints.c.job_id == job.id))
