"""Who may address the server, and what it tells of itself."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from kinema.core.errors import InvalidInput, StorageError
from kinema.serve.settings import Settings
from tests.serve.api.conftest import Make, Server, running


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[", "127.0.0.1@evil.example"]
)
def test_a_name_that_was_made_to_point_here_is_refused(client: httpx.Client, host: str):
    answer = client.get("/v1/videos", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "request.unknown_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:80", "[::1]:8000"])
def test_names_of_this_machine_are_not(client: httpx.Client, host: str):
    assert client.get("/v1/videos", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_change_nothing(client: httpx.Client, server: Server):
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        answer = client.post("/v1/videos", data={"prompt": "a"}, files={"x": b""}, headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "request.foreign_origin")
    port = server.url.rpartition(":")[2]
    # another server of this machine is another site
    for origin in (
        "http://localhost:3000",
        "http://localhost",
        f"http://localhost:{int(port) ^ 1}",
        "http://localhost:x",
    ):
        answer = client.post("/v1/videos", json={"prompt": "a"}, headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "request.foreign_origin")
    for origin in (server.url, f"http://localhost:{port}"):
        assert client.post("/v1/videos", json={"prompt": "a"}, headers={"origin": origin}).status_code == 200
    assert (
        "access-control-allow-origin"
        not in client.get("/v1/videos", headers={"origin": "https://evil.example"}).headers
    )


def test_a_public_server_takes_any_name_or_those_it_is_told(tmp_path: Path):
    for hosts, statuses in (((), (200, 200)), (("api.example",), (421, 200))):
        folder = tmp_path / str(len(hosts))
        folder.mkdir()
        with (
            running(folder, host="0.0.0.0", hosts=hosts, public_url="https://api.example/") as server,
            server.client() as c,
        ):
            found = tuple(
                c.get("/v1/videos", headers={"host": h}).status_code for h in ("other.example", "api.example")
            )
            assert found == statuses
            made = c.post(
                "/v1/videos", json={"prompt": "a"}, headers={"host": "api.example", "kinema-dialect": "native"}
            )
            assert made.json()["urls"]["self"].startswith("https://api.example/v1/videos/vid_")


def test_bodies_that_do_not_come_are_not_waited_for(tmp_path: Path):
    head = (
        b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    )
    with running(tmp_path, max_body_s=0.4) as server, server.client() as client:
        where = httpx.URL(server.url)
        with socket.create_connection((where.host, where.port or 0), timeout=60) as sent:
            sent.sendall(head + b"{")
            answer, begin = b"", time.monotonic()
            # a byte now and then doesn't help
            while begin + 20 > time.monotonic():
                try:
                    sent.sendall(b" ")
                    sent.settimeout(0.05)
                    if not (got := sent.recv(9999)):
                        break
                    answer += got
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            assert 0.3 < time.monotonic() - begin < 10
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "body.too_slow"' in answer
        # whoever only listens may do so for longer
        job = client.post("/v1/videos", json={"prompt": "a cube"}).json()["id"]
        with client.stream("GET", f"/v1/videos/{job}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            time.sleep(0.6)
            assert client.post(f"/v1/videos/{job}/cancel").status_code == 200
            assert "event: canceled" in list(lines)


def test_a_page_behind_a_proxy_is_known_by_the_public_url(tmp_path: Path):
    with running(tmp_path, public_url="https://api.example/") as server, server.client() as client:
        for origin, status in (
            ("https://api.example", 200),
            ("https://api.example:444", 403),
            ("http://api.example", 403),
        ):
            answer = client.post("/v1/videos", json={"prompt": "a"}, headers={"origin": origin})
            assert answer.status_code == status, origin
        # a proxy that hands on the name; https's port is not said
        headers = {"origin": "https://api.example", "host": "api.example"}
        assert client.post("/v1/videos", json={"prompt": "a"}, headers=headers).status_code == 200


def test_where_no_file_can_be_sent_a_form_is_refused(client: httpx.Client, make: Make):
    job = make()["id"]
    for method, path in (("PATCH", ""), ("POST", "/move"), ("POST", "/remix")):
        answer = client.request(method, f"/v1/videos/{job}{path}", data={"prompt": "a"}, files={"x": b""})
        assert (answer.status_code, answer.json()["code"]) == (415, "body.media_type"), path


def test_health_and_readiness(client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch):
    assert client.get("/healthz").json()["status"] == client.get("/readyz").json()["status"] == "ok"

    def broken():
        raise StorageError("/secret/place/jobs.db: the database can't be used: disk I/O error")

    monkeypatch.setattr(server.store.database, "read", broken)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "storage.unavailable", True)
    assert "/secret" not in answer.text
    assert client.get("/healthz").status_code == 200


def test_readiness_needs_the_files_folder(tmp_path: Path):
    with running(tmp_path) as server:
        server.blobs.root.rename(tmp_path / "elsewhere")
        assert httpx.get(f"{server.url}/readyz").json()["code"] == "storage.unavailable"


def test_a_bug_is_a_problem_without_details(client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch):
    def broken(*args, **kwargs):
        raise RuntimeError("a secret")

    monkeypatch.setattr(server.store, "get", broken)
    answer = client.get(f"/v1/videos/vid_{'0' * 26}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_metrics(client: httpx.Client, server: Server, make: Make):
    server.worker.work()
    job = make(steps=3)["id"]
    text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['kinema_jobs{status="queued"}'] == "1.0"
    assert lines['kinema_queue_depth{model="kinema-mini"}'] == "1.0"
    assert lines['kinema_steps_left{model="kinema-mini",status="queued"}'] == "3.0"
    assert 0 <= float(lines['kinema_queue_oldest_age_seconds{model="kinema-mini"}']) < 60
    made = [v for k, v in lines.items() if k.startswith("kinema_http_request_duration_seconds_count") and "POST" in k]
    assert made
    # one line for a route, however many jobs there are
    assert job not in text
    assert 'route="/v1/videos/{id}"' in text


def test_spans_where_opentelemetry_is_set_up(client: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name: provider.get_tracer(name))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get(f"/v1/videos/vid_{'0' * 26}", headers={"traceparent": parent})
    end = time.monotonic() + 60
    # it ends after the answer was sent
    while not exporter.get_finished_spans() and time.monotonic() < end:
        time.sleep(0.01)
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/videos/{id}"
    assert span.attributes is not None
    assert span.context is not None
    assert span.attributes["http.response.status_code"] == 404
    assert format(span.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "field, value",
    [
        ("port", 70000),
        ("workers", 0),
        ("models", ()),
        ("content_checks", "perhaps"),
        ("public_url", "api.example"),
        ("lease_s", 0),
        ("max_body_bytes", 0),
        ("max_body_s", 0),
    ],
)
def test_settings_that_make_no_sense(field: str, value: object):
    with pytest.raises(InvalidInput) as error:
        Settings(**{field: value})  # pyright: ignore[reportArgumentType]
    assert error.value.field == field
