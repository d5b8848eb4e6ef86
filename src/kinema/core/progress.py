"""Progress events and cancelling. Every long call takes an observer. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

from kinema.core.errors import Cancelled

Phase = Literal["download", "load", "encode", "denoise", "decode", "write", "render", "train", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One event of a long call: ``step`` of ``steps`` of ``phase`` is done; ``eta_s`` seconds are expected to remain, or unknown.

    ``preview`` is a uint8 RGB array (t h w c) of what the result looks like so far, when the call makes one.
    ``sample`` counts the clips of a request that asks for several.
    """

    phase: Phase
    step: int
    steps: int
    eta_s: float | None = None
    preview: Any = None
    sample: int = 0


Observer = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """The observer that does nothing."""


@dataclass
class CancelToken:
    """A flag that any thread may set; long calls look at it between steps."""

    _event: Event = field(default_factory=Event)

    def cancel(self) -> None:
        """Asks the call to stop at its next step."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def check(self, where: str) -> None:
        """Raises: Cancelled, naming ``where``, once a stop was asked for."""
        if self.is_cancelled:
            raise Cancelled(f"cancelled during {where}")


@dataclass
class StepClock:
    """Estimates the seconds that remain from the median of the steps so far; the first, a warm-up, counts only while it is alone."""

    steps: int
    after_s: float = 0.0
    _last: float = field(default_factory=time.monotonic)
    _durations: list[float] = field(default_factory=list)

    def tick(self, steps: int = 1) -> float:
        """Marks ``steps`` as done and returns the seconds expected to remain, ``after_s`` of later phases included."""
        now = time.monotonic()
        self._durations += [(now - self._last) / steps] * steps
        self._last = now
        steady = sorted(self._durations[1:] or self._durations)
        remaining = max(0, self.steps - len(self._durations))
        return remaining * steady[len(steady) // 2] + self.after_s
