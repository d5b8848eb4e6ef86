"""What a run cost: seconds per phase, FLOPs, peak memory and, where the hardware tells, joules. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kinema.engine.machine import EnergyMeter, peak_rss_bytes


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """The cost of one clip. ``peak_bytes`` is the process's peak so far; ``joules`` are the processor packages' while it ran."""

    seconds: Mapping[str, float]
    flops: float
    peak_bytes: int | None
    joules: float | None

    @property
    def total_seconds(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; what the machine doesn't tell is ``"unknown"``."""
        return {
            "seconds": {phase: round(s, 4) for phase, s in self.seconds.items()},
            "total_seconds": round(self.total_seconds, 4),
            "flops": self.flops,
            "peak_bytes": "unknown" if self.peak_bytes is None else self.peak_bytes,
            "joules": "unknown" if self.joules is None else round(self.joules, 3),
        }


class Meter:
    """Adds up the seconds of phases, which may come in pieces, and reads the energy counters."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._energy = EnergyMeter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time of its body to phase ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def metrics(self, *, flops: float, share: int = 1) -> RunMetrics:
        """The cost so far, divided among the ``share`` clips of a batch."""
        joules = self._energy.joules()
        return RunMetrics(
            seconds={phase: s / share for phase, s in self._seconds.items()},
            flops=flops,
            peak_bytes=peak_rss_bytes(),
            joules=None if joules is None else joules / share,
        )
