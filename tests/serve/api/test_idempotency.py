"""Idempotency-Keys: one job, whatever the wire did; another request is refused."""

from __future__ import annotations

import threading

import httpx
import pytest

from kinema.serve.jobs import keys
from tests.serve.api.conftest import Server

KEY = {"idempotency-key": "abc"}
BODY = {"prompt": "a red ball rolls", "steps": 3}


def test_replay(client: httpx.Client, server: Server):
    first = client.post("/v1/videos", json=BODY, headers=KEY)
    assert "idempotency-replayed" not in first.headers
    # the same fields in another order and spelling
    second = client.post("/v1/videos", content=b' { "steps":3,\n"prompt":"a red ball rolls"}', headers={**KEY, **JSON})
    assert (second.status_code, second.headers["idempotency-replayed"]) == (200, "true")
    assert second.json()["id"] == first.json()["id"]
    server.worker.work(until=first.json()["id"])
    assert client.post("/v1/videos", json=BODY, headers=KEY).json()["status"] == "completed"
    assert len(client.get("/v1/videos").json()["data"]) == 1


JSON = {"content-type": "application/json"}


def test_files_count_by_their_content(client: httpx.Client, server: Server, picture: bytes):
    def post(data: bytes, name: str) -> httpx.Response:
        return client.post("/v1/videos", data={"prompt": "a"}, files={"input_reference": (name, data)}, headers=KEY)

    first = post(picture, "one.png")
    again = post(picture, "two.png")
    assert (again.headers.get("idempotency-replayed"), again.json()["id"]) == ("true", first.json()["id"])
    other = post(picture + b" ", "one.png")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.conflict")


def test_another_request_is_a_conflict(client: httpx.Client):
    assert client.post("/v1/videos", json=BODY, headers=KEY).status_code == 200
    for path, body in (
        ("/v1/videos", {**BODY, "steps": 4}),
        ("/v1/videos", {**BODY, "seed": None}),
        ("/v1/videos/generations", BODY),
    ):
        answer = client.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.conflict")
        assert answer.json()["field"] == "Idempotency-Key"


def test_in_flight(client: httpx.Client, server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch):
    arrived, go_on = threading.Event(), threading.Event()

    def slow(url, into, **bounds):
        arrived.set()
        assert go_on.wait(60)
        into.write(picture)

    monkeypatch.setattr(server.web, "get", slow)
    body = {**BODY, "input_reference": "https://slow.example/a.png"}
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(client.post("/v1/videos", json=body, headers=KEY)))
    try:
        thread.start()
        assert arrived.wait(60)
        second = client.post("/v1/videos", json=body, headers=KEY)
    finally:
        go_on.set()
        thread.join()
    assert (second.status_code, second.json()["code"]) == (409, "idempotency.in_flight")
    assert "retry-after" in second.headers
    assert answers[0].status_code == 200
    assert client.post("/v1/videos", json=body, headers=KEY).headers["idempotency-replayed"] == "true"


def test_a_request_that_fails_frees_its_key(client: httpx.Client, server: Server, picture: bytes):
    body = {**BODY, "input_reference": "https://late.example/a.png"}
    assert client.post("/v1/videos", json=body, headers=KEY).status_code == 400
    server.web.pages["https://late.example/a.png"] = picture
    assert client.post("/v1/videos", json=body, headers=KEY).status_code == 200


def test_a_reservation_that_was_lost_makes_no_job(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
):
    real = keys.reserve

    def lost(database, owner, key, **more):
        held = real(database, owner, key, **more)
        assert isinstance(held, keys.Reservation)
        keys.abandon(database, held)
        return held

    monkeypatch.setattr(keys, "reserve", lost)
    answer = client.post("/v1/videos", json=BODY, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "job.reservation_lost")
    assert client.get("/v1/videos").json()["data"] == []


@pytest.mark.parametrize("path", ["remix", "extensions"])
def test_lineage_is_made_once(client: httpx.Client, server: Server, path: str):
    job = client.post("/v1/videos", json=BODY).json()["id"]
    server.worker.work(until=job)
    target, body = {
        "remix": (f"/v1/videos/{job}/remix", {"prompt": "blue"}),
        "extensions": ("/v1/videos/extensions", {"prompt": "more", "video": {"id": job}}),
    }[path]
    ids = [client.post(target, json=body, headers=KEY).json()["id"] for _ in range(2)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("key", ["", "a" * 201, "a\tb"])
def test_bad_keys(client: httpx.Client, key: str):
    answer = client.post("/v1/videos", json=BODY, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
