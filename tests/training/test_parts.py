"""Budgets, rates, averages, optimisers and logs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from kinema.core.errors import InvalidInput
from kinema.training.budget import Budget, LearningRate
from kinema.training.ema import Ema
from kinema.training.logs import MetricsLog, read_metrics
from kinema.training.optim import Optimizer, OptimRecipe


def test_budget_ends_at_the_first_of_both() -> None:
    both = Budget(steps=100, minutes=2)
    assert both.progress(25, 0) == 0.25
    assert both.progress(25, 60) == 0.5
    assert both.progress(500, 0) == 1.0
    assert Budget(minutes=2).progress(10**9, 30) == 0.25
    for steps, minutes in ((None, None), (0, None), (None, -1.0), (None, math.inf)):
        with pytest.raises(InvalidInput):
            Budget(steps=steps, minutes=minutes)


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_rate_rises_stays_and_falls(shape: str) -> None:
    rate = LearningRate(warmup_steps=10, decay=0.5, shape=shape)
    assert rate.factor(0, 0.0) == pytest.approx(0.1)
    assert rate.factor(9, 0.01) == rate.factor(500, 0.5) == 1.0
    assert rate.factor(750, 0.75) == pytest.approx(0.5)
    assert rate.factor(1000, 1.0) == pytest.approx(0.0)
    assert LearningRate(decay=0.0).factor(1000, 1.0) == 1.0


def test_average_follows_and_steps_aside() -> None:
    module = nn.Linear(3, 2)
    ema = Ema({"m": module}, decay=0.9)
    start = module.weight.detach().clone()
    with torch.no_grad():
        module.weight += 1
    ema.update(1)
    # early on the average is short: 1 - 2/11 of the way
    assert torch.allclose(ema.averages["m.weight"], start + 9 / 11)
    own = module.weight.detach().clone()
    with ema.applied():
        assert torch.equal(module.weight, ema.averages["m.weight"])
    assert torch.equal(module.weight, own)
    for step in range(1000, 1300):
        ema.update(step)
    assert torch.allclose(ema.averages["m.weight"], own, atol=1e-5)


class TwoBlocks(nn.Module):
    """Parameters of every kind that optimisers treat differently."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(17, 32)
        self.blocks = nn.ModuleList([nn.Linear(32, 32) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both blocks after the embedding."""
        x = self.embed(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return x


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimisers_lower_the_loss(kind: Literal["adamw", "muon"]) -> None:
    torch.manual_seed(0)
    module, x, y = TwoBlocks(), torch.randn(64, 17), torch.randn(64, 32)
    optimizer = Optimizer({"m": module}, OptimRecipe(kind=kind, lr=1e-2, weight_decay=0.0))
    losses = []
    for _ in range(60):
        loss = (module(x) - y).square().mean()
        loss.backward()
        optimizer.clip()
        optimizer.step(1.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    keys = {k.rsplit("/", 1)[1] for k in optimizer.state() if k.startswith("m.blocks.0.weight/")}
    assert keys == ({"momentum_buffer"} if kind == "muon" else {"step", "exp_avg", "exp_avg_sq"})
    assert "m.embed.weight/exp_avg" in optimizer.state()


def test_clip_reports_the_norm_before() -> None:
    module = nn.Linear(2, 1, bias=False)
    optimizer = Optimizer({"m": module}, OptimRecipe(clip_norm=1.0))
    module.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(optimizer.clip()) == pytest.approx(5.0)
    assert module.weight.grad.norm() == pytest.approx(1.0, abs=1e-4)
    module.weight.grad = torch.tensor([[math.nan, 4.0]])
    assert not bool(torch.isfinite(optimizer.clip()))


def test_unknown_optimiser() -> None:
    with pytest.raises(InvalidInput, match="adamw, muon"):
        OptimRecipe(kind="sgd")  # pyright: ignore[reportArgumentType]


def test_log_drops_what_is_done_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in (2, 4, 6):
        log.write("train", step, {"loss": 1 / step})
    log.write("validation", 6, {"loss": math.nan})
    log.close()
    with open(tmp_path / "metrics.jsonl", "a") as f:
        f.write('{"kind": "train", "st')  # a killed process
    assert read_metrics(tmp_path / "metrics.jsonl")[-1] == {"kind": "validation", "step": 6, "loss": None}
    again = MetricsLog(tmp_path, from_step=4)
    again.write("train", 6, {"loss": 0.5})
    again.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(r["kind"], r["step"]) for r in rows] == [("train", 2), ("train", 4), ("train", 6)]
    assert rows[-1]["loss"] == 0.5
    assert list((tmp_path / "tensorboard").glob("events.*"))
