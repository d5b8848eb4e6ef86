"""Are all webhooks delivered in the end where receivers fail three times in ten? Real HTTP on loopback, two deliverers on one database,
killed and replaced while jobs go on; the waits between tries are scaled down.

python bench/webhooks.py [--jobs 500] [--failures 0.3] [--database sqlite|postgresql] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kill_rounds import empty_database

from kinema.serve.addresses import Rules
from kinema.serve.fetch import Guard
from kinema.serve.jobs.commands import Limits, Report, Start, Step, Succeed
from kinema.serve.jobs.job import Job, Order
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.webhooks.deliverer import Deliverer
from kinema.serve.webhooks.deliveries import DELAYS_S, list_deliveries
from kinema.serve.webhooks.endpoints import create_endpoint, watch

OWNERS = 5
DELIVERERS = 2
# a day of tries in half a minute
SCALE = 30 / sum(DELAYS_S)
TIMEOUT_S = 1.0
KINDS = ("started", "progress", "completed")


@dataclass
class Receivers:
    """Counts what arrives, and fails as often as it is told: an error, a cut connection, silence, or taken without a word."""

    failures: float
    seed: int
    taken: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def fate(self, message: dict[str, Any]) -> str:
        """What becomes of one request; only the last two kinds count as taken."""
        with self._lock:
            fate = "taken"
            if self._random.random() < self.failures:
                # a receiver that took it and whose answer was lost has to get it again under the same id
                fate = self._random.choice(["error", "error", "cut", "silence", "taken unheard"])
            self.came[message["id"]] += 1
            if fate.startswith("taken"):
                self.taken[message["id"]] += 1
                self.first.setdefault(message["id"], time.time() - message["created_at"])
        return fate


@contextmanager
def listening(receivers: Receivers) -> Iterator[int]:
    """The port of the server that plays all receivers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            match receivers.fate(json.loads(body)):
                case "taken":
                    self.send_response(204)
                    self.end_headers()
                case "error":
                    self.send_response(503)
                    self.end_headers()
                case "silence":
                    time.sleep(2 * TIMEOUT_S)
                case _:
                    self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def guard(port: int) -> Guard:
    """Lets the receivers' port be reached, and nothing else that is private."""
    return Guard(Rules(allow=(f"127.0.0.1:{port}",)))


def deliver(url: str, port: int) -> None:
    """A deliverer's process, until it is killed."""
    delays = tuple(SCALE * delay for delay in DELAYS_S)
    deliverer = Deliverer(open_store(url).database, guard(port), poll_s=0.05, timeout_s=TIMEOUT_S, delays_s=delays)
    # a lease that a killed process leaves behind is over as soon, in proportion
    deliverer._lease_s = 3 * TIMEOUT_S
    deliverer.run(threading.Event())


def work(store: JobStore, guarded: Guard, jobs: int) -> None:
    """Makes so many jobs and carries them out, as fast as the database takes them."""
    for number in range(jobs):
        order = Order(owner=f"owner-{number % OWNERS}", model="fake", request={}, steps=1)
        job = store.submit(order, within=[watch(guarded)])
        assert isinstance(job, Job), job
        (claimed,) = store.claim("bench", lease_s=60)
        fence = claimed.fence
        report = Report(fence=fence, phase="denoise", step=1, steps=1)
        for commands in ((Start(fence=fence, from_step=0, checkpoint_every=1),), (Step(fence=fence, step=1), report)):
            assert isinstance(store.apply(claimed.id, *commands), Job)
        assert isinstance(store.apply(claimed.id, Succeed(fence=fence, result={})), Job)


def run(url: str, *, jobs: int, failures: float, seed: int) -> dict[str, Any]:
    """The result; ``problems`` is empty if all is well."""
    store, receivers = open_store(url, limits=Limits(per_owner=10**6, total=10**6)), Receivers(failures, seed)
    context = multiprocessing.get_context("spawn")
    randomly, kills, begin = random.Random(seed), 0, time.monotonic()
    with listening(receivers) as port:
        guarded = guard(port)
        for owner in range(OWNERS):
            hook = f"http://127.0.0.1:{port}/{owner}"
            create_endpoint(store.database, guarded, owner=f"owner-{owner}", url=hook, events=KINDS)

        def start() -> BaseProcess:
            process = context.Process(target=deliver, args=(url, port), daemon=True)
            process.start()
            return process

        processes = [start() for _ in range(DELIVERERS)]
        worker = threading.Thread(target=work, args=(store, guarded, jobs))
        worker.start()
        end, kill_at = begin + 300 + jobs, begin + 3
        try:
            while worker.is_alive() or not is_over(store):
                if time.monotonic() > end:
                    break
                # while they have work; the end is theirs
                if time.monotonic() > kill_at and worker.is_alive():
                    victim = randomly.randrange(DELIVERERS)
                    processes[victim].kill()
                    processes[victim].join()
                    processes[victim] = start()
                    kills, kill_at = kills + 1, time.monotonic() + randomly.uniform(2, 4)
                time.sleep(0.1)
        finally:
            for process in processes:
                process.kill()
                process.join()
    seconds = time.monotonic() - begin
    found = [d for o in range(OWNERS) for d in list_deliveries(store.database, owner=f"owner-{o}", limit=10**6)]
    store.close()
    problems = [f"{d.id}: {d.status} after {d.tries} tries" for d in found if d.status != "delivered"]
    problems += [f"{d.id}: noted as delivered, and never came" for d in found if not receivers.taken[d.id]]
    for kind in ("started", "completed"):
        told = Counter(d.job_id for d in found if d.kind == kind)
        if len(told) != jobs or set(told.values()) != {1}:
            problems.append(
                f"{kind}: told of {len(told)} of {jobs} jobs, at most {max(told.values(), default=0)} times"
            )
    waits = sorted(receivers.first.values())
    return {
        "database": url.partition(":")[0],
        "jobs": jobs,
        "messages": len(found),
        "delivered": sum(d.status == "delivered" for d in found),
        "requests": sum(receivers.came.values()),
        "failures_asked_for": failures,
        "not_taken_share": round(1 - sum(receivers.taken.values()) / max(1, sum(receivers.came.values())), 3),
        "taken_more_than_once": sum(n > 1 for n in receivers.taken.values()),
        "deliverers": DELIVERERS,
        "deliverer_kills": kills,
        "most_tries": max((d.tries for d in found), default=0),
        # from the event's second to the first time it was taken
        "event_to_taken_median_s": round(statistics.median(waits), 2) if waits else None,
        "seconds": round(seconds, 1),
        "messages_per_s": round(len(found) / seconds, 1),
        "delays_scaled_by": round(SCALE, 6),
        "problems": problems[:20],
    }


def is_over(store: JobStore) -> bool:
    """Whether every event was told and nothing waits."""
    from sqlalchemy import func, select

    from kinema.serve.jobs.schema import webhook_cursors, webhook_deliveries

    waiting = select(func.count()).select_from(webhook_deliveries).where(webhook_deliveries.c.status == "waiting")
    with store.database.read() as (connection, _):
        left = (connection.scalar(waiting) or 0) + (
            connection.scalar(select(func.count()).select_from(webhook_cursors)) or 0
        )
    return left == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--failures", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--out", type=Path, help="folder for the result, in place of bench/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, empty_database(arguments.database, folder) as url:
        result = run(url, jobs=arguments.jobs, failures=arguments.failures, seed=arguments.seed)
    # late: it loads torch, which the deliverers don't need
    from record import record

    record(f"webhooks_{arguments.database}", result, **({} if arguments.out is None else {"folder": arguments.out}))
    if result["problems"]:
        raise SystemExit("\n".join(result["problems"]))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
