"""A worker process: told what to do on its standard input, whose end is the end of its supervisor; it beats on its standard output."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from kinema.app.worker.hold import DatabaseGone
from kinema.app.worker.settings import BROKEN, WorkerSettings
from kinema.app.worker.work import JobEngine, Worker
from kinema.core.errors import KinemaError
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.store import open_store


def run_process(make_engine: Callable[[WorkerSettings, BlobStore], JobEngine[Any]]) -> int:
    """The exit code: 0 after SIGTERM or its supervisor's end, once the job at hand is given back. A second SIGTERM ends it at once."""
    # Ctrl-C in a terminal reaches every process: the supervisor's word is the one that counts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = WorkerSettings.from_json(sys.stdin.readline())
    # a supervisor that reads no beats must not stop the thread that keeps the lease alive
    beats = os.dup(1)
    os.set_blocking(beats, False)
    # what libraries print is no beat
    os.dup2(2, 1)

    def beat() -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(beats, b".")

    try:
        store = open_store(settings.database, max_deaths=settings.max_deaths)
        blobs = BlobStore(settings.blobs_root)
        worker = Worker(settings, store=store, blobs=blobs, engine=make_engine(settings, blobs), on_beat=beat)
        is_asked = False

        def on_term(number: int, frame: FrameType | None) -> None:
            nonlocal is_asked
            if is_asked:
                os._exit(128 + signal.SIGTERM)
            is_asked = True
            worker.drain()

        signal.signal(signal.SIGTERM, on_term)
        threading.Thread(target=_wait_for_supervisor, args=(worker,), daemon=True).start()
        beat()
        worker.run()
        store.close()
    except (KinemaError, DatabaseGone) as e:
        sys.stderr.write(f"{settings.name}: {e}\n")
        return BROKEN
    except Exception:
        sys.stderr.write(f"{settings.name}: {traceback.format_exc()}")
        return BROKEN
    return 0


def _wait_for_supervisor(worker: Worker) -> None:
    """Drains when nobody watches any longer: whoever starts the service again starts workers of its own."""
    while os.read(0, 4096):
        pass
    worker.drain()


def _local_engine(settings: WorkerSettings, blobs: BlobStore) -> JobEngine[Any]:
    from kinema.app.worker.local import LocalEngine

    return LocalEngine(settings, blobs)


def main() -> int:
    """The exit code of a worker with this machine's engine."""
    return run_process(_local_engine)
