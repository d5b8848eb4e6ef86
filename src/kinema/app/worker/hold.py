"""A job while a worker has it: every step asked for before it runs, progress told, checkpoints kept, wishes to stop heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from kinema.app.worker.outputs import store_preview
from kinema.app.worker.settings import WorkerSettings
from kinema.core.errors import StorageError
from kinema.core.progress import Progress
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.commands import (
    Command,
    ConfirmCancel,
    Fail,
    Refusal,
    Release,
    Report,
    SaveCheckpoint,
    Start,
    Step,
    Succeed,
)
from kinema.serve.jobs.job import Job, Running
from kinema.serve.jobs.store import JobStore, Signal

SaveState = Callable[[], bytes]


class Stopped(Exception):
    """Leaves a generation: it is canceled, to be given back, or another's by now."""

    def __init__(self, why: Literal["cancel", "release", "lost"]) -> None:
        self.why = why
        super().__init__(why)


class DatabaseGone(Exception):
    """The jobs' database can't be used: nothing that is done can be committed."""


@dataclass(kw_only=True)
class Hold:
    """``job`` under its claim's fence; ``is_draining`` says whether the worker wants to leave.

    One thread runs the job through it; another may set ``wish`` and read ``alive_at``, the monotonic time of the last sign of progress.
    """

    job: Job
    store: JobStore
    blobs: BlobStore
    settings: WorkerSettings
    is_draining: Callable[[], bool]
    wish: Signal = "go_on"
    alive_at: float = field(default_factory=time.monotonic)
    checkpoint: str | None = None
    _state: tuple[int, SaveState] | None = None
    _made: int = 0
    _phase: str = ""
    _reported_at: float = 0.0
    _preview_at: float = 0.0

    def ask(self, *commands: Command) -> None:
        """Commits ``commands``. Raises: Stopped if the job is canceled or another's; DatabaseGone."""
        answer = self._apply(*commands)
        if isinstance(answer, Refusal):
            if answer.code == "canceling":
                raise Stopped("cancel")
            if answer.code in ("stale_fence", "finished", "not_found"):
                raise Stopped("lost")
            raise RuntimeError(f"{self.job.id}: {answer.code}: {answer.message}")
        self.job = answer
        if isinstance(answer.state, Running) and answer.state.pause_wanted:
            self.wish = "pause"

    def start(self, from_step: int) -> None:
        """Says where work begins."""
        self.ask(Start(fence=self.job.fence, from_step=from_step, checkpoint_every=self.settings.checkpoint_every))
        self._made = from_step

    def on_progress(self, event: Progress) -> None:
        """What a generation tells: the next step is asked for, and the progress reported when that is due. Raises: Stopped."""
        self.alive_at = time.monotonic()
        if event.phase == "denoise":
            self._made = event.step
        # where another left a batch, the next step was asked for and not made: it is made before the job is given back
        is_asked = self.job.done_steps > self._made
        self._stop_if_wanted(event, may_release=not is_asked)
        commands: list[Command] = []
        if event.phase == "denoise" and event.step < event.steps and not is_asked:
            commands.append(Step(fence=self.job.fence, step=event.step + 1))
        if self._is_due(event):
            commands.append(self._report(event))
        if commands:
            self.ask(*commands)

    def on_state(self, step: int, save: SaveState) -> None:
        """What a generation can be taken up from after ``step``; kept when a checkpoint is due. Raises: Stopped."""
        self._state = (step, save)
        if step - self.job.checkpoint_step >= self.settings.checkpoint_every or step == self.job.order.steps:
            self._save()

    def finish(self, command: Succeed | Fail | ConfirmCancel) -> bool:
        """Whether the end was committed; else another has the job, and nothing was published."""
        if isinstance(self._apply(command), Refusal):
            return False
        self._drop(self.checkpoint)
        return True

    def release(self) -> None:
        """Gives the job back."""
        self._apply(Release(fence=self.job.fence))

    def _apply(self, *commands: Command) -> Job | Refusal:
        try:
            return self.store.apply(self.job.id, *commands)
        except StorageError as e:
            raise DatabaseGone(str(e)) from e

    def _stop_if_wanted(self, event: Progress, *, may_release: bool) -> None:
        if self.wish in ("cancel", "lost"):
            raise Stopped(self.wish)
        # once the files are being written, finishing is quicker than to begin anew
        if may_release and event.phase != "write" and (self.wish == "pause" or self.is_draining()):
            self._save()
            raise Stopped("release")

    def _save(self) -> None:
        if self._state is None or self._state[0] <= self.job.checkpoint_step:
            return
        step, save = self._state
        blob, old = self.blobs.put(save()), self.checkpoint
        try:
            self.ask(SaveCheckpoint(fence=self.job.fence, step=step, blob=blob))
        except Stopped:
            self._drop(blob)
            raise
        self.checkpoint = blob
        self._drop(old)

    def _drop(self, blob: str | None) -> None:
        # no two claims write the same checkpoint, so nobody else needs it
        if blob is not None:
            self.blobs.delete(blob)

    def _is_due(self, event: Progress) -> bool:
        now = time.monotonic()
        is_last = event.phase == "denoise" and event.step == event.steps
        if event.phase == self._phase and not is_last and now - self._reported_at < self.settings.report_every_s:
            return False
        self._phase, self._reported_at = event.phase, now
        return True

    def _report(self, event: Progress) -> Report:
        data: dict[str, Any] = {} if event.eta_s is None else {"eta_s": round(event.eta_s, 3)}
        now = time.monotonic()
        if event.preview is not None and now - self._preview_at >= self.settings.preview_every_s:
            self._preview_at = now
            # no job names it, so it is swept with what nobody needs: a preview is of interest for an hour at most
            data["preview"] = store_preview(self.blobs, event.preview)
        return Report(fence=self.job.fence, phase=event.phase, step=event.step, steps=event.steps, data=data)
