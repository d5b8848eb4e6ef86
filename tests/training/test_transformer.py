"""Training of the transformer: it learns from text, resumes bit for bit, starts from another stage, takes pictures and clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from kinema.core.errors import Cancelled, TrainingError
from kinema.data.load.shards import ShardSet
from kinema.training.budget import Budget
from kinema.training.conditions import ConditionRecipe
from kinema.training.logs import read_metrics
from kinema.training.optim import OptimRecipe
from kinema.training.transformer import TransformerTask, train_transformer, trained_weights
from tests.training.toys import LOOP, StopAt, all_tensors
from tests.training.toys import TRANSFORMER as RECIPE


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_resumed_equals_uninterrupted_bit_for_bit(
    make_latents: Callable[..., ShardSet], tmp_path: Path, kind: Literal["adamw", "muon"]
) -> None:
    train, validation = make_latents(8, pictures=5), make_latents(4, seed=1)
    recipe = replace(RECIPE, loop=replace(LOOP, optim=OptimRecipe(kind=kind, lr=3e-3)))
    straight = train_transformer(recipe, train, validation=validation, folder=tmp_path / "straight")
    stop = StopAt(4)
    with pytest.raises(Cancelled, match="after step 4"):
        train_transformer(
            recipe, train, validation=validation, folder=tmp_path / "resumed", observer=stop, cancel=stop.token
        )
    resumed = train_transformer(recipe, train, validation=validation, folder=tmp_path / "resumed")
    one, other = all_tensors(straight.checkpoint), all_tensors(resumed.checkpoint)
    assert set(one) == set(other)
    assert {k for k in one if not torch.equal(one[k], other[k])} == set()
    assert any("momentum_buffer" in k for k in one) == (kind == "muon")
    assert straight.scores == resumed.scores
    assert set(straight.scores) == {"score", "loss", "bin0", "bin1", "bin2"}


def test_it_learns_what_captions_say(make_latents: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_latents(32), make_latents(8, seed=1)
    conditions = ConditionRecipe(no_text=0, known=0, uneven=0)
    loop = replace(LOOP, budget=Budget(steps=150), validate_every_steps=None, ema_decay=0.9)
    recipe = replace(RECIPE, loop=loop, conditions=conditions, batch_tokens=16 * 21)
    outcome = train_transformer(recipe, train, validation=validation, folder=tmp_path / "run")
    # without the text nothing tells light from dark at the highest noise: the loss there stays above 1
    assert outcome.scores["bin2"] < 0.6
    task = TransformerTask(recipe, train, validation=validation, start=trained_weights(tmp_path / "run"))
    noise, t = torch.zeros(2, 5, 3, 4, 6), torch.zeros(2, 1, 3, 4, 6)
    with torch.no_grad():
        velocity = task.velocity(
            noise, torch.full((2, 3), 0.99), texts=["light", "暗"], known=torch.zeros_like(noise), known_mask=t,
            camera=torch.full((2, 3, 7), torch.nan), scalars=torch.full((2, 4), torch.nan),
        )  # fmt: skip
    assert velocity[0].mean() < -0.5
    assert velocity[1].mean() > 0.5


def test_next_stage_starts_from_the_last(make_latents: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_latents(8), make_latents(4, seed=1)
    train_transformer(RECIPE, train, validation=validation, folder=tmp_path / "one")
    start = trained_weights(tmp_path / "one")
    task = TransformerTask(RECIPE, train, validation=validation, start=start)
    own = task.transformer.state_dict()
    assert all(torch.equal(own[k], v) for k, v in start["transformer"].items())


def test_another_recipe_is_refused(make_latents: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_latents(8), make_latents(4, seed=1)
    train_transformer(RECIPE, train, validation=validation, folder=tmp_path / "run")
    other = replace(RECIPE, conditions=ConditionRecipe(no_text=0.25, known=0.5, uneven=0.5))
    with pytest.raises(TrainingError, match=r"conditions\.no_text: 0\.1 -> 0\.25"):
        train_transformer(other, train, validation=validation, folder=tmp_path / "run")


def test_speed_is_logged(make_latents: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_latents(8), make_latents(4, seed=1)
    train_transformer(RECIPE, train, validation=validation, folder=tmp_path / "run")
    speed = read_metrics(tmp_path / "run" / "metrics.jsonl", "speed")[-1]
    assert speed["tokens_per_s"] == pytest.approx(21 * speed["samples_per_s"], rel=1e-3)
    assert 0 < speed["mfu"] < 1


def test_every_shape_may_be_compiled(make_latents: Callable[..., ShardSet], monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo import config

    monkeypatch.setattr(config, "recompile_limit", 1)
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    train = make_latents(8, pictures=5)
    TransformerTask(replace(RECIPE, compile=True), train, validation=make_latents(4, seed=1))
    assert config.recompile_limit > 2 * len(train.buckets) > 2
