from __future__ import annotations

import pytest

from kinema.core.errors import FetchError, InvalidInput
from kinema.serve.jobs.reading import list_jobs
from kinema.serve.jobs.store import JobStore
from kinema.serve.webhooks.deliveries import derive, list_deliveries
from kinema.serve.webhooks.endpoints import (
    KEEP_OLD_SECRET_S,
    MAX_ENDPOINTS,
    OldSecretLive,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    get_endpoint,
    list_endpoints,
    rotate_secret,
    secrets_of,
    watch,
)
from tests.serve.shared import BOTH, Clock
from tests.serve.webhooks.shared import GUARD, URL, begin, submit, succeed

pytestmark = BOTH


def test_an_owner_s_endpoints(store: JobStore, clock: Clock) -> None:
    db = store.database
    one = create_endpoint(db, GUARD, owner="ann", url="HTTPS://Receiver.example", description="first")
    assert (one.url, one.events, one.enabled) == (
        "https://receiver.example/",
        ("started", "completed", "failed", "canceled"),
        True,
    )
    two = create_endpoint(db, GUARD, owner="ann", url=URL, events=["failed", "progress"])
    assert two.events == ("progress", "failed")
    other = create_endpoint(db, GUARD, owner="bob", url=URL)
    assert list_endpoints(db, owner="ann") == [one, two]
    assert get_endpoint(db, one.id, owner="ann") == one
    changed = change_endpoint(db, GUARD, one.id, owner="ann", url=URL, events=["completed"], enabled=False)
    assert changed is not None
    assert (changed.url, changed.events, changed.enabled, changed.description) == (URL, ("completed",), False, "first")
    assert changed.disabled_reason == "switched off by its owner"
    again = change_endpoint(db, GUARD, one.id, owner="ann", enabled=True)
    assert again is not None
    assert again.disabled_reason is None
    # what is another's isn't there
    assert get_endpoint(db, other.id, owner="ann") is None
    assert change_endpoint(db, GUARD, other.id, owner="ann", url=URL) is None
    assert not delete_endpoint(db, other.id, owner="ann")
    assert secrets_of(db, owner="ann", endpoint_id=other.id) is None
    assert rotate_secret(db, owner="ann", endpoint_id=other.id) is None
    assert delete_endpoint(db, one.id, owner="ann")
    assert not delete_endpoint(db, one.id, owner="ann")
    assert secrets_of(db, owner="ann", endpoint_id=one.id) is None
    assert list_endpoints(db, owner="bob") == [other]


@pytest.mark.parametrize(
    "field,fields",
    [
        ("url", {"url": "https://10.0.0.1/"}),
        ("url", {"url": "ftp://receiver.example/"}),
        ("url", {"url": "https://user:pass@receiver.example/"}),
        ("url", {"url": None}),
        ("events", {"events": ["all"]}),
        ("events", {"events": []}),
        ("description", {"description": "a\nb"}),
        ("description", {"description": "a" * 201}),
    ],
)
def test_bad_endpoints(store: JobStore, field: str, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        create_endpoint(store.database, GUARD, **{"owner": "ann", "url": URL, **fields})  # pyright: ignore[reportArgumentType]
    assert list_endpoints(store.database, owner="ann") == []


def test_endpoints_have_a_limit(store: JobStore) -> None:
    for _ in range(MAX_ENDPOINTS):
        create_endpoint(store.database, GUARD, owner="ann", url=URL)
    with pytest.raises(InvalidInput, match="^webhooks: "):
        create_endpoint(store.database, GUARD, owner="ann", url=URL)
    create_endpoint(store.database, GUARD, owner="bob", url=URL)


def test_secrets_and_their_rotation(store: JobStore, clock: Clock) -> None:
    db = store.database
    endpoint = create_endpoint(db, GUARD, owner="ann", url=URL)
    for endpoint_id in (endpoint.id, None):
        first = secrets_of(db, owner="ann", endpoint_id=endpoint_id)
        assert first is not None
        assert first == secrets_of(db, owner="ann", endpoint_id=endpoint_id)
        assert first.live(clock.now) == (first.current,)
        second = rotate_secret(db, owner="ann", endpoint_id=endpoint_id)
        assert second == secrets_of(db, owner="ann", endpoint_id=endpoint_id)
        assert second is not None
        assert second.live(clock.now) == (second.current, first.current)
        assert second.live(clock.now + KEEP_OLD_SECRET_S) == (second.current,)
        # two at most, and none that was to live is ended by chance
        with pytest.raises(OldSecretLive) as refused:
            rotate_secret(db, owner="ann", endpoint_id=endpoint_id)
        assert refused.value.retry_after_s == KEEP_OLD_SECRET_S
        assert second == secrets_of(db, owner="ann", endpoint_id=endpoint_id)
        third = rotate_secret(db, owner="ann", endpoint_id=endpoint_id, keep_old_s=0)
        assert third is not None
        assert third.live(clock.now) == (third.current,)
        fourth = rotate_secret(db, owner="ann", endpoint_id=endpoint_id, keep_old_s=9)
        clock.forward(9)
        fifth = rotate_secret(db, owner="ann", endpoint_id=endpoint_id, keep_old_s=9)
        assert fourth is not None
        assert fifth is not None
        assert fifth.old == fourth.current
    mine, theirs = secrets_of(db, owner="ann"), secrets_of(db, owner="bob")
    assert mine != theirs
    with pytest.raises(InvalidInput, match="^keep_old_s: "):
        rotate_secret(db, owner="ann", keep_old_s=-1)


def test_a_new_endpoint_hears_of_what_is_under_way(store: JobStore) -> None:
    old = submit(store)
    succeed(store, begin(store))
    going = submit(store)
    started = begin(store)
    waiting = submit(store)
    endpoint = create_endpoint(store.database, GUARD, owner="ann", url=URL)
    assert derive(store.database) == 0
    succeed(store, started)
    begin(store)
    assert derive(store.database) == 2
    found = list_deliveries(store.database, owner="ann", endpoint_id=endpoint.id)
    assert {(d.job_id, d.kind) for d in found} == {(going.id, "completed"), (waiting.id, "started")}
    assert old.id not in {d.job_id for d in found}


def test_a_job_s_own_webhook(store: JobStore) -> None:
    job = submit(store, url="https://other.example/x", events=["completed"])
    endpoint = create_endpoint(store.database, GUARD, owner="ann", url=URL)
    create_endpoint(store.database, GUARD, owner="bob", url=URL)
    succeed(store, begin(store))
    assert derive(store.database) == 3
    found = list_deliveries(store.database, owner="ann", job_id=job.id)
    assert sorted((d.kind, d.endpoint_id == endpoint.id) for d in found) == [
        ("completed", False),
        ("completed", True),
        ("started", True),
    ]
    # it is the job's, and not one of the owner's
    assert list_endpoints(store.database, owner="ann") == [endpoint]


@pytest.mark.parametrize(
    "hook,events,field", [("http://[::1]/", ["failed"], "webhook_url"), (URL, ["x"], "webhook_events")]
)
def test_a_bad_webhook_makes_no_job(store: JobStore, hook: str, events: list[str], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: ") as error:
        watch(GUARD, url=hook, events=events)
    assert isinstance(error.value, FetchError) == (field == "webhook_url")
    assert list_jobs(store.database) == []
