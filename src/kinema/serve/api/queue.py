"""Where every job stands in the queue and when it will be done, looked up once for all who ask within a moment."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import RowMapping, and_, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.eta import Eta, Run, predict
from kinema.serve.jobs.order import in_order
from kinema.serve.jobs.reading import HELD, read_queue, runs_of
from kinema.serve.jobs.schema import attempts, jobs


@dataclass(frozen=True, kw_only=True)
class Place:
    """``position`` counts the jobs that go before, None for one that runs; ``eta`` is None where nothing is known."""

    position: int | None
    eta: Eta | None


NOWHERE = Place(position=None, eta=None)


class QueueView:
    """The queue for ``workers`` workers of kind ``device``, at most ``fresh_s`` old."""

    def __init__(self, database: Database, *, device: str, workers: int, fresh_s: float = 0.5) -> None:
        self._database, self._device, self._workers, self._fresh_s = database, device, workers, fresh_s
        self._lock = threading.Lock()
        self._places: Mapping[str, Place] = {}
        self._read_at = float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether `place` would answer without a look at the database."""
        return self._read_at >= time.monotonic() - self._fresh_s

    def place(self, job_id: str, *, at: float = 0.0) -> Place:
        """Where the job stands; `NOWHERE` if it neither waits nor runs. ``at``: what is older (`time.monotonic`) won't do."""
        with self._lock:
            if self._read_at < max(at, time.monotonic() - self._fresh_s):
                now = time.monotonic()
                self._places = places(self._database, device=self._device, workers=self._workers)
                self._read_at = now
            return self._places.get(job_id, NOWHERE)

    def run_time(self, *, model: str, shape: str, steps: int, cost: float) -> Eta | None:
        """How long a job would run, without the queue."""
        with self._database.read() as (connection, _):
            return predict(runs_of(connection, model, self._device), shape=shape, steps=steps, cost=cost)

    def length(self) -> int:
        """How many jobs may be claimed."""
        with self._database.read() as (connection, now):
            return len(read_queue(connection, now)[0])


def places(database: Database, *, device: str, workers: int) -> dict[str, Place]:
    """Job -> place, of all that wait or run; the same estimates as `kinema.serve.jobs.reading.eta` makes one by one."""
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
    own = [lasts(rows[job_id]) for job_id in order]
    # jobs of which nothing is known count like one of which something is
    typical = next((eta for eta in own if eta is not None), None)
    running = [eta for row in held if (eta := left(row, typical)) is not None]
    medians = _ends(
        [e.median_s for e in running], [(e or typical or Eta(median_s=0, p90_s=0)).median_s for e in own], workers
    )
    p90s = _ends([e.p90_s for e in running], [(e or typical or Eta(median_s=0, p90_s=0)).p90_s for e in own], workers)
    for position, (job_id, eta, median_s, p90_s) in enumerate(zip(order, own, medians, p90s, strict=True)):
        found[job_id] = Place(position=position, eta=eta and Eta(median_s=median_s, p90_s=p90_s))
    return found


def _ends(running: list[float], waiting: list[float], workers: int) -> list[float]:
    """When each of ``waiting`` ends: ``workers`` finish what is ``running`` and take them in order."""
    free = sorted(running + [0.0] * (workers - len(running)))[: max(1, workers)]
    heapq.heapify(free)
    ends = []
    for seconds in waiting:
        end = heapq.heappop(free) + seconds
        ends.append(end)
        heapq.heappush(free, end)
    return ends
