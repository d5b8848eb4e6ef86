"""Places in the queue agree with the estimates that the store makes one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kinema.serve.api import queue
from kinema.serve.api.queue import NOWHERE, QueueView, look
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
    found = look(store.database, device="cpu", workers=workers).places
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
    # nothing is known of how long anything takes
    assert view.place(first).eta is None
    assert view.length() == 2
    store.close()


def test_new_jobs_go_behind_what_was_seen_without_another_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    submit(store, shape="a", steps=1)
    (job,) = store.claim("w", lease_s=1e6)
    store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=1))
    store.apply(job.id, Step(fence=job.fence, step=1), Succeed(fence=job.fence, result={}))
    looks = []
    monkeypatch.setattr(queue, "look", lambda *args, **kwargs: looks.append(1) or look(*args, **kwargs))
    view = QueueView(store.database, device="cpu", workers=1, fresh_s=1000)
    added = [view.add(made) for made in [submit(store, shape="a", steps=1) for _ in range(2)]]
    # the first look saw both; the rest are put behind them
    more = [submit(store, shape="a", steps=1) for _ in range(3)]
    added += [view.add(made) for made in more]
    assert [place.position for place in added] == [0, 1, 2, 3, 4]
    assert len(looks) == 1
    assert [view.place(made.id) for made in more] == [view.add(made) for made in more] == added[2:]
    # as another look has it
    assert look(store.database, device="cpu", workers=1).places == {**view._seen.places}
    store.close()
