"""How a long decode tells how far it is, long before its first frames come."""

from __future__ import annotations

from collections.abc import Callable

# Told of the share of all work that is done, from 0 to 1, again and again; raises to stop the work.
OnWork = Callable[[float], None]


def ignore_work(_: float) -> None:
    """Whom nobody asks."""


def part_of(on_work: OnWork, index: int, count: int) -> OnWork:
    """What part ``index`` of ``count`` equal ones tells of its own work, so that ``on_work`` hears of the whole."""
    return lambda share: on_work((index + share) / count)


class Work:
    """Amounts of work as they are done, of ``total``, which may be a guess."""

    def __init__(self, total: float, on_work: OnWork) -> None:
        self._total, self._on_work, self._done = total, on_work, 0.0

    def add(self, amount: float) -> None:
        """Says that ``amount`` more is done."""
        self._done += amount
        self._on_work(min(1.0, self._done / self._total))
