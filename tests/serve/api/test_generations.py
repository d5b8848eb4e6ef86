"""The documents' dialect and xAI's, which share a path."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from kinema.serve.jobs.job import JobError
from tests.serve.api.conftest import Make, Server

# as it stands in the documents, comments and all
DOCUMENT = """
{
  "prompt": "Drone view of waves crashing against a rugged cliff, sunset lighting, 4k",
  "image_url": "https://...", // 可选：Image-to-Video
  "duration_seconds": 4,
  "aspect_ratio": "16:9",
  "motion_bucket_id": 127,     // 控制运动幅度 (1-255)
  "seed": 42
}
"""
JSON = re.sub(r"\s// .*", "", DOCUMENT)


@pytest.fixture
def documented(client: httpx.Client, server: Server, picture: bytes) -> httpx.Response:
    """The answer to the documents' request, its picture being there."""
    server.web.pages["https://..."] = picture
    return client.post("/v1/videos/generations", content=JSON, headers={"content-type": "application/json"})


def test_the_documents_request_verbatim(documented: httpx.Response, client: httpx.Client, server: Server):
    made = documented.json()
    assert documented.status_code == 200
    assert (made["status"], made["output"], made["error"]) == ("processing", None, None)
    assert made["id"].startswith("vid_")
    assert "eta" in made
    native = client.get(f"/v1/videos/{made['id']}", headers={"kinema-dialect": "native"}).json()
    resolved = native["resolved"]
    assert (resolved["seed"], resolved["motion"], resolved["frames"], resolved["size"]) == (42, 127, 33, "128x80")
    assert server.blobs.exists(resolved["keyframes"][0]["media"])
    server.worker.work(until=made["id"])
    done = client.get(f"/v1/videos/generations/{made['id']}").json()
    assert (done["id"], done["status"], done["error"]) == (made["id"], "succeeded", None)
    assert client.get(done["output"]["url"]).content == server.worker.files["video"][0].read_bytes()
    assert client.get(done["output"]["cover"]).content == server.worker.files["cover"][0].read_bytes()


def test_comments_are_not_json(client: httpx.Client):
    answer = client.post("/v1/videos/generations", content=DOCUMENT, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "body.invalid_json")


def test_a_picture_that_cannot_be_fetched_is_named(client: httpx.Client, server: Server):
    answer = client.post("/v1/videos/generations", json={"prompt": "a ball", "image_url": "https://nowhere.example/"})
    assert answer.status_code == 400
    problem = answer.json()
    assert (problem["code"], problem["field"], problem["retryable"]) == ("input.image.unreachable", "image_url", True)


def test_eta_comes_from_this_servers_own_runs(client: httpx.Client, server: Server, make: Make):
    first = make("/v1/videos/generations")
    server.worker.work(until=first["id"])
    second = make("/v1/videos/generations")
    assert second["eta"] is not None
    assert second["eta"] >= 0


def test_failure_and_cancel(client: httpx.Client, server: Server, make: Make):
    failed = make("/v1/videos/generations")["id"]
    error = JobError(code="worker.out_of_memory", message="too little memory", retryable=True)
    server.worker.work(until=failed, fail=error)
    told = client.get(f"/v1/videos/generations/{failed}").json()
    assert told["status"] == "failed"
    assert told["error"] == {"code": "worker.out_of_memory", "message": "too little memory", "retryable": True}
    canceled = make("/v1/videos/generations")["id"]
    assert client.post(f"/v1/videos/{canceled}/cancel").json()["status"] == "canceled"
    assert client.get(f"/v1/videos/generations/{canceled}").json()["status"] == "canceled"


def test_names_of_fields_in_errors_are_the_callers(client: httpx.Client):
    answer = client.post("/v1/videos/generations", json={"prompt": "a ball", "duration_seconds": 100})
    assert (answer.json()["code"], answer.json()["field"]) == ("input.unsupported", "duration_seconds")
    assert "4.12 s" in answer.json()["detail"]


def test_motion_on_a_model_without_it_is_a_warning(client: httpx.Client, make: Make, server: Server):
    from dataclasses import replace

    service = server.app.state.service
    cards = service.planner.models
    whole = cards["kinema-mini"]
    cards["kinema-mini"] = replace(whole, conditions=("keyframes",))
    try:
        made = make("/v1/videos/generations", motion_bucket_id=9)
    finally:
        cards["kinema-mini"] = whole
    assert "motion_bucket_id: has no effect; kinema-mini was not trained on it" in made["warnings"]


def test_xai_shaped(client: httpx.Client, server: Server, picture: bytes):
    server.web.pages["https://pictures.example/x.png"] = picture
    body = {
        "model": "grok-imagine-video",
        "prompt": "a red ball rolls",
        "image": {"url": "https://pictures.example/x.png"},
        "duration": 15,
        "aspect_ratio": "16:9",
        "resolution": "720p",
    }
    made = client.post("/v1/videos/generations", json=body).json()
    assert made["request_id"] == made["id"]
    pending = client.get(f"/v1/videos/{made['request_id']}").json()
    assert pending["status"] == "pending"
    assert "video" not in pending
    warnings = " ".join(pending["warnings"])
    for name in ("model: grok-imagine-video", "seconds: 15 became 4.125", "resolution: 720p"):
        assert name in warnings
    server.worker.work(until=made["id"])
    done = client.get(f"/v1/videos/{made['request_id']}").json()
    assert (done["status"], done["video"]["duration"]) == ("done", 4.125)
    assert client.get(done["video"]["url"]).status_code == 200
    # the URL that the answer gave is a source to go on from
    more = client.post("/v1/videos/extensions", json={"prompt": "it stops", "video": done["video"], "duration": 2})
    assert more.status_code == 400
    more = client.post(
        "/v1/videos/extensions", json={"prompt": "it stops", "video": {"url": done["video"]["url"]}, "duration": 2}
    )
    assert (more.status_code, more.json()["status"]) == (200, "pending")
    edit = client.post("/v1/videos/edits", json={"prompt": "blue", "video": {"url": done["video"]["url"]}})
    assert (edit.status_code, edit.json()["field"]) == (400, "video")


def test_xai_failure_and_expiry(client: httpx.Client, server: Server):
    made = client.post("/v1/videos/generations", json={"model": "kinema-mini", "prompt": "a ball"}).json()
    assert made["status"] == "pending"
    server.worker.work(until=made["id"], fail=JobError(code="worker.error", message="no"))
    told = client.get(f"/v1/videos/{made['id']}").json()
    assert (told["status"], told["error"]["code"]) == ("failed", "worker.error")


@pytest.mark.parametrize(
    "fields, dialect",
    [
        ({}, "mission"),
        ({"duration_seconds": 2}, "mission"),
        ({"model": "kinema-mini", "seed": 3}, "mission"),
        ({"model": "kinema-mini"}, "xai"),
        ({"model": "kinema-mini", "aspect_ratio": "1:1"}, "xai"),
        ({"duration": 2}, "xai"),
        ({"resolution": "480p"}, "xai"),
    ],
)
def test_which_of_the_two_a_body_is(make: Make, client: httpx.Client, fields: dict[str, object], dialect: str):
    made = make("/v1/videos/generations", **fields)
    assert made["status"] == {"mission": "processing", "xai": "pending"}[dialect]
    assert client.get(f"/v1/videos/{made['id']}", headers={"kinema-dialect": "native"}).json()["dialect"] == dialect


def test_the_two_do_not_mix(client: httpx.Client):
    answer = client.post(
        "/v1/videos/generations", json={"prompt": "a", "duration": 2, "image_url": "https://a.example/"}
    )
    assert (answer.status_code, answer.json()["field"]) == (400, "duration")


def test_every_dialect_by_header(make: Make, client: httpx.Client):
    job = make()["id"]
    for dialect, status in (("native", "queued"), ("mission", "processing"), ("xai", "pending"), ("openai", "queued")):
        told = client.get(f"/v1/videos/{job}", headers={"kinema-dialect": dialect})
        assert told.json()["status"] == status
    assert json.dumps(client.get(f"/v1/videos/{job}").json()) == json.dumps(told.json())
