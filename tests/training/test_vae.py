"""Training of the autoencoder: it learns, resumes bit for bit, and exports its latents' statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kinema.core.errors import Cancelled, TrainingError
from kinema.core.progress import CancelToken
from kinema.data.load.shards import ShardSet
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.training import checkpoints
from kinema.training.budget import Budget, LearningRate
from kinema.training.logs import read_metrics
from kinema.training.loop import LoopRecipe
from kinema.training.optim import OptimRecipe
from kinema.training.vae import VaeRecipe, train_vae, trained_vae
from kinema.training.vae_losses import to_model

CONFIG = VideoAutoencoderConfig(
    latent_channels=5, block_out_channels=(8, 16), layers_per_block=(1, 0), time_compression=2, space_compression=4,
    patch_px=2, norm="rms", conv="factorised", temporal_convs=1, resample="shuffle", mid_layers=1, mid_attention=False,
)  # fmt: skip
LOOP = LoopRecipe(
    budget=Budget(steps=6), rate=LearningRate(warmup_steps=2), optim=OptimRecipe(lr=2e-3), seed=3,
    log_every_steps=2, validate_every_steps=4, checkpoint_every_steps=3,
)  # fmt: skip
RECIPE = VaeRecipe(config=CONFIG, loop=LOOP, batch=2, dtype="float32", compile=False, validation_clips=3)


def all_tensors(path: Path) -> Mapping[str, Tensor]:
    groups = checkpoints.load(path).tensors
    return {f"{group}:{k}": v for group, tensors in groups.items() for k, v in tensors.items()}


class StopAt:
    """A cancel token that a step count sets."""

    def __init__(self, step: int) -> None:
        self.step, self.token = step, CancelToken()

    def __call__(self, progress: object) -> None:
        if getattr(progress, "step") >= self.step:
            self.token.cancel()


def test_resumed_equals_uninterrupted_bit_for_bit(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(6), make_frames(3, seed=1)
    straight = train_vae(RECIPE, train, validation=validation, folder=tmp_path / "straight")
    stop = StopAt(4)
    with pytest.raises(Cancelled, match="after step 4"):
        train_vae(RECIPE, train, validation=validation, folder=tmp_path / "resumed", observer=stop, cancel=stop.token)
    resumed = train_vae(RECIPE, train, validation=validation, folder=tmp_path / "resumed")
    assert straight.step == resumed.step == 6
    one, other = all_tensors(straight.checkpoint), all_tensors(resumed.checkpoint)
    assert set(one) == set(other)
    assert {k for k in one if not torch.equal(one[k], other[k])} == set()
    assert {k.split(":")[0] for k in one} == {"model", "ema", "optimizer"}
    losses = [[r["loss"] for r in read_metrics(tmp_path / f / "metrics.jsonl", "train")] for f in ("straight", "resumed")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_it_learns(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(12), make_frames(3, seed=1)
    loop = replace(LOOP, budget=Budget(steps=120), optim=OptimRecipe(lr=5e-3), validate_every_steps=None, ema_decay=0.9)
    outcome = train_vae(replace(RECIPE, loop=loop), train, validation=validation, folder=tmp_path / "run")
    first = read_metrics(tmp_path / "run" / "metrics.jsonl", "train")[0]["psnr_db"]
    assert outcome.scores["psnr_db"] > first + 6
    recipe = replace(RECIPE, loop=loop)
    model = trained_vae(recipe, train, folder=tmp_path / "run")
    frames = train.read(next(iter(train.buckets)), range(12))[0]["frames"]
    latents = model.normalise(model.encode(to_model(frames))[0])
    assert latents.mean(dim=(0, 2, 3, 4)).abs().max() < 1e-3
    assert (latents.std(dim=(0, 2, 3, 4)) - 1).abs().max() < 1e-2


def test_another_recipe_is_refused(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(6), make_frames(3, seed=1)
    train_vae(RECIPE, train, validation=validation, folder=tmp_path / "run")
    other = replace(RECIPE, batch=3, loop=replace(LOOP, optim=OptimRecipe(lr=1e-3)))
    with pytest.raises(TrainingError, match=r"optim\.lr: 0\.002 -> 0\.001.*batch: 2 -> 3"):
        train_vae(other, train, validation=validation, folder=tmp_path / "run")
    with pytest.raises(TrainingError, match="data: frames 6 0 -> frames 7 0"):
        train_vae(RECIPE, make_frames(7), validation=validation, folder=tmp_path / "run")
    longer = replace(RECIPE, loop=replace(LOOP, budget=Budget(steps=8)))
    assert train_vae(longer, train, validation=validation, folder=tmp_path / "run").step == 8
