"""The native superset: everything that can be done with a job besides making it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kinema.serve.jobs.commands import Limits
from tests.serve.api.conftest import Make, Server, running

NATIVE = {"kinema-dialect": "native"}


@pytest.fixture
def native(server: Server) -> Iterator[httpx.Client]:
    with server.client(**NATIVE) as client:
        yield client


def make(client: httpx.Client, **fields: object) -> dict:
    answer = client.post("/v1/videos", json={"prompt": "a red ball rolls", **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_job_is_told_in_full(native: httpx.Client, server: Server):
    job = make(native, seconds=1, size="80x128", seed=7, steps=3, guidance=2.5, camera="zoom_in", priority=5)
    assert (job["status"], job["kind"], job["dialect"], job["priority"]) == ("queued", "generate", "native", 5)
    assert job["request"] == {
        "prompt": "a red ball rolls",
        "seconds": 1.0,
        "size": "80x128",
        "seed": 7,
        "steps": 3,
        "guidance": 2.5,
        "camera": "zoom_in",
    }
    resolved = {name: job["resolved"][name] for name in ("frames", "fps", "size", "seed", "steps", "guidance")}
    assert resolved == {"frames": 9, "fps": 8.0, "size": "80x128", "seed": 7, "steps": 3, "guidance": 2.5}
    assert job["urls"]["events"] == f"{server.url}/v1/videos/{job['id']}/events"
    assert (job["metrics"], job["outputs"], job["error"], job["steps"]) == (None, {}, None, 3)
    server.worker.work(until=job["id"])
    done = native.get(f"/v1/videos/{job['id']}").json()
    assert (done["status"], done["progress"], done["attempts"]) == ("succeeded", 100, 1)
    assert (done["phase"], done["step"], done["steps"]) == (None, 3, 3)
    assert set(done["outputs"]) == {"video", "cover", "spritesheet", "last_frame", "recipe"}
    # what was not measured is null, and never invented
    assert (done["metrics"]["queue_ms"], done["metrics"]["flops"]) == (1.0, None)
    assert "made by a fake" in done["warnings"]
    for output in done["outputs"].values():
        assert native.get(output["url"]).headers["content-type"].startswith(output["media_type"])


def test_native_takes_sizes_and_lengths_exactly(native: httpx.Client):
    for fields, field in (({"size": "1280x720"}, "size"), ({"seconds": 12}, "seconds"), ({"model": "sora-2"}, "model")):
        answer = native.post("/v1/videos", json={"prompt": "a ball", **fields})
        assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_native_lengths_are_exact_on_every_route(native: httpx.Client, server: Server):
    parent = make(native, seconds=1)["id"]
    server.worker.work(until=parent)
    body = {"prompt": "it stops", "video": {"id": parent}}
    for path, fields in (
        ("/v1/videos/extensions", {**body, "seconds": 600}),
        ("/v1/videos/extensions", {**body, "duration": 600}),
        ("/v1/videos/generations", {"prompt": "a ball", "duration": 600}),
    ):
        name = list(fields)[-1]
        answer = native.post(path, json=fields)
        assert (answer.status_code, answer.json()["field"]) == (400, name), answer.text
        mapped = native.post(path, json=fields, headers={"kinema-dialect": "openai"}).json()
        assert any(w.startswith("seconds: 600 became") for w in mapped["warnings"])
    both = native.post("/v1/videos/extensions", json={**body, "seconds": "4", "duration": 2})
    assert (both.status_code, both.json()["field"]) == (400, "duration")


def test_progress_of_a_running_job(native: httpx.Client, server: Server):
    server.worker.work()
    job = make(native, steps=4)
    server.worker.start()
    told = native.get(f"/v1/videos/{job['id']}").json()
    assert (told["status"], told["phase"], told["step"], told["steps"]) == ("running", "denoise", 1, 4)
    assert 0 < told["progress"] < 100
    assert told["queue_position"] is None
    assert native.post(f"/v1/videos/{job['id']}/cancel").json()["status"] == "canceling"
    held = server.store.get(job["id"])
    assert held is not None
    server.worker.confirm_cancel(held)
    assert native.get(f"/v1/videos/{job['id']}").json()["status"] == "canceled"


def test_queue_position_pause_resume_and_move(native: httpx.Client, server: Server):
    server.worker.work()
    ids = [make(native)["id"] for _ in range(3)]
    positions = lambda: [native.get(f"/v1/videos/{i}").json()["queue_position"] for i in ids]  # noqa: E731
    server.app.state.service.queue._fresh_s = 0.0
    try:
        assert positions() == [0, 1, 2]
        moved = native.post(f"/v1/videos/{ids[2]}/move", json={"before": ids[0]})
        assert moved.status_code == 200
        assert positions() == [1, 2, 0]
        native.post(f"/v1/videos/{ids[2]}/move", json={"before": None})
        paused = native.post(f"/v1/videos/{ids[0]}/pause").json()
        assert (paused["paused"], paused["queue_position"]) == (True, None)
        assert positions() == [None, 0, 1]
        assert native.post(f"/v1/videos/{ids[0]}/resume").json()["paused"] is False
        assert positions() == [0, 1, 2]
    finally:
        server.app.state.service.queue._fresh_s = 0.5
    for job in ids:
        native.post(f"/v1/videos/{job}/cancel")
    late = native.post(f"/v1/videos/{ids[0]}/pause")
    assert (late.status_code, late.json()["code"]) == (409, "job.finished")


def test_edit_while_queued(native: httpx.Client, server: Server):
    server.worker.work()
    job = make(native, seconds=1, seed=3, size="80x128")
    changed = native.patch(f"/v1/videos/{job['id']}", json={"prompt": "a blue ball", "frames": 5, "priority": 9}).json()
    resolved = changed["resolved"]
    assert (resolved["prompt"], resolved["frames"], resolved["seed"]) == ("a blue ball", 5, 3)
    assert (resolved["size"], changed["priority"], changed["id"]) == ("80x128", 9, job["id"])
    bad = native.patch(f"/v1/videos/{job['id']}", json={"frames": 1000})
    assert (bad.status_code, bad.json()["field"]) == (400, "frames")
    for change in ({"seed": None}, {}):
        native.patch(f"/v1/videos/{job['id']}", json=change)
    drawn = native.get(f"/v1/videos/{job['id']}").json()
    assert drawn["resolved"]["seed"] != 3
    server.worker.start()
    late = native.patch(f"/v1/videos/{job['id']}", json={"seed": 4})
    assert (late.status_code, late.json()["code"]) == (409, "job.not_queued")


def test_a_change_leaves_alone_what_it_doesnt_name(native: httpx.Client, server: Server):
    server.worker.work()
    prompt = "a crimson sphere rolls quickly towards the left side"
    rewritten = make(native, prompt=prompt)
    assert rewritten["resolved"]["prompt"] != prompt
    fields = {"prompt": prompt, "rewrite": False, "size": "1280x720", "seconds": "12", "model": "sora-2"}
    made = native.post("/v1/videos", json=fields, headers={"kinema-dialect": "openai"}).json()
    job = native.get(f"/v1/videos/{made['id']}").json()
    assert [w.partition(":")[0] for w in job["warnings"][:3]] == ["model", "size", "seconds"]
    first = {name: job[name] for name in ("request", "resolved", "warnings", "steps")}
    for change in ({"priority": 1}, {"priority": 2, "prompt": prompt}):
        changed = native.patch(f"/v1/videos/{job['id']}", json=change).json()
        assert changed["priority"] == change["priority"]
        assert {name: changed[name] for name in first} == first
    # a seed that was drawn stays, a warning of what is another now doesn't
    changed = native.patch(f"/v1/videos/{job['id']}", json={"size": "80x128", "steps": 5}).json()
    assert (changed["resolved"]["size"], changed["resolved"]["steps"]) == ("80x128", 5)
    assert changed["resolved"]["seed"] == first["resolved"]["seed"]
    assert "seed" not in changed["request"]
    assert changed["warnings"] == [w for w in first["warnings"] if not w.startswith("size:")]
    assert changed["resolved"]["prompt"] == prompt
    changed = native.patch(f"/v1/videos/{job['id']}", json={"rewrite": True}).json()
    assert changed["resolved"]["prompt"] == rewritten["resolved"]["prompt"]


def test_a_change_is_read_as_the_job_was(client: httpx.Client, make: Make):
    job = make()
    change = {"seconds": "12", "size": "1280x720", "model": "sora-2"}
    changed = client.patch(f"/v1/videos/{job['id']}", json=change)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["seconds"], changed.json()["size"]) == ("4.125", "128x80")
    assert {w.partition(":")[0] for w in changed.json()["warnings"]} >= {"model", "size", "seconds"}
    # exactly in the native dialect, and where the documents' has its own length
    exact = client.patch(f"/v1/videos/{job['id']}", json={"seconds": 12}, headers=NATIVE)
    assert (exact.status_code, exact.json()["field"]) == (400, "seconds")


def test_parameters_that_are_none_are_refused_by_name(client: httpx.Client, server: Server):
    for method, path, name in (
        ("POST", "/v1/videos?dryrun=true", "dryrun"),
        ("POST", "/v1/videos/edits?dry_run=true", "dry_run"),
        ("GET", "/v1/videos?limit=5&page=2", "page"),
    ):
        answer = client.request(method, path, json={"prompt": "a ball"})
        assert (answer.status_code, answer.json()["code"]) == (400, "input.unknown_parameter")
        assert answer.json()["field"] == name
    assert client.get("/v1/videos").json()["data"] == []
    # a liveness probe may add what it likes
    assert client.get("/healthz?from=probe").status_code == 200


def test_keyframes_by_upload_and_data_url(native: httpx.Client, server: Server, picture: bytes):
    import base64

    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    job = make(native, keyframes=[{"image": url}, {"image": {"url": url}, "at_s": -1}])
    assert [k["at_s"] for k in job["resolved"]["keyframes"]] == [0, -1]
    assert {server.blobs.path(k["media"]).read_bytes() for k in job["resolved"]["keyframes"]} == {picture}
    answer = native.post(
        "/v1/videos",
        data={"prompt": "a ball", "frames": "9", "keyframes[0][at_s]": "1"},
        files={"keyframes[0][image]": picture},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["resolved"]["keyframes"][0]["at_s"] == 1


def test_a_job_that_waits_too_long_expires(native: httpx.Client):
    job = make(native, wait_s=3600)
    assert job["expires_at"] == pytest.approx(job["created_at"] + 3600)


def test_dry_run_makes_nothing(native: httpx.Client, server: Server):
    before = len(native.get("/v1/videos").json()["data"])
    url = "https://pictures.example/never-fetched.png"
    told = native.post(
        "/v1/videos?dry_run=true", json={"prompt": "a ball", "seconds": 1, "input_reference": url}
    ).json()
    assert (told["object"], told["shape"], told["steps"]) == ("video.dry_run", "96x96x9", 20)
    assert told["fits"] is True
    assert told["plan"]["device"] == "cpu"
    assert told["estimate"]["total_flops"] > 1e9
    assert url not in server.web.asked
    assert len(native.get("/v1/videos").json()["data"]) == before
    bad = native.post("/v1/videos?dry_run=true", json={"prompt": "a ball", "frames": 6})
    assert (bad.status_code, bad.json()["field"]) == (400, "frames")
    # what would be refused before anything is fetched is refused here too
    for path, name in (("", "input_reference"), ("/generations", "image_url")):
        for url in ("http://169.254.169.254/latest", "https://pictures.example:22/", "data:image/png;base64,?"):
            bad = native.post(f"/v1/videos{path}?dry_run=true", json={"prompt": "a ball", name: url})
            assert (bad.status_code, bad.json()["field"]) == (400, name), bad.text
    bad = native.post("/v1/videos?dry_run=true", json={"prompt": "a ball", "webhook_url": "https://receiver.example/"})
    assert (bad.status_code, bad.json()["field"]) == (400, "webhook_url")
    other = native.post("/v1/videos/generations?dry_run=true", json={"prompt": "a ball", "duration_seconds": 1})
    assert other.json()["shape"] == "96x96x9"


def test_lists_by_state_and_dialect(native: httpx.Client, server: Server):
    server.worker.work()
    done, waiting = make(native)["id"], None
    server.worker.work(until=done)
    waiting = make(native)["id"]
    assert [j["id"] for j in native.get("/v1/videos?status=queued").json()["data"]] == [waiting]
    both = native.get("/v1/videos?status=queued&status=succeeded&order=asc").json()
    assert [j["status"] for j in both["data"]] == ["succeeded", "queued"]
    # pages go on where a job was that is deleted by now
    native.delete(f"/v1/videos/{done}")
    assert native.get("/v1/videos", params={"after": done}).json()["data"] == []
    assert [j["id"] for j in native.get("/v1/videos", params={"after": done, "order": "asc"}).json()["data"]] == [
        waiting
    ]


def test_models_are_cards(native: httpx.Client):
    (model,) = native.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("kinema-mini", "model")
    assert model["card"]["sizes"][0] == [96, 96]
    assert native.get("/v1/models/kinema-mini").json() == model
    assert native.get("/v1/models/some/other").status_code == 404


def test_a_full_queue_says_when_to_come_again(tmp_path: Path):
    with running(tmp_path, limits=Limits(per_owner=1, total=2)) as server, server.client() as client:
        make(client)
        full = client.post("/v1/videos", json={"prompt": "a ball"}, headers={"idempotency-key": "k"})
        assert (full.status_code, full.json()["code"]) == (429, "capacity.queue_full")
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["retryable"] is True
        # the key was not used up
        server.worker.work()
        again = client.post("/v1/videos", json={"prompt": "a ball"}, headers={"idempotency-key": "k"})
        assert (again.status_code, again.headers.get("idempotency-replayed")) == (200, None)
