"""What tests of the service share."""

from __future__ import annotations

import pytest

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
