"""How far a run is: by steps, by wall-clock minutes, or by whichever comes first; and what the learning rate is there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from kinema.core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a run ends: after ``steps``, after ``minutes``, or at the first of both. Only a budget in steps is bit-equal when run again."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InvalidInput("budget", None, "give steps, minutes or both")
        for name, value in (("steps", self.steps), ("minutes", self.minutes)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidInput(name, value, "must be above zero")

    def progress(self, step: int, elapsed_s: float) -> float:
        """The fraction of the budget that is spent, from 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


@dataclass(frozen=True, kw_only=True)
class LearningRate:
    """Factor on the peak rate: linear warm-up over ``warmup_steps``, constant, then down to zero over the last ``decay`` of the budget.

    Source: warm-up, constant, decay to zero ("WSD", Hu et al. 2024, arXiv:2404.06395); with ``decay`` = 1 a plain cosine or line.
    """

    warmup_steps: int = 100
    decay: float = 0.5
    shape: str = "cosine"

    def factor(self, step: int, progress: float) -> float:
        """The factor for the step after ``step`` finished ones, when ``progress`` of the budget is spent."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        into = 0.0 if self.decay == 0 else max(0.0, (progress - (1 - self.decay)) / self.decay)
        down = 0.5 * (1 + math.cos(math.pi * into)) if self.shape == "cosine" else 1 - into
        return warm * down


class Stopwatch:
    """Seconds that a run has taken, over all the processes that it was resumed in."""

    def __init__(self, already_s: float = 0.0) -> None:
        self._already_s, self._start = already_s, self.now()

    @staticmethod
    def now() -> float:
        """Seconds of the clock that budgets are told by: the wall's. A measurement may put another in its place."""
        return time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        return self._already_s + self.now() - self._start
