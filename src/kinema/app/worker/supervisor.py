"""Starts a worker process per device, starts it anew when it dies, and says at once whose jobs are free again. No torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from kinema.app.worker.settings import BROKEN, HUNG, WorkerSettings
from kinema.core.errors import StorageError
from kinema.core.jobs import JobState
from kinema.serve.jobs.commands import Release, WorkerDied
from kinema.serve.jobs.job import Canceling, Job, Running
from kinema.serve.jobs.reading import list_jobs
from kinema.serve.jobs.store import JobStore

WORKER = (sys.executable, "-m", "kinema.app.worker")
# a worker that dies is started again at once; the next time after so long, then twice as long each time
_FIRST_WAIT_S = 0.5
# one that lived for so long starts with a clean record
_HEALTHY_S = 10.0
# no beat for so many leases, and for longer than a slow start may take: stopped, or stuck in native code that holds the interpreter
_SILENT_LEASES, _SILENT_S = 6, 60.0
_POLL_S = 0.02


@dataclass
class _Child:
    """A worker process. Times are monotonic."""

    name: str
    process: subprocess.Popen[bytes]
    started_at: float
    beat_at: float


@dataclass
class _Slot:
    """A place for a worker, and when the next may be started (monotonic)."""

    settings: WorkerSettings
    child: _Child | None = None
    start_at: float = 0.0
    wait_s: float = 0.0


class Supervisor:
    """Workers of ``settings``, one process each, run by ``command``. One thread calls it: `poll` often, in the end `drain`.

    ``log`` gets a line for whatever happens to a worker. One that dies again and again waits up to ``most_wait_s`` for its next start;
    one that shows no sign of life for ``silent_s`` is killed.
    """

    def __init__(
        self,
        settings: Sequence[WorkerSettings],
        *,
        store: JobStore,
        log: Callable[[str], None],
        command: Sequence[str] = WORKER,
        most_wait_s: float = 30.0,
        silent_s: float | None = None,
    ) -> None:
        self._slots = [_Slot(s) for s in settings]
        self._store, self._log, self._command = store, log, command
        self._most_wait_s, self._silent_s = most_wait_s, silent_s

    @property
    def processes(self) -> dict[str, int]:
        """Name -> process id of the workers that run now."""
        return {child.name: child.process.pid for _, child in self._running()}

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return list(self.processes.values())

    def poll(self) -> None:
        """Starts who isn't there, notices who died, ends who is silent."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is None and now >= slot.start_at:
                try:
                    slot.child = self._start(slot.settings)
                except OSError as e:
                    # too many processes, or no memory for another
                    self._log(
                        f"{slot.settings.name}: can't be started ({e.strerror}); tried again in {self._most_wait_s:g} s"
                    )
                    slot.start_at = now + self._most_wait_s
        for slot, child in self._running():
            code = child.process.poll()
            if code is not None:
                self._bury(slot, child, code)
            elif self._is_silent(slot, child):
                self._log(f"{child.name}: no sign of life; it is killed")
                child.process.kill()

    def drain(self, timeout_s: float) -> None:
        """Ends every worker: each finishes its step and gives its job back; who needs longer than ``timeout_s`` is killed."""
        for _, child in self._running():
            child.process.terminate()
        end = time.monotonic() + timeout_s
        while self.pids and time.monotonic() < end:
            self._reap()
            time.sleep(_POLL_S)
        self.kill()

    def kill(self) -> None:
        """Ends every worker now."""
        for _, child in self._running():
            child.process.kill()
            child.process.wait()
        self._reap()

    def _running(self) -> Iterator[tuple[_Slot, _Child]]:
        for slot in self._slots:
            if slot.child is not None:
                yield slot, slot.child

    def _start(self, settings: WorkerSettings) -> _Child:
        # never a name twice: who finds a job held by a dead process's name knows that nobody holds it
        settings = replace(settings, name=f"{settings.name}-{uuid.uuid4().hex[:8]}")
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C is for the supervisor, which tells its workers what it makes of it
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        # one that died already is noticed by the next poll
        with suppress(BrokenPipeError):
            # over a pipe: a database's password is not for everybody who lists processes
            process.stdin.write(f"{settings.to_json()}\n".encode())
        now = time.monotonic()
        return _Child(name=settings.name, process=process, started_at=now, beat_at=now)

    def _is_silent(self, slot: _Slot, child: _Child) -> bool:
        assert child.process.stdout is not None
        if child.process.stdout.read(4096):
            child.beat_at = time.monotonic()
        silent_s = self._silent_s or max(_SILENT_S, _SILENT_LEASES * slot.settings.lease_s)
        return time.monotonic() - child.beat_at > silent_s

    def _bury(self, slot: _Slot, child: _Child, code: int) -> None:
        """Frees the jobs of a worker that died, and says when the next is started."""
        if time.monotonic() - child.started_at > _HEALTHY_S:
            slot.wait_s = 0.0
        self._log(f"{child.name}: {_how(code)}; another is started" + (f" in {slot.wait_s:g} s" if slot.wait_s else ""))
        slot.child, slot.start_at = None, time.monotonic() + slot.wait_s
        slot.wait_s = min(self._most_wait_s, 2 * slot.wait_s or _FIRST_WAIT_S)
        _close(child)
        self._free(child.name)

    def _reap(self) -> None:
        for slot, child in self._running():
            if child.process.poll() is not None:
                slot.child = None
                _close(child)
                self._free(child.name, is_ours=True)

    def _free(self, name: str, *, is_ours: bool = False) -> None:
        """Says of the jobs of ``name`` that their worker died; where that is our doing and no step is lost, that it gave them back."""
        try:
            held = list_jobs(self._store.database, statuses=[JobState.RUNNING, JobState.CANCELING], limit=10_000)
            for job in held:
                if not isinstance(job.state, (Running, Canceling)) or job.state.worker != name:
                    continue
                is_harmless = is_ours and job.done_steps == job.checkpoint_step
                died = WorkerDied(fence=job.fence, max_deaths=self._store.max_deaths)
                after = self._store.apply(job.id, Release(fence=job.fence) if is_harmless else died)
                if isinstance(after, Job):
                    self._log(f"{job.id}: its worker {name} is gone; it is {after.status.value} now")
        except StorageError as e:
            self._log(f"{name}: its jobs wait until their leases run out ({e})")


def _how(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"died of {names.get(-code, f'signal {-code}')}"
    return {HUNG: "hung", BROKEN: "broke down"}.get(code, f"ended with code {code}")


def _close(child: _Child) -> None:
    for pipe in (child.process.stdin, child.process.stdout):
        if pipe is not None:
            pipe.close()
