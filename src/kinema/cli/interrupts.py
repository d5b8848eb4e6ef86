"""Ctrl-C, remembered: imports of compiled modules turn a KeyboardInterrupt into errors of their own. Imports nothing heavy."""

from __future__ import annotations

import signal
import threading
from types import FrameType

# the exit code of shells for a process that Ctrl-C ended
INTERRUPTED = 130


class _Interrupt:
    """Whether Ctrl-C was pressed in this process."""

    seen = False


def remember_interrupts() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as ever, and `was_interrupted` knows. Off the main thread it does nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _on_interrupt)


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed since `remember_interrupts`."""
    return _Interrupt.seen


def ignore_interrupts() -> None:
    """From now on Ctrl-C does nothing: the process is leaving already."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    _Interrupt.seen = True
    raise KeyboardInterrupt
