"""Tenants can't see, stop or use each other's jobs, nor learn that there are any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kinema.serve.keys import Authenticator, KeyLimits, Usage, create_key, usage
from tests.serve.api.conftest import Make, Server, running


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "", None),
        ("GET", "/events", None),
        ("GET", "/log", None),
        ("GET", "/content", None),
        ("HEAD", "/content", None),
        ("DELETE", "", None),
        ("PATCH", "", {"seed": 1}),
        ("POST", "/cancel", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/move", {"before": None}),
        ("POST", "/remix", {"prompt": "mine"}),
    ],
)
def test_anothers_job_is_not_there(
    make: Make, client: httpx.Client, server: Server, method: str, path: str, body: dict | None
):
    job = make()["id"]
    server.worker.work(until=job)
    with server.client() as other:
        foreign = other.request(method, f"/v1/videos/{job}{path}", json=body)
        missing = other.request(method, f"/v1/videos/vid_{'0' * 26}{path}", json=body)
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert client.get(f"/v1/videos/{job}").json()["status"] == "completed"


def test_anothers_clip_is_no_source(make: Make, client: httpx.Client, server: Server):
    job = make()["id"]
    server.worker.work(until=job)
    content = client.get(f"/v1/videos/{job}/content").content
    with server.client() as other:
        for body in ({"id": job}, {"url": f"{server.url}/v1/videos/{job}/content"}):
            answer = other.post("/v1/videos/extensions", json={"prompt": "more", "video": body})
            assert (answer.status_code, answer.json()["field"]) == (404, "video")
        upload = other.post("/v1/videos/extensions", data={"prompt": "more"}, files={"video": content})
        assert upload.status_code == 400
        assert other.get("/v1/videos").json()["data"] == []
        assert other.get("/v1/videos", params={"after": job}).json()["data"] == []
    mine = client.post("/v1/videos/extensions", data={"prompt": "more"}, files={"video": content})
    assert mine.status_code == 200


def test_anothers_idempotency_key_is_another(make: Make, client: httpx.Client, server: Server):
    body, key = {"prompt": "a ball"}, {"idempotency-key": "shared"}
    with server.client() as other:
        ids = {c.post("/v1/videos", json=body, headers=key).json()["id"] for c in (client, other)}
    assert len(ids) == 2


def test_scopes_and_keys(server: Server):
    with server.client("reader") as reader:
        assert reader.get("/v1/videos").status_code == 200
        for method, path, scope in (
            ("POST", "/v1/videos", "submit"),
            ("POST", f"/v1/videos/vid_{'0' * 26}/cancel", "cancel"),
            ("GET", "/metrics", "admin"),
        ):
            answer = reader.request(method, path, json={"prompt": "a"})
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope")
            assert scope in answer.json()["detail"]
    bad = httpx.get(f"{server.url}/v1/videos", headers={"authorization": "Basic abc"})
    assert (bad.status_code, bad.headers["www-authenticate"]) == (401, "Bearer")
    # who may not is told before the body is read
    never = httpx.post(f"{server.url}/v1/videos", headers={"authorization": "nonsense"}, content=b"{")
    assert never.status_code == 401


def test_a_key_s_limits_hold_for_changes_too(tmp_path: Path):
    with running(tmp_path) as server:
        database = server.store.database
        server.app.state.service = replace(
            server.app.state.service, authenticate=Authenticator(database, is_loopback=True)
        )
        limits = KeyLimits(seconds_per_day=4.5, jobs_per_day=2, max_priority=3)
        key = create_key(database, owner="ann", limits=limits)
        with server.client() as client:
            client.headers["authorization"] = f"Bearer {key.token}"
            body = {"prompt": "a ball", "frames": 9}
            for path in ("/v1/videos", "/v1/videos?dry_run=true"):
                high = client.post(path, json={**body, "priority": 4})
                assert (high.status_code, high.json()["code"], high.json()["field"]) == (
                    403,
                    "auth.priority",
                    "priority",
                )
            job = client.post("/v1/videos", json={**body, "priority": 3}).json()["id"]
            path = f"/v1/videos/{job}"
            assert client.patch(path, json={"priority": 4}).json()["code"] == "auth.priority"
            assert client.patch(path, json={"priority": -1}).status_code == 200
            assert usage(database) == {key.key.id: Usage(jobs=1, seconds=9 / 8)}
            assert client.patch(path, json={"frames": 33}).status_code == 200
            assert usage(database) == {key.key.id: Usage(jobs=1, seconds=33 / 8)}
            full = client.post("/v1/videos", json=body)
            assert (full.status_code, full.json()["code"]) == (429, "quota.seconds")
            assert client.patch(path, json={"frames": 5}).status_code == 200
            assert client.post("/v1/videos", json={**body, "frames": 17}).status_code == 200
            assert usage(database) == {key.key.id: Usage(jobs=2, seconds=22 / 8)}
            full = client.patch(path, json={"frames": 33})
            assert (full.status_code, full.json()["code"]) == (429, "quota.seconds")
            told = client.get(path, headers={"kinema-dialect": "native"}).json()
            assert told["resolved"]["frames"] == 5
            # the parent's priority is the remix's as far as the key's goes
            low = create_key(database, owner="ann", limits=KeyLimits())
            client.patch(path, json={"priority": 3})
            server.worker.work()
            client.headers["authorization"] = f"Bearer {low.token}"
            remix = client.post(f"{path}/remix", json={"prompt": "b"}, headers={"kinema-dialect": "native"}).json()
            assert remix["priority"] == 0
