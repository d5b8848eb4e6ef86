"""What tests of the service share."""

from __future__ import annotations

import pytest

from kinema.serve.api.queue import look
from kinema.serve.jobs.commands import Start, Succeed
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.job import Job, Order
from kinema.serve.jobs.store import JobStore

# for tests that run on both databases: the fixture ``url`` is that of an empty one
BOTH = pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.system)], indirect=True)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def order(owner: str = "ann", **changes: object) -> Order:
    """An order of five steps."""
    fields = {"model": "mini", "request": {"prompt": "a cube"}, "steps": 5, "plan_key": "p", "shape": "5x7x11"}
    return Order(owner=owner, **{**fields, **changes})  # pyright: ignore[reportArgumentType]


def submit(store: JobStore, owner: str = "ann", **changes: object) -> Job:
    """A job of such an order, which has to be accepted."""
    job = store.submit(order(owner, **changes))
    assert isinstance(job, Job), job
    return job


def finish(store: JobStore, clock: Clock, seconds: float, *, device: str = "cpu", **changes: object) -> Job:
    """A job that ran for so long."""
    submit(store, **changes)  # pyright: ignore[reportArgumentType]
    (job,) = store.claim("w", lease_s=1e6, device=device)
    store.apply(job.id, Start(fence=1, from_step=0, checkpoint_every=2))
    clock.forward(seconds)
    after = store.apply(job.id, Succeed(fence=1, result={}, outputs=("out", job.id), keep_s=100))
    assert isinstance(after, Job)
    return after


def queue_order(database: Database) -> list[str]:
    """The ids of the jobs that may be claimed, in the order that is told to their owners."""
    places = look(database, device="cpu", workers=1).places
    return [job_id for job_id, place in places.items() if place.position is not None]
