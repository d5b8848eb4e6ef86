"""The routes of webhooks and keys, with real keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from kinema.app import server
from kinema.serve.addresses import Rules
from kinema.serve.api import keys as key_routes
from kinema.serve.api.app import create_app
from kinema.serve.api.openapi import _NoModels
from kinema.serve.api.webhooks import webhook_routes
from kinema.serve.blobs import BlobStore
from kinema.serve.fetch import Guard
from kinema.serve.jobs.ids import new_id
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.keys import Authenticator, KeyLimits, create_key
from kinema.serve.settings import Settings
from kinema.serve.webhooks.deliverer import Deliverer
from tests.serve.listeners import Listener, always, response
from tests.serve.webhooks.shared import delivering, wait_for

URL = "https://receiver.example/hook"


class Api:
    """Clients of one app, by token."""

    def __init__(self, store: JobStore, folder: Path, guard: Guard) -> None:
        self.store, self.guard = store, guard
        self.app = create_app(
            settings=Settings(data=folder, hosts=("testserver",)),
            store=store,
            blobs=BlobStore(folder / "blobs"),
            planner=_NoModels(),
            fetch=guard,
            clean=lambda data, field: data,
            authenticate=Authenticator(store.database, is_loopback=True),
            routers=[webhook_routes(guard), key_routes.router],
        )
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def __call__(self, method: str, path: str, token: str | None = None, *, expect: int = 200, **body: Any) -> Any:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        content: Any = {"json": body} if body or method in ("POST", "PATCH") else {}
        answer = self.client.request(method, f"/v1/{path}", headers=headers, **content)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def refused(self, method: str, path: str, token: str | None, status: int, code: str, **body: Any) -> Any:
        told = self(method, path, token, expect=status, **body)
        assert told["code"] == told["error"]["code"] == code
        return told


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    with Listener(always(response(b""))) as listener:
        api = Api(store, tmp_path, Guard(Rules(allow=(f"127.0.0.1:{listener.port}",))))
        api.listener = listener  # pyright: ignore[reportAttributeAccessIssue]
        yield api
    store.close()


def test_keys_open_the_api_from_the_first_on(api: Api) -> None:
    # the local user of a server without keys may do everything
    made = api("POST", "keys", owner="root", scopes=["admin"], expect=201)
    root = made["token"]
    api.refused("GET", "keys", None, 401, "auth.missing")
    api.refused("GET", "keys", "sk-other", 401, "auth.invalid")
    user = api("POST", "keys", root, owner="ann", name="laptop", limits={"jobs_per_day": 3}, expect=201)
    assert user["scopes"] == ["submit", "read", "cancel"]
    assert user["limits"]["jobs_per_day"] == 3
    listed = api("GET", "keys", root)["data"]
    assert [k["owner"] for k in listed] == ["root", "ann"]
    assert [k["today"] for k in listed] == [{"jobs": 0, "seconds": 0}] * 2
    assert all("token" not in k and "secret" not in str(k) for k in listed)
    for method, path in (("GET", "keys"), ("POST", "keys"), ("DELETE", f"keys/{user['id']}")):
        api.refused(method, path, user["token"], 403, "auth.scope")
    # an admin's key alone sees no jobs
    api.refused("GET", "videos", root, 403, "auth.scope")
    api("GET", "videos", user["token"])
    assert api("DELETE", f"keys/{user['id']}", root)["revoked_at"] is not None
    api.refused("GET", "videos", user["token"], 401, "auth.invalid")
    for name in ("0" * 12, "x", "%00", "a" * 5000):
        assert api.client.delete(f"/v1/keys/{name}", headers={"authorization": f"Bearer {root}"}).status_code in (
            404,
            414,
        )


@pytest.mark.parametrize(
    "field,body",
    [
        ("owner", {}),
        ("owner", {"owner": ""}),
        ("owner", {"owner": "a\u0000b"}),
        ("owner", {"owner": 5}),
        ("owner", {"owner": "a" * 201}),
        ("scopes.0", {"owner": "a", "scopes": ["root"]}),
        ("scopes", {"owner": "a", "scopes": []}),
        ("limits.jobs_per_day", {"owner": "a", "limits": {"jobs_per_day": -1}}),
        ("limits.forever", {"owner": "a", "limits": {"forever": 1}}),
        ("valid_seconds", {"owner": "a", "valid_seconds": 0}),
        ("secret", {"owner": "a", "secret": "x"}),
    ],
)
def test_bad_keys(api: Api, field: str, body: dict[str, Any]) -> None:
    told = api("POST", "keys", None, expect=400, **body)
    assert told["field"] == field
    assert api("GET", "keys")["data"] == []


@pytest.mark.parametrize("method,path", [("POST", "keys"), ("POST", "webhooks"), ("POST", "webhooks/secret/rotate")])
def test_forms_are_refused(api: Api, method: str, path: str) -> None:
    answer = api.client.request(method, f"/v1/{path}", data={"owner": "a", "url": URL}, files={"x": b""})
    assert (answer.status_code, answer.json()["code"]) == (415, "body.media_type")
    assert api("GET", "keys")["data"] == api("GET", "webhooks")["data"] == []


def test_too_many_requests(api: Api) -> None:
    key = create_key(api.store.database, owner="ann", limits=KeyLimits(requests_per_s=0.01, burst=2))
    for _ in range(2):
        api("GET", "videos", key.token)
    answer = api.client.get("/v1/videos", headers={"authorization": f"Bearer {key.token}"})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate.requests")
    assert 90 <= int(answer.headers["retry-after"]) <= 100


def test_a_webhook_s_life(api: Api) -> None:
    listener: Listener = api.listener  # pyright: ignore[reportAttributeAccessIssue]
    hook = api("POST", "webhooks", url=f"http://127.0.0.1:{listener.port}/hook", description="mine", expect=201)
    path = f"webhooks/{hook['id']}"
    assert hook["secret"].startswith("whsec_")
    assert "secret" not in api("GET", path)
    assert [h["id"] for h in api("GET", "webhooks")["data"]] == [hook["id"]]
    test = api("POST", f"{path}/test")
    assert (test["status"], test["kind"], test["video"]) == ("waiting", "test", None)
    with delivering(Deliverer(api.store.database, api.guard, poll_s=0.01)):
        wait_for(lambda: len(listener.requests) == 1)
    found = api("GET", f"webhooks/deliveries/{test['id']}")
    assert (found["status"], found["log"][0]["status_code"]) == ("delivered", 200)
    head, _, body = listener.requests[0].partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert Webhook(hook["secret"]).verify(body, fields)["id"] == test["id"]
    rotated = api("POST", f"{path}/rotate", keep_old_seconds=60)
    assert (rotated["old_secret"], api("GET", f"{path}/secret")) == (hook["secret"], rotated)
    api.refused("POST", f"{path}/rotate", None, 409, "webhook.old_secret_live")
    assert api("GET", f"{path}/secret") == rotated
    again = api("POST", f"webhooks/deliveries/{test['id']}/redeliver")
    assert again["status"] == "waiting"
    page = api("GET", f"webhooks/deliveries?webhook={hook['id']}&status=waiting&limit=1")
    assert ([d["id"] for d in page["data"]], page["has_more"]) == ([test["id"]], False)
    off = api("PATCH", path, enabled=False, events=["completed"])
    assert (off["enabled"], off["events"], off["description"]) == (False, ["completed"], "mine")
    api.refused("POST", f"{path}/test", None, 400, "input.invalid")
    own = api("GET", "webhooks/secret")
    assert api("POST", "webhooks/secret/rotate")["old_secret"] == own["secret"]
    assert api("DELETE", path)["deleted"] is True
    api.refused("GET", path, None, 404, "not_found")
    assert api("GET", "webhooks/deliveries")["data"] == []


def test_what_is_another_tenant_s_is_not_there(api: Api) -> None:
    ann, bob = (create_key(api.store.database, owner=o).token for o in ("ann", "bob"))
    reader = create_key(api.store.database, owner="ann", scopes=["read"]).token
    hook = api("POST", "webhooks", ann, url=URL, expect=201)
    test = api("POST", f"webhooks/{hook['id']}/test", ann)
    one, two = f"webhooks/{hook['id']}", f"webhooks/deliveries/{test['id']}"
    routes = [
        ("GET", one), ("PATCH", one), ("DELETE", one), ("GET", f"{one}/secret"), ("POST", f"{one}/rotate"), ("POST", f"{one}/test"),
        ("GET", two), ("POST", f"{two}/redeliver"),
    ]  # fmt: skip
    for method, path in routes:
        api.refused(method, path, bob, 404, "not_found")
        for name in (hook["id"], test["id"]):
            if name in path:
                for other in (new_id(0, name[:4]), "x", "%00"):
                    told = api.client.request(
                        method, f"/v1/{path.replace(name, other)}", headers={"authorization": f"Bearer {ann}"}, json={}
                    )
                    assert told.status_code == 404, (path, other, told.text)
    assert api("GET", "webhooks", bob)["data"] == api("GET", "webhooks/deliveries", bob)["data"] == []
    # who may only read may not see what signs
    api("GET", one, reader)
    for method, path in routes:
        if method != "GET" or path.endswith("secret"):
            api.refused(method, path, reader, 403, "auth.scope")
    api.refused("GET", "webhooks/secret", reader, 403, "auth.scope")


@pytest.mark.parametrize(
    "field,body",
    [
        ("url", {}),
        ("url", {"url": "http://127.0.0.1/hook"}),
        ("url", {"url": "http://169.254.169.254/latest"}),
        ("url", {"url": "https://receiver.example:22/"}),
        ("url", {"url": "ftp://receiver.example/"}),
        ("url", {"url": "https://" + "a" * 3000}),
        ("url", {"url": ["https://receiver.example"]}),
        ("events.0", {"url": URL, "events": ["all"]}),
        ("events", {"url": URL, "events": []}),
        ("description", {"url": URL, "description": "a\u0000"}),
        ("secret", {"url": URL, "secret": "whsec_mine"}),
    ],
)
def test_bad_webhooks(api: Api, field: str, body: dict[str, Any]) -> None:
    assert api("POST", "webhooks", None, expect=400, **body)["field"] == field
    assert api("GET", "webhooks")["data"] == []


@pytest.mark.parametrize(
    "query", ["webhook=x", "video=%00", "status=lost", "after=msg_1", "limit=0", "limit=101", "limit=x"]
)
def test_bad_queries(api: Api, query: str) -> None:
    assert api("GET", f"webhooks/deliveries?{query}", expect=400)["field"] == query.partition("=")[0]


def test_a_job_s_own_webhook_hears_of_it(tmp_path: Path) -> None:
    """The server as `kinema serve` puts it together."""
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    with Listener(always(response(b""))) as listener:
        allow = (f"127.0.0.1:{listener.port}",)
        settings = Settings(data=tmp_path, hosts=("testserver",), fetch_allow=allow)
        client = TestClient(server.api(settings, store, BlobStore(tmp_path / "blobs")))
        body = {"prompt": "a red cube", "webhook_url": f"http://127.0.0.1:{listener.port}/job"}
        key = create_key(store.database, owner="ann", limits=KeyLimits(jobs_per_day=1))
        headers = {"authorization": f"Bearer {key.token}"}
        private = client.post("/v1/videos", json={**body, "webhook_url": "http://127.0.0.1:1/"}, headers=headers)
        assert (private.status_code, private.json()["field"]) == (400, "webhook_url")
        job = client.post("/v1/videos", json=body, headers=headers).json()
        more = client.post("/v1/videos", json=body, headers=headers)
        assert (more.status_code, more.json()["code"]) == (429, "quota.jobs")
        admin = create_key(store.database, owner="root", scopes=["admin"])
        listed = client.get("/v1/keys", headers={"authorization": f"Bearer {admin.token}"}).json()["data"]
        assert [k["today"] for k in listed] == [{"jobs": 1, "seconds": 17 / 8}, {"jobs": 0, "seconds": 0}]
        assert 1 <= int(more.headers["retry-after"]) <= 86400
        client.post(f"/v1/videos/{job['id']}/cancel", headers=headers).raise_for_status()
        with delivering(Deliverer(store.database, server.outgoing(settings), poll_s=0.01)):
            wait_for(lambda: len(listener.requests) == 1)
        secret = client.get("/v1/webhooks/secret", headers=headers).json()["secret"]
    head, _, sent = listener.requests[0].partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    message = Webhook(secret).verify(sent, fields)
    assert (message["type"], message["data"]["id"]) == ("video.canceled", job["id"])
    store.close()
