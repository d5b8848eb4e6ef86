"""`kinema serve`: the HTTP API, the workers under supervision and the sweeper, put together and taken down. No torch."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from types import FrameType
from typing import Literal

import uvicorn
from fastapi import FastAPI

from kinema.app.planner import ModelPlanner
from kinema.app.worker.settings import WorkerSettings
from kinema.app.worker.supervisor import Supervisor
from kinema.core.errors import InvalidInput, KinemaError
from kinema.engine.machine import num_cores
from kinema.serve.addresses import Rules
from kinema.serve.api import keys
from kinema.serve.api.app import create_app
from kinema.serve.api.webhooks import webhook_routes
from kinema.serve.blobs import BlobStore
from kinema.serve.fetch import Guard
from kinema.serve.jobs.retention import collect, unneeded
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.keys import Authenticator, check_bind
from kinema.serve.settings import Settings, private_folder
from kinema.serve.uploads import Uploads
from kinema.serve.webhooks.deliverer import Deliverer
from kinema.serve.webhooks.endpoints import watch

Log = Callable[[str], None]

# what a step at hand and its checkpoint may take once the server is asked to stop
DRAIN_S = 60.0
# requests under way get so long
_REQUESTS_S = 5
_POLL_S = 0.05
# connections that are open at once, beside those of event streams
_MOST_ASKING = 1000
# a file is written before a job names it
_MIN_AGE_S = 3600.0
_MIN_PART_AGE_S = 86400.0
_SWEEP_S = 300.0
_AT_ONCE = 500
_DEVICE = re.compile(r"cpu|cuda(:\d{1,2})?")


def serve(
    settings: Settings,
    *,
    has_workers: bool = True,
    log: Log,
    on_listening: Callable[[str], None],
    drain_s: float = DRAIN_S,
) -> None:
    """Serves until SIGTERM or Ctrl-C; then each worker finishes its step and gives its job back. A second one ends all at once.

    ``on_listening`` gets the address once the API answers. Needs the main thread, which signals go to.

    Raises: InvalidInput (an address in use, a public one without keys, an unknown model or device), StorageError.
    """
    with private_folder(settings.data):
        workers = worker_settings(settings) if has_workers else []
        store = open_store(settings.database_url, limits=settings.limits)
        try:
            check_bind(store.database, settings.opened_by)
            blobs = BlobStore(settings.blobs)
            app = api(settings, store, blobs)
            with listen(settings.host, settings.port) as listener:
                http = _Http(app)
                supervisor = Supervisor(workers, store=store, log=log)
                sweeper = _Sweeper(store, blobs, settings, log)
                deliverer = Deliverer(store.database, outgoing(settings), base_url=settings.public_url)
                is_over = threading.Event()
                webhooks = threading.Thread(target=deliverer.run, args=(is_over,), name="kinema-webhooks", daemon=True)
                signals = _Signals(supervisor)
                # what is here stays; a full collection would look through it for a tenth of a second, while everybody waits
                gc.collect()
                gc.freeze()
                server = threading.Thread(target=http.run, args=([listener],), name="kinema-http")
                server.start()
                sweeper.start()
                webhooks.start()
                try:
                    _watch(http, server, supervisor, signals, on_listening=lambda: on_listening(address(listener)))
                finally:
                    http.should_exit = True
                    sweeper.stop()
                    supervisor.drain(drain_s)
                    # after the workers: the last jobs' ends are told too, or by the next server
                    is_over.set()
                    server.join()
                    webhooks.join()
                    signals.restore()
                    gc.unfreeze()
        finally:
            store.close()


def api(settings: Settings, store: JobStore, blobs: BlobStore) -> FastAPI:
    """The API with this server's parts."""
    kind = worker_device(settings.device)
    guard = outgoing(settings)
    return create_app(
        settings=settings,
        store=store,
        blobs=blobs,
        planner=ModelPlanner(settings.models, checks=settings.content_checks, device=kind),
        fetch=guard,
        clean=Uploads().picture,
        authenticate=Authenticator(store.database, is_loopback=settings.opened_by is None),
        on_submit=lambda url: watch(guard, url=url),
        routers=[webhook_routes(guard), keys.router],
    )


def outgoing(settings: Settings) -> Guard:
    """What this server may reach for its users: their pictures, their webhooks."""
    return Guard(Rules(allow=tuple(settings.fetch_allow)))


def worker_device(device: str) -> Literal["cpu", "cuda"]:
    """The kind of ``device``. Raises: InvalidInput."""
    if not _DEVICE.fullmatch(device):
        raise InvalidInput("device", device, "must be cpu, cuda or cuda:NUMBER")
    return "cpu" if device == "cpu" else "cuda"


def worker_settings(settings: Settings) -> list[WorkerSettings]:
    """Of each worker: on several GPUs one each, on processors a share of the cores. Raises: InvalidInput."""
    kind, number = worker_device(settings.device), settings.workers
    if number > 1 and ":" in settings.device:
        raise InvalidInput("workers", number, f"are for several devices, and {settings.device} is one; name cuda")
    devices = [f"cuda:{i}" for i in range(number)] if kind == "cuda" and number > 1 else [settings.device] * number
    one = WorkerSettings(
        name="worker",
        database=settings.database_url,
        blobs=str(settings.blobs),
        models=tuple(settings.models),
        threads=max(1, num_cores() // number) if kind == "cpu" else None,
        lease_s=settings.lease_s,
        checkpoint_every=settings.checkpoint_every,
        batch=settings.batch,
        keep_s=settings.keep_outputs_s,
    )
    host = socket.gethostname()
    return [replace(one, name=f"{host}-{d.replace(':', '')}-{i}"[:180], device=d) for i, d in enumerate(devices)]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at ``host`` and ``port``; 0 is any that is free. Raises: InvalidInput."""
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(found[:2], family=family, backlog=2048)
        # connections inherit it. asyncio sets it only where a socket names its protocol, which these don't: answers on a connection that is
        # kept would wait 40 ms for an acknowledgement
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except socket.gaierror as e:
        raise InvalidInput("host", host, f"is no address of this machine ({e.strerror})") from e
    except OSError as e:
        raise InvalidInput(*_WHY_NOT.get(e.errno or 0, _other)(host, port, e)) from e


def address(listener: socket.socket) -> str:
    """The URL that ``listener`` answers at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def sweep(store: JobStore, blobs: BlobStore, settings: Settings) -> int:
    """Forgets what is over, and deletes the files that no job needs; how many files that were."""
    collect(store.database, keep_events_s=settings.keep_events_s, keep_jobs_s=settings.keep_jobs_s)
    old = (ref for ref, age_s in blobs.refs() if age_s >= _MIN_AGE_S)
    num_deleted = blobs.delete_parts(min_age_s=_MIN_PART_AGE_S)
    while found := list(islice(old, _AT_ONCE)):
        num_deleted += sum(blobs.delete(ref, min_age_s=_MIN_AGE_S) for ref in unneeded(store.database, found))
    return num_deleted


_WHY_NOT: dict[int, Callable[[str, int, OSError], tuple[str, object, str]]] = {
    errno.EADDRINUSE: lambda host, port, e: (
        "port",
        port,
        f"is in use on {host}; name another, or 0 for any that is free",
    ),
    errno.EACCES: lambda host, port, e: ("port", port, "needs rights that this user lacks; those from 1024 on don't"),
    errno.EADDRNOTAVAIL: lambda host, port, e: ("host", host, "is no address of this machine; 127.0.0.1 is"),
}


def _other(host: str, port: int, error: OSError) -> tuple[str, object, str]:
    return "host", f"{host}:{port}", f"can't be listened to ({error.strerror or error})"


def _watch(
    http: _Http,
    server: threading.Thread,
    supervisor: Supervisor,
    signals: _Signals,
    *,
    on_listening: Callable[[], None],
) -> None:
    """Until a signal. Raises: KinemaError if the API ends by itself."""
    is_told = False
    while not signals.is_asked:
        if not server.is_alive():
            raise KinemaError("the HTTP server ended; its messages above say why")
        if http.started and not is_told:
            is_told = True
            on_listening()
        supervisor.poll()
        time.sleep(_POLL_S)


class _Http(uvicorn.Server):
    """The HTTP server, in a thread: signals are the main thread's."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=_REQUESTS_S,
            # connections: all streams of events, and enough for whoever asks meanwhile
            limit_concurrency=app.state.settings.max_streams + _MOST_ASKING,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends event streams first, which else would be waited for."""
        self._app.state.hub.close()
        await super().shutdown(sockets)


class _Signals:
    """SIGTERM and Ctrl-C: the first asks to stop, the second ends the workers and this process at once."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.is_asked, self._supervisor = False, supervisor
        self._old = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore(self) -> None:
        """Puts back what was there before."""
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            for pid in self._supervisor.pids:
                os.kill(pid, signal.SIGKILL)
            os._exit(128 + number)
        self.is_asked = True


class _Sweeper(threading.Thread):
    """Frees jobs whose leases ran out, even where no worker claims any; every few minutes forgets what is over."""

    def __init__(self, store: JobStore, blobs: BlobStore, settings: Settings, log: Log) -> None:
        super().__init__(name="kinema-sweeper", daemon=True)
        self._store, self._blobs, self._settings, self._log = store, blobs, settings, log
        self._is_over = threading.Event()

    def stop(self) -> None:
        """Ends it after what it is at."""
        self._is_over.set()
        self.join()

    def run(self) -> None:
        """Until `stop`."""
        sweep_at = 0.0
        while not self._is_over.wait(self._settings.lease_s / 2):
            try:
                self._store.reap()
                if time.monotonic() >= sweep_at:
                    sweep_at = time.monotonic() + _SWEEP_S
                    sweep(self._store, self._blobs, self._settings)
            except Exception as e:
                # the next round tries again
                self._log(f"sweeper: {type(e).__name__}: {e}")
