"""Events in order, an estimate that falls, previews, and a stop within one step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kinema.core.card import ModelCard
from kinema.core.errors import Cancelled
from kinema.core.progress import CancelToken, Progress
from kinema.core.request import GenerationRequest
from kinema.engine import clock as clock_module
from kinema.engine.clock import RunClock
from kinema.engine.engine import Engine
from kinema.weights.preview import KEY
from tests.engine.conftest import save_tiny


def test_phases_come_in_order_and_count_up(tiny: Path, request_: GenerationRequest) -> None:
    seen: list[Progress] = []
    engine = Engine(tiny, dtype="float32", threads=1)
    engine.generate(request_, observer=seen.append)
    assert [(e.phase, e.step) for e in seen] == [
        *(("load", i) for i in range(4)),
        *(("encode", i) for i in range(2)),
        *(("denoise", i) for i in range(4)),
        *(("decode", i) for i in range(4)),
    ]
    assert all(e.eta_s is None for e in seen if e.step == 0)
    assert all(e.eta_s is not None and e.eta_s >= 0 for e in seen if e.step)
    seen.clear()
    engine.generate(request_, observer=seen.append)
    assert seen[0].phase == "encode", "weights stay in memory"


def test_the_estimate_counts_the_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    seen: list[Progress] = []
    clock = RunClock(seen.append, None, decode_share=3.0)
    clock.start("denoise", 5)
    for step in range(5):
        now[0] += 9.0 if step == 0 else 2.0  # the first step warms up
        clock.done("denoise", step + 1)
    # what is left at two seconds a step, and a decode of three steps
    assert [e.eta_s for e in seen[2:]] == [3 * 2 + 6, 2 * 2 + 6, 2 + 6, 6]


def test_a_long_step_shows_life_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    seen: list[Progress] = []
    cancel = CancelToken()
    clock = RunClock(seen.append, cancel)
    clock.start("decode", 3, sample=1)
    now[0] += 60
    clock.done("decode", 1, preview="a picture", sample=1)
    for _ in range(30):
        now[0] += 1.0
        clock.still()
    assert [(e.step, e.sample, e.preview) for e in seen] == [(0, 1, None), (1, 1, "a picture"), *[(1, 1, None)] * 5]
    clock.done("decode", 2, sample=1)
    assert seen[-1].eta_s == 30.0, "saying it again is no step"
    cancel.cancel()
    with pytest.raises(Cancelled, match="decode"):
        clock.still()


@pytest.mark.parametrize("phase, step", [("load", 1), ("encode", 0), ("denoise", 0), ("denoise", 2), ("decode", 1)])
def test_a_stop_comes_within_one_step(tiny: Path, request_: GenerationRequest, phase: str, step: int) -> None:
    cancel, seen = CancelToken(), []

    def observe(event: Progress) -> None:
        seen.append((event.phase, event.step))
        if seen[-1] == (phase, step):
            cancel.cancel()

    engine = Engine(tiny, dtype="float32", threads=1)
    with pytest.raises(Cancelled, match=phase):
        engine.generate(request_, observer=observe, cancel=cancel)
    after = seen[seen.index((phase, step)) + 1 :]
    assert len(after) <= 1, "at most the step at hand is finished"
    assert engine.generate(request_).frames.shape[0] == 9, "the engine lives on"


def test_a_stop_before_the_start_reads_no_weights(engine: Engine, request_: GenerationRequest) -> None:
    cancel, seen = CancelToken(), []
    cancel.cancel()
    with pytest.raises(Cancelled):
        engine.generate(request_, observer=seen.append, cancel=cancel)
    assert not seen


def test_previews_are_small_frames_if_the_card_has_the_map(
    tmp_path: Path, tiny_card: ModelCard, engine: Engine, request_: GenerationRequest
) -> None:
    rows = [[0.1 * i, 0.0, -0.1 * i] for i in range(6)]
    card = replace(tiny_card, training={KEY: rows})
    previews: list[Any] = []
    Engine(save_tiny(tmp_path / "m", card), dtype="float32", threads=1).generate(
        request_, observer=lambda e: previews.append(e.preview) if e.phase == "denoise" and e.step else None
    )
    assert [p.shape for p in previews] == [(3, 4, 6, 3)] * 3
    assert str(previews[0].dtype) == "uint8"
    seen: list[Progress] = []
    engine.generate(request_, observer=seen.append)
    assert all(e.preview is None for e in seen)
