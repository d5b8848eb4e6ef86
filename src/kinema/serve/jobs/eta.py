"""When a job will be done: median and 90th percentile of this server's own runs, scaled by cost where none was alike. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Eta:
    """Seconds: as many runs take less as more than ``median_s``, and one in ten more than ``p90_s``."""

    median_s: float
    p90_s: float

    def after(self, elapsed_s: float) -> Eta:
        """What is left after ``elapsed_s``."""
        return Eta(median_s=max(0.0, self.median_s - elapsed_s), p90_s=max(0.0, self.p90_s - elapsed_s))

    def scaled(self, by: float) -> Eta:
        """``by`` times as long."""
        return Eta(median_s=self.median_s * by, p90_s=self.p90_s * by)


@dataclass(frozen=True, kw_only=True)
class Run:
    """An attempt that went from the first step to success."""

    seconds: float
    shape: str
    steps: int
    cost: float


def predict(runs: Sequence[Run], *, shape: str, steps: int, cost: float) -> Eta | None:
    """How long a job will run, from ``runs`` of its model on its device: of those alike, or else of all by cost. None without any."""
    seconds = sorted(r.seconds for r in runs if (r.shape, r.steps) == (shape, steps))
    seconds = seconds or sorted(r.seconds * cost / r.cost for r in runs)
    if not seconds:
        return None
    return Eta(median_s=statistics.median(seconds), p90_s=seconds[math.ceil(0.9 * len(seconds)) - 1])
