"""Tenants can't see, stop or use each other's jobs, nor learn that there are any."""

from __future__ import annotations

import httpx
import pytest

from tests.serve.api.conftest import Make, Server


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
