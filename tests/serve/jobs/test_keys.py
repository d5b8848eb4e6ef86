from __future__ import annotations

from collections.abc import Iterator

import pytest

from kinema.core.errors import InvalidInput
from kinema.serve.jobs.commands import Limits, Refusal
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.keys import KEEP_S, Conflict, InFlight, Replay, Reservation, abandon, reserve
from kinema.serve.jobs.reading import list_jobs
from kinema.serve.jobs.retention import collect
from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.shared import BOTH, Clock, order

pytestmark = BOTH


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    store = open_store(url, clock=clock, limits=Limits(per_owner=2))
    yield store
    store.close()


def new(store: JobStore, key: str = "k", owner: str = "ann", fingerprint: str = "f") -> Reservation:
    reservation = reserve(store.database, owner, key, fingerprint=fingerprint)
    assert isinstance(reservation, Reservation), reservation
    return reservation


def test_the_same_again_is_the_same_job(store: JobStore, clock: Clock) -> None:
    job = store.submit(order(), reservation=new(store))
    assert isinstance(job, Job)
    clock.forward(KEEP_S - 1)
    assert reserve(store.database, "ann", "k", fingerprint="f") == Replay(job_id=job.id)
    assert reserve(store.database, "ann", "k", fingerprint="g") == Conflict()
    clock.forward(1)
    new(store, fingerprint="g")


def test_keys_are_each_owner_s(store: JobStore) -> None:
    store.submit(order(), reservation=new(store))
    new(store, owner="bob")
    new(store, key="l")


def test_what_is_in_flight_is_not_begun_again(store: JobStore, clock: Clock) -> None:
    first = new(store)
    clock.forward(20)
    assert reserve(store.database, "ann", "k", fingerprint="f") == InFlight(retry_after_s=40)
    assert reserve(store.database, "ann", "k", fingerprint="g") == Conflict()
    # the server that held it died
    clock.forward(40)
    second = new(store)
    late = store.submit(order(), reservation=first)
    assert isinstance(late, Refusal)
    assert late.code == "reservation_lost"
    assert list_jobs(store.database) == []
    job = store.submit(order(), reservation=second)
    assert isinstance(job, Job)
    again = store.submit(order(), reservation=second)
    assert isinstance(again, Refusal)
    assert list_jobs(store.database) == [job]


def test_a_request_that_came_to_nothing_frees_its_key(store: JobStore) -> None:
    first = new(store)
    abandon(store.database, first)
    second = new(store, fingerprint="g")
    # too late: the key is another request's now
    abandon(store.database, first)
    assert isinstance(store.submit(order(), reservation=second), Job)
    abandon(store.database, second)
    assert isinstance(reserve(store.database, "ann", "k", fingerprint="g"), Replay)


def test_a_refused_job_leaves_the_key_reserved(store: JobStore) -> None:
    for _ in range(2):
        store.submit(order())
    reservation = new(store)
    refusal = store.submit(order(), reservation=reservation)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "queue_full"
    assert isinstance(reserve(store.database, "ann", "k", fingerprint="f"), InFlight)


def test_old_keys_are_collected(store: JobStore, clock: Clock) -> None:
    store.submit(order(), reservation=new(store))
    new(store, key="l")
    clock.forward(KEEP_S)
    assert collect(store.database).keys == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "\x00"])
def test_a_key_that_can_t_be_stored_is_refused(store: JobStore, key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        reserve(store.database, "ann", key, fingerprint="f")
