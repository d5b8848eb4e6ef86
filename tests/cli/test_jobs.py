"""`kinema submit|jobs|watch|cancel|download` against a real server with a fake worker."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinema.serve.jobs.commands import Report
from kinema.serve.jobs.job import JobError
from tests.cli.test_process import DOOR, start
from tests.serve.api.conftest import PNG, Server, running

if TYPE_CHECKING:
    from tests.cli.conftest import Answer, Kinema

_OWNERS = iter(range(10**6))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def owner(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody whose server and key are in the environment."""
    name = f"caller{next(_OWNERS)}"
    monkeypatch.setenv("KINEMA_URL", server.url)
    monkeypatch.setenv("KINEMA_API_KEY", name)
    return name


@pytest.fixture
def submitted(kinema: Kinema, owner: str) -> Callable[..., str]:
    """Makes a job, which has to be accepted."""

    def made(*arguments: str) -> str:
        answer = kinema("submit", "a cube", "--steps", "2", *arguments)
        assert answer.code == 0, answer.err
        return answer.out.strip()

    return made


def told(answer: Answer, kind: str) -> list[dict[str, Any]]:
    return [event for event in answer.events if event["event"] == kind]


def test_from_a_sentence_to_a_file(kinema: Kinema, server: Server, owner: str):
    with server.working():
        answer = kinema("submit", "一个红色的球", "-o", "ball.mp4", "--seed", "7", "--seconds", "1", "--steps", "2")
    assert answer.code == 0, answer.err
    job, end, path = answer.out.splitlines()
    assert job.startswith("vid_")
    assert end == f"{job}: succeeded"
    assert path == "ball.mp4"
    assert Path("ball.mp4").read_bytes() == server.worker.files["video"][0].read_bytes()
    assert os.listdir() == ["ball.mp4"]
    assert "note: seconds: 1 became 1.125" in answer.err
    assert "denoise 2/2" in answer.err


def test_a_picture_is_not_saved_as_a_clip(
    kinema: Kinema, server: Server, owner: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "one.png").write_bytes(PNG)
    monkeypatch.setitem(server.worker.files, "video", (tmp_path / "one.png", "image/png"))
    with server.working():
        answer = kinema("submit", "a red ball", "-o", "ball.mp4", "--seconds", "0.1", "--steps", "2")
    assert answer.code == 2
    assert "out: 'ball.mp4': must end in .png" in answer.err
    assert not Path("ball.mp4").exists()
    (command,) = re.findall(r"kinema download (\S+) -o NAME.png", answer.err)
    assert kinema("download", command, "-o", "ball.png").code == 0
    assert Path("ball.png").read_bytes().startswith(b"\x89PNG")


def test_json(kinema: Kinema, server: Server, owner: str):
    with server.working():
        answer = kinema("submit", "a cube", "--steps", "2", "--out", "a.mp4", "--json")
    assert (answer.code, answer.err) == (0, "")
    job, end = told(answer, "job")
    assert (end["id"], end["status"]) == (job["id"], "succeeded")
    assert (job["status"], job["kind"], job["request"]["prompt"]) == ("queued", "generate", "a cube")
    assert told(answer, "progress")[-1] == {
        "event": "progress",
        "phase": "denoise",
        "step": 2,
        "steps": 2,
        "eta_s": None,
        "sample": 0,
    }
    size = len(server.worker.files["video"][0].read_bytes())
    assert answer.events[-1] == {
        "event": "download",
        "id": job["id"],
        "variant": "video",
        "path": "a.mp4",
        "bytes": size,
    }


def test_every_flag_arrives(kinema: Kinema, server: Server, owner: str):
    Path("a.png").write_bytes(PNG + b"a")
    Path("b.png").write_bytes(PNG + b"b")
    words = {
        "--frames": "9",
        "--size": "96x96",
        "--fps": "8",
        "--seed": "5",
        "--steps": "2",
        "--guidance": "1.5",
        "--motion": "9",
        "--camera": "zoom_in",
        "--negative": "a cube",
        "--model": "kinema-mini",
        "--priority": "3",
    }
    flat = [word for pair in words.items() for word in pair]
    answer = kinema("submit", "a ball", *flat, "--image", "a.png", "--image", "b.png@-1", "--no-rewrite", "--json")
    (job,) = told(answer, "job")
    frames = job["request"].pop("keyframes")
    assert job["request"] == {
        "prompt": "a ball", "frames": 9, "size": "96x96", "fps": 8.0, "seed": 5, "steps": 2, "guidance": 1.5, "motion": 9,
        "camera": "zoom_in", "negative_prompt": "a cube",
    }  # fmt: skip
    assert [frame["at_s"] for frame in frames] == [0, -1]
    assert server.blobs.path(frames[1]["media"]).read_bytes() == PNG + b"b"
    assert (job["model"], job["priority"]) == ("kinema-mini", 3)
    order = server.store.get(job["id"]).order  # pyright: ignore[reportOptionalMemberAccess]
    assert order.resolved["rewrite"] is False
    (other,) = told(kinema("submit", "a ball", "--aspect", "16:9", "--seconds", "1", "--style", "toy", "--json"), "job")
    assert [other["request"][name] for name in ("aspect_ratio", "seconds", "style")] == ["16:9", 1, "toy"]


def test_a_dry_run_makes_no_job(kinema: Kinema, owner: str):
    plan = kinema("submit", "a cube", "--dry-run", "--steps", "3")
    assert plan.code == 0
    assert plan.out.startswith("kinema-mini: ")
    assert ", 3 steps\nprompt: a cube\n" in plan.out
    assert "jobs that wait: " in plan.out
    (event,) = kinema("submit", "a cube", "--dry-run", "--json").events
    assert (event["event"], event["model"]) == ("plan", "kinema-mini")
    assert kinema("jobs").err == "no jobs\n"


def test_the_table(kinema: Kinema, server: Server, owner: str, submitted: Callable[..., str]):
    first, second = submitted(), submitted()
    kinema("cancel", first)
    answer = kinema("jobs")
    assert answer.err.split() == ["ID", "STATUS", "DONE", "LEFT", "SINCE", "PROMPT"]
    rows = [row.split() for row in answer.out.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [(second, "queued"), (first, "canceled")]
    assert rows[0][-2:] == ["a", "cube"]
    assert kinema("jobs", "--limit", "1").out.split()[0] == second
    assert kinema("jobs", "--status", "canceled", "--status", "failed").out.split()[0] == first
    assert [job["id"] for job in kinema("jobs", "--json").events] == [second, first]
    long = kinema("submit", "a cube " * 30).out.strip()
    row = kinema("jobs", "--limit", "1").out
    assert row.startswith(long)
    assert row.endswith("...\n")


def test_watch_tells_phase_step_and_time(kinema: Kinema, server: Server, submitted: Callable[..., str]):
    server.worker.work()
    job = submitted()
    held = server.worker.start()

    def go_on() -> None:
        time.sleep(0.3)
        report = Report(fence=held.fence, phase="denoise", step=2, steps=2, data={"eta_s": 3.2})
        server.worker._tell(held, report)
        server.store.apply(job, *_failed(held.fence))

    thread = threading.Thread(target=go_on)
    thread.start()
    answer = kinema("watch", job)
    thread.join()
    assert (answer.code, answer.out) == (1, f"{job}: failed\n")
    assert answer.err.splitlines() == ["denoise 1/2", "denoise 2/2, about 3 s left", f"error: {job}: failed: no memory"]


def _failed(fence: int) -> list[Any]:
    from kinema.serve.jobs.commands import Fail

    return [Fail(fence=fence, error=JobError(code="run.out_of_memory", message="no memory"))]


def test_watch_ends_as_the_job_did(kinema: Kinema, server: Server, submitted: Callable[..., str]):
    job = submitted()
    server.worker.work(until=job)
    answer = kinema("watch", job)
    assert (answer.code, answer.out, answer.err) == (0, f"{job}: succeeded\n", "")
    lost = submitted()
    assert kinema("cancel", lost).out == f"{lost}: canceled\n"
    answer = kinema("watch", lost, "--json")
    assert answer.code == 130
    assert told(answer, "job")[0]["status"] == "canceled"
    assert answer.events[-1]["message"] == f"{lost}: canceled: the job was canceled"
    assert kinema("cancel", job).err == "error: the job is succeeded\n"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("verb", ["watch", "submit"])
def test_ctrl_c_leaves_the_job_running(
    kinema: Kinema, server: Server, owner: str, submitted: Callable[..., str], verb: str
):
    words = ["watch", submitted()] if verb == "watch" else ["submit", "a cube", "--wait"]
    process = start(DOOR, *words)
    assert process.stderr is not None
    assert process.stdout is not None
    first = process.stderr.readline()
    assert first.startswith("queued, ")
    job = words[1] if verb == "watch" else process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines() == [
        f"{job} goes on; kinema watch {job} looks again",
        f"kinema cancel {job} stops it",
        "error: interrupted",
    ]
    assert server.store.get(job).status.value == "queued"  # pyright: ignore[reportOptionalMemberAccess]


def test_downloads(kinema: Kinema, server: Server, submitted: Callable[..., str]):
    job = submitted()
    early = kinema("download", job)
    assert (early.code, early.err) == (1, "error: the job is queued; its files come when it has succeeded\n")
    server.worker.work(until=job)
    assert kinema("download", job).out == f"{job}-video.mp4\n"
    assert Path(f"{job}-video.mp4").read_bytes() == server.worker.files["video"][0].read_bytes()
    again = kinema("download", job)
    assert (again.code, again.err) == (
        2,
        f"error: out: '{job}-video.mp4': exists already; --force replaces it, --out names another\n",
    )
    assert kinema("download", job, "--force").code == 0
    assert kinema("download", job, "--variant", "cover", "-o", "c.png", "--json").events[0]["variant"] == "cover"
    assert Path("c.png").read_bytes() == server.worker.files["cover"][0].read_bytes()
    none = kinema("download", job, "--variant", "audio")
    assert none.code == 2
    assert none.err.startswith("error: variant: Input should be 'video'")
    assert sorted(os.listdir()) == ["c.png", f"{job}-video.mp4"]


@pytest.mark.parametrize("name", ["../../evil.mp4", "/etc/evil.mp4", ".hidden", ""])
def test_a_server_s_name_is_no_path_here(
    kinema: Kinema, server: Server, submitted: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str
):
    from kinema.serve.api import views

    real = views._outputs
    monkeypatch.setattr(views, "_outputs", lambda job: {k: {**v, "name": name} for k, v in real(job).items()})
    job = submitted()
    server.worker.work(until=job)
    expected = {"../../evil.mp4": "evil.mp4", "/etc/evil.mp4": "evil.mp4", ".hidden": "hidden", "": job}[name]
    assert kinema("download", job).out == f"{expected}\n"
    assert os.listdir() == [expected]


@pytest.mark.parametrize("words", [["submit", "a cube"], ["jobs"], ["watch", f"vid_{'0' * 26}"]])
def test_no_server_there(kinema: Kinema, words: list[str]):
    answer = kinema(*words, "--url", "http://127.0.0.1:9")
    assert answer.code == 1
    assert answer.err.startswith("error: no server answers at http://127.0.0.1:9 (")
    assert answer.err.endswith("); `kinema serve` starts one, KINEMA_URL or --url names another\n")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "words,start,code",
    [
        (["submit", "a", "--seconds", "-1"], "seconds: ", 2),
        (["submit", "a", "--size", "97x97"], "size: ", 2),
        (["submit", "a", "--model", "other"], "model: 'other': is not served here", 2),
        (["submit", "a", "--image", "nowhere.png"], "image: 'nowhere.png': can't be read", 2),
        (["submit", "a", "--out", "a.gif"], "out: 'a.gif': must end in .mp4, which is what a server makes of this", 2),
        (["submit", "a", "--out", "a.mp4", "--frames", "1"], "out: 'a.mp4': must end in .png", 2),
        (["submit", "a", "--out", "nowhere/a.mp4"], "nowhere: the folder does not exist", 2),
        (["watch", "7"], "id: '7': is no job's id", 2),
        (["cancel", f"vid_{'0' * 26}"], "there is no such job", 1),
        (["jobs", "--status", "lost"], "--status: lost: ", 2),
        (["jobs", "--limit", "0"], "--limit: 0: ", 2),
        (["jobs", "--url", "nonsense"], "url: 'nonsense': must be the address of a server", 2),
        (["submit", "a", "--key", "reader"], "this key may not submit", 1),
    ],
)  # fmt: skip
def test_mistakes(kinema: Kinema, owner: str, words: list[str], start: str, code: int):
    answer = kinema(*words)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith(f"error: {start}"), answer.err
    assert answer.err.count("\n") == 1
    event = kinema(*words, "--json").events[-1]
    assert (event["event"], event["exit_code"]) == ("error", code)
    if words[1:3] == ["a", "--seconds"]:
        assert event["field"] == "seconds"


def test_a_file_that_is_there_is_told_before_a_job_is_made(kinema: Kinema, owner: str):
    Path("a.mp4").write_bytes(b"before")
    answer = kinema("submit", "a cube", "-o", "a.mp4")
    assert (answer.code, answer.err) == (
        2,
        "error: out: 'a.mp4': exists already; --force replaces it, --out names another\n",
    )
    assert kinema("jobs").err == "no jobs\n"
