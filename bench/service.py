"""How quick is the API? Latencies of submitting and asking at a steady rate, how late events come, what idle event streams cost.

The server is `kinema serve` without workers, on loopback with SQLite, bound to one core where there are two; the clients are this
process. Requests are sent at their times whether or not earlier ones were answered, and latency counts from the time a request was due.

python bench/service.py [--seconds 30] [--rounds 3] [--rate 200] [--submits 10] [--streams 1000]        # about three minutes
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from record import record

from kinema.app.server import serve
from kinema.serve.jobs.commands import Limits, Report, Start, Step, Succeed
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.store import JobStore, open_store
from kinema.serve.settings import Settings

BODY = json.dumps({"prompt": "a red ball rolls to the left", "steps": 4}).encode()
CONNECTIONS = 16
# how many of the jobs at hand are asked about
ASKED = 200
NUM_EVENTS = 100


def start_server(folder: Path) -> None:
    """`kinema serve` without workers; its first line is its port."""
    settings = Settings(data=folder, port=0, limits=Limits(per_owner=10**6, total=10**6))
    serve(
        settings,
        has_workers=False,
        log=lambda line: print(line, file=sys.stderr),
        on_listening=lambda address: print(address.rpartition(":")[2], flush=True),
    )


class Pool:
    """Kept connections, each with one request at a time; one that the server has closed for its idleness is opened anew."""

    def __init__(self, port: int) -> None:
        self._port, self._free = port, asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()

    async def open(self) -> None:
        """Connects."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        reader, writer = await self._free.get()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        for is_last in (False, True):
            try:
                writer.write(head.encode() + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                break
            except (asyncio.IncompleteReadError, ConnectionError):
                if is_last:
                    raise
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        else:
            raise AssertionError
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        content = await reader.readexactly(length)
        self._free.put_nowait((reader, writer))
        return int(answer.split()[1]), content

    def close(self) -> None:
        """Ends all that are free."""
        while not self._free.empty():
            self._free.get_nowait()[1].close()


async def load(pool: Pool, *, seconds: float, rate: int, submits: int) -> dict[str, Any]:
    """Latencies in ms of ``rate`` requests a second, of which ``submits`` make a job and the others ask about one."""
    ids = [json.loads((await pool.ask("POST", "/v1/videos", BODY))[1])["id"] for _ in range(20)]
    taken: dict[str, list[float]] = {"submit": [], "status": []}
    refused: list[int] = []
    start = time.perf_counter() + 0.5

    async def one(number: int) -> None:
        due = start + number / rate
        await asyncio.sleep(due - time.perf_counter())
        is_submit = number % max(1, rate // max(1, submits)) == 0
        if is_submit:
            status, content = await pool.ask("POST", "/v1/videos", BODY)
            if status == 200:
                ids.append(json.loads(content)["id"])
        else:
            status, _ = await pool.ask("GET", f"/v1/videos/{ids[-1 - number % min(len(ids), ASKED)]}")
        if status != 200:
            refused.append(status)
        taken["submit" if is_submit else "status"].append(1000 * (time.perf_counter() - due))

    await asyncio.gather(*(one(n) for n in range(int(rate * seconds))))
    lasted = time.perf_counter() - start
    done = len(taken["submit"]) + len(taken["status"])
    figures = {name: percentiles(values) for name, values in taken.items() if values}
    return {**figures, "requests_per_s": round(done / lasted, 1), "not_200": len(refused)}


class Finisher(threading.Thread):
    """A worker that takes no time, so that the queue stays short."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(daemon=True)
        self._store, self._is_over = store, threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._is_over.wait(0.05):
            for job in self._store.claim("bench", lease_s=60):
                self._store.apply(
                    job.id,
                    Start(fence=job.fence, from_step=0, checkpoint_every=5),
                    *(Step(fence=job.fence, step=n + 1) for n in range(job.order.steps)),
                    Succeed(fence=job.fence, result={"outputs": {}}),
                )

    def stop(self) -> None:
        """Ends it."""
        self._is_over.set()
        self.join()


async def event_lags(port: int, store: JobStore, job: Job) -> list[float]:
    """Ms from the commit of an event to its arrival, `NUM_EVENTS` of them, at uneven times."""
    held = store.get(job.id)
    assert held is not None
    # what is replayed came long ago
    reader, writer = await open_stream(port, job.id, after=held.last_event)
    lags: list[float] = []

    async def read() -> None:
        while len(lags) < NUM_EVENTS:
            line = await reader.readline()
            if line.startswith(b"data: ") and b'"sent"' in line:
                lags.append(1000 * (time.time() - json.loads(line[6:])["sent"]))

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.5)
    for n in range(NUM_EVENTS):
        await asyncio.sleep(0.03 + 0.001 * (n * 37 % 90))
        data = {"sent": time.time()}
        report = Report(fence=job.fence, phase="denoise", step=1, steps=4, data=data)
        await asyncio.to_thread(store.apply, job.id, report)
    await asyncio.wait_for(reading, 10)
    writer.close()
    return lags


async def open_stream(port: int, job_id: str, *, after: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An event stream that has begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/videos/{job_id}/events?after={after} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()
    await reader.readuntil(b"retry: ")
    return reader, writer


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile, the most, and how many there are."""
    ordered = sorted(values)
    at = {f"p{p}_ms": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 2) for p in (50, 90, 99)}
    return {**at, "most_ms": round(ordered[-1], 2), "count": len(ordered)}


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(arguments: argparse.Namespace, port: int, pid: int, store: JobStore) -> dict[str, Any]:
    """All figures."""
    pool = Pool(port)
    await pool.open()
    # the first requests load what later ones share
    await load(pool, seconds=2, rate=20, submits=5)
    finisher = Finisher(store)
    finisher.start()
    before_s, start = cpu_s(pid), time.perf_counter()
    rounds = [
        await load(pool, seconds=arguments.seconds, rate=arguments.rate, submits=arguments.submits)
        for _ in range(arguments.rounds)
    ]
    share = (cpu_s(pid) - before_s) / (time.perf_counter() - start)
    finisher.stop()
    # a machine that others use, too, stands still now and then
    middle = {
        what: {name: statistics.median(one[what][name] for one in rounds) for name in rounds[0][what]}
        for what in ("submit", "status")
    }
    result: dict[str, Any] = {"load": {"median": middle, "rounds": rounds, "server_core_share": round(share, 3)}}
    while store.claim("rest", lease_s=1e6):
        pass
    idle = [json.loads((await pool.ask("POST", "/v1/videos", BODY))[1])["id"] for _ in range(51)]
    (job,) = store.claim("bench", lease_s=1e6)
    idle.remove(job.id)
    store.apply(job.id, Start(fence=job.fence, from_step=0, checkpoint_every=5), Step(fence=job.fence, step=1))
    result["event_lag"] = percentiles(await event_lags(port, store, job))
    before_mb = memory_mb(pid)
    streams = [await open_stream(port, idle[n % len(idle)]) for n in range(arguments.streams)]
    await asyncio.sleep(5)
    result["streams"] = {
        "open": len(streams),
        "memory_before_mb": before_mb,
        "memory_mb": memory_mb(pid),
        "event_lag_meanwhile": percentiles(await event_lags(port, store, job)),
    }
    for _, writer in streams:
        writer.close()
    pool.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=200, help="requests a second")
    parser.add_argument("--submits", type=int, default=10, help="of which so many make a job")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="folder for the result, in place of bench/results")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        start_server(arguments.serve)
        return
    with tempfile.TemporaryDirectory() as name:
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
        )
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
            if len(cores) > 1:
                for task in os.listdir(f"/proc/{process.pid}/task"):
                    os.sched_setaffinity(int(task), {cores[0]})
                os.sched_setaffinity(0, set(cores[1:]))
            store = open_store(f"sqlite:///{name}/jobs.db", limits=Limits(per_owner=10**6, total=10**6))
            result = asyncio.run(measure(arguments, port, process.pid, store))
            store.close()
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.stdout.close()
    asked = {"rate": arguments.rate, "submits": arguments.submits, "seconds": arguments.seconds}
    folder = {} if arguments.out is None else {"folder": arguments.out}
    record("service", {"asked": asked, "server_cores": 1 if len(cores) > 1 else len(cores), **result}, **folder)


if __name__ == "__main__":
    main()
