"""A real server on loopback with a fake worker that makes real files; owners are whoever the key names."""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import APIRouter

from kinema.app.planner import ModelPlanner
from kinema.core.errors import AccessError, FetchError, MediaError
from kinema.media.write import VideoWriter, write_picture
from kinema.serve.api.app import create_app
from kinema.serve.api.auth import local_caller
from kinema.serve.blobs import BlobStore
from kinema.serve.fetch import Guard
from kinema.serve.jobs.commands import ConfirmCancel, Fail, Report, Start, Step, Succeed
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.keys import SCOPES, Caller
from kinema.serve.settings import Settings

_OWNERS = count()
# reading the system's certificates takes longer than most tests, and nothing here is encrypted
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Web:
    """What can be fetched: URL -> bytes, or an error."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def check(self, url: object, *, field: str) -> None:
        Guard().check(url, field=field)

    def get(self, url: object, into: BinaryIO, *, max_bytes: int, timeout_s: float, field: str) -> None:
        self.asked.append(str(url))
        if url not in self.pages:
            raise FetchError(field, url, "could not be reached", code="unreachable")
        into.write(self.pages[str(url)][:max_bytes])


def clean(data: bytes, field: str) -> bytes:
    """Takes what begins like a PNG."""
    if not data.startswith(PNG):
        raise MediaError(field, data[:8], "is not a picture")
    return data


def authenticate(header: str | None) -> Caller:
    """The owner is the key; ``reader`` may only read."""
    if header is None:
        return local_caller(None)
    kind, _, name = header.partition(" ")
    if kind != "Bearer" or not name:
        raise AccessError("this is no API key of this server")
    return Caller(owner=name, scopes=frozenset(["read"] if name == "reader" else SCOPES))


class FakeWorker:
    """Carries out jobs with the store's commands; every clip is the same few frames."""

    def __init__(self, store: JobStore, blobs: BlobStore, folder: Path) -> None:
        self._store, self._blobs = store, blobs
        frames = np.random.default_rng(3).integers(0, 255, (5, 32, 48, 3), np.uint8)
        with VideoWriter(folder / "clip.mp4", fps=8, num_frames=5) as writer:
            writer.recipe = {"format": 1}
            writer.write(frames)
        write_picture(folder / "frame.png", frames[-1])
        self.files = {
            "video": (folder / "clip.mp4", "video/mp4"),
            "cover": (folder / "frame.png", "image/png"),
            "spritesheet": (folder / "frame.png", "image/png"),
            "last_frame": (folder / "frame.png", "image/png"),
        }

    def work(self, *, until: str | None = None, fail: JobError | None = None) -> None:
        """All that waits, or up to the job ``until``."""
        while True:
            claimed = self._store.claim("fake", lease_s=30)
            if not claimed:
                return
            self.carry_out(claimed[0], fail=fail)
            if claimed[0].id == until:
                return

    def start(self) -> Job:
        """The next job, in its first step."""
        (job,) = self._store.claim("fake", lease_s=30)
        self._tell(job, Start(fence=job.fence, from_step=0, checkpoint_every=5))
        self._tell(
            job, Step(fence=job.fence, step=1), Report(fence=job.fence, phase="denoise", step=1, steps=job.order.steps)
        )
        return job

    def carry_out(self, job: Job, *, fail: JobError | None = None) -> None:
        fence, steps = job.fence, job.order.steps
        self._tell(job, Start(fence=fence, from_step=0, checkpoint_every=5))
        self._tell(job, *(Step(fence=fence, step=step) for step in range(1, steps + 1)))
        preview = self._blobs.put(self.files["cover"][0].read_bytes())
        self._tell(job, Report(fence=fence, phase="denoise", step=steps, steps=steps, data={"preview": preview}))
        if fail is not None:
            self._tell(job, Fail(fence=fence, error=fail))
            return
        outputs = {
            name: {
                "blob": self._blobs.put_file(path),
                "media_type": kind,
                "bytes": path.stat().st_size,
                "name": f"{job.id}-{name}{path.suffix}",
            }
            for name, (path, kind) in self.files.items()
        }
        recipe = self._blobs.put(f'{{"job": "{job.id}"}}'.encode())
        outputs["recipe"] = {"blob": recipe, "media_type": "application/json", "bytes": 40, "name": "recipe.json"}
        result = {
            "outputs": outputs,
            "resolved": job.order.resolved["request"],
            "warnings": ["made by a fake"],
            "metrics": {"queue_ms": 1.0, "denoise_ms": 2.0},
        }
        self._tell(job, Succeed(fence=fence, result=result, outputs=tuple({o["blob"] for o in outputs.values()})))

    def confirm_cancel(self, job: Job) -> None:
        self._tell(job, ConfirmCancel(fence=job.fence))

    def _tell(self, job: Job, *commands: Any) -> None:
        assert isinstance(self._store.apply(job.id, *commands), Job)


@dataclass(kw_only=True)
class Server:
    """A server that listens, its parts, and clients of its own."""

    app: Any
    url: str
    store: JobStore
    blobs: BlobStore
    web: Web
    worker: FakeWorker

    def client(self, owner: str | None = None, **headers: str) -> httpx.Client:
        """A client of an owner whom nobody else knows."""
        name = owner or f"owner{next(_OWNERS)}"
        headers = {"authorization": f"Bearer {name}", **headers}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=_TLS, trust_env=False)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker in a thread."""
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                self.worker.work()
                time.sleep(0.02)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def running(folder: Path, *, routers: Sequence[APIRouter] = (), **changes: Any) -> Iterator[Server]:
    """A server with such settings."""
    settings = Settings(data=folder, **changes)
    store = open_store(settings.database_url, limits=settings.limits)
    blobs = BlobStore(settings.blobs)
    web = Web()
    app = create_app(
        settings=settings,
        store=store,
        blobs=blobs,
        planner=ModelPlanner(settings.models),
        fetch=web,
        clean=clean,
        authenticate=authenticate,
        routers=routers,
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", timeout_graceful_shutdown=5)
    listener = uvicorn.Server(config)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        end = time.monotonic() + 60
        while not listener.started:
            assert time.monotonic() < end
            time.sleep(0.005)
        port = listener.servers[0].sockets[0].getsockname()[1]
        worker = FakeWorker(store, blobs, folder)
        yield Server(app=app, url=f"http://127.0.0.1:{port}", store=store, blobs=blobs, web=web, worker=worker)
    finally:
        app.state.hub.close()
        listener.should_exit = True
        thread.join()
        store.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that need nothing special."""
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A new owner's."""
    with server.client() as found:
        yield found


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (48, 32), (200, 30, 40)).save(file, "PNG")
    return file.getvalue()


Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(client: httpx.Client) -> Make:
    """Makes a job, which has to be accepted."""

    def made(path: str = "/v1/videos", **fields: Any) -> dict[str, Any]:
        answer = client.post(path, json={"prompt": "a red ball rolls", **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return made
