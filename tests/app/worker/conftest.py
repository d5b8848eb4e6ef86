"""A store, blobs and settings for workers of the fake engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kinema.app.worker.settings import WorkerSettings
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.job import Job, Order
from kinema.serve.jobs.store import JobStore, open_store

ROOT = Path(__file__).resolve().parents[3]
FAKE = (sys.executable, "-m", "tests.app.worker.fake")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where jobs and files are."""

    store: JobStore
    blobs: BlobStore
    settings: WorkerSettings

    def submit(self, order: Order) -> Job:
        """A job, which has to be accepted."""
        job = self.store.submit(order)
        assert isinstance(job, Job), job
        return job

    def get(self, job: Job) -> Job:
        """``job`` as it is now."""
        found = self.store.get(job.id)
        assert found is not None
        return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that ended and was not waited for doesn't count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def settings_of(folder: Path, **changes: Any) -> WorkerSettings:
    """Settings for a quick worker."""
    fields = {
        "name": "w",
        "database": f"sqlite:///{folder}/jobs.db",
        "blobs": str(folder / "blobs"),
        "models": ("fake", "other"),
        "lease_s": 1.5,
        "checkpoint_every": 3,
        "poll_s": 0.01,
        "report_every_s": 0.0,
        "preview_every_s": 60.0,
    }
    return WorkerSettings(**{**fields, **changes})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = settings_of(tmp_path)
    store = open_store(settings.database)
    yield Place(store=store, blobs=BlobStore(settings.blobs_root), settings=settings)
    store.close()
