"""Places in the queue, and when what waits will be done."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kinema.serve.api import queue
from kinema.serve.api.queue import NOWHERE, Place, QueueView, look
from kinema.serve.jobs.commands import Cancel, Pause, Release, SaveCheckpoint, Start, Step, Succeed
from kinema.serve.jobs.eta import Eta
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.shared import BOTH, Clock, finish, submit


def eta(store: JobStore, job: Job, *, device: str = "cpu", workers: int = 1) -> Eta | None:
    """When ``job`` will be done."""
    return look(store.database, device=device, workers=workers).places.get(job.id, NOWHERE).eta


def seconds(place: Place) -> tuple[float, float]:
    """Of an estimate that there is."""
    assert place.eta is not None
    return place.eta.median_s, place.eta.p90_s


@BOTH
def test_an_estimate_is_of_this_server_s_own_runs(store: JobStore, clock: Clock) -> None:
    waiting = submit(store, "bob")
    assert eta(store, waiting) is None
    store.apply(waiting.id, Cancel())
    for seconds in (10, 12, 30):
        finish(store, clock, seconds)
    finish(store, clock, 1000, device="cuda")
    finish(store, clock, 500, model="large")
    first, second = submit(store), submit(store)
    large = submit(store, shape="13x7x11", cost=2.0)
    assert eta(store, first) == Eta(median_s=12, p90_s=30)
    assert eta(store, second) == Eta(median_s=24, p90_s=60)
    assert eta(store, second, workers=2) == Eta(median_s=12, p90_s=30)
    # of the same model but another shape, twice the cost
    assert eta(store, large, workers=3) == Eta(median_s=24, p90_s=60)
    assert eta(store, first, device="cuda") == Eta(median_s=1000, p90_s=1000)
    assert eta(store, first, device="tpu") is None
    store.claim("w", lease_s=1e6)
    store.apply(first.id, Start(fence=1, from_step=0, checkpoint_every=2))
    clock.forward(5)
    assert eta(store, first) == Eta(median_s=7, p90_s=25)
    assert eta(store, second) == Eta(median_s=19, p90_s=55)
    store.apply(second.id, Pause())
    assert eta(store, second) is None
    assert eta(store, waiting) is None


@BOTH
def test_what_went_on_from_a_checkpoint_has_less_to_do_and_is_no_measure(store: JobStore, clock: Clock) -> None:
    finish(store, clock, 10)
    job = submit(store)
    store.claim("w", lease_s=1e6)
    steps = [Step(fence=1, step=i) for i in (1, 2, 3, 4)]
    save = SaveCheckpoint(fence=1, step=4, blob="b")
    store.apply(job.id, Start(fence=1, from_step=0, checkpoint_every=4), *steps, save, Release(fence=1))
    store.claim("w", lease_s=1e6)
    store.apply(job.id, Start(fence=2, from_step=4, checkpoint_every=4))
    clock.forward(0.5)
    left = eta(store, job)
    assert left is not None
    assert left.median_s == pytest.approx(10 * 1 / 5 - 0.5)
    store.apply(job.id, Succeed(fence=2, result={}))
    other = submit(store)
    assert eta(store, other) == Eta(median_s=10, p90_s=10)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_workers_take_jobs_as_they_become_free(store: JobStore, clock: Clock, workers: int):
    chance = random.Random(workers)
    for n in range(4):
        finish(store, clock, 3.0 * (n + 1), shape=f"{n}", steps=2, cost=float(n + 1))
    for _ in range(12):
        fields = {"cost": chance.uniform(1, 5), "shape": "x", "steps": 2, "priority": chance.choice([0, 0, 1])}
        submit(store, chance.choice("abc"), **fields)  # pyright: ignore[reportArgumentType]
    # three seconds of each unit of cost, by the runs above; those that run began one after another
    started = []
    for _ in range(workers):
        (job,) = store.claim("w", lease_s=1e6)
        store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=1))
        started.append((job, clock()))
        clock.forward(1.3)
    places = look(store.database, device="cpu", workers=workers).places
    free = [max(0.0, 3 * job.order.cost - (clock() - at)) for job, at in started]
    assert {places[job.id].position for job, _ in started} == {None}
    assert [seconds(places[job.id]) for job, _ in started] == [pytest.approx((s, s)) for s in free]
    for position in range(12 - workers):
        # as they are claimed, so were they foretold
        (job,) = store.claim("w", lease_s=1e6)
        first = free.index(min(free))
        free[first] += 3 * job.order.cost
        assert places[job.id].position == position
        assert seconds(places[job.id]) == pytest.approx((free[first], free[first]))
        clock.forward(1)


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
