"""Pictures that are slow to come: others are served meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import httpx
import pytest

from kinema.core.errors import FetchError
from kinema.serve.api import intake as intake_module
from kinema.serve.api.intake import Intake
from kinema.serve.api.problems import ApiError
from kinema.serve.blobs import BlobStore
from kinema.wire.fields import Picture
from tests.serve.api.conftest import Server, Web, running

URL = "https://pictures.example/a.png"


@pytest.fixture
def slow(tmp_path: Path):
    with running(tmp_path) as server:
        yield server


def test_slow_pictures_do_not_stop_the_server(slow: Server, monkeypatch: pytest.MonkeyPatch):
    """More requests than the server has threads, each with a picture that takes its time."""
    may_go, waiting = threading.Event(), threading.Semaphore(0)

    def get(url: object, into: BinaryIO, *, max_bytes: int, timeout_s: float, field: str) -> None:
        waiting.release()
        assert may_go.wait(60)
        raise FetchError(field, url, "could not be reached", code="unreachable")

    monkeypatch.setattr(slow.web, "get", get)

    def ask(client: httpx.Client) -> httpx.Response:
        return client.post("/v1/videos", json={"prompt": "a ball", "input_reference": {"image_url": URL}})

    with slow.client("ann") as client, ThreadPoolExecutor(45) as pool:
        asked = [pool.submit(ask, client) for _ in range(45)]
        try:
            assert waiting.acquire(timeout=60)
            # those that may not wait are told so at once
            end = time.monotonic() + 60
            while sum(a.done() for a in asked) < 20:
                assert time.monotonic() < end, "they all wait"
                time.sleep(0.01)
            begin = time.monotonic()
            assert client.get("/v1/videos").status_code == 200
            assert client.post("/v1/videos", json={"prompt": "a ball"}).status_code == 200
            assert time.monotonic() - begin < 10
        finally:
            may_go.set()
        answers = [a.result() for a in asked]
    refused = [a for a in answers if a.status_code == 503]
    assert {(a.json()["code"], a.headers["retry-after"]) for a in refused} == {("capacity.pictures", "2")}
    assert {a.json()["code"] for a in answers if a not in refused} == {"input.image.unreachable"}
    assert 0 < len(answers) - len(refused) <= 25
    # their places are free again
    with slow.client("ann") as client:
        assert ask(client).json()["code"] == "input.image.unreachable"


def test_the_pictures_of_a_request_share_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    times: list[float] = []
    # each takes 15 s
    monkeypatch.setattr(intake_module, "time", SimpleNamespace(monotonic=lambda: 15.0 * len(times)))

    class Slow(Web):
        def get(self, url: object, into: BinaryIO, *, max_bytes: int, timeout_s: float, field: str) -> None:
            times.append(timeout_s)

    intake = Intake(BlobStore(tmp_path), fetch=Slow(), clean=lambda data, field: data, max_bytes=9, timeout_s=40)
    with pytest.raises(ApiError) as error:
        intake.keep([(i, f"image{i}", Picture(url=URL)) for i in range(17)])
    assert (error.value.code, error.value.field) == ("input.image.timeout", "image2")
    assert error.value.retryable
    assert times == [20, 20, 10]
