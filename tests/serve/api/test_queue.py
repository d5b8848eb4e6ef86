"""Places in the queue agree with the estimates that the store makes one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kinema.serve.api.queue import NOWHERE, QueueView, places
from kinema.serve.jobs.commands import Start, Step, Succeed
from kinema.serve.jobs.reading import eta, queue_order
from kinema.serve.jobs.store import open_store
from tests.serve.shared import Clock, submit


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_places_are_the_stores_own(tmp_path: Path, clock: Clock, workers: int):
    chance = random.Random(workers)
    store = open_store(f"sqlite:///{tmp_path}/jobs.db", clock=clock)
    for n in range(4):
        submit(store, cost=float(n + 1), shape=f"{n}", steps=2)
        (job,) = store.claim("w", lease_s=1e6)
        store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=1))
        clock.forward(3.0 * (n + 1))
        store.apply(job.id, Step(fence=job.fence, step=1), Succeed(fence=job.fence, result={}))
    for _ in range(12):
        submit(
            store,
            chance.choice("abc"),
            cost=chance.uniform(1, 5),
            shape="x",
            steps=2,
            priority=chance.choice([0, 0, 1]),
        )
    for _ in range(workers):
        (job,) = store.claim("w", lease_s=1e6)
        store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=1))
        clock.forward(1.3)
    found = places(store.database, device="cpu", workers=workers)
    order = queue_order(store.database)
    assert [found[job].position for job in order] == list(range(len(order)))
    assert len(found) == 12
    for job, place in found.items():
        expected = eta(store.database, job, device="cpu", workers=workers)
        assert place.eta is not None
        assert expected is not None
        assert place.eta.median_s == pytest.approx(expected.median_s)
        assert place.eta.p90_s == pytest.approx(expected.p90_s)
    store.close()


def test_a_view_is_looked_up_once_a_moment(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    view = QueueView(store.database, device="cpu", workers=1, fresh_s=1000)
    first = submit(store).id
    assert view.place(first).position == 0
    second = submit(store).id
    assert view.place(second) == NOWHERE
    assert view.place(second, at=float("inf")).position == 1
    # nothing is known of how long anything takes
    assert view.place(first).eta is None
    assert view.length() == 2
    store.close()
