"""The loop: signals, numbers that aren't finite, checkpoints that are kept, damaged ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kinema.core.errors import Cancelled, TrainingError
from kinema.core.progress import CancelToken, Progress
from kinema.core.stopping import stops_on_signals
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.shards import ShardSet
from kinema.training import checkpoints
from kinema.training.budget import Budget
from kinema.training.checkpoints import BEST, Checkpoint, latest, load
from kinema.training.logs import read_metrics
from kinema.training.loop import Loop, LoopRecipe, averaged
from tests.training.toys import LOOP


class LineTask:
    """Fits one number; ``bad_steps`` have a loss that is NaN."""

    def __init__(self, shards: ShardSet, bad_steps: range = range(0)) -> None:
        self.module, self.bad_steps = nn.Linear(1, 1, bias=False), bad_steps
        nn.init.zeros_(self.module.weight)
        self.modules = {"line": self.module}
        self.loader = Loader(shards, sizes=dict.fromkeys(shards.buckets, 2), seed=0)
        self.facts: Mapping[str, object] = {"dtype": "float32"}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss = (self.module.weight - 3).square().sum()
        return (loss * torch.nan if batch.step in self.bad_steps else loss), {}

    def validate(self, step: int) -> Mapping[str, float]:
        return {"score": float(self.module.weight.detach())}

    def work(self, batch: Batch) -> Mapping[str, float]:
        return {"samples": len(batch)}


@pytest.fixture
def shards(make_frames: Callable[..., ShardSet]) -> ShardSet:
    return make_frames(4)


def run(task: LineTask, folder: Path, loop: LoopRecipe = LOOP, **kwargs: object) -> int:
    return Loop(task, loop, folder, identity={"task": "line"}).run(**kwargs).step  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_and_keeps_it(shards: ShardSet, tmp_path: Path, number: signal.Signals) -> None:
    def send(progress: Progress) -> None:
        if progress.step == 4:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with stops_on_signals(CancelToken()) as cancel, pytest.raises(Cancelled, match="after step 4.*step-00000004"):
        run(LineTask(shards), tmp_path, observer=send, cancel=cancel)
    assert signal.getsignal(number) is before
    point = latest(tmp_path)
    assert point is not None
    assert load(point).step == 4
    assert run(LineTask(shards), tmp_path) == 6
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl", "train")] == [2, 4, 6]


def test_steps_that_are_not_finite_are_skipped(shards: ShardSet, tmp_path: Path) -> None:
    task = LineTask(shards, range(1, 3))
    run(task, tmp_path)
    rows = read_metrics(tmp_path / "metrics.jsonl", "train")
    assert [r["skips"] for r in rows] == [1, 0, 0]
    assert rows[0]["loss"] is None
    assert torch.isfinite(task.module.weight).all()


def test_divergence_ends_the_run(shards: ShardSet, tmp_path: Path) -> None:
    long = replace(LOOP, budget=Budget(steps=100))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        run(LineTask(shards, range(5, 100)), tmp_path, long)


def test_newest_and_best_are_kept(shards: ShardSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(LineTask(shards), folder, replace(LOOP, budget=Budget(steps=9), checkpoint_every_steps=2, keep_checkpoints=2))
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "tensorboard")
    assert names == [BEST, "step-00000008", "step-00000009"]
    assert averaged(folder, "line")["weight"] > 0
    assert averaged(folder, "line", point=BEST).keys() == {"weight"}


def test_a_damaged_checkpoint_is_named(shards: ShardSet, tmp_path: Path) -> None:
    run(LineTask(shards), tmp_path)
    point = latest(tmp_path)
    assert point is not None
    (point / "ema.safetensors").write_bytes(b"half")
    with pytest.raises(TrainingError, match="step-00000006.*remove it"):
        run(LineTask(shards), tmp_path)
    (point / "state.json").write_text("{")
    with pytest.raises(TrainingError, match="step-00000006.*not a readable checkpoint"):
        load(point)
    (point / "state.json").write_text("{}")
    with pytest.raises(TrainingError, match="lacks"):
        load(point)


def test_half_a_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "step-00000009").mkdir()
    assert latest(tmp_path) is None
    with pytest.raises(TrainingError, match="train first"):
        averaged(tmp_path, "line")
    point = Checkpoint(step=3, elapsed_s=1.5, recipe={"a": 1}, facts={}, tensors={"model": {"x": torch.ones(2)}})
    path = checkpoints.save(tmp_path, point)
    assert latest(tmp_path) == path
    assert checkpoints.save(tmp_path, replace(point, elapsed_s=2.5)) == path  # written again, in place
    assert load(path, recipe={"a": 1}).elapsed_s == 2.5
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
