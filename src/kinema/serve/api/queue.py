"""Where every job stands in the queue and when it will be done, looked up once for all who ask within a moment."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass

from sqlalchemy import RowMapping, and_, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.eta import Eta, Run, predict
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.order import in_order
from kinema.serve.jobs.reading import HELD, read_queue, runs_of
from kinema.serve.jobs.schema import attempts, jobs


@dataclass(frozen=True, kw_only=True)
class Place:
    """``position`` counts the jobs that go before, None for one that runs; ``eta`` is None where nothing is known."""

    position: int | None
    eta: Eta | None


NOWHERE = Place(position=None, eta=None)
_NO_TIME = Eta(median_s=0, p90_s=0)


@dataclass(kw_only=True)
class Seen:
    """The queue at one moment: every place, how many wait, when workers are free after them all, and what a job usually takes."""

    places: dict[str, Place]
    waiting: int = 0
    free: tuple[list[float], list[float]]
    typical: Eta | None = None

    def append(self, job_id: str, own: Eta | None) -> None:
        """One more behind all others, which lasts ``own`` once it runs."""
        lasts = own or self.typical or _NO_TIME
        ends = Eta(median_s=_end(self.free[0], lasts.median_s), p90_s=_end(self.free[1], lasts.p90_s))
        self.places[job_id] = Place(position=self.waiting, eta=own and ends)
        self.waiting += 1


class QueueView:
    """The queue for ``workers`` workers of kind ``device``, at most ``fresh_s`` old."""

    def __init__(self, database: Database, *, device: str, workers: int, fresh_s: float = 0.5) -> None:
        self._database, self._device, self._workers, self._fresh_s = database, device, workers, fresh_s
        self._lock = threading.Lock()
        self._seen = Seen(places={}, free=([], []))
        self._read_at = float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether `place` would answer without a look at the database."""
        return self._read_at >= time.monotonic() - self._fresh_s

    def place(self, job_id: str) -> Place:
        """Where the job stands; `NOWHERE` if it neither waits nor runs."""
        with self._lock:
            self._look()
            return self._seen.places.get(job_id, NOWHERE)

    def add(self, job: Job) -> Place:
        """Where ``job`` stands, which was just made: behind all that were seen a moment ago, whatever the next look will say."""
        order = job.order
        own = self.run_time(model=order.model, shape=order.shape, steps=order.steps, cost=order.cost)
        with self._lock:
            self._look()
            if job.id not in self._seen.places:
                self._seen.append(job.id, own)
            return self._seen.places[job.id]

    def _look(self) -> None:
        now = time.monotonic()
        if self._read_at < now - self._fresh_s:
            self._seen = look(self._database, device=self._device, workers=self._workers)
            self._read_at = now

    def run_time(self, *, model: str, shape: str, steps: int, cost: float) -> Eta | None:
        """How long a job would run, without the queue."""
        with self._database.read() as (connection, _):
            return predict(runs_of(connection, model, self._device), shape=shape, steps=steps, cost=cost)

    def length(self) -> int:
        """How many jobs may be claimed."""
        with self._database.read() as (connection, now):
            return len(read_queue(connection, now)[0])


def look(database: Database, *, device: str, workers: int) -> Seen:
    """All that wait, in the order in which they would be claimed if nothing else changed, and all that run.

    ``workers`` workers of kind ``device`` finish what runs and then take what waits, one job each; `Place.eta` counts from now.
    """
    with database.read() as (connection, now):
        of_attempt = and_(attempts.c.job_id == jobs.c.id, attempts.c.fence == jobs.c.fence)
        query = (
            select(
                *jobs.c["id", "status", "model", "shape", "num_steps", "cost"],
                attempts.c.started_at,
                attempts.c.from_step,
            )
            .outerjoin(attempts, of_attempt)
            .where(jobs.c.status.in_([JobState.QUEUED.value, *HELD]))
        )
        rows = {row["id"]: row for row in connection.execute(query).mappings()}
        order = [job.id for job in in_order(*read_queue(connection, now)) if job.id in rows]
        known: dict[str, list[Run]] = {
            model: runs_of(connection, model, device) for model in {r["model"] for r in rows.values()}
        }

    def lasts(row: RowMapping) -> Eta | None:
        return predict(known[row["model"]], shape=row["shape"], steps=row["num_steps"], cost=row["cost"])

    def left(row: RowMapping, otherwise: Eta | None) -> Eta | None:
        whole = lasts(row) or otherwise
        share = 1 - (row["from_step"] or 0) / max(1, row["num_steps"])
        elapsed_s = 0.0 if row["started_at"] is None else now - row["started_at"]
        return whole and whole.scaled(share).after(elapsed_s)

    held = [row for row in rows.values() if row["status"] in HELD]
    found = {row["id"]: Place(position=None, eta=lasts(row) and left(row, None)) for row in held}
    own = {job_id: lasts(rows[job_id]) for job_id in order}
    # jobs of which nothing is known count like one of which something is
    typical = next((eta for eta in own.values() if eta is not None), None)
    running = [eta for row in held if (eta := left(row, typical)) is not None]
    free = (_free([e.median_s for e in running], workers), _free([e.p90_s for e in running], workers))
    seen = Seen(places=found, free=free, typical=typical)
    for job_id in order:
        seen.append(job_id, own[job_id])
    return seen


def _free(running: list[float], workers: int) -> list[float]:
    """When each of ``workers`` has finished what is ``running``: a heap."""
    return sorted(running + [0.0] * (workers - len(running)))[: max(1, workers)]


def _end(free: list[float], seconds: float) -> float:
    """When a job ends that lasts ``seconds``, on the worker that is free first."""
    end = heapq.heappop(free) + seconds
    heapq.heappush(free, end)
    return end
