"""One worker: takes a job, goes on from its last checkpoint, keeps its lease alive, stops within a step when it is asked to."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kinema.app.worker.hold import DatabaseGone, Hold, SaveState, Stopped
from kinema.app.worker.outputs import store_outputs
from kinema.app.worker.settings import HUNG, WorkerSettings
from kinema.core.errors import (
    InvalidInput,
    KinemaError,
    MediaError,
    OutOfMemory,
    RefusedContent,
    StorageError,
    UnsupportedRequest,
    WeightsError,
)
from kinema.core.progress import Observer, Progress
from kinema.core.protocols import Clip
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.commands import ConfirmCancel, Fail, Succeed
from kinema.serve.jobs.job import Job, JobError
from kinema.serve.jobs.reading import last_checkpoint
from kinema.serve.jobs.store import JobStore


class Generation(Protocol):
    """One job that an engine is ready to run, from the first step or from a checkpoint."""

    def resume(self, checkpoint: Path) -> int:
        """The step from which it will go on. Raises: InvalidInput if it can't, with this engine, from there."""
        ...

    def run(self, *, observer: Observer, on_state: Callable[[int, SaveState], None]) -> Clip:
        """The clip.

        ``observer`` hears of every denoising step that is done, and of none (step 0, or that of the checkpoint) before the first;
        ``on_state`` before that of each step, with what writes a checkpoint of it. Both may raise, which ends the run.
        Raises: KinemaError.
        """
        ...


G = TypeVar("G", bound=Generation)


class JobEngine(Protocol[G]):
    """What makes clips for a worker: this machine's engine, or a test's fake."""

    @property
    def warm(self) -> Collection[str]:
        """The models that need not be loaded."""
        ...

    def open(self, job: Job) -> G:
        """``job``, checked. Raises: InvalidInput."""
        ...

    def together(
        self,
        generations: Sequence[G],
        *,
        observer: Callable[[Sequence[Progress]], None],
        on_states: Callable[[int, Sequence[SaveState]], None],
    ) -> bool:
        """Whether ``generations`` were denoised together, so that `run` makes of each, from there, the clip that it makes alone.

        False: here those would be others, and nothing was done. ``observer`` and ``on_states`` are told as by `run`, for all at once; what
        they raise ends it, and each can go on, together or alone, from where ``on_states`` last heard of it. Raises: KinemaError.
        """
        ...


class _Parted(Exception):
    """Somebody left a batch."""


class Worker:
    """Takes jobs for ``engine`` until it drains. ``on_beat`` is called four times a lease for as long as the process can run threads.

    ``on_hang`` ends the process: its job shows no progress, or the thread that keeps the lease alive can't go on.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        store: JobStore,
        blobs: BlobStore,
        engine: JobEngine[Any],
        on_beat: Callable[[], None] = lambda: None,
        on_hang: Callable[[str], None] | None = None,
    ) -> None:
        self.settings, self._store, self._blobs, self._engine = settings, store, blobs, engine
        self._on_beat, self._on_hang = on_beat, on_hang or leave_at_once
        self._holds: list[Hold] = []
        # (model, plan) of which it can't run several together
        self._apart: set[tuple[str, str]] = set()
        # a plain flag: signal handlers set it, and an Event's lock could be held by the very code that they interrupt
        self._is_draining = False

    def drain(self) -> None:
        """Asks it to give back the job at hand after the step at hand, with a checkpoint, and to take no other."""
        self._is_draining = True

    def run(self) -> None:
        """Works until it drains. Raises: DatabaseGone; whatever no job is to blame for. The process should end then."""
        is_over = threading.Event()
        beats = threading.Thread(target=self._beat, args=(is_over,), name="kinema-beats", daemon=True)
        beats.start()
        try:
            while not self._is_draining:
                if not self.run_one():
                    time.sleep(self.settings.poll_s)
        finally:
            is_over.set()
            beats.join()

    def run_one(self) -> bool:
        """Whether there was a job."""
        s = self.settings
        try:
            jobs = self._store.claim(
                s.name,
                lease_s=s.lease_s,
                device=s.device_kind,
                models=s.models,
                warm=self._engine.warm,
                most=s.batch,
                apart=self._apart,
            )
        except StorageError as e:
            raise DatabaseGone(str(e)) from e
        self._holds = [
            Hold(job=job, store=self._store, blobs=self._blobs, settings=s, is_draining=lambda: self._is_draining)
            for job in jobs
        ]
        try:
            self._carry_out(self._holds)
        finally:
            self._holds = []
        return bool(jobs)

    def _carry_out(self, holds: Sequence[Hold]) -> None:
        begun: list[tuple[Hold, Generation]] = []
        for hold in holds:
            with self._settled(hold):
                begun.append((hold, self._begin(hold)))
        for hold, generation in self._denoise_together(begun):
            with self._settled(hold):
                hold.finish(self._make(hold, generation))

    @contextmanager
    def _settled(self, hold: Hold) -> Iterator[None]:
        """What ends its body ends the job, or this worker's part in it. Raises: DatabaseGone; what no job is to blame for."""
        fence = hold.job.fence
        try:
            yield
        except Stopped as stop:
            if stop.why == "cancel":
                hold.finish(ConfirmCancel(fence=fence))
            elif stop.why == "release":
                hold.release()
        except KinemaError as e:
            if not isinstance(e, InvalidInput):
                traceback.print_exc()
            hold.finish(Fail(fence=fence, error=job_error(e)))
        except DatabaseGone:
            raise
        except Exception:
            # nobody knows what state the process is in: the job fails, and a fresh process takes the next
            message = "an internal error; the server's log tells more under this job's id"
            hold.finish(Fail(fence=fence, error=JobError(code="worker.error", message=message, retryable=True)))
            raise

    def _begin(self, hold: Hold) -> Generation:
        generation = self._engine.open(hold.job)
        hold.start(self._resume(generation, hold))
        return generation

    def _denoise_together(self, begun: list[tuple[Hold, Generation]]) -> list[tuple[Hold, Generation]]:
        """Those of ``begun`` that are still its own, denoised; if they can't be together, one, and the others are given back."""
        left: list[Hold] = []

        def tell(calls: Sequence[Callable[[], None]]) -> None:
            for (hold, _), call in zip(begun, calls, strict=True):
                left.append(hold)
                with self._settled(hold):
                    call()
                    left.pop()
            if left:
                raise _Parted

        def observer(events: Sequence[Progress]) -> None:
            tell([partial(hold.on_progress, event) for (hold, _), event in zip(begun, events, strict=True)])

        def on_states(step: int, saves: Sequence[SaveState]) -> None:
            tell([partial(hold.on_state, step, save) for (hold, _), save in zip(begun, saves, strict=True)])

        while len(begun) > 1:
            try:
                if self._engine.together([g for _, g in begun], observer=observer, on_states=on_states):
                    break
            except _Parted:
                begun = [(hold, generation) for hold, generation in begun if hold not in left]
                left.clear()
                continue
            except KinemaError:
                # alone it turns out whose it is
                traceback.print_exc()
            order = begun[0][0].job.order
            self._apart.add((order.model, order.plan_key))
            if begun[0][0].job.done_steps:
                # the step that was asked for would be lost with its memory
                break
            for hold, _ in begun[1:]:
                hold.release()
            return begun[:1]
        return begun

    def _make(self, hold: Hold, generation: Generation) -> Succeed:
        job = hold.job
        clip = generation.run(observer=hold.on_progress, on_state=hold.on_state)
        result = store_outputs(clip, hold.job, self._blobs, observer=hold.on_progress)
        outputs = tuple(sorted({file["blob"] for file in result["outputs"].values()}))
        return Succeed(fence=job.fence, result=result, outputs=outputs, keep_s=self.settings.keep_s)

    def _resume(self, generation: Generation, hold: Hold) -> int:
        """The step to begin at: the last checkpoint's, or 0 where there is none or this engine can't go on from it."""
        checkpoint = last_checkpoint(self._store.database, hold.job.id)
        if checkpoint is None:
            return 0
        try:
            step = generation.resume(self._blobs.path(checkpoint.blob))
        except (InvalidInput, StorageError):
            traceback.print_exc()
            return 0
        hold.checkpoint = checkpoint.blob
        return step

    def _beat(self, is_over: threading.Event) -> None:
        """The thread that keeps the lease alive, whatever the job does, unless that does nothing at all."""
        try:
            while not is_over.wait(self.settings.lease_s / 4):
                self._on_beat()
                # the other thread may put others in their place meanwhile
                holds = list(self._holds)
                if not holds:
                    continue
                if time.monotonic() - max(hold.alive_at for hold in holds) > self.settings.patience_s:
                    names = ", ".join(hold.job.id for hold in holds)
                    self._on_hang(f"{names}: no progress for {self.settings.patience_s:g} s")
                    return
                held = {hold.job.id: hold.job.fence for hold in holds}
                try:
                    signals = self._store.heartbeat(held, lease_s=self.settings.lease_s)
                except StorageError:
                    # until the next beat; if the lease runs out, the job is another's, and the next commit says so
                    continue
                for hold in holds:
                    hold.wish = signals[hold.job.id]
        except BaseException:
            traceback.print_exc()
            self._on_hang("the thread that keeps the lease alive ended")


def leave_at_once(reason: str) -> None:
    """Ends this process without waiting for the thread that hangs."""
    os.write(2, f"worker: {reason}\n".encode())
    os._exit(HUNG)


def job_error(error: KinemaError) -> JobError:
    """What the user is told of ``error``: the whole line where the request is to blame; of the server's own affairs no path."""
    match error:
        case OutOfMemory():
            return JobError(code="worker.out_of_memory", message=str(error), retryable=True)
        case WeightsError():
            return JobError(code="model.unusable", message="the model's files can't be used; the server's log says why")
        case RefusedContent():
            return JobError(code="input.refused", message=str(error))
        case MediaError():
            return JobError(code="input.media", message=str(error))
        case UnsupportedRequest():
            return JobError(code="input.unsupported", message=str(error))
        case InvalidInput():
            return JobError(code="input.invalid", message=str(error))
        case StorageError():
            message = "a file could not be read or written on the server; its log says why"
            return JobError(code="server.storage", message=message, retryable=True)
        case _:
            return JobError(code="worker.error", message=str(error), retryable=True)
