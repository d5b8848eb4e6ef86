"""What Prometheus is told: the queue as the database has it at the moment of asking, and this process's requests."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from kinema.core.jobs import JobState
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.schema import attempts, jobs

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """A registry of its own, so that several servers may live in one process."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "kinema_http_request_duration_seconds",
            "Time to the end of the answer, event streams left out",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.streams = Gauge("kinema_event_streams", "Open event streams", registry=self.registry)
        self.registry.register(_Queue(database))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format. Raises: StorageError."""
        return generate_latest(self.registry)


class _Queue(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: else the database would be asked when the server starts."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Counts of jobs by state, ages, and steps that are yet to run."""
        unfinished = [s.value for s in (JobState.QUEUED, JobState.RUNNING, JobState.CANCELING)]
        left = func.sum(jobs.c.num_steps - jobs.c.done_steps)
        with self._database.read() as (connection, now):
            counts = dict(connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all())
            lines = {
                (row.model, row.status): row
                for row in connection.execute(
                    select(
                        jobs.c.model,
                        jobs.c.status,
                        func.count().label("number"),
                        func.min(jobs.c.created_at).label("oldest"),
                        left.label("steps"),
                    )
                    .where(jobs.c.status.in_(unfinished))
                    .group_by(jobs.c.model, jobs.c.status)
                )
            }
            deaths = connection.scalar(select(func.sum(jobs.c.deaths))) or 0
            tried = connection.scalar(select(func.count()).select_from(attempts)) or 0
        states = GaugeMetricFamily("kinema_jobs", "Jobs by state", labels=["status"])
        for state in JobState:
            states.add_metric([state.value], counts.get(state.value, 0))
        yield states
        depth = GaugeMetricFamily("kinema_queue_depth", "Jobs that wait", labels=["model"])
        age = GaugeMetricFamily("kinema_queue_oldest_age_seconds", "Age of the oldest job that waits", labels=["model"])
        steps = GaugeMetricFamily("kinema_steps_left", "Denoising steps of unfinished jobs", labels=["model", "status"])
        for (model, status), row in lines.items():
            steps.add_metric([model, status], row.steps)
            if status == JobState.QUEUED.value:
                depth.add_metric([model], row.number)
                age.add_metric([model], max(0.0, now - row.oldest))
        yield from (depth, age, steps)
        yield GaugeMetricFamily("kinema_attempts", "Claims of the jobs that are kept", value=tried)
        yield GaugeMetricFamily("kinema_worker_deaths", "Workers that died with the jobs that are kept", value=deaths)
