from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook

from kinema.serve.addresses import Rules
from kinema.serve.fetch import Guard
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.webhooks.deliverer import Deliverer
from kinema.serve.webhooks.deliveries import get_delivery, list_deliveries, send_test
from kinema.serve.webhooks.endpoints import create_endpoint, rotate_secret, secrets_of, watch
from tests.serve.listeners import Listener, always, response
from tests.serve.shared import BOTH, order
from tests.serve.webhooks.shared import begin, delivering, progress, submit, succeed, wait_for

pytestmark = BOTH
DELAYS_S = (0.02,) * 9


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def other(store: JobStore, url: str) -> Iterator[JobStore]:
    """Another replica's."""
    other = open_store(url)
    yield other
    other.close()


def guard(*listeners: Listener) -> Guard:
    return Guard(Rules(allow=tuple(f"127.0.0.1:{listener.port}" for listener in listeners)))


def url_of(listener: Listener) -> str:
    return f"http://127.0.0.1:{listener.port}/hook"


def parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body


def test_a_job_s_life_arrives_signed_and_in_order(store: JobStore) -> None:
    with Listener(always(response(b""))) as listener:
        guarded = guard(listener)
        endpoint = create_endpoint(
            store.database, guarded, owner="ann", url=url_of(listener), events=["started", "progress", "completed"]
        )
        submit(store)
        with delivering(Deliverer(store.database, guarded, base_url="http://api.test", poll_s=0.01)):
            job = begin(store)
            wait_for(lambda: len(listener.requests) == 1)
            # one report, since whether the deliverer sees the first of two before the second is there is chance
            progress(store, job, 1)
            wait_for(lambda: len(listener.requests) == 2)
            succeed(store, job)
            wait_for(lambda: len(listener.requests) == 3)
        secrets = secrets_of(store.database, owner="ann", endpoint_id=endpoint.id)
        assert secrets is not None
        found = [Webhook(secrets.current).verify(body, head) for head, body in map(parts, listener.requests)]
    assert [(m["type"], m["data"]["event"]) for m in found] == [
        ("video.started", 3),
        ("video.progress", 4),
        ("video.completed", 5),
    ]
    heads = [parts(r)[0] for r in listener.requests]
    assert [h["webhook-id"] for h in heads] == [m["id"] for m in found]
    assert {h["Content-Type"] for h in heads} == {"application/json"}
    assert found[0]["data"]["url"] == f"http://api.test/v1/videos/{job.id}"


def test_two_live_secrets_both_verify(store: JobStore) -> None:
    with Listener(always(response(b""))) as listener:
        guarded = guard(listener)
        endpoint = create_endpoint(store.database, guarded, owner="ann", url=url_of(listener))
        secrets = rotate_secret(store.database, owner="ann", endpoint_id=endpoint.id)
        assert secrets is not None
        assert secrets.old is not None
        send_test(store.database, endpoint.id, owner="ann")
        with delivering(Deliverer(store.database, guarded, poll_s=0.01)):
            wait_for(lambda: len(listener.requests) == 1)
        head, body = parts(listener.requests[0])
    for secret in (secrets.current, secrets.old):
        assert Webhook(secret).verify(body, head)["type"] == "webhook.test"


def test_whoever_fails_is_tried_again_with_the_same_message(store: JobStore) -> None:
    answers = iter([b"", response(b"", status="500 E"), response(b"", status="302 F", location="/x"), response(b"")])
    with Listener(lambda connection, _: connection.sendall(next(answers))) as listener:
        guarded = guard(listener)
        endpoint = create_endpoint(store.database, guarded, owner="ann", url=url_of(listener))
        test = send_test(store.database, endpoint.id, owner="ann")
        assert test is not None
        with delivering(Deliverer(store.database, guarded, poll_s=0.01, delays_s=DELAYS_S)):
            wait_for(lambda: len(listener.requests) == 4)
        found = get_delivery(store.database, test.id, owner="ann")
        assert found is not None
    assert found.status == "delivered"
    assert [t.status_code for t in found.log] == [None, 500, 302, 200]
    assert [bool(t.error) for t in found.log] == [True, True, True, False]
    assert len({(head["webhook-id"], body) for head, body in map(parts, listener.requests)}) == 1


def test_what_may_not_be_reached_is_not_and_the_log_says_so(store: JobStore) -> None:
    with Listener(always(response(b"")), host="127.0.0.2") as trap:
        names = iter([["127.0.0.1"], ["127.0.0.2"]])
        guarded = Guard(Rules(allow=(f"127.0.0.1:{trap.port}",)), resolve=lambda name, port: next(names))
        hook = f"http://receiver.test:{trap.port}/"
        endpoint = create_endpoint(store.database, guarded, owner="ann", url=hook)
        next(names)
        test = send_test(store.database, endpoint.id, owner="ann")
        assert test is not None
        with delivering(Deliverer(store.database, guarded, poll_s=0.01)):
            wait_for(lambda: bool((found := get_delivery(store.database, test.id, owner="ann")) and found.log))
        found = get_delivery(store.database, test.id, owner="ann")
        assert found is not None
        assert found.status == "waiting"
        assert "not public" in (found.log[0].error or "")
    assert trap.connections == 0


def test_a_dead_receiver_holds_no_other(store: JobStore) -> None:
    release = threading.Event()

    def never(connection: socket.socket, _: bytes) -> None:
        release.wait(60)

    with Listener(never) as dead, Listener(always(response(b""))) as live:
        guarded = guard(dead, live)
        slow, quick = (
            create_endpoint(store.database, guarded, owner=owner, url=url_of(listener))
            for owner, listener in (("ann", dead), ("bob", live))
        )
        for _ in range(30):
            send_test(store.database, slow.id, owner="ann")
        with delivering(Deliverer(store.database, guarded, threads=6, poll_s=0.01, timeout_s=60)):
            wait_for(lambda: len(dead.requests) == 4)
            for _ in range(20):
                send_test(store.database, quick.id, owner="bob")
            wait_for(lambda: len(live.requests) == 20)
            # still waited for, and never more than its share at a time
            assert dead.connections == 4
            assert not release.is_set()
            release.set()


def test_two_replicas_send_everything_once(store: JobStore, other: JobStore) -> None:
    with Listener(always(response(b""))) as listener:
        guarded = guard(listener)
        for owner in ("ann", "bob", "cid"):
            create_endpoint(store.database, guarded, owner=owner, url=url_of(listener))
        deliverers = [Deliverer(s.database, guarded, poll_s=0.01) for s in (store, other)]
        with delivering(deliverers[0]), delivering(deliverers[1]):
            for owner in ("ann", "bob", "cid") * 4:
                store.submit(order(owner), within=[watch(guarded)])
                succeed(store, begin(store))
            wait_for(
                lambda: all(
                    len(list_deliveries(store.database, owner=o, status="delivered")) == 8
                    for o in ("ann", "bob", "cid")
                )
            )
    sent = Counter(json.loads(parts(r)[1])["id"] for r in listener.requests)
    assert len(sent) == 24
    assert set(sent.values()) == {1}


def test_a_stopped_deliverer_ends_what_it_sends(store: JobStore) -> None:
    def slowly(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.3)
        connection.sendall(response(b""))

    with Listener(slowly) as listener:
        guarded = guard(listener)
        endpoint = create_endpoint(store.database, guarded, owner="ann", url=url_of(listener))
        test = send_test(store.database, endpoint.id, owner="ann")
        assert test is not None
        with delivering(Deliverer(store.database, guarded, poll_s=0.01)):
            wait_for(lambda: listener.connections == 1)
        found = get_delivery(store.database, test.id, owner="ann")
        assert found is not None
        assert found.status == "delivered"


def test_a_broken_database_is_waited_for(store: JobStore, caplog: pytest.LogCaptureFixture) -> None:
    with Listener(always(response(b""))) as listener:
        guarded = guard(listener)
        endpoint = create_endpoint(store.database, guarded, owner="ann", url=url_of(listener))
        with store.database.write() as (connection, _):
            connection.exec_driver_sql("ALTER TABLE webhook_cursors RENAME TO away")
        with delivering(Deliverer(store.database, guarded, poll_s=0.01)):
            wait_for(lambda: "in a moment" in caplog.text)
            send_test(store.database, endpoint.id, owner="ann")
            with store.database.write() as (connection, _):
                connection.exec_driver_sql("ALTER TABLE away RENAME TO webhook_cursors")
            wait_for(lambda: listener.connections == 1)
