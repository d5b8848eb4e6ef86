"""What can be asked about jobs without changing any: lists, events, the queue, durations, the step log."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, func, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.eta import Run
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.order import Share, Waiting
from kinema.serve.jobs.rows import job_of
from kinema.serve.jobs.schema import attempts, checkpoints, events, jobs, steps

HELD = (JobState.RUNNING.value, JobState.CANCELING.value)
# who was served longer ago than this counts as not served
FAIR_WINDOW_S = 3600.0
# runs that an estimate looks back on
NUM_RUNS = 50


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """Event ``number`` of a job; ``at`` in seconds since 1970."""

    number: int
    at: float
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where the state after ``step`` steps is."""

    step: int
    blob: str
    meta: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepAudit:
    """The step log of a job, summed over its attempts: ``executed`` may not exceed ``allowed``, steps + k x deaths."""

    executed: int
    allowed: int


def list_jobs(
    database: Database,
    *,
    owner: str | None = None,
    statuses: Collection[JobState] = (),
    after: str | None = None,
    limit: int = 20,
    oldest_first: bool = False,
) -> list[Job]:
    """Jobs, newest first or ``oldest_first``, from the one after the job ``after``; of ``owner`` and of ``statuses`` only, if given."""
    query = select(jobs).order_by(jobs.c.id if oldest_first else jobs.c.id.desc()).limit(limit)
    query = query if owner is None else query.where(jobs.c.owner == owner)
    query = query if after is None else query.where(jobs.c.id > after if oldest_first else jobs.c.id < after)
    query = query.where(jobs.c.status.in_([s.value for s in statuses])) if statuses else query
    with database.read() as (connection, _):
        return [job_of(row) for row in connection.execute(query).mappings()]


def events_after(database: Database, job_id: str, number: int = 0, *, limit: int = 1000) -> list[StoredEvent]:
    """The events of a job whose numbers are above ``number``, in order."""
    query = select(*events.c["number", "at", "kind", "data"]).where(events.c.job_id == job_id, events.c.number > number)
    with database.read() as (connection, _):
        return [
            StoredEvent(**row) for row in connection.execute(query.order_by(events.c.number).limit(limit)).mappings()
        ]


def wait_for_events(
    database: Database, job_id: str, number: int = 0, *, timeout_s: float, every_s: float = 0.1
) -> list[StoredEvent]:
    """`events_after`, as soon as there are any; empty after ``timeout_s``. For one listener; many share `last_events`."""
    end = time.monotonic() + timeout_s
    while not (found := events_after(database, job_id, number)) and (left := end - time.monotonic()) > 0:
        time.sleep(min(every_s, left))
    return found


def last_events(database: Database, job_ids: Collection[str]) -> dict[str, int]:
    """Job -> number of its last event, in one query for any number of listeners."""
    query = select(jobs.c.id, jobs.c.last_event).where(jobs.c.id.in_(sorted(job_ids)))
    with database.read() as (connection, _):
        return dict(connection.execute(query).all())


def last_checkpoint(database: Database, job_id: str) -> Checkpoint | None:
    """Where an unfinished job can be taken up again."""
    query = select(*checkpoints.c["step", "blob", "meta"]).where(checkpoints.c.job_id == job_id)
    with database.read() as (connection, _):
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Checkpoint(**row)


def attempts_of(database: Database, job_id: str) -> list[RowMapping]:
    """The attempts of a job, the columns of the table, in order."""
    with database.read() as (connection, _):
        query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.fence)
        return list(connection.execute(query).mappings())


def audit_steps(database: Database, job_id: str) -> StepAudit:
    """What the step log says of a job."""
    with database.read() as (connection, _):
        executed = connection.scalar(select(func.count()).where(steps.c.job_id == job_id)) or 0
        allowed = jobs.c.num_steps + jobs.c.checkpoint_every * jobs.c.deaths
        return StepAudit(executed=executed, allowed=connection.scalar(select(allowed).where(jobs.c.id == job_id)) or 0)


def claimable(now: float, models: Collection[str] | None = None) -> Select[Any]:
    """The query for the jobs that may be claimed, of ``models`` or of all, as the fields of `Waiting`."""
    is_fresh = and_(jobs.c.deaths == 0, jobs.c.checkpoint_step == 0).label("is_fresh")
    query = select(*jobs.c["id", "owner", "priority", "position", "model", "plan_key", "passed"], is_fresh).where(
        jobs.c.status == JobState.QUEUED.value,
        jobs.c.paused.is_(False),
        jobs.c.expires_at.is_(None) | (jobs.c.expires_at > now),
    )
    return query if models is None else query.where(jobs.c.model.in_(sorted(models)))


def read_queue(
    connection: Connection, now: float, models: Collection[str] | None = None
) -> tuple[list[Waiting], dict[str, Share]]:
    """The jobs that may be claimed, of ``models`` or of all, and what their owners have had."""
    waiting = [Waiting(**row) for row in connection.execute(claimable(now, models)).mappings()]
    if not waiting:
        return [], {}
    count = select(jobs.c.owner, func.count()).where(jobs.c.status.in_(HELD)).group_by(jobs.c.owner)
    last = select(attempts.c.owner, func.max(attempts.c.claimed_at)).group_by(attempts.c.owner)
    running = dict(connection.execute(count).all())
    served_at = dict(connection.execute(last.where(attempts.c.claimed_at > now - FAIR_WINDOW_S)).all())
    owners = {*running, *served_at}
    return waiting, {o: Share(running=running.get(o, 0), served_at=served_at.get(o, 0.0)) for o in owners}


def retry_after_s(connection: Connection) -> float:
    """How long until a place in the queue may be free: the median of the latest attempts, from 1 s to 10 minutes."""
    lasted = attempts.c.ended_at - attempts.c.claimed_at
    query = select(lasted).where(attempts.c.ended_at.is_not(None)).order_by(attempts.c.claimed_at.desc()).limit(20)
    return min(600.0, max(1.0, statistics.median(connection.scalars(query).all() or [30.0])))


def runs_of(connection: Connection, model: str, device: str) -> list[Run]:
    """The latest whole runs of ``model`` on ``device``; of those that a worker claimed and made together, each has its share."""
    mate = attempts.alias()
    together = (mate.c.claimed_at == attempts.c.claimed_at) & (mate.c.worker == attempts.c.worker)
    number = select(func.count()).where(together, mate.c.outcome == JobState.SUCCEEDED.value, mate.c.from_step == 0)
    lasted = attempts.c.ended_at - attempts.c.started_at
    seconds = (lasted / number.scalar_subquery()).label("seconds")
    query = (
        select(seconds, jobs.c.shape, jobs.c.num_steps.label("steps"), jobs.c.cost)
        .join(attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.fence == jobs.c.fence))
        .where(jobs.c.model == model, attempts.c.device == device)
        .where(attempts.c.outcome == JobState.SUCCEEDED.value, attempts.c.from_step == 0)
        .order_by(jobs.c.finished_at.desc())
        .limit(NUM_RUNS)
    )
    return [Run(**row) for row in connection.execute(query).mappings()]
