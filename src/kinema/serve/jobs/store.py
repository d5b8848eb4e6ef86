"""The store: what the service and its workers ask for. Safe among threads and processes; what fails raises, and has changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, or_, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.commands import (
    MAX_DEATHS,
    Claim,
    Command,
    Expire,
    ExpireLease,
    Heartbeat,
    Limits,
    Move,
    PassOver,
    Refusal,
    Submit,
)
from kinema.serve.jobs.commit import lock, run
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.ids import new_id
from kinema.serve.jobs.job import Canceling, Job, Order, Running, check_text
from kinema.serve.jobs.keys import Reservation, fulfil, is_held
from kinema.serve.jobs.order import choose, mates_of, served
from kinema.serve.jobs.reading import HELD, claimable, read_queue, retry_after_s
from kinema.serve.jobs.rows import job_of
from kinema.serve.jobs.schema import blobs, jobs

Signal = Literal["go_on", "cancel", "pause", "lost"]
# built once: putting together a query of so many columns takes longer than asking it
_BY_ID = select(jobs).where(jobs.c.id == bindparam("job_id"))
_AT_ONCE = 500
_NONE_SUCH = Refusal(code="not_found", message="there is no such job")


def open_store(
    url: str,
    *,
    clock: Callable[[], float] | None = None,
    limits: Limits | None = None,
    max_deaths: int = MAX_DEATHS,
) -> JobStore:
    """The store at ``url`` (``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``), its tables made or brought up to date.

    ``clock`` gives seconds since 1970; without one it is the database's. A job fails when ``max_deaths`` workers in a row died with it
    and none of them saved a new checkpoint. Any number of processes may open the store at once.

    Raises: InvalidInput, StorageError.
    """
    return JobStore(Database(url, clock=clock), limits=limits or Limits(), max_deaths=max_deaths)


class JobStore:
    """Jobs in ``database``; whoever reads it uses the functions of `reading`. Raises: StorageError where it can't be used."""

    def __init__(self, database: Database, *, limits: Limits, max_deaths: int) -> None:
        self.database, self.limits, self.max_deaths = database, limits, max_deaths

    def close(self) -> None:
        """Closes every connection."""
        self.database.close()

    def submit(
        self,
        order: Order,
        *,
        reservation: Reservation | None = None,
        inputs: Sequence[str] = (),
        wait_s: float | None = None,
        within: Sequence[Callable[[Connection, Job, float], None]] = (),
    ) -> Job | Refusal:
        """The new job. It needs the blobs ``inputs``, and expires if it is not begun within ``wait_s``.

        ``reservation`` of an Idempotency-Key is fulfilled with it, or there is no job. Each of ``within`` runs in the same transaction with
        the new job and the time; if it raises, there is no job.
        """
        for blob in inputs:
            check_text("inputs", blob)
        # alone, so that limits are exact and positions are in the order of submission
        with self.database.write(alone=True) as (connection, now):
            job_id = new_id(now)
            if reservation is not None and not is_held(connection, reservation):
                message = "another request with this Idempotency-Key went on"
                return Refusal(code="reservation_lost", message=message)
            queued = jobs.c.status == JobState.QUEUED.value
            count = select(jobs.c.owner, func.count()).where(queued).group_by(jobs.c.owner)
            waiting = dict(connection.execute(count).all())
            command = Submit(
                id=job_id,
                order=order,
                position=(connection.scalar(select(func.max(jobs.c.position))) or 0) + 1,
                waiting=sum(waiting.values()),
                waiting_of_owner=waiting.get(order.owner, 0),
                limits=self.limits,
                expires_at=None if wait_s is None else now + wait_s,
            )
            job = run(connection, None, (command,), now)
            if isinstance(job, Refusal):
                return replace(job, retry_after_s=retry_after_s(connection))
            if reservation is not None:
                fulfil(connection, reservation, job_id, now)
            if inputs:
                rows = [{"job_id": job.id, "role": "input", "blob": blob} for blob in sorted(set(inputs))]
                connection.execute(insert(blobs), rows)
            for note in within:
                note(connection, job, now)
            return job

    def get(self, job_id: str, *, owner: str | None = None) -> Job | None:
        """The job; None if there is none, or it isn't ``owner``'s."""
        with self.database.read() as (connection, _):
            row = connection.execute(_BY_ID, {"job_id": job_id}).mappings().one_or_none()
        return None if row is None or owner not in (None, row["owner"]) else job_of(row)

    def apply(
        self,
        job_id: str,
        *commands: Command,
        owner: str | None = None,
        within: Callable[[Connection, Job, Job, float], None] | None = None,
    ) -> Job | Refusal:
        """The job after all of ``commands``, or why none was carried out. With ``owner`` only if the job is that owner's.

        ``within`` runs in the same transaction, and alone, with the job before and after and the time; if it raises, nothing has changed.
        """
        with self.database.write(alone=within is not None) as (connection, now):
            job = lock(connection, job_id, owner=owner)
            if job is None:
                return _NONE_SUCH
            after = run(connection, job, commands, now)
            if within is not None and isinstance(after, Job):
                within(connection, job, after, now)
            return after

    def claim(
        self,
        worker: str,
        *,
        lease_s: float,
        device: str = "cpu",
        models: Collection[str] | None = None,
        warm: Collection[str] = (),
        most: int = 1,
        apart: Collection[tuple[str, str]] = (),
    ) -> list[Job]:
        """Up to ``most`` jobs of one plan, now the worker's for ``lease_s``; none if none waits. Leases that ran out come back first.

        ``models`` are those that it can run, or all; ``warm`` those that it need not load. Of a plan (model, its key) in ``apart`` there is
        but one.
        """
        self.reap()
        with self.database.read() as (connection, now):
            if connection.execute(claimable(now, models).limit(1)).first() is None:
                return []
        claimed: list[Job] = []
        with self.database.write() as (connection, now):
            waiting, shares = read_queue(connection, now, models)
            while len(claimed) < most:
                chosen, passed = choose(waiting, shares, warm)
                if chosen is None:
                    break
                waiting = [j for j in waiting if j.id != chosen.id]
                job = lock(connection, chosen.id, skip=True)
                taken = job and run(connection, job, (Claim(worker=worker, device=device, lease_s=lease_s),), now)
                # another worker was quicker: on to the next
                if not isinstance(taken, Job):
                    continue
                if passed is not None and (head := lock(connection, passed.id, skip=True)) is not None:
                    run(connection, head, (PassOver(),), now)
                claimed.append(taken)
                shares, waiting = served(shares, chosen.owner, now), mates_of(chosen, waiting, apart)
        return claimed

    def heartbeat(self, held: Mapping[str, int], *, lease_s: float) -> dict[str, Signal]:
        """What the worker shall do with each job that it has (id -> fence), whose leases now end ``lease_s`` from now."""
        signals: dict[str, Signal] = {}
        with self.database.write() as (connection, now):
            # sorted: transactions that lock several jobs do so in one order, and never wait for each other in a ring
            for job_id in sorted(held):
                command = Heartbeat(fence=held[job_id], lease_s=lease_s)
                signals[job_id] = _signal(run(connection, lock(connection, job_id), (command,), now))
        return signals

    def reap(self) -> list[Job]:
        """The jobs whose leases or waits ran out, after that, at most 500 a call: queued again, canceled, failed or expired."""
        with self.database.read() as (connection, now):
            if connection.execute(select(jobs.c.id).where(_is_due(now)).limit(1)).first() is None:
                return []
        with self.database.write() as (connection, now):
            due = select(jobs).where(_is_due(now)).limit(_AT_ONCE).with_for_update(skip_locked=True)
            found = [job_of(row) for row in connection.execute(due).mappings()]
            lease = ExpireLease(max_deaths=self.max_deaths)
            after = [run(connection, j, (Expire() if j.status is JobState.QUEUED else lease,), now) for j in found]
        return [job for job in after if isinstance(job, Job)]

    def reorder(self, job_id: str, *, before: str | None, owner: str | None = None) -> Job | Refusal:
        """The job, now right before ``before`` among its owner's queued jobs of the same priority, or (None) behind them all.

        The owner's jobs change places among themselves; other owners' keep theirs.
        """
        with self.database.write() as (connection, now):
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
            if row is None or owner not in (None, row["owner"]):
                return _NONE_SUCH
            mine = (jobs.c.owner == row["owner"], jobs.c.priority == row["priority"])
            line = select(jobs).where(*mine, jobs.c.status == JobState.QUEUED.value).order_by(jobs.c.id)
            found = [job_of(r) for r in connection.execute(line.with_for_update()).mappings()]
            queue = sorted(found, key=lambda j: j.position)
            places = [j.position for j in queue]
            by_id = {j.id: j for j in queue}
            if job_id not in by_id:
                return Refusal(code="not_queued", message=f"the job is {row['status']}, no longer in the queue")
            if before not in (None, *by_id) or before == job_id:
                message = f"{before} is not another queued job of the same owner and priority"
                return Refusal(code="not_a_neighbour", message=message)
            moved = by_id.pop(job_id)
            queue = list(by_id.values())
            queue.insert(len(queue) if before is None else queue.index(by_id[before]), moved)
            shifts = {j.id: place for j, place in zip(queue, places, strict=True) if j is not moved}
            for other in queue:
                if other is not moved and other.position != shifts[other.id]:
                    run(connection, other, (Move(position=shifts[other.id], is_shift=True),), now)
            return run(connection, moved, (Move(position=places[queue.index(moved)]),), now)


def _is_due(now: float) -> ColumnElement[bool]:
    """Held by a lease that ran out, or queued for longer than it may wait."""
    waits = jobs.c.status == JobState.QUEUED.value
    return or_(jobs.c.status.in_(HELD) & (jobs.c.lease_until <= now), waits & (jobs.c.expires_at <= now))


def _signal(job: Job | Refusal) -> Signal:
    match job:
        case Job(state=Canceling()):
            return "cancel"
        case Job(state=Running(pause_wanted=True)):
            return "pause"
        case Job():
            return "go_on"
        case _:
            return "lost"
