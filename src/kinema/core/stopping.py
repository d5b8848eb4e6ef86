"""SIGTERM and Ctrl-C as a wish to stop after the step at hand. Standard library only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kinema.core.progress import CancelToken


@contextmanager
def stops_on_signals(cancel: CancelToken) -> Iterator[CancelToken]:
    """Within it SIGTERM and SIGINT cancel ``cancel``; a second SIGINT interrupts at once. Off the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if cancel.is_cancelled and number == signal.SIGINT:
            raise KeyboardInterrupt
        cancel.cancel()

    old = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield cancel
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
