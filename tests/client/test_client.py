"""Both clients against a real server: what they ask, what they give, what they raise."""

from __future__ import annotations

import base64
import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from kinema.client import (
    AsyncClient,
    BadRequest,
    Client,
    Conflict,
    JobFailed,
    NotAllowed,
    NotFound,
    ServerError,
    Unreachable,
    WaitTimeout,
)
from kinema.client.calls import Continuation, Fields
from kinema.client.errors import error_of
from kinema.client.place import find_place
from kinema.core.errors import InvalidInput
from kinema.core.jobs import JobState
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.serve.jobs.job import JobError
from kinema.wire.answers import NativeStatus
from kinema.wire.requests import VideoCreate, VideoExtend
from tests.client.conftest import Connect
from tests.client.told import problem, video
from tests.serve.api.conftest import PNG, Server

PICTURE = PNG + b"begin"
ROOT = Path(__file__).resolve().parents[2]
ALL: dict[str, Any] = {
    "model": "kinema-mini",
    "negative_prompt": "a red cube",
    "frames": 9,
    "size": "96x96",
    "fps": 8,
    "seed": 5,
    "steps": 2,
    "guidance": 1.5,
    "motion": 9,
    "camera": "zoom_in",
    "rewrite": False,
    "wait_s": 600.0,
}


def test_from_a_sentence_to_a_file(client: Any, server: Server, tmp_path: Path, whole: bytes):
    with server.working():
        job = client.submit("a red ball rolls", seconds=1, steps=2, seed=7)
        assert job.status in ("queued", "running", "succeeded")
        assert job.wait(60).status == "succeeded"
        assert job.is_over
    assert job.save(tmp_path / "ball.mp4") == tmp_path / "ball.mp4"
    assert (tmp_path / "ball.mp4").read_bytes() == whole
    assert job.save(str(tmp_path / "ball.json"), "recipe").read_text() == f'{{"job": "{job.id}"}}'
    assert {path.name for path in tmp_path.iterdir()} == {"ball.mp4", "ball.json"}
    assert job.info.resolved["seed"] == 7
    assert job.info.warnings[-1] == "made by a fake"


def test_every_field_arrives(client: Any, server: Server):
    job = client.submit("a blue cube", **ALL)
    told = {"model": job.info.model, "rewrite": False, "wait_s": 600.0, **job.info.request}
    assert told == {"prompt": "a blue cube", **ALL}
    assert job.info.expires_at == pytest.approx(job.info.created_at + 600)
    client.submit("a blue cube", **dict.fromkeys(ALL))
    job.cancel()


def test_the_fields_are_the_wire_s():
    ours = set(Fields.__annotations__) - {"image"} | {"input_reference", "prompt"}
    assert ours == set(VideoCreate.model_fields)
    assert set(Continuation.__annotations__) | {"prompt", "video", "duration"} == set(VideoExtend.model_fields)
    assert set(get_args(NativeStatus)) == {state.value for state in JobState}


def test_both_clients_are_the_same_but_for_awaiting():
    from kinema.client import AsyncJob, Job

    for one, other in ((Client, AsyncClient), (Job, AsyncJob)):
        names = [{name for name in vars(kind) if name[0] != "_"} for kind in (one, other)]
        assert names[0] == names[1]


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "url", "data"])
def test_pictures(client: Any, server: Server, tmp_path: Path, kind: str):
    file, url = tmp_path / "begin.png", "https://pictures.example/begin.png"
    file.write_bytes(PICTURE)
    server.web.pages[url] = PICTURE
    data = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    given: dict[str, Any] = {"path": file, "text": str(file), "bytes": PICTURE, "url": url, "data": data}
    (frame,) = client.submit("a cube", image=given[kind]).info.resolved["keyframes"]
    assert server.blobs.path(frame["media"]).read_bytes() == PICTURE


def test_keyframes(client: Any, server: Server, tmp_path: Path):
    file = tmp_path / "end.png"
    file.write_bytes(PICTURE + b"end")
    frames = [Keyframe(MediaRef(str(file)), -1.0), (PICTURE, 0.5)]
    first, last = client.submit("a cube", image=PICTURE + b"0", keyframes=frames, seconds=1).info.resolved["keyframes"][
        1:
    ]
    assert (first["at_s"], last["at_s"]) == (-1.0, 0.5)
    assert server.blobs.path(first["media"]).read_bytes() == PICTURE + b"end"


def test_pictures_that_are_none(client: Any, tmp_path: Path):
    for image in (tmp_path / "nowhere.png", str(tmp_path), "a\0b"):
        with pytest.raises(InvalidInput, match=r"^image: .* can't be read \(.+\); give a picture's file, URL or bytes"):
            client.submit("a cube", image=image)
    with pytest.raises(InvalidInput, match=r"^keyframes\.1\.image: "):
        client.submit("a cube", keyframes=[(PNG, 0), (tmp_path / "nowhere.png", 1)])
    with pytest.raises(BadRequest, match="^image: .* is not a picture") as error:
        client.submit("a cube", image=b"words")
    assert (error.value.field, error.value.code, error.value.status) == ("image", "input.media", 400)


@pytest.mark.parametrize(
    "prompt,fields,field",
    [
        ("", {}, "prompt"),
        ("a \ud800", {}, "prompt"),
        ("a", {"seconds": -1}, "seconds"),
        ("a", {"seconds": float("nan")}, None),
        ("a", {"size": "97x97"}, "size"),
        ("a", {"sedd": 4}, "sedd"),
        ("a", {"model": "other"}, "model"),
    ],
)
def test_mistakes_are_told_by_name(client: Any, prompt: str, fields: dict[str, Any], field: str | None):
    with pytest.raises(BadRequest) as error:
        client.submit(prompt, **fields)
    assert (error.value.field, error.value.exit_code, error.value.retryable) == (field, 2, False)


def test_events_to_the_last(client: Any, server: Server):
    job = client.submit("a cube", steps=3)
    server.worker.work(until=job.id)
    events = list(job.stream())
    assert [e.event for e in events] == ["queued", "running", "started", "progress", "succeeded"]
    assert [e.number for e in events] == [1, 2, 3, 4, 5]
    assert (events[3].phase, events[3].step, events[3].steps) == ("denoise", 3, 3)
    assert events[3].preview.startswith("data:image/png;base64,")
    assert job.status == "succeeded", "it was looked at when the events were over"
    assert [e.number for e in job.stream(after=4)] == [5]
    assert list(job.stream(after=5)) == []


def test_events_as_they_happen(client: Any, server: Server):
    server.worker.work()
    job = client.submit("a cube", steps=3)
    events = job.stream()
    assert next(events).event == "queued"
    held = server.worker.start()
    assert [next(events).event for _ in range(3)] == ["running", "started", "progress"]
    job.cancel()
    assert job.status == "canceling"
    assert next(events).event == "canceling"
    server.worker.confirm_cancel(held)
    assert [e.event for e in events] == ["canceled"]


def test_a_wait_for_what_fails(client: Any, server: Server):
    job = client.submit("a cube", steps=1)
    server.worker.work(until=job.id, fail=JobError(code="run.out_of_memory", message="too large", retryable=True))
    with pytest.raises(JobFailed) as error:
        job.wait()
    assert str(error.value) == f"{job.id}: failed: too large"
    assert (error.value.code, error.value.retryable, error.value.exit_code) == ("run.out_of_memory", True, 1)
    assert (error.value.video.id, job.status) == (job.id, "failed")
    with pytest.raises(NotFound, match="has no files"):
        job.save("never.mp4")
    assert not Path("never.mp4").exists()


def test_cancel_pause_resume(client: Any):
    job = client.submit("a cube")
    assert job.pause().info.paused
    assert job.pause().info.paused
    assert not job.resume().info.paused
    with pytest.raises(WaitTimeout, match=rf"{job.id}: was not over within 0.2 s"):
        job.wait(0.2)
    assert job.cancel().status == "canceled"
    assert job.cancel().status == "canceled"
    with pytest.raises(JobFailed, match="canceled") as error:
        job.wait()
    assert error.value.exit_code == 130
    with pytest.raises(Conflict) as refused:
        job.pause()
    assert refused.value.code == "job.finished"


def test_a_job_that_is_not_over_can_t_be_saved_or_deleted(client: Any, tmp_path: Path):
    job = client.submit("a cube")
    with pytest.raises(Conflict, match="its files come when it has succeeded") as error:
        job.save(tmp_path / "a.mp4")
    assert (error.value.code, error.value.retry_after_s) == ("job.not_finished", 1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Conflict):
        job.delete()
    job.cancel()
    job.delete()
    for lost in (job.refresh, job.delete, lambda: list(job.stream())):
        with pytest.raises(NotFound):
            lost()


def test_jobs_that_go_on_from_others(client: Any, server: Server):
    job = client.submit("a cube", seconds=1, seed=3)
    server.worker.work(until=job.id)
    remix = client.get(job.id).remix("a ball")
    assert (remix.info.kind, remix.info.parents, remix.info.resolved["seed"]) == ("remix", [job.id], 3)
    more = job.extend("it goes on", seconds=1, seed=4)
    assert (more.info.kind, more.info.parents, more.info.resolved["seed"]) == ("extend", [job.id], 4)
    with pytest.raises(BadRequest, match="can't edit clips") as error:
        job.edit("make it blue")
    assert (error.value.code, error.value.field) == ("input.unsupported", "video")


def test_lists(client: Any):
    made = [client.submit(f"cube {i}").id for i in range(5)]
    client.get(made[1]).cancel()
    assert [job.id for job in client.jobs()] == made[::-1]
    assert [job.id for job in client.jobs(oldest_first=True, limit=2)] == made[:2]
    assert [job.id for job in client.jobs(status=["canceled"])] == [made[1]]
    assert [job.id for job in client.jobs(status=["queued", "canceled"], limit=1)] == made[-1:]
    assert list(client.jobs(status=["failed"])) == []
    with pytest.raises(BadRequest, match="status"):
        list(client.jobs(status=["lost"]))


def test_pages_are_fetched_as_they_are_needed(client: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kinema.client.talk._PAGE", 2)
    made = [client.submit(f"cube {i}").id for i in range(5)]
    assert [job.id for job in client.jobs()] == made[::-1]
    assert [job.id for job in client.jobs(limit=3)] == made[:1:-1]
    some = client.jobs()
    assert [next(some).id, next(some).id] == made[:2:-1]


def test_what_the_server_can_do(client: Any):
    (model,) = client.models()
    assert model.id == "kinema-mini"
    assert [96, 96] in model.card["sizes"]
    plan = client.dry_run("a cube", seconds=1, steps=2, image=PNG)
    assert (plan.steps, plan.model) == (2, "kinema-mini")
    assert list(client.jobs()) == []


def test_one_key_makes_one_job(client: Any):
    first, second = (client.submit("a cube", seconds=1, idempotency_key="once") for _ in range(2))
    assert first.id == second.id
    assert client.submit("a cube", seconds=1).id != first.id
    with pytest.raises(BadRequest) as error:
        client.submit("a ball", idempotency_key="once")
    assert (error.value.code, error.value.status) == ("idempotency.conflict", 422)


def test_keys_that_may_not(connect: Connect):
    with pytest.raises(NotAllowed, match="may not submit") as error:
        connect(key="reader").submit("a cube")
    assert (error.value.status, error.value.code) == (403, "auth.scope")


def test_other_owners_jobs_are_none(connect: Connect):
    job = connect().submit("a cube")
    with pytest.raises(NotFound):
        connect().get(job.id)


def test_where_the_server_is(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KINEMA_URL", f"{server.url}/v1/")
    monkeypatch.setenv("KINEMA_API_KEY", "somebody-there")
    # no proxy leads to this machine
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Client() as client:
        assert client.base_url == server.url
        job = client.submit("a cube")
        assert server.store.get(job.id).order.owner == "somebody-there"  # pyright: ignore[reportOptionalMemberAccess]
        assert "somebody-there" not in repr(client) + repr(find_place(None, None))
    monkeypatch.delenv("KINEMA_URL")
    with Client() as client:
        assert client.base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://a.example",
        "http://",
        "http://a:x",
        "http://me:pw@a.example",
        "http://a/?q=1",
        "http://é",
        "http://x..y",
    ],
)
def test_urls_that_are_none(url: str):
    with pytest.raises(InvalidInput, match=r"^url: .*: must be the address of a server, such as http"):
        Client(url)


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("proxy", ["socks5://proxy.example:1", "http://a:x"])
def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, client: type[Client | AsyncClient], proxy: str):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InvalidInput, match=r"^proxy: 'ALL_PROXY': can't be used \(.+\); unset it"):
        client("http://a.example")
    client()  # to this machine none leads


@pytest.mark.parametrize("key", ["a b", "é", "a\nb"])
def test_a_key_that_is_none_is_not_shown(key: str):
    with pytest.raises(InvalidInput, match=r"^api_key: '\.\.\.': must be a key"):
        Client("http://a.example", key)


def test_nobody_there(connect: Connect):
    with pytest.raises(Unreachable) as error:
        connect("http://127.0.0.1:9", retries=1).models()
    assert str(error.value) == (
        "no server answers at http://127.0.0.1:9 (" + str(error.value).partition("(")[2].partition(")")[0] + "); "
        "`kinema serve` starts one, KINEMA_URL or --url names another"
    )
    assert error.value.tries == 2


def test_the_key_goes_nowhere_else():
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(307, headers={"location": "http://else.example/v1/models"})

    with (
        Client("http://server.example", "secret", transport=httpx.MockTransport(answer)) as client,
        pytest.raises(
            Exception, match="answered 307 Temporary Redirect, which points to http://else.example/v1/models"
        ),
    ):
        client.models()
    assert [request.url.host for request in asked] == ["server.example"]


def test_a_path_before_v1_stays():
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return video("succeeded")

    with Client("http://server.example/kinema/", transport=httpx.MockTransport(answer)) as client:
        client.submit("a cube").refresh()
    assert paths[0] == "/kinema/v1/videos"
    assert paths[1].startswith("/kinema/v1/videos/vid_")


@pytest.mark.parametrize(
    "response",
    [problem(400, "input.invalid", field="seconds"), problem(503, "storage.unavailable", retry_after_s=5)],
)
def test_errors_survive_a_copy(response: httpx.Response):
    error = error_of(response)
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.code, again.field) == (type(error), str(error), error.code, error.field)
        assert again.retry_after_s == error.retry_after_s


def test_what_is_no_problem_is_told_by_its_status():
    error = error_of(httpx.Response(502, text="<html>", request=httpx.Request("GET", "https://a.example/x")))
    assert isinstance(error, ServerError)
    assert (error.code, error.retryable, str(error)) == ("http.502", True, "https://a.example answered 502 Bad Gateway")


def test_a_client_is_imported_without_torch_and_without_the_server():
    code = (
        "import sys, kinema.client; "
        "print([m for m in ('torch', 'numpy', 'av', 'fastapi', 'sqlalchemy', 'kinema.serve') if m in sys.modules])"
    )
    path = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    assert found.stdout.strip() == "[]"


def test_without_its_extra_it_is_told_what_to_install():
    code = "import sys; sys.modules.update(anyio=None, httpx=None); from kinema.cli.main import run; run(['jobs'])"
    path = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    assert found.stderr.endswith("is missing; pip install 'kinema[client]'\n"), found.stderr
