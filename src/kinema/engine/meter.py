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
    """The cost of one clip. ``peak_bytes`` is the process's peak so far; ``joules`` are the processor packages' while it ran.

    Of what ``shared_by`` clips did together each has its share.
    """

    seconds: Mapping[str, float]
    flops: float
    peak_bytes: int | None
    joules: float | None
    shared_by: int = 1

    @property
    def total_seconds(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; what the machine doesn't tell is ``"unknown"``, and ``shared_by`` is there where it isn't 1."""
        told = {} if self.shared_by == 1 else {"shared_by": self.shared_by}
        return told | {
            "seconds": {phase: round(s, 4) for phase, s in self.seconds.items()},
            "total_seconds": round(self.total_seconds, 4),
            "flops": self.flops,
            "peak_bytes": "unknown" if self.peak_bytes is None else self.peak_bytes,
            "joules": "unknown" if self.joules is None else round(self.joules, 3),
        }


class Meter:
    """Adds up the seconds of phases, which may come in pieces, and reads the energy counters.

    ``spent`` is what the same clip cost before.
    """

    def __init__(self, spent: RunMetrics | None = None) -> None:
        self._spent = spent or RunMetrics(seconds={}, flops=0.0, peak_bytes=None, joules=0.0)
        self._seconds: dict[str, float] = {}
        # of phases that are not over
        self._began: dict[str, float] = {}
        self._energy = EnergyMeter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time of its body to phase ``name``."""
        self._began[name] = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._so_far()[name]
            del self._began[name]

    def metrics(self, *, flops: float, share: int = 1) -> RunMetrics:
        """The cost so far, divided among the ``share`` clips of a batch."""
        joules, spent, seconds = self._energy.joules(), self._spent, self._so_far()
        phases = dict.fromkeys((*spent.seconds, *seconds))
        return RunMetrics(
            seconds={p: spent.seconds.get(p, 0.0) + seconds.get(p, 0.0) / share for p in phases},
            flops=flops,
            peak_bytes=peak_rss_bytes(),
            joules=None if joules is None or spent.joules is None else spent.joules + joules / share,
            shared_by=max(share, spent.shared_by),
        )

    def _so_far(self) -> dict[str, float]:
        now = time.perf_counter()
        return self._seconds | {p: self._seconds.get(p, 0.0) + now - began for p, began in self._began.items()}
