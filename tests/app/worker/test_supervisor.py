"""Worker processes, started, killed, stopped and drained."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from kinema.app.worker.settings import WorkerSettings
from kinema.app.worker.supervisor import Supervisor
from kinema.core.jobs import JobState
from kinema.serve.jobs import commands as c
from kinema.serve.jobs.job import Failed, Job, Queued, Running, Succeeded
from kinema.serve.jobs.reading import attempts_of, audit_steps
from tests.app.worker.conftest import FAKE, ROOT, Place, is_alive
from tests.app.worker.fake import order, right_digest

# leases that outlast a test: what happens at once is not their running out
LONG_S = 120.0


@contextmanager
def supervised(place: Place, log: list[str], *, number: int = 1, **options: object) -> Iterator[Supervisor]:
    settings = [replace(place.settings, name=f"w{i}") for i in range(number)]
    supervisor = Supervisor(
        settings,
        store=place.store,
        log=log.append,
        **{"command": FAKE, **options},  # pyright: ignore[reportArgumentType]
    )
    try:
        yield supervisor
    finally:
        supervisor.kill()


def until(supervisor: Supervisor, found: Callable[[], object], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, "it did not come to it"
        supervisor.poll()
        time.sleep(0.01)


def stop_between_writes(place: Place, pid: int) -> None:
    """Stops a process while it doesn't hold SQLite's lock: nobody could write until it went on."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with closing(sqlite3.connect(place.settings.database.removeprefix("sqlite:///"), timeout=0.5)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
                probe.rollback()
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.01)
            else:
                return


def digest_of(place: Place, job: Job) -> str:
    state = place.get(job).state
    assert isinstance(state, Succeeded), state
    return json.loads(place.blobs.path(state.result["outputs"]["recipe"]["blob"]).read_text())["frames"]


def with_lease(place: Place, lease_s: float) -> Place:
    return replace(place, settings=replace(place.settings, lease_s=lease_s))


def test_killed_at_work_its_job_goes_on_at_once_from_the_checkpoint(place: Place) -> None:
    place, log = with_lease(place, LONG_S), []
    job = place.submit(order(1, steps=30, step_s=0.02))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).done_steps >= 7)
        (pid,) = supervisor.pids
        os.kill(pid, signal.SIGKILL)
        until(supervisor, lambda: place.get(job).status.is_final)
        assert supervisor.pids != [pid]
    assert digest_of(place, job) == right_digest(1, 30)
    first, second = attempts_of(place.store.database, job.id)
    assert (first["outcome"], second["outcome"]) == ("died", "succeeded")
    assert second["from_step"] >= 6
    assert first["worker"] != second["worker"]
    audit = audit_steps(place.store.database, job.id)
    assert 30 <= audit.executed <= audit.allowed == 33
    assert any("died of SIGKILL" in line for line in log)


def test_a_job_that_kills_its_workers_fails_after_the_third(place: Place) -> None:
    place, log = with_lease(place, LONG_S), []
    job, other = place.submit(order(steps=9, die_at=2)), place.submit(order(2, steps=9))
    with supervised(place, log, most_wait_s=0.1) as supervisor:
        until(supervisor, lambda: place.get(job).status.is_final and place.get(other).status.is_final)
    state = place.get(job).state
    assert isinstance(state, Failed)
    assert state.error.code == "worker.died"
    assert [a["outcome"] for a in attempts_of(place.store.database, job.id)] == ["died"] * 3
    assert digest_of(place, other) == right_digest(2, 9)


def test_sigterm_drains_and_nothing_is_lost_or_done_twice(place: Place) -> None:
    place, log = with_lease(place, LONG_S), []
    job = place.submit(order(3, steps=40, step_s=0.02))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).done_steps >= 7)
        begun = time.monotonic()
        supervisor.drain(timeout_s=20.0)
        assert time.monotonic() - begun < 15.0
        assert supervisor.pids == []
    given_back = place.get(job)
    assert given_back.state == Queued()
    assert given_back.checkpoint_step == given_back.done_steps >= 7
    assert given_back.deaths == 0
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).status.is_final)
    assert digest_of(place, job) == right_digest(3, 40)
    assert audit_steps(place.store.database, job.id).executed == 40


@pytest.mark.parametrize("hang_at, deaths", [(1, 1), (None, 0)])
def test_who_does_not_drain_in_time_is_killed_and_its_job_is_free(
    place: Place, hang_at: int | None, deaths: int
) -> None:
    """In the midst of a step it loses that step; where nothing was begun nobody is to blame."""
    place, log = with_lease(place, LONG_S), []
    job = place.submit(order(3, steps=4, hang_at=hang_at, step_s=0.0, decode_s=0 if hang_at else 60))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).phase == ("denoise" if hang_at else "decode"))
        supervisor.drain(timeout_s=0.3)
        assert supervisor.pids == []
    assert place.get(job).state == Queued()
    assert place.get(job).deaths == deaths


def test_stopped_for_longer_than_its_lease_a_worker_publishes_nothing(place: Place) -> None:
    log: list[str] = []
    job = place.submit(order(5, steps=60, step_s=0.02))
    with supervised(place, log, number=2, silent_s=600.0) as supervisor:
        until(supervisor, lambda: place.get(job).done_steps >= 7)
        state = place.get(job).state
        assert isinstance(state, Running)
        victim = supervisor.processes[state.worker]
        stop_between_writes(place, victim)
        until(supervisor, lambda: len(attempts_of(place.store.database, job.id)) == 2)
        os.kill(victim, signal.SIGCONT)
        until(supervisor, lambda: place.get(job).status.is_final)
        # the zombie works on, as a worker of the next job
        other = place.submit(order(6, steps=6))
        until(supervisor, lambda: place.get(other).status.is_final)
        assert victim in supervisor.pids
    assert digest_of(place, job) == right_digest(5, 60)
    audit = audit_steps(place.store.database, job.id)
    assert audit.executed <= audit.allowed
    assert [a["outcome"] for a in attempts_of(place.store.database, job.id)] == ["died", "succeeded"]


def test_a_worker_without_a_sign_of_life_is_killed(place: Place) -> None:
    log: list[str] = []
    with supervised(place, log, silent_s=2.0) as supervisor:
        until(supervisor, lambda: supervisor.pids)
        (pid,) = supervisor.pids
        os.kill(pid, signal.SIGSTOP)
        until(supervisor, lambda: supervisor.pids not in ([pid], []))
    assert any("no sign of life" in line for line in log)


def test_a_hang_ends_in_another_attempt(place: Place) -> None:
    place, log = with_lease(place, 2.0), []
    place = replace(place, settings=replace(place.settings, patience_s=0.5))
    job = place.submit(order(7, steps=9, hang_at=5))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).status.is_final)
    assert digest_of(place, job) == right_digest(7, 9)
    assert place.get(job).deaths == 1
    assert any("hung" in line for line in log)


def test_who_dies_again_and_again_waits_longer_each_time(place: Place) -> None:
    log: list[str] = []
    with supervised(
        place, log, command=(sys.executable, "-c", "import sys; sys.exit(3)"), most_wait_s=0.7
    ) as supervisor:
        until(supervisor, lambda: len(log) == 4)
    waits = [line.partition("another is started")[2] for line in log]
    assert waits == ["", " in 0.5 s", " in 0.7 s", " in 0.7 s"]
    assert all("ended with code 3" in line for line in log)


def test_a_process_that_cant_be_started_is_tried_again(place: Place) -> None:
    log: list[str] = []
    with supervised(place, log, command=("/no/such/program",), most_wait_s=0.2) as supervisor:
        until(supervisor, lambda: len(log) == 2)
    assert all("can't be started (No such file or directory)" in line for line in log)


SUPERVISE = """if True:
    import sys, time
    from kinema.app.worker.settings import WorkerSettings
    from kinema.app.worker.supervisor import Supervisor
    from kinema.serve.jobs.store import open_store
    settings = WorkerSettings.from_json(sys.argv[1])
    supervisor = Supervisor([settings], store=open_store(settings.database), log=lambda _: None, command=sys.argv[2:])
    while True:
        supervisor.poll()
        print(*supervisor.pids, flush=True)
        time.sleep(0.05)
"""


def test_when_the_supervisor_is_killed_its_workers_give_back_and_leave(place: Place) -> None:
    place = with_lease(place, LONG_S)
    job = place.submit(order(8, steps=100, step_s=0.02))
    arguments = [sys.executable, "-c", SUPERVISE, place.settings.to_json(), *FAKE]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        end = time.monotonic() + 60
        while place.get(job).done_steps < 5:
            assert time.monotonic() < end
            time.sleep(0.01)
        pid = int(process.stdout.readline())
        process.kill()
    while place.get(job).status is JobState.RUNNING:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert place.get(job).state == Queued()
    assert place.get(job).checkpoint_step == place.get(job).done_steps >= 5
    while is_alive(pid):
        assert time.monotonic() < end, "the worker outlives its supervisor"
        time.sleep(0.01)


def test_a_second_sigterm_ends_a_worker_at_once(place: Place) -> None:
    place, log = with_lease(place, LONG_S), []
    job = place.submit(order(steps=4, hang_at=2))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).done_steps == 2)
        (pid,) = supervisor.pids
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
        os.kill(pid, signal.SIGTERM)
        until(supervisor, lambda: supervisor.pids not in ([pid], []))
    assert any("code 143" in line for line in log)


def test_a_paused_queue_and_a_canceled_job_leave_the_worker_free(place: Place) -> None:
    place, log = with_lease(place, LONG_S), []
    job, other = place.submit(order(steps=400, step_s=0.02)), place.submit(order(9, steps=6))
    with supervised(place, log) as supervisor:
        until(supervisor, lambda: place.get(job).done_steps >= 2)
        place.store.apply(job.id, c.Cancel())
        begun = time.monotonic()
        until(supervisor, lambda: place.get(job).status is JobState.CANCELED)
        assert time.monotonic() - begun < 15.0
        until(supervisor, lambda: place.get(other).status.is_final)
    assert digest_of(place, other) == right_digest(9, 6)


def test_the_supervisor_never_loads_torch_or_a_media_library() -> None:
    code = "import sys, kinema.app.worker.supervisor; print([m for m in ('torch', 'av', 'numpy', 'PIL') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_settings_that_cant_be_used_are_one_line(place: Place) -> None:
    settings = WorkerSettings(name="w", database="mysql://x", blobs=place.settings.blobs)
    answer = subprocess.run(
        [*FAKE], input=settings.to_json() + "\n", capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert answer.returncode == 71
    assert answer.stderr.splitlines() == [
        "w: database: 'mysql://x': must be sqlite:///FILE or postgresql://USER@HOST/NAME"
    ]


def test_what_kills_a_batch_returns_all_of_it_and_they_go_on_alone(place: Place) -> None:
    place = replace(place, settings=replace(place.settings, lease_s=LONG_S, batch=3))
    asks = ({}, {"die_at": 8, "die_until": 1}, {})
    jobs = [place.submit(order(i, steps=20, **ask)) for i, ask in enumerate(asks)]
    with supervised(place, [], most_wait_s=0.1) as supervisor:
        until(supervisor, lambda: all(place.get(job).status.is_final for job in jobs))
    tries = [attempts_of(place.store.database, job.id) for job in jobs]
    assert len({(t[0]["worker"], t[0]["claimed_at"]) for t in tries}) == 1, "they were claimed together"
    assert len({t[1]["claimed_at"] for t in tries}) == 3, "and then alone"
    for i, (job, tried) in enumerate(zip(jobs, tries, strict=True)):
        assert [a["outcome"] for a in tried] == ["died", "succeeded"]
        assert tried[1]["from_step"] == 6, "from its own checkpoint"
        assert digest_of(place, job) == right_digest(i, 20)
        audit = audit_steps(place.store.database, job.id)
        assert (audit.executed, audit.allowed) == (22, 23)
