"""What may be forgotten: files at their expiry, old events and jobs, used-up keys, files that no job needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, or_, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.commands import Expire, Refusal
from kinema.serve.jobs.commit import lock, run
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.rows import job_of
from kinema.serve.jobs.schema import blobs, checkpoints, events, idempotency_keys, jobs

_EXPIRING = (JobState.QUEUED.value, JobState.SUCCEEDED.value)
_GONE = (JobState.FAILED.value, JobState.CANCELED.value, JobState.EXPIRED.value)


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Jobs that expired, and how many jobs, events and keys were deleted."""

    expired: tuple[str, ...]
    jobs: int
    events: int
    keys: int


def collect(
    database: Database, *, keep_events_s: float = 7 * 86400, keep_jobs_s: float = 30 * 86400, most: int = 500
) -> Collected:
    """Expires what is due, at most ``most`` jobs a call, and deletes what has been over for longer than it is kept.

    Of a finished job's events the last stays; jobs whose files don't expire stay.
    """
    with database.write() as (connection, now):
        due = select(jobs).where(jobs.c.status.in_(_EXPIRING), jobs.c.expires_at <= now).limit(most)
        found = [job_of(row) for row in connection.execute(due.with_for_update(skip_locked=True)).mappings()]
        expired = [job.id for job in found if isinstance(run(connection, job, (Expire(),), now), Job)]
        over = jobs.c.status.in_((*_GONE, JobState.SUCCEEDED.value)) & (jobs.c.finished_at <= now - keep_events_s)
        old = select(jobs.c.id).where(over)
        last = select(jobs.c.last_event).where(jobs.c.id == events.c.job_id).scalar_subquery()
        num_events = connection.execute(delete(events).where(events.c.job_id.in_(old), events.c.number < last)).rowcount
        cutoff = now - keep_jobs_s
        is_past = (jobs.c.finished_at <= cutoff) & or_(jobs.c.expires_at.is_(None), jobs.c.expires_at <= cutoff)
        past = select(jobs.c.id).where(jobs.c.status.in_(_GONE), is_past).limit(most).with_for_update(skip_locked=True)
        ids = connection.scalars(past).all()
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        keys = connection.execute(delete(idempotency_keys).where(idempotency_keys.c.expires_at <= now)).rowcount
    return Collected(expired=tuple(expired), jobs=len(ids), events=num_events, keys=keys)


def remove(database: Database, job_id: str, *, owner: str | None = None) -> Job | Refusal:
    """The job that was there: it, its events and its claim on files are gone. Refused while it isn't finished."""
    with database.write() as (connection, _):
        job = lock(connection, job_id, owner=owner)
        if job is None:
            return Refusal(code="not_found", message="there is no such job")
        if not job.status.is_final:
            return Refusal(code="not_finished", message=f"the job is {job.status.value}; cancel it first")
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
        return job


def unneeded(database: Database, found: Collection[str]) -> set[str]:
    """Those blobs among ``found`` that no job needs. A file is written before it is named: sweep none that is younger than an hour."""
    names = sorted(found)
    with database.read() as (connection, _):
        needed = [
            blob
            for table in (blobs, checkpoints)
            for blob in connection.scalars(select(table.c.blob).where(table.c.blob.in_(names)))
        ]
    return set(names).difference(needed)
