"""Answers that are lost on the way from a real server: nothing is made twice, no event is missed, files arrive whole."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from kinema.client import BrokenDownload, Client, NotFound, Unreachable, calls, talk
from kinema.client.part import Part
from kinema.core.errors import InvalidInput, StorageError
from kinema.serve.jobs.commands import Report
from tests.client.conftest import Connect, Line
from tests.client.told import JOB, video
from tests.serve.api.conftest import Server

pytestmark = pytest.mark.usefixtures("hasty")


def test_a_job_whose_answer_was_lost_is_made_once(connect: Connect, server: Server, line: Line):
    client = connect(line.url)
    line.cuts["POST /v1/videos "] = [0, 40]
    job = client.submit("a cube", seed=3)
    keys = {head.lower().partition("idempotency-key: ")[2].partition("\r\n")[0] for head in line.asked("POST")}
    assert len(line.asked("POST")) == 3
    assert len(keys) == 1
    assert [found.id for found in client.jobs()] == [job.id]


def test_a_cancel_and_a_delete_whose_answers_were_lost(connect: Connect, line: Line):
    client = connect(line.url)
    job = client.submit("a cube")
    line.cuts["/cancel"] = [0]
    assert job.cancel().status == "canceled"
    line.cuts["DELETE"] = [0]
    job.delete()
    assert (len(line.asked("/cancel")), len(line.asked("DELETE"))) == (2, 2)
    with pytest.raises(NotFound):
        job.delete()


def test_a_line_that_stays_cut(connect: Connect, line: Line):
    line.cuts["/v1/models"] = [0] * 3
    with pytest.raises(Unreachable, match="the connection to http://127.0.0.1:[0-9]+ broke: "):
        connect(line.url, retries=2).models()


def test_events_over_streams_that_break(connect: Connect, server: Server, line: Line):
    """Each event once and in order, over streams that are cut in the middle of an event."""
    server.worker.work()
    job = connect(line.url).submit("a cube", steps=9)
    held = server.worker.start()
    for step in range(20):
        report = Report(fence=held.fence, phase="denoise", step=step % 9, steps=9, data={"words": "x" * 200})
        server.store.apply(job.id, report)
    # with the head of the answer: in the first event, between events, after many
    line.cuts["/events"] = [400, 1500, 3000]
    line.cuts["/log"] = [0]
    server.worker._tell(held, Report(fence=held.fence, phase="decode", step=1, steps=1))
    # what breaks off is made up for by the log, so more has to happen meanwhile
    thread = threading.Thread(target=lambda: (time.sleep(0.5), server.worker._tell(held, *_end(held))))
    thread.start()
    events = list(job.stream())
    thread.join()
    assert [e.number for e in events] == list(range(1, events[-1].number + 1))
    assert events[-1].event == "failed"
    assert job.status == "failed"
    heads = line.asked("/events")
    assert len(heads) >= 2
    assert "last-event-id: 0\r\n" in f"{heads[0]}\r\n"
    # it came back for what it had not had
    assert all("last-event-id: 0\r\n" not in f"{head}\r\n" for head in heads[1:])


def _end(held: Any) -> list[Any]:
    from kinema.serve.jobs.commands import Fail
    from kinema.serve.jobs.job import JobError

    return [Fail(fence=held.fence, error=JobError(code="run.failed", message="no"))]


def test_events_where_no_stream_comes_through(
    connect: Connect, server: Server, line: Line, monkeypatch: pytest.MonkeyPatch
):
    """As behind a proxy that collects answers until they are whole."""
    monkeypatch.setattr(calls, "_HEARTBEATS", httpx.Timeout(5.0, read=0.2))
    line.cuts["/events"] = [-1] * 9
    server.worker.work()
    job = connect(line.url).submit("a cube", steps=2)
    events = job.stream()
    assert next(events).event == "queued"
    server.worker.work(until=job.id)
    assert [e.event for e in events] == ["running", "started", "progress", "succeeded"]
    assert len(line.asked("/events")) == talk.MAX_SILENT
    assert job.status == "succeeded"


def test_events_of_a_server_that_has_no_room_for_streams():
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path.rpartition("/")[2])
        after = int(request.url.params.get("after", 0))
        match paths[-1]:
            case "events":
                return httpx.Response(503, text="full")
            case "log":
                told = [
                    {"id": JOB, "number": n, "at": 0.0, "event": "progress"}
                    for n in range(after + 1, min(4, after + 3))
                ]
                return httpx.Response(200, json={"data": told})
        # its events were forgotten, the last among them
        return video("succeeded", last_event=3)

    with Client("http://server.example", transport=httpx.MockTransport(answer)) as client:
        assert [e.number for e in client.get(JOB).stream()] == [1, 2, 3]
    assert paths == [JOB, "events", "log", "events", "log", "log", JOB, JOB]


def test_events_of_a_server_that_tells_all_of_them_again():
    times: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            times.append(1)
            kinds = ["queued", "running", "succeeded"][: len(times) + 1]
            told = [{"id": JOB, "number": i, "at": 0.0, "event": kind} for i, kind in enumerate(kinds, 1)]
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in told).encode()
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(text))
        if request.url.path.endswith("/log"):
            return httpx.Response(200, json={"data": []})
        return video("running" if len(times) < 2 else "succeeded")

    with Client("http://server.example", transport=httpx.MockTransport(answer)) as client:
        assert [e.number for e in client.get(JOB).stream()] == [1, 2, 3]
    assert len(times) == 2


def test_a_job_that_is_deleted_ends_a_stream(connect: Connect, line: Line):
    client = connect(line.url)
    job = client.submit("a cube")
    line.cuts["/events"] = [300]
    events = job.stream()
    assert next(events).event == "queued"
    job.cancel()
    job.delete()
    with pytest.raises(NotFound):
        list(events)


def test_a_download_that_breaks_off_is_gone_on_with(
    connect: Connect, server: Server, line: Line, tmp_path: Path, whole: bytes
):
    client = connect(line.url)
    job = client.submit("a cube", steps=1)
    server.worker.work(until=job.id)
    line.cuts["/content"] = [0, 3000, 1500, 100]
    assert job.save(tmp_path / "a.mp4").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    heads = line.asked("/content")
    starts = [int(head.lower().partition("range: bytes=")[2].partition("-")[0] or 0) for head in heads]
    assert len(heads) == 5
    # the second begins anew, the third goes on
    assert starts[:2] == [0, 0]
    assert 2000 < starts[2] < 3000
    assert starts[2] < starts[3] <= starts[4]
    etag = f'"sha256:{hashlib.sha256(whole).hexdigest()}"'
    assert all(f"if-range: {etag}" in head.lower() for head in heads[2:])


def test_a_download_that_never_comes(connect: Connect, server: Server, line: Line, tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"before")
    job = connect(line.url, retries=2).submit("a cube", steps=1)
    server.worker.work(until=job.id)
    line.cuts["/content"] = [2000, *[400] * 9]
    with pytest.raises(Unreachable):
        job.save(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"], "nothing half-written stays"
    assert (tmp_path / "a.mp4").read_bytes() == b"before"


DATA = bytes(range(256)) * 8
ETAG = f'"sha256:{hashlib.sha256(DATA).hexdigest()}"'


class Pieces(httpx.SyncByteStream):
    """A body, which may break off."""

    def __init__(self, data: bytes, *, breaks: bool = True) -> None:
        self._data, self._breaks = data, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        if self._breaks:
            raise httpx.ReadError("cut")


def saved(path: Path, *answers: Any) -> tuple[bytes, list[httpx.Request]]:
    """What is saved if the file is asked for with these answers, and how it was."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        status, headers, body = answers[min(len(asked), len(answers)) - 1]
        stream = body if isinstance(body, Pieces) else Pieces(body, breaks=False)
        return httpx.Response(status, headers=headers, stream=stream)

    with Client("http://server.example", retries=2, transport=httpx.MockTransport(answer)) as client:
        client._run(talk.save(JOB, "video", path, retries=2))
    return path.read_bytes(), asked


def test_another_file_than_the_one_that_was_begun(tmp_path: Path):
    """The server sends it from its start, as If-Range asks it to."""
    begun = (200, {"etag": '"other"', "content-length": "999"}, Pieces(b"other bytes"))
    found, asked = saved(tmp_path / "a", begun, (200, {"etag": ETAG}, DATA))
    assert found == DATA
    assert (asked[1].headers["range"], asked[1].headers["if-range"]) == ("bytes=11-", '"other"')


@pytest.mark.parametrize(
    "wrong",
    [
        (206, {"etag": ETAG, "content-range": f"bytes 0-9/{len(DATA)}"}, DATA[:10]),
        (206, {"etag": '"other"', "content-range": f"bytes 100-109/{len(DATA)}"}, DATA[100:110]),
        (206, {"etag": ETAG}, DATA[100:]),
        (206, {"etag": ETAG, "content-range": f"bytes 100-{len(DATA) - 1}/{len(DATA)}"}, b"x" * (len(DATA) - 100)),
        (206, {"etag": ETAG, "content-range": f"bytes 100-{len(DATA)}/{len(DATA)}"}, DATA[100:] + b"x"),
    ],
    ids=["other place", "other file", "no place", "other bytes", "too many"],
)
def test_a_range_that_is_not_what_was_asked_for(tmp_path: Path, wrong: Any):
    begun = (200, {"etag": ETAG, "content-length": str(len(DATA))}, Pieces(DATA[:100]))
    found, asked = saved(tmp_path / "a", begun, wrong, (200, {"etag": ETAG}, DATA))
    assert found == DATA
    assert ["range" in request.headers for request in asked] == [False, True, False]


def test_without_an_etag_it_is_begun_anew(tmp_path: Path):
    length = {"content-length": str(len(DATA))}
    for tag in ({}, {"etag": f"W/{ETAG}"}):
        found, asked = saved(tmp_path / "a", (200, {**length, **tag}, Pieces(DATA[:100])), (200, length, DATA))
        assert found == DATA
        assert "range" not in asked[1].headers


def rest(start: int, end: int | None = None, *, etag: str = ETAG) -> Any:
    """An answer that goes on at ``start``, and breaks off at ``end``."""
    place = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    return 206, {"etag": etag, "content-range": place}, Pieces(DATA[start:end], breaks=end is not None)


def test_what_comes_on_is_gone_on_with_however_often_it_breaks(tmp_path: Path):
    begun = (200, {"etag": ETAG, "content-length": str(len(DATA))}, Pieces(DATA[:100]))
    found, asked = saved(tmp_path / "a", begun, *(rest(100 * i, 100 * i + 100) for i in range(1, 7)), rest(700))
    assert found == DATA
    assert [request.headers.get("range") for request in asked] == [None, *(f"bytes={100 * i}-" for i in range(1, 8))]


def test_an_etag_that_is_no_hash_leaves_the_size(tmp_path: Path):
    """An answer that ends too early without an error is gone on with; one that is too long is fetched anew."""
    length = {"etag": '"plain"', "content-length": str(len(DATA))}
    found, asked = saved(tmp_path / "a", (200, length, DATA[:100]), rest(100, etag='"plain"'))
    assert found == DATA
    assert asked[1].headers["range"] == "bytes=100-"
    found, asked = saved(tmp_path / "b", (200, length, DATA + b"x"), (200, length, DATA))
    assert found == DATA
    assert len(asked) == 2


def test_a_download_that_stops_at_the_same_byte(tmp_path: Path):
    begun = (200, {"etag": ETAG, "content-length": str(len(DATA))}, Pieces(DATA[:100]))
    stuck = (206, {"etag": ETAG, "content-range": f"bytes 100-{len(DATA) - 1}/{len(DATA)}"}, Pieces(b""))
    with pytest.raises(BrokenDownload, match=f"{JOB}: its video broke off 3 times in a row at byte 100 of {len(DATA)}"):
        saved(tmp_path / "a", begun, stuck)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_not_the_file_s(tmp_path: Path):
    with pytest.raises(BrokenDownload, match="3 times in a row at byte 0"):
        saved(tmp_path / "a", (200, {"etag": ETAG}, DATA[:-1] + b"x"))
    assert list(tmp_path.iterdir()) == []


def test_places_that_no_file_can_have(client: Any, server: Server, tmp_path: Path):
    job = client.submit("a cube", steps=1)
    server.worker.work(until=job.id)
    with pytest.raises(InvalidInput, match="^path: .* is a folder; name a file"):
        job.save(tmp_path)
    with pytest.raises(StorageError, match="the folder does not exist"):
        job.save(tmp_path / "nowhere" / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10, 10**6])
@pytest.mark.parametrize("then", [Part.keep, lambda part: part.begin(httpx.Response(200))])
def test_a_full_disk(tmp_path: Path, size: int, then: Callable[[Part], None]):
    def fill(part: Part) -> None:
        # few bytes meet the disk only when they leave the buffer
        part.write(bytes(size))
        then(part)

    with closing(Part(tmp_path / "a.mp4")) as part, Path("/dev/full").open("wb") as full:
        part._file.close()
        part._file = full
        with pytest.raises(StorageError, match=r"a\.mp4: no space left"):
            fill(part)
        part.close()
    assert list(tmp_path.iterdir()) == []
