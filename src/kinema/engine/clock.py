"""Progress events of one run, in order, with an estimate of what remains. Standard library only."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from kinema.core.progress import CancelToken, Observer, Phase, Progress, StepClock

# between two words of one step, where it takes that long
_STILL_S = 5.0


class RunClock:
    """Tells ``observer`` about steps and looks at ``cancel``; the time left counts the decode that comes after the denoise.

    ``decode_share`` is the decode's FLOPs over one denoising step's: until the decode has begun, both are taken to run at one
    rate.
    """

    def __init__(self, observer: Observer, cancel: CancelToken | None, *, decode_share: float = 0.0) -> None:
        self._observer, self._cancel = observer, cancel or CancelToken()
        self._decode_share = decode_share
        self._clock, self._event = StepClock(steps=0), Progress(phase="load", step=0, steps=0)
        self._last = self._told = time.monotonic()
        self._fastest_s = float("inf")

    def check(self, phase: Phase) -> None:
        """Raises: Cancelled, if a stop was asked for."""
        self._cancel.check(phase)

    def start(self, phase: Phase, steps: int, *, done: int = 0, sample: int = 0) -> None:
        """Says that ``phase`` begins, with ``steps`` to do of which ``done`` are done already."""
        self.check(phase)
        self._clock = StepClock(steps=steps - done)
        self._last, self._fastest_s = time.monotonic(), float("inf")
        self._tell(Progress(phase=phase, step=done, steps=steps, sample=sample))

    def done(self, phase: Phase, step: int, *, preview: Any = None, sample: int = 0) -> None:
        """Says that ``step`` steps of ``phase`` are done, then looks whether to stop."""
        now, steps = time.monotonic(), max(1, step - self._event.step)
        self._fastest_s = min(self._fastest_s, (now - self._last) / steps)
        self._last = now
        self._clock.after_s = self._decode_share * self._fastest_s if phase == "denoise" else 0.0
        eta_s = self._clock.tick(steps)
        event = Progress(phase=phase, step=step, steps=self._event.steps, eta_s=eta_s, sample=sample)
        self._tell(event, preview)
        self.check(phase)

    def still(self) -> None:
        """Looks whether to stop within a step; what was said last is said again now and then, so that watchers see life."""
        self.check(self._event.phase)
        if time.monotonic() - self._told > _STILL_S:
            self._tell(self._event)

    def _tell(self, event: Progress, preview: Any = None) -> None:
        self._event = event
        self._observer(event if preview is None else replace(event, preview=preview))
        self._told = time.monotonic()
