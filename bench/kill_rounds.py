"""Is a job ever lost or done twice, whatever is killed? Workers and those who submit are killed at random moments, or stopped for longer
than their lease, while jobs go on. The engine is a fake whose every step depends on the one before, so that what went on from a checkpoint
has to end in the same bits. With ``--engine mini`` it is the shipped model in the service's own worker processes, under a supervisor that
is killed as well.

python bench/kill_rounds.py [--rounds 1000] [--database sqlite|postgresql] [--seed 1]      # about a quarter of an hour each
python bench/kill_rounds.py --engine mini [--rounds 50] [--batch 2] [--database sqlite|postgresql]     # some ten minutes
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from kinema.core.jobs import JobState
from kinema.core.request import GenerationRequest
from kinema.serve.jobs.commands import Limits, Refusal, Report, SaveCheckpoint, Start, Step, Succeed
from kinema.serve.jobs.job import Job, Order, Running, Succeeded
from kinema.serve.jobs.keys import Conflict, InFlight, Replay, Reservation, reserve
from kinema.serve.jobs.reading import attempts_of, audit_steps, events_after, last_checkpoint, list_jobs
from kinema.serve.jobs.store import JobStore, open_store

LEASE_S = 1.0
STEPS, EVERY, STEP_S = 12, 3, 0.01
# of the shipped model: clips of so many seeds, each of which is made once undisturbed
MINI_LEASE_S, MINI_STEPS, MINI_EVERY, MINI_SEEDS = 3.0, 8, 2, 3
WORKERS = 2
# as many unfinished jobs there are at least, while rounds go on
WAITING = 4
# the moment of death is the harness's, so no number of deaths is a job's own fault
NO_POISON = 10**9


def one_step(state: str, step: int) -> str:
    """The fake engine's next state."""
    return hashlib.sha256(f"{state} {step}".encode()).hexdigest()


def right_result(item: int) -> str:
    """What a job that nobody disturbs makes."""
    state = str(item)
    for step in range(1, STEPS + 1):
        state = one_step(state, step)
    return state


def write_whole(path: Path, text: str) -> None:
    """A file that is there whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def work(url: str, folder: str, name: str, lease_s: float) -> None:
    """A worker: takes jobs and makes them, until it is killed."""
    store = open_store(url, max_deaths=NO_POISON)
    held: dict[str, int] = {}

    def beat() -> None:
        while True:
            time.sleep(lease_s / 4)
            store.heartbeat(dict(held), lease_s=lease_s)

    threading.Thread(target=beat, daemon=True).start()
    while True:
        batch = store.claim(name, lease_s=lease_s, most=2)
        held.update({job.id: job.fence for job in batch})
        for job in batch:
            make(store, Path(folder), job)
            del held[job.id]
        if not batch:
            time.sleep(0.02)


def make(store: JobStore, folder: Path, job: Job) -> None:
    """Runs one job from its last checkpoint; leaves it at the first refusal."""
    fence, checkpoint = job.fence, last_checkpoint(store.database, job.id)
    begin, state = 0, str(job.order.request["item"])
    if checkpoint is not None:
        begin, state = checkpoint.step, (folder / checkpoint.blob).read_text(encoding="utf-8")
    answer = store.apply(job.id, Start(fence=fence, from_step=begin, checkpoint_every=EVERY))
    for step in range(begin + 1, STEPS + 1):
        if isinstance(answer, Refusal):
            break
        report = Report(fence=fence, phase="denoise", step=step, steps=STEPS)
        answer = store.apply(job.id, Step(fence=fence, step=step), report)
        time.sleep(STEP_S)
        state = one_step(state, step)
        if step % EVERY == 0 and not isinstance(answer, Refusal):
            blob = f"{job.id}-{fence}-{step}"
            write_whole(folder / blob, state)
            answer = store.apply(job.id, SaveCheckpoint(fence=fence, step=step, blob=blob))
    if not isinstance(answer, Refusal):
        store.apply(job.id, Succeed(fence=fence, result={"state": state, "fence": fence}))


def order_of(item: int, engine: str) -> Order:
    """What is submitted for ``item``."""
    order = Order(owner="bench", model="fake", request={"item": item}, steps=STEPS, plan_key="p")
    if engine == "fake":
        return order
    request = mini_request(item).to_dict()
    return replace(order, model="kinema-mini", resolved={"request": request}, steps=MINI_STEPS)


def mini_request(item: int) -> GenerationRequest:
    """A small clip; the seed says which."""
    prompt = "a red cube falls in the snow"
    return GenerationRequest(prompt=prompt, frames=5, size="96x96", steps=MINI_STEPS, seed=item % MINI_SEEDS)


def supervise(url: str, folder: str, lease_s: float, batch: int) -> None:
    """A supervisor of real worker processes, until it is killed; the file ``workers`` says who they are."""
    # late: the fake engine's processes are to start quickly
    from kinema.app.worker.settings import WorkerSettings
    from kinema.app.worker.supervisor import Supervisor

    settings = WorkerSettings(
        name="worker",
        database=url,
        blobs=str(Path(folder, "blobs")),
        threads=1,
        lease_s=lease_s,
        checkpoint_every=MINI_EVERY,
        batch=batch,
        max_deaths=NO_POISON,
    )
    supervisor = Supervisor(
        [settings] * WORKERS, store=open_store(url, max_deaths=NO_POISON), log=lambda _: None, most_wait_s=0.5
    )
    known: dict[str, int] = {}
    while True:
        supervisor.poll()
        if supervisor.processes != known:
            known = supervisor.processes
            write_whole(Path(folder, "workers"), json.dumps(known))
        time.sleep(0.02)


def submit(url: str, folder: str, engine: str = "fake") -> None:
    """An API process: submits item after item, and notes each once it was accepted, until it is killed or told to stop."""
    store = open_store(url, limits=Limits(per_owner=10**6, total=10**6))
    accepted = Path(folder, "accepted")
    while not Path(folder, "stop").exists():
        key = reserve(store.database, "bench", f"item-{len(noted(accepted))}", fingerprint="f", hold_s=0.2)
        is_full = len(list_jobs(store.database, statuses=[JobState.QUEUED])) >= WAITING
        if isinstance(key, InFlight) or (is_full and isinstance(key, Reservation)):
            time.sleep(0.02)
            continue
        assert not isinstance(key, Conflict)
        item = len(noted(accepted))
        order = order_of(item, engine)
        job = store.get(key.job_id) if isinstance(key, Replay) else store.submit(order, reservation=key)
        assert isinstance(job, Job), job
        # one write: it is there whole, or not at all
        with accepted.open("ab", buffering=0) as file:
            file.write(f"{job.id}\n".encode())
    store.close()


def noted(accepted: Path) -> list[str]:
    """The ids of the jobs that were accepted, by item."""
    return accepted.read_text(encoding="utf-8").split() if accepted.exists() else []


@dataclass
class Harness:
    """Processes to be killed, and what was done to them. ``kills`` and ``stops`` are times by the name of the worker."""

    store: JobStore
    url: str
    folder: str
    lease_s: float
    seed: int
    engine: str = "fake"
    batch: int = 1
    kills: dict[str, float] = field(default_factory=dict)
    stops: dict[str, float] = field(default_factory=dict)
    submit_kills: int = 0
    supervisor_kills: int = 0

    def __post_init__(self) -> None:
        self._random, self._numbers = random.Random(self.seed), itertools.count(1)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["kinema.serve.jobs.store", "kinema.serve.jobs.reading", "kinema.serve.jobs.keys"]
        )
        self._is_real = self.engine != "fake"
        self._supervisor = self._supervise() if self._is_real else None
        self._workers = [] if self._is_real else [self._worker() for _ in range(WORKERS)]
        self._submitter = self._submit()
        self._stopped: list[tuple[float, int]] = []

    def round(self) -> None:
        """Something happens to somebody."""
        self._wake(time.time())
        die = self._random.random()
        if die < 0.15:
            self._end(self._submitter)
            self._submitter = self._submit()
            self.submit_kills += 1
            return
        if self._supervisor is not None and die > 0.85:
            self._end(self._supervisor)
            Path(self.folder, "workers").unlink(missing_ok=True)
            self._supervisor = self._supervise()
            self.supervisor_kills += 1
            return
        at = self._random.randrange(WORKERS)
        # most often amid its work, sometimes as it starts or between jobs
        name, pid = self._victim(at, is_at_work=self._random.random() < 0.8)
        time.sleep(self._random.uniform(0, 0.5 if self._is_real else 0.25))
        now = time.time()
        if die < 0.3 and name not in self.stops:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.stops[name] = now
                self._stopped.append((now + 1.5 * self.lease_s, pid))
            return
        self.kills[name] = now
        if self._is_real:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        self._end(self._workers[at])
        self._workers[at] = self._worker()

    def _alive(self) -> list[tuple[str, int]]:
        """The workers, by name, that are there now."""
        if self._is_real:
            file = Path(self.folder, "workers")
            return list(json.loads(file.read_text(encoding="utf-8")).items()) if file.exists() else []
        return [(w.name, w.pid or 0) for w in self._workers if w.is_alive()]

    def _busy(self) -> Iterator[str]:
        """The names of workers that have a job; a real one, most of whose time goes into its start, is amid its steps."""
        for job in list_jobs(self.store.database, statuses=[JobState.RUNNING]):
            if isinstance(job.state, Running) and (not self._is_real or job.done_steps > job.checkpoint_step):
                yield job.state.worker

    def _victim(self, at: int, *, is_at_work: bool) -> tuple[str, int]:
        """A worker, ``at`` that place if there is one, or, unless it takes too long, one that has a job."""
        end = time.monotonic() + (60 if self._is_real else 20)
        while True:
            self._wake(time.time())
            alive = self._alive()
            busy = set(self._busy())
            is_late = time.monotonic() > end
            # a real worker is not chosen for its place: another may have been started there meanwhile
            for name, pid in alive if self._is_real else alive[at : at + 1]:
                if name not in self.kills and (name in busy or not is_at_work or is_late):
                    return name, pid
            assert time.monotonic() < end + 60, "there is no worker"
            time.sleep(0.01)

    def finish(self, timeout_s: float) -> None:
        """No more deaths: lets everything that was accepted come to its end."""
        Path(self.folder, "stop").touch()
        end = time.monotonic() + timeout_s
        unfinished = [JobState.QUEUED, JobState.RUNNING, JobState.CANCELING]
        while time.monotonic() < end:
            self._wake(time.time())
            if not self._submitter.is_alive() and not list_jobs(self.store.database, statuses=unfinished):
                return
            time.sleep(0.05)

    def close(self) -> None:
        """Ends every process."""
        supervisors = [] if self._supervisor is None else [self._supervisor]
        for process in (self._submitter, *supervisors, *self._workers):
            self._end(process)

    def _wake(self, now: float) -> None:
        """Lets go on whom has been stopped for long enough."""
        alive = {pid for _, pid in self._alive()}
        for at, pid in self._stopped:
            # a real one that was killed meanwhile is no longer there
            if at <= now and pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        self._stopped = [entry for entry in self._stopped if entry[0] > now]

    def _submit(self) -> BaseProcess:
        return self._start("submit", submit, self.url, self.folder, self.engine)

    def _supervise(self) -> BaseProcess:
        return self._start("supervise", supervise, self.url, self.folder, self.lease_s, self.batch)

    def _worker(self) -> BaseProcess:
        name = f"worker-{next(self._numbers)}"
        return self._start(name, work, self.url, self.folder, name, self.lease_s)

    def _start(self, name: str, target: Callable[..., None], *arguments: object) -> BaseProcess:
        process = self._context.Process(target=target, args=arguments, name=name, daemon=True)
        process.start()
        return process

    @staticmethod
    def _end(process: BaseProcess) -> None:
        process.kill()
        process.join()


def has_right_bits(job: Job) -> bool:
    """Whether a finished job of the fake engine made what it would have made undisturbed."""
    assert isinstance(job.state, Succeeded)
    return job.state.result["state"] == right_result(job.order.request["item"])


def mini_judge(folder: str) -> Callable[[Job], bool]:
    """`has_right_bits` of the shipped model's jobs: the clips are made here, undisturbed, under the same plan, and compared."""
    from kinema.engine.engine import Engine
    from kinema.serve.blobs import BlobStore

    engine, blobs = Engine("kinema-mini", threads=1), BlobStore(Path(folder, "blobs"))
    right = [engine.generate(mini_request(item)).digest for item in range(MINI_SEEDS)]

    def judge(job: Job) -> bool:
        assert isinstance(job.state, Succeeded)
        outputs = job.state.result["outputs"]
        recipe = json.loads(blobs.path(outputs["recipe"]["blob"]).read_text(encoding="utf-8"))
        is_whole = all(blobs.path(file["blob"]).stat().st_size == file["bytes"] for file in outputs.values())
        return is_whole and recipe["frames"] == right[job.order.request["item"] % MINI_SEEDS]

    return judge


def verify(
    store: JobStore, folder: str, is_right: Callable[[Job], bool] = has_right_bits
) -> tuple[list[str], Counter[str]]:
    """What is wrong, in words, and counts of what happened."""
    problems, counts, claims = [], Counter[str](), Counter[tuple[str, float]]()
    jobs = {job.id: job for job in list_jobs(store.database, limit=10**6)}
    items = Counter(job.order.request["item"] for job in jobs.values())
    problems += [f"item {item}: {number} jobs" for item, number in items.items() if number != 1]
    problems += [f"{job_id}: accepted, and lost" for job_id in noted(Path(folder, "accepted")) if job_id not in jobs]
    for job in jobs.values():
        audit, told = audit_steps(store.database, job.id), events_after(store.database, job.id, limit=10**6)
        attempts = attempts_of(store.database, job.id)
        if not isinstance(job.state, Succeeded) or not is_right(job):
            problems.append(f"{job.id}: {job.state} is not a success with the right bits")
        if audit.executed > audit.allowed:
            problems.append(f"{job.id}: {audit.executed} steps, {audit.allowed} allowed")
        if [e.number for e in told] != list(range(1, job.last_event + 1)):
            problems.append(f"{job.id}: events with a gap")
        if Counter(e.kind for e in told)["succeeded"] != 1 or [a["outcome"] for a in attempts].count("succeeded") != 1:
            problems.append(f"{job.id}: not exactly one success")
        if [a["fence"] for a in attempts] != list(range(1, job.fence + 1)):
            problems.append(f"{job.id}: fences {[a['fence'] for a in attempts]}")
        last = 0
        for event in told:
            if event.kind == "checkpoint":
                last = event.data["step"]
            elif event.kind == "started" and event.data["from_step"] != last:
                problems.append(f"{job.id}: went on from {event.data['from_step']}, not from checkpoint {last}")
            counts["resumed"] += event.kind == "started" and event.data["from_step"] > 0
        claims.update((a["worker"], a["claimed_at"]) for a in attempts)
        counts += Counter(
            jobs=1,
            attempts=job.fence,
            deaths=job.deaths,
            executed=audit.executed,
            allowed=audit.allowed,
            steps_if_undisturbed=job.order.steps,
        )
    counts["claimed_together"] = sum(number for number in claims.values() if number > 1)
    return problems, counts


def takeovers(store: JobStore, kills: Mapping[str, float]) -> list[float]:
    """Seconds from each worker's death to the next claim of each job that it had."""
    found = []
    for job in list_jobs(store.database, limit=10**6):
        attempts = attempts_of(store.database, job.id)
        for one, other in itertools.pairwise(attempts):
            if one["outcome"] == "died" and one["worker"] in kills:
                found.append(other["claimed_at"] - kills[one["worker"]])
    return found


def run_rounds(
    url: str, folder: str, *, rounds: int, seed: int, lease_s: float = LEASE_S, engine: str = "fake", batch: int = 1
) -> dict[str, Any]:
    """The result of ``rounds``; ``problems`` is empty if all is well. The database must be empty, and ``folder`` too."""
    store = open_store(url)
    is_right = mini_judge(folder) if engine == "mini" else has_right_bits
    harness = Harness(store=store, url=url, folder=folder, lease_s=lease_s, seed=seed, engine=engine, batch=batch)
    begin = time.monotonic()
    try:
        for _ in range(rounds):
            harness.round()
        harness.finish(timeout_s=(60 if engine == "fake" else 300) + 10 * lease_s)
    finally:
        harness.close()
    problems, counts = verify(store, folder, is_right)
    waits = takeovers(store, harness.kills)
    with store.database.read() as (connection, _):
        server = [connection.dialect.name, *(connection.dialect.server_version_info or ())]
    store.close()
    return {
        "database": " ".join(map(str, server)),
        "rounds": rounds,
        "worker_kills": len(harness.kills),
        "worker_stops": len(harness.stops),
        "submit_kills": harness.submit_kills,
        "supervisor_kills": harness.supervisor_kills,
        **counts,
        "lease_s": lease_s,
        "batch": batch,
        "takeover_median_s": round(statistics.median(waits), 3) if waits else None,
        "takeover_most_s": round(max(waits), 3) if waits else None,
        "seconds": round(time.monotonic() - begin, 1),
        "problems": problems,
    }


@contextmanager
def empty_database(kind: str, folder: str) -> Iterator[str]:
    """The address of a database that is gone afterwards; PostgreSQL's is of a cluster made for it."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/jobs.db"
        return
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    from tests.serve.cluster import MISSING, find_programs, throwaway_cluster

    programs = find_programs()
    if programs is None:
        raise SystemExit(MISSING)
    with throwaway_cluster(programs) as socket:
        yield f"postgresql://kinema@/postgres?host={socket}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("fake", "mini"), default="fake")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="jobs that a real worker denoises together")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--out", type=Path, help="folder for the result, in place of bench/results")
    arguments = parser.parse_args()
    rounds, lease_s = (50, MINI_LEASE_S) if arguments.engine == "mini" else (1000, LEASE_S)
    with tempfile.TemporaryDirectory() as folder, empty_database(arguments.database, folder) as url:
        result = run_rounds(
            url,
            folder,
            rounds=arguments.rounds or rounds,
            seed=arguments.seed,
            lease_s=lease_s,
            engine=arguments.engine,
            batch=arguments.batch,
        )
    # late: it loads torch, which the workers don't need
    from record import record

    name = "kill_rounds" if arguments.engine == "fake" else f"kill_rounds_{arguments.engine}"
    name += "" if arguments.batch == 1 else f"_batch_{arguments.batch}"
    folder = {} if arguments.out is None else {"folder": arguments.out}
    record(f"{name}_{arguments.database}", {"load_average": os.getloadavg()[0], **result}, **folder)
    if result["problems"]:
        raise SystemExit("\n".join(result["problems"]))


if __name__ == "__main__":
    main()
