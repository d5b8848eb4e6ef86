"""Signals as a wish to stop; what a training run makes of it is tested with its loop."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from kinema.core.progress import CancelToken
from kinema.core.stopping import stops_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_wish_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stops_on_signals(CancelToken()) as cancel:
        assert not cancel.is_cancelled
        os.kill(os.getpid(), number)
        assert cancel.is_cancelled
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait() -> None:
    with stops_on_signals(CancelToken()) as cancel:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.is_cancelled
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_off_the_main_thread_signals_are_left_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with stops_on_signals(CancelToken()) as cancel:
            seen.append((signal.getsignal(signal.SIGINT), cancel.is_cancelled))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
