"""How far off are the times that the service foretells? A real `kinema serve` with the shipped model: after a few runs of each shape, what
it said when a job was made is compared with when the job was done, on an idle server and in a queue of mixed shapes; and for shapes that it
has not run yet, which it works out from their cost.

python bench/eta.py [--runs 3] [--jobs 24] [--threads 1]        # a few minutes; fails where the median error is above 15 %
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from record import ROOT, record

MOST_ERROR = 0.15
# by frames, size and steps; the last two are run only to be guessed from the others
SHAPES = ((5, "96x96", 20), (9, "96x96", 12), (9, "96x96", 25), (9, "80x128", 16))
UNKNOWN = ((13, "96x96", 16), (5, "128x80", 20), (17, "96x96", 12))
LIMIT_S = 1200.0


@contextmanager
def serving(folder: Path, threads: int) -> Iterator[httpx.Client]:
    """A client of a server with one worker of so many threads."""
    command = [sys.executable, "-m", "kinema", "serve", "--port", "0", "--data", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[2].rstrip(";")
            with httpx.Client(base_url=url, timeout=30, headers={"Kinema-Dialect": "native"}) as client:
                yield client
        finally:
            process.terminate()
            process.wait(90)


def submit(client: httpx.Client, shape: tuple[int, str, int], seed: int) -> dict[str, Any]:
    """The job, as the server tells of it when it is made."""
    frames, size, steps = shape
    body = {"prompt": "a red cube falls in the snow", "frames": frames, "size": size, "steps": steps, "seed": seed}
    return client.post("/v1/videos", json=body).raise_for_status().json()


def wait(client: httpx.Client, made: Sequence[Mapping[str, Any]], end: float) -> list[float]:
    """Seconds from when each job was made to when it was done, by the server's own clock."""
    took = []
    for job in made:
        while (told := client.get(f"/v1/videos/{job['id']}").json())["status"] in ("queued", "running"):
            if time.monotonic() > end:
                raise SystemExit(f"the jobs were not done within {LIMIT_S:g} s")
            time.sleep(0.05)
        if told["status"] != "succeeded":
            raise SystemExit(f"{job['id']}: {told['status']}: {told['error']}")
        took.append(told["finished_at"] - told["created_at"])
    return took


def errors(made: Sequence[Mapping[str, Any]], took: Sequence[float]) -> dict[str, Any]:
    """How far what was foretold is from what came, as shares of what came."""
    shares = [job["eta_seconds"] / s - 1 for job, s in zip(made, took, strict=True)]
    off = sorted(map(abs, shares))
    return {
        "jobs": len(off),
        "median_error": round(statistics.median(off), 3),
        "p90_error": round(off[min(len(off) - 1, 9 * len(off) // 10)], 3),
        "most_error": round(off[-1], 3),
        # below 0: it came later than it was said
        "median_bias": round(statistics.median(shares), 3),
        "done_by_p90_share": round(
            sum(s <= j["eta_p90_seconds"] for j, s in zip(made, took, strict=True)) / len(off), 3
        ),
        "took_median_s": round(statistics.median(took), 2),
    }


def measure(client: httpx.Client, *, runs: int, jobs: int) -> dict[str, Any]:
    """All figures."""
    chance, seeds, end = random.Random(1), iter(range(10**6)), time.monotonic() + LIMIT_S
    # the first loads the model, and is counted by the server like the others
    for _ in range(runs):
        for shape in SHAPES:
            wait(client, [submit(client, shape, next(seeds))], end)
    alone, alone_took = [], []
    for n in range(jobs):
        # the server looks at its queue twice a second: in the last look the job before may still run
        time.sleep(1)
        alone.append(submit(client, SHAPES[n % len(SHAPES)], next(seeds)))
        alone_took += wait(client, alone[-1:], end)
    queued = [submit(client, chance.choice(SHAPES), next(seeds)) for _ in range(jobs)]
    queued_took = wait(client, queued, end)
    unknown, unknown_took = [], []
    for shape in UNKNOWN:
        time.sleep(1)
        unknown.append(submit(client, shape, next(seeds)))
        unknown_took += wait(client, unknown[-1:], end)
    return {
        "idle_server": errors(alone, alone_took),
        "in_a_queue": errors(queued, queued_took),
        "shapes_never_run": errors(unknown, unknown_took),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each shape before the first estimate that counts")
    parser.add_argument("--jobs", type=int, default=24, help="estimates of each kind")
    parser.add_argument("--threads", type=int, default=1, help="of the worker")
    parser.add_argument("--out", type=Path, help="folder for the result, in place of bench/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "data", arguments.threads) as client:
        load, result = os.getloadavg()[0], measure(client, runs=arguments.runs, jobs=arguments.jobs)
    facts = {"runs_of_each_shape": arguments.runs, "shapes": [list(s) for s in SHAPES], "threads": arguments.threads}
    folder = {} if arguments.out is None else {"folder": arguments.out}
    record("eta", {**facts, "load_average": [load, os.getloadavg()[0]], **result}, **folder)
    worst = max(result[kind]["median_error"] for kind in ("idle_server", "in_a_queue"))
    if worst > MOST_ERROR:
        raise SystemExit(f"a median error of {worst:.0%}, and {MOST_ERROR:.0%} is the most")


if __name__ == "__main__":
    main()
