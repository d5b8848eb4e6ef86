"""A fake engine whose every step depends on the one before, and a worker process with it: ``python -m tests.app.worker.fake``.

What it does stands in the order's request: ``step_s`` is how long a step takes; ``die_at`` kills the process in that step (of attempts
up to ``die_until``), ``hang_at`` stops there for good, ``fails`` says with which error; ``log`` is a file that gets a line for each step.
``apart``: other bits in a batch; ``fails_together``: an error in step 4 of one.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinema.app.worker.hold import SaveState
from kinema.app.worker.process import run_process
from kinema.core import errors
from kinema.core.geometry import VideoShape
from kinema.core.progress import Observer, Progress
from kinema.media.digest import frames_digest
from kinema.serve.jobs.job import Job, Order

ERRORS: Mapping[str, Callable[[], Exception]] = {
    "invalid": lambda: errors.InvalidInput("size", "1x1", "must be larger"),
    "unsupported": lambda: errors.UnsupportedRequest("camera", "roll", "this model knows static"),
    "media": lambda: errors.MediaError("media", "sha256:0", "is damaged"),
    "weights": lambda: errors.WeightsError("vae", "/secret/path", "is damaged"),
    "memory": lambda: errors.OutOfMemory("out of memory during denoise"),
    "storage": lambda: errors.StorageError("/secret/path: no space left"),
    "bug": lambda: ZeroDivisionError("/secret/path"),
}


@dataclass(frozen=True, kw_only=True)
class FakeClip:
    frames: np.ndarray
    shape: VideoShape
    recipe: Mapping[str, Any]


def next_state(state: str, step: int) -> str:
    return hashlib.sha256(f"{state} {step}".encode()).hexdigest()


def right_digest(item: int, steps: int) -> str:
    """The hash of the frames that a job which nobody disturbs makes."""
    state = str(item)
    for step in range(1, steps + 1):
        state = next_state(state, step)
    return frames_digest(frames_of(state))


def frames_of(state: str) -> np.ndarray:
    random = np.random.default_rng(int(state[:8], 16) if len(state) == 64 else 0)
    return random.integers(0, 256, (2, 16, 16, 3), np.uint8)


@dataclass
class FakeGeneration:
    job: Job
    engine: FakeEngine
    begin: int = 0
    state: str = ""

    def __post_init__(self) -> None:
        self.asked = dict(self.job.order.request)
        self.state = self.state or str(self.asked["item"])

    def resume(self, checkpoint: Path) -> int:
        if self.asked.get("forgets"):
            raise errors.InvalidInput("checkpoint", checkpoint.name, "was made elsewhere")
        step, _, self.state = checkpoint.read_text(encoding="utf-8").split()
        self.begin = int(step)
        return self.begin

    def run(self, *, observer: Observer, on_state: Callable[[int, SaveState], None]) -> FakeClip:
        steps, asked = self.job.order.steps, self.asked
        observer(Progress(phase="load", step=0, steps=1))
        self.engine.warm.add(self.job.order.model)
        observer(Progress(phase="denoise", step=self.begin, steps=steps))
        for step in range(self.begin + 1, steps + 1):
            on_state(step, self.advance(step))
            observer(self.progress(step))
        observer(Progress(phase="decode", step=0, steps=40))
        for chunk in range(1, 41):
            time.sleep(asked.get("decode_s", 0) / 40)
            observer(Progress(phase="decode", step=chunk, steps=40))
        frames = frames_of(self.state)
        cost = {"seconds": {"load": 0.5, "denoise": 2.0}, "flops": 7.0, "peak_bytes": "unknown"}
        recipe = {"request": asked, "frames": frames_digest(frames), "cost": cost, "notes": ["a note"]}
        return FakeClip(frames=frames, shape=VideoShape(frames=2, height_px=16, width_px=16, fps=8.0), recipe=recipe)

    def advance(self, step: int) -> SaveState:
        """Makes one step."""
        asked = self.asked
        self._log(step)
        time.sleep(asked.get("step_s", 0.002))
        if asked.get("die_at") == step and self.job.fence <= asked.get("die_until", 99):
            os.kill(os.getpid(), signal.SIGKILL)
        if asked.get("hang_at") == step and self.job.fence == 1:
            time.sleep(3600)
        if asked.get("fails") in ERRORS and step == 2:
            raise ERRORS[asked["fails"]]()
        self.state, self.begin = next_state(self.state, step), step
        text = f"{step} {self.job.id}-{self.job.fence} {self.state}"
        return text.encode

    def progress(self, step: int) -> Progress:
        """What is told after ``step``."""
        steps, preview = self.job.order.steps, np.full((3, 4, 4, 3), step, np.uint8)
        return Progress(phase="denoise", step=step, steps=steps, eta_s=float(steps - step), preview=preview)

    def _log(self, step: int) -> None:
        if log := self.asked.get("log"):
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{self.job.id} {self.job.fence} {step}\n")


@dataclass
class FakeEngine:
    warm: set[str] = field(default_factory=set)
    # who was together, and from which step on
    batches: list[tuple[int, list[str]]] = field(default_factory=list)

    def open(self, job: Job) -> FakeGeneration:
        if job.order.request.get("fails") == "open":
            raise errors.RefusedContent("prompt", "x", "is refused")
        return FakeGeneration(job, self)

    def together(
        self,
        generations: Sequence[FakeGeneration],
        *,
        observer: Callable[[Sequence[Progress]], None],
        on_states: Callable[[int, Sequence[SaveState]], None],
    ) -> bool:
        if any(g.asked.get("apart") for g in generations):
            return False
        (begin,), (steps,) = ({g.begin for g in generations}, {g.job.order.steps for g in generations})
        self.batches.append((begin, [g.job.id for g in generations]))
        observer([Progress(phase="denoise", step=begin, steps=steps) for _ in generations])
        for step in range(begin + 1, steps + 1):
            if step == 4 and generations[0].asked.get("fails_together"):
                raise errors.OutOfMemory("out of memory during denoise")
            on_states(step, [g.advance(step) for g in generations])
            observer([g.progress(step) for g in generations])
        return True


def order(item: int = 0, *, steps: int = 12, **changes: Any) -> Order:
    """The order of ``item``; ``changes`` are of the request, but for those that name a field of `Order`."""
    fields = {name: changes.pop(name) for name in ("owner", "model", "resolved", "plan_key") if name in changes}
    fields = {"owner": "ann", "model": "fake", "plan_key": "p", **fields}
    return Order(**fields, request={"item": item, **changes}, steps=steps)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    sys.exit(run_process(lambda settings, blobs: FakeEngine()))
