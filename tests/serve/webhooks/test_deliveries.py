from __future__ import annotations

import json

import pytest

from kinema.core.errors import InvalidInput
from kinema.serve.jobs.retention import collect
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.webhooks.deliveries import (
    DELAYS_S,
    JITTER,
    PER_ENDPOINT,
    Claimed,
    Outcome,
    claim,
    derive,
    finish,
    forget,
    get_delivery,
    list_deliveries,
    redeliver,
    send_test,
)
from kinema.serve.webhooks.endpoints import (
    Endpoint,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    get_endpoint,
    rotate_secret,
    secrets_of,
)
from tests.serve.shared import BOTH, Clock
from tests.serve.webhooks.shared import GUARD, URL, begin, fail, progress, submit, succeed

pytestmark = BOTH
OK, BAD, GONE = (Outcome(duration_s=0.1, status_code=code) for code in (204, 500, 410))
LEASE_S = 60.0


@pytest.fixture
def endpoint(store: JobStore) -> Endpoint:
    return create_endpoint(store.database, GUARD, owner="ann", url=URL)


def take(store: JobStore, most: int = 100, most_failing: int = 100) -> list[Claimed]:
    return claim(store.database, lease_s=LEASE_S, most=most, most_failing=most_failing)


def send(store: JobStore, endpoint: Endpoint, number: int = 1) -> list[str]:
    sent = [send_test(store.database, endpoint.id, owner=endpoint.owner) for _ in range(number)]
    return [d.id for d in sent if d is not None]


def status(store: JobStore, delivery_id: str) -> str:
    found = get_delivery(store.database, delivery_id, owner="ann")
    assert found is not None
    return found.status


def failures(store: JobStore, endpoint: Endpoint) -> int:
    found = get_endpoint(store.database, endpoint.id, owner=endpoint.owner)
    assert found is not None
    return found.failures


def test_every_event_becomes_one_delivery(store: JobStore, endpoint: Endpoint) -> None:
    other = open_store(store.database.name) if store.database.is_sqlite else store
    job = submit(store)
    assert derive(store.database) == 0
    job = begin(store)
    assert derive(store.database) == 1
    assert derive(other.database) == 0
    progress(store, job, 1, 2)
    assert derive(store.database) == 0
    succeed(store, job)
    assert derive(other.database) == 1
    assert derive(store.database) == 0
    found = list_deliveries(store.database, owner="ann", endpoint_id=endpoint.id)
    assert [(d.kind, d.number, d.status, d.tries) for d in found] == [
        ("completed", 6, "waiting", 0),
        ("started", 3, "waiting", 0),
    ]
    assert [json.loads(d.payload)["id"] for d in found] == [d.id for d in found]
    assert list_deliveries(store.database, owner="bob") == []
    assert get_delivery(store.database, found[0].id, owner="bob") is None
    other.close()


def test_one_that_was_taken_is_no_other_s(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    (message,) = send(store, endpoint)
    (claimed,) = take(store)
    assert (claimed.id, claimed.url, claimed.tries, claimed.at) == (message, URL, 1, clock.now)
    assert take(store) == []
    finish(store.database, claimed, OK)
    assert take(store) == []
    found = get_delivery(store.database, message, owner="ann")
    assert found is not None
    assert (found.status, found.tries, found.finished_at, found.next_at) == ("delivered", 1, clock.now, None)
    assert [(t.number, t.status_code, t.error, t.duration_s) for t in found.log] == [(1, 204, None, 0.1)]


def test_who_died_with_it_is_followed_by_another(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    (message,) = send(store, endpoint)
    (first,) = take(store)
    clock.forward(LEASE_S)
    (second,) = take(store)
    assert (second.id, second.tries) == (message, 2)
    # too late: it is the other's now
    finish(store.database, first, OK)
    assert status(store, message) == "waiting"
    finish(store.database, second, OK)
    found = get_delivery(store.database, message, owner="ann")
    assert found is not None
    assert [(t.number, t.status_code, t.error is None) for t in found.log] == [(1, None, False), (2, 204, True)]


def test_tries_over_a_day_and_then_no_more(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    (message,) = send(store, endpoint)
    begun, waits = clock.now, []
    for number in range(1, len(DELAYS_S) + 2):
        (claimed,) = take(store)
        assert claimed.tries == number
        finish(store.database, claimed, BAD)
        found = get_delivery(store.database, message, owner="ann")
        assert found is not None
        if found.next_at is not None:
            waits.append(found.next_at - clock.now)
            clock.now = found.next_at - 0.01
            assert take(store) == []
            clock.now = found.next_at
    assert status(store, message) == "failed"
    clock.forward(10 * 86400)
    assert take(store) == []
    assert failures(store, endpoint) == len(waits) + 1 >= 8
    assert all(d <= w <= d * (1 + JITTER) for d, w in zip(DELAYS_S, waits, strict=True))
    assert len(set(waits)) > len(set(DELAYS_S)) - 1
    assert 24 * 3600 <= clock.now - begun - 10 * 86400 <= 27 * 3600


def test_a_receiver_may_ask_for_more_time_within_bounds(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    (message,) = send(store, endpoint)
    for asked, most in ((100.0, 100.0), (1.0, 33.0), (1e9, max(DELAYS_S))):
        (claimed,) = take(store)
        finish(store.database, claimed, Outcome(duration_s=0, status_code=503, retry_after_s=asked))
        found = get_delivery(store.database, message, owner="ann")
        assert found is not None
        assert found.next_at is not None
        assert asked - 1 <= found.next_at - clock.now <= most or found.next_at - clock.now == most
        clock.now = found.next_at


def test_gone_switches_off_and_drops_what_waits(store: JobStore, endpoint: Endpoint) -> None:
    first, second, third = send(store, endpoint, 3)
    one, two, _ = take(store)
    finish(store.database, one, OK)
    finish(store.database, two, GONE)
    found = get_endpoint(store.database, endpoint.id, owner="ann")
    assert found is not None
    assert (found.enabled, found.disabled_reason) == (False, "the receiver answered 410 Gone")
    assert [status(store, m) for m in (first, second, third)] == ["delivered", "dropped", "dropped"]
    submit(store)
    begin(store)
    assert derive(store.database) == 0
    for refuse in (
        lambda: send_test(store.database, endpoint.id, owner="ann"),
        lambda: redeliver(store.database, second, owner="ann"),
    ):
        with pytest.raises(InvalidInput, match="off; enable it"):
            refuse()
    change_endpoint(store.database, GUARD, endpoint.id, owner="ann", enabled=True)
    assert redeliver(store.database, second, owner="ann") is not None
    assert [c.id for c in take(store)] == [second]


def test_one_receiver_holds_only_so_many(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    other = create_endpoint(store.database, GUARD, owner="bob", url=URL)
    send(store, endpoint, 10)
    clock.forward(1)
    late = send(store, other)
    taken = take(store, most=6)
    assert [c.endpoint_id for c in taken].count(endpoint.id) == PER_ENDPOINT
    assert taken[-1].endpoint_id == other.id
    del late
    assert take(store) == []
    finish(store.database, taken[0], OK)
    assert len(take(store)) == 1


def test_receivers_that_fail_come_last_and_one_at_a_time(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    bad = [endpoint, create_endpoint(store.database, GUARD, owner="ann", url=URL)]
    good = create_endpoint(store.database, GUARD, owner="bob", url=URL)
    for one in bad:
        send(store, one, 3)
    for claimed in take(store):
        finish(store.database, claimed, BAD)
    assert [failures(store, one) for one in bad] == [3, 3]
    clock.forward(60)
    send(store, good, 2)
    taken = take(store, most=10, most_failing=1)
    assert [c.endpoint_id == good.id for c in taken] == [True, True, False]
    assert [c.is_failing for c in taken] == [False, False, True]
    # the other one
    more = take(store, most=10, most_failing=5)
    assert len(more) == 1
    assert {taken[-1].endpoint_id, more[0].endpoint_id} == {one.id for one in bad}
    finish(store.database, more[0], OK)
    assert sorted(failures(store, one) for one in bad) == [0, 3]


def test_redelivery_has_the_same_id_and_all_tries_anew(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    (message,) = send(store, endpoint)
    for _ in range(len(DELAYS_S) + 1):
        (claimed,) = take(store)
        finish(store.database, claimed, BAD)
        clock.forward(86400)
    assert status(store, message) == "failed"
    assert redeliver(store.database, message, owner="bob") is None
    again = redeliver(store.database, message, owner="ann")
    assert again is not None
    assert (again.id, again.status, again.next_at, len(again.log)) == (message, "waiting", clock.now, 10)
    (claimed,) = take(store)
    with pytest.raises(InvalidInput, match="being sent"):
        redeliver(store.database, message, owner="ann")
    finish(store.database, claimed, BAD)
    found = get_delivery(store.database, message, owner="ann")
    assert found is not None
    assert (found.status, found.tries) == ("waiting", 11)
    assert found.next_at is not None
    assert DELAYS_S[0] <= found.next_at - clock.now <= DELAYS_S[0] * 1.1
    clock.now = found.next_at
    (claimed,) = take(store)
    finish(store.database, claimed, OK)
    # what was delivered can be sent again too
    redeliver(store.database, message, owner="ann")
    (claimed,) = take(store)
    assert (claimed.id, claimed.tries) == (message, 13)


def test_what_is_off_waits_until_it_is_on(store: JobStore, endpoint: Endpoint) -> None:
    (message,) = send(store, endpoint)
    change_endpoint(store.database, GUARD, endpoint.id, owner="ann", enabled=False)
    assert take(store) == []
    change_endpoint(store.database, GUARD, endpoint.id, owner="ann", enabled=True, url="https://new.example/")
    (claimed,) = take(store)
    assert (claimed.id, claimed.url) == (message, "https://new.example/")


def test_both_secrets_sign_while_both_live(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    db = store.database
    rotated = rotate_secret(db, owner="ann", endpoint_id=endpoint.id, keep_old_s=100)
    assert rotated is not None
    send(store, endpoint)
    (claimed,) = take(store)
    assert claimed.secrets == (rotated.current, rotated.old)
    clock.forward(100)
    (claimed,) = take(store)
    assert claimed.secrets == (rotated.current,)
    delete_endpoint(db, endpoint.id, owner="ann")
    # those of single jobs are signed by the owner's
    submit(store, url=URL, events=["started"])
    begin(store)
    derive(db)
    (claimed,) = take(store)
    mine = secrets_of(db, owner="ann")
    assert mine is not None
    assert claimed.secrets == (mine.current,)


def test_an_endpoint_takes_its_deliveries_with_it(store: JobStore, endpoint: Endpoint) -> None:
    send(store, endpoint, 2)
    claimed = take(store, most=1)[0]
    delete_endpoint(store.database, endpoint.id, owner="ann")
    finish(store.database, claimed, OK)
    assert take(store) == []
    assert list_deliveries(store.database, owner="ann") == []
    assert send_test(store.database, endpoint.id, owner="ann") is None


def test_a_job_takes_its_own_webhook_with_it(store: JobStore, clock: Clock) -> None:
    job = submit(store, url=URL)
    started = begin(store)
    derive(store.database)
    assert len(list_deliveries(store.database, owner="ann", job_id=job.id)) == 1
    fail(store, started)
    derive(store.database)
    clock.forward(31 * 86400)
    collect(store.database)
    assert store.get(job.id) is None
    assert list_deliveries(store.database, owner="ann") == []


def test_pages_and_filters(store: JobStore, endpoint: Endpoint) -> None:
    ids = send(store, endpoint, 5)[::-1]
    assert [d.id for d in list_deliveries(store.database, owner="ann", limit=2)] == ids[:2]
    assert [d.id for d in list_deliveries(store.database, owner="ann", limit=9, after=ids[1])] == ids[2:]
    (claimed,) = take(store, most=1)
    finish(store.database, claimed, OK)
    assert [d.id for d in list_deliveries(store.database, owner="ann", status="delivered")] == [claimed.id]
    assert list_deliveries(store.database, owner="ann", endpoint_id="whe_other") == []


def test_what_ended_long_ago_is_forgotten(store: JobStore, endpoint: Endpoint, clock: Clock) -> None:
    send(store, endpoint, 2)
    (claimed,) = take(store, most=1)
    finish(store.database, claimed, OK)
    clock.forward(1000)
    assert forget(store.database, keep_s=1001) == 0
    assert forget(store.database, keep_s=1000) == 1
    assert len(list_deliveries(store.database, owner="ann")) == 1
