from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core import progress
from kinema.core.errors import Cancelled
from kinema.core.progress import CancelToken, Progress, StepClock, ignore_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands until it is told otherwise."""
    fake = SimpleNamespace(now=100.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr(progress, "time", fake)
    return fake


def ticks(clock: SimpleNamespace, steps: StepClock, *durations: float) -> list[float]:
    out = []
    for duration in durations:
        clock.now += duration
        out.append(steps.tick())
    return out


def test_the_warm_up_counts_only_while_it_is_alone(clock: SimpleNamespace) -> None:
    etas = ticks(clock, StepClock(steps=4, _last=100.0), 30.0, 2.0, 2.0, 2.0)
    assert etas == [90.0, 4.0, 2.0, 0.0]


def test_the_median_shrugs_off_one_slow_step(clock: SimpleNamespace) -> None:
    etas = ticks(clock, StepClock(steps=10, _last=100.0), 1.0, 2.0, 2.0, 50.0, 2.0)
    assert etas[-1] == 5 * 2.0


def test_later_phases_are_added_and_nothing_is_negative(clock: SimpleNamespace) -> None:
    etas = ticks(clock, StepClock(steps=2, after_s=7.0, _last=100.0), 1.0, 1.0, 1.0)
    assert etas == [8.0, 7.0, 7.0]


def test_several_steps_at_once_share_their_time(clock: SimpleNamespace) -> None:
    steps = StepClock(steps=9, _last=100.0)
    ticks(clock, steps, 50.0)
    clock.now += 12
    assert steps.tick(4) == 4 * 3.0


def test_a_real_clock_runs_forwards() -> None:
    steps = StepClock(steps=3)
    assert 0 <= steps.tick() < 60


@given(durations=st.lists(st.integers(1, 1000), min_size=2, max_size=20), left=st.integers(0, 20))
def test_the_estimate_lies_between_the_fastest_and_the_slowest_step(durations: list[int], left: int) -> None:
    fake = SimpleNamespace(now=0.0)
    fake.monotonic = lambda: fake.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "time", fake)
        eta = ticks(fake, StepClock(steps=len(durations) + left, _last=0.0), *map(float, durations))[-1]
    assert left * min(durations[1:]) <= eta <= left * max(durations[1:])


def test_a_token_cancels_from_another_thread_and_stays_cancelled() -> None:
    token = CancelToken()
    token.check("denoise")
    assert not token.is_cancelled
    thread = threading.Thread(target=token.cancel)
    thread.start()
    thread.join()
    assert token.is_cancelled
    for _ in range(2):
        with pytest.raises(Cancelled, match="cancelled during denoise"):
            token.check("denoise")


def test_tokens_are_each_their_own() -> None:
    first, second = CancelToken(), CancelToken()
    first.cancel()
    assert not second.is_cancelled


def test_the_silent_observer_takes_any_event() -> None:
    assert ignore_progress(Progress(phase="denoise", step=1, steps=5)) is None
