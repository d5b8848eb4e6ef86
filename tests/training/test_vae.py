"""Training of the autoencoder: it learns, resumes bit for bit, and exports its latents' statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import Cancelled, InvalidInput, TrainingError
from kinema.data.load.shards import ShardSet
from kinema.training.budget import Budget
from kinema.training.logs import read_metrics
from kinema.training.loop import averaged
from kinema.training.optim import OptimRecipe
from kinema.training.vae import VaeTask, train_vae, trained_vae
from kinema.training.vae_folder import CONFIG, WEIGHTS, hash_vae, load_vae, save_vae
from kinema.training.vae_losses import to_model
from tests.training.toys import LOOP, StopAt, all_tensors
from tests.training.toys import VAE as RECIPE


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
    logs = [read_metrics(tmp_path / name / "metrics.jsonl", "train") for name in ("straight", "resumed")]
    losses = [[row["loss"] for row in log] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_it_learns(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(12), make_frames(3, seed=1)
    loop = replace(
        LOOP,
        budget=Budget(steps=150),
        optim=OptimRecipe(kind="muon", lr=5e-3, muon_lr=2e-2),
        validate_every_steps=None,
        ema_decay=0.9,
    )
    outcome = train_vae(replace(RECIPE, loop=loop), train, validation=validation, folder=tmp_path / "run")
    first = read_metrics(tmp_path / "run" / "metrics.jsonl", "train")[0]["psnr_db"]
    assert outcome.scores["psnr_db"] > first + 3
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
    with pytest.raises(TrainingError, match=r"optim\.lr: 0\.003 -> 0\.001.*batch: 2 -> 3"):
        train_vae(other, train, validation=validation, folder=tmp_path / "run")
    with pytest.raises(TrainingError, match="data: frames 6 0 -> frames 7 0"):
        train_vae(RECIPE, make_frames(7), validation=validation, folder=tmp_path / "run")
    longer = replace(RECIPE, loop=replace(LOOP, budget=Budget(steps=8)))
    assert train_vae(longer, train, validation=validation, folder=tmp_path / "run").step == 8


def test_folder_round_trip(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(6), make_frames(3, seed=1)
    train_vae(RECIPE, train, validation=validation, folder=tmp_path / "run")
    model = trained_vae(RECIPE, train, folder=tmp_path / "run")
    save_vae(model, tmp_path / "model")
    loaded = load_vae(tmp_path / "model")
    assert loaded.config == model.config
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())
    before = hash_vae(tmp_path / "model")
    weights = (tmp_path / "model" / WEIGHTS).read_bytes()
    (tmp_path / "model" / WEIGHTS).write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert hash_vae(tmp_path / "model") != before
    (tmp_path / "model" / CONFIG).write_text("{}")
    with pytest.raises(InvalidInput, match="block_out_channels"):
        load_vae(tmp_path / "model")


def test_a_new_run_starts_from_given_weights(make_frames: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_frames(6), make_frames(3, seed=1)
    train_vae(RECIPE, train, validation=validation, folder=tmp_path / "one")
    start = averaged(tmp_path / "one", "vae")
    task = VaeTask(RECIPE, train, validation=validation, start=start)
    assert all(torch.equal(v, start[k]) for k, v in task.model.state_dict().items())


def test_validation_takes_as_many_clips_as_the_recipe_says(make_frames: Callable[..., ShardSet]) -> None:
    train, validation = make_frames(6), make_frames(7, seed=1)
    task = VaeTask(replace(RECIPE, batch=2, validation_clips=3), train, validation=validation)
    seen: list[int] = []
    task.model.decoder.register_forward_hook(lambda _module, args, _out: seen.append(len(args[0])))
    task.validate(0)
    assert seen == [2, 1]


def test_crops_are_what_is_learned_from(make_frames: Callable[..., ShardSet]) -> None:
    train, validation = make_frames(6), make_frames(3, seed=1)
    task = VaeTask(replace(RECIPE, crop_px=8, crop_frames=3), train, validation=validation)
    batch = task.loader.batch(0)
    assert task.work(batch)["pixels"] == 2 * 3 * 8 * 8
    whole = VaeTask(RECIPE, train, validation=validation)
    assert whole.work(batch)["pixels"] == 2 * 5 * 16 * 24
    assert torch.equal(task.loss(batch)[0], task.loss(batch)[0])
    assert task.validate(0).keys() == whole.validate(0).keys()
