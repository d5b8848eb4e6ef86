"""Real processes: many claimers at once, and some rounds of bench/kill_rounds.py."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from kinema.serve.jobs import commands as c
from kinema.serve.jobs.commands import Limits
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.keys import InFlight, Reservation, reserve
from kinema.serve.jobs.reading import attempts_of, list_jobs
from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.shared import BOTH, order

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
CLAIMERS, JOBS = 8, 200
CLAIM_ALL = """if True:
    import sys
    from kinema.serve.jobs.store import open_store
    store = open_store(sys.argv[1])
    print(flush=True)
    sys.stdin.readline()
    while jobs := store.claim(sys.argv[2], lease_s=600, most=2):
        for job in jobs:
            print(job.id, job.fence, flush=True)
"""


@pytest.fixture
def kill_rounds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import kill_rounds  # pyright: ignore[reportMissingImports]

    return kill_rounds


@BOTH
def test_each_job_is_claimed_once_however_many_want_it(url: str) -> None:
    store = open_store(url, limits=Limits(per_owner=JOBS, total=JOBS))
    made = [store.submit(order(f"owner{i % 7}", plan_key=f"{i % 3}")) for i in range(JOBS)]
    ids = [job.id for job in made if isinstance(job, Job)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", CLAIM_ALL, url]
    processes = [
        subprocess.Popen([*command, f"w{i}"], env=ENVIRONMENT, text=True, bufsize=-1, **pipes) for i in range(CLAIMERS)
    ]
    # all are up before the first may begin
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [p.returncode for p in processes] == [0] * CLAIMERS, [error for _, error in outputs]
    claimed = [line.split() for output, _ in outputs for line in output.splitlines()]
    assert Counter(job_id for job_id, _ in claimed) == Counter(ids)
    assert {fence for _, fence in claimed} == {"1"}
    assert sum(bool(output) for output, _ in outputs) > 1, "one took them all: nothing was contended"
    store.close()


def all_at_once(number: int, call: Callable[[int], object]) -> list[object]:
    """What ``call`` gives in each of so many threads."""
    barrier = threading.Barrier(number)

    def one(i: int) -> object:
        barrier.wait()
        return call(i)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@BOTH
def test_the_queue_s_limit_is_exact_and_positions_are_distinct(url: str) -> None:
    store = open_store(url, limits=Limits(per_owner=100, total=7))
    answers = all_at_once(12, lambda i: store.submit(order(f"owner{i}")))
    made = [job for job in answers if isinstance(job, Job)]
    assert sorted(job.position for job in made) == list(range(1, 8))
    store.close()


@BOTH
def test_a_key_is_reserved_once(url: str) -> None:
    store = open_store(url)
    answers = all_at_once(6, lambda _: reserve(store.database, "ann", "k", fingerprint="f"))
    assert Counter(type(answer) for answer in answers) == {Reservation: 1, InFlight: 5}
    store.close()


@BOTH
def test_whoever_reorders_and_beats_at_once_waits_for_nobody_in_a_ring(url: str) -> None:
    store = open_store(url)
    jobs = [store.submit(order()) for _ in range(6)]
    ids = [job.id for job in jobs if isinstance(job, Job)]

    def call(i: int) -> None:
        for _ in range(4):
            if i % 2:
                assert isinstance(store.reorder(ids[i], before=ids[i - 1]), Job)
            else:
                assert set(store.heartbeat(dict.fromkeys(reversed(ids), 0), lease_s=1).values()) == {"lost"}

    all_at_once(6, call)
    positions = [job.position for job in list_jobs(store.database)]
    assert sorted(positions) == list(range(1, 7))
    store.close()


@BOTH
def test_whatever_is_killed_no_job_is_lost_or_done_twice(url: str, kill_rounds: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    result = kill_rounds.run_rounds(url, str(folder), rounds=6, seed=11, lease_s=0.3)
    assert result["problems"] == []
    assert result["worker_kills"] + result["worker_stops"] + result["submit_kills"] == 6
    assert result["deaths"] > 0, "nobody died at work: the rounds proved nothing"


def finished(kill_rounds: ModuleType, folder: Path, *, url: str) -> JobStore:
    """A store with one job that was made, interrupted after a checkpoint, and gone on with, as it should be."""
    store = open_store(url)
    job = store.submit(order("bench", request={"item": 0}, steps=kill_rounds.STEPS))
    assert isinstance(job, Job)
    (folder / "accepted").write_text(f"{job.id}\n")
    (job,) = store.claim("w", lease_s=600)
    every = kill_rounds.EVERY
    state = "0"
    for step in range(1, every + 1):
        state = kill_rounds.one_step(state, step)
    (folder / "blob").write_text(state)
    store.apply(
        job.id,
        c.Start(fence=1, from_step=0, checkpoint_every=every),
        *(c.Step(fence=1, step=i) for i in range(1, every + 1)),
        c.SaveCheckpoint(fence=1, step=every, blob="blob"),
        c.WorkerDied(fence=1),
    )
    (job,) = store.claim("w", lease_s=600)
    kill_rounds.make(store, folder, job)
    return store


def damage(store: JobStore, folder: Path, how: str) -> None:
    """Makes it as a store with a mistake would have left it."""
    (job,) = list_jobs(store.database)
    statements = {
        "lost": f"DELETE FROM jobs WHERE id = '{job.id}'",
        "doubled": "INSERT INTO events SELECT job_id, number + 1, at, kind, data FROM events WHERE kind = 'succeeded'",
        "bits": 'UPDATE jobs SET result = \'{"state": "other"}\'',
        "steps": "INSERT INTO steps SELECT job_id, 9, step, at FROM steps",
        "gap": "DELETE FROM events WHERE number = 2",
        "restart": """UPDATE events SET data = '{"from_step": 0}' WHERE kind = 'started'""",
        "fences": "UPDATE attempts SET fence = 7 WHERE fence = 2",
    }
    with store.database.write() as (connection, _):
        connection.exec_driver_sql(statements[how])


@pytest.mark.parametrize("how", ["lost", "doubled", "bits", "steps", "gap", "restart", "fences"])
def test_the_harness_sees_what_is_wrong(kill_rounds: ModuleType, tmp_path: Path, how: str) -> None:
    store = finished(kill_rounds, tmp_path, url=f"sqlite:///{tmp_path}/jobs.db")
    assert kill_rounds.verify(store, str(tmp_path))[0] == []
    (job,) = list_jobs(store.database)
    assert [a["from_step"] for a in attempts_of(store.database, job.id)] == [0, kill_rounds.EVERY]
    damage(store, tmp_path, how)
    assert kill_rounds.verify(store, str(tmp_path))[0], how
    store.close()
