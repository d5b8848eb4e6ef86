"""The whole story at toy size: frames, autoencoder, latents, two stages, a model folder; resumable and left alone when done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import Cancelled, InvalidInput, TrainingError
from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Progress
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.training import mini
from kinema.training.budget import Budget
from kinema.training.export import ExportRecipe
from kinema.training.latents import LatentRecipe
from kinema.training.mini import PHASES, Work, run_phase
from kinema.training.prepare import SceneRange
from kinema.training.preview import SheetRecipe
from kinema.training.recipes import MINI_TRANSFORMER_RECIPE, MINI_VAE_RECIPE, MiniRecipe, StageRecipe
from kinema.weights.build import load_component
from kinema.weights.folder import open_model
from tests.training.toys import TRANSFORMER, VAE

SMALL = VideoShape(frames=5, height_px=16, width_px=24, fps=8.0)
LARGE = VideoShape(frames=5, height_px=24, width_px=32, fps=8.0)


def scenes(shape: VideoShape, count: int, split: str = "train") -> SceneRange:
    return SceneRange(split=split, shape=shape, count=count, per_shard=2)


def toy() -> MiniRecipe:
    two = replace(TRANSFORMER, loop=replace(TRANSFORMER.loop, budget=Budget(steps=2)))
    first = StageRecipe(train=scenes(SMALL, 4), validation=scenes(SMALL, 2, "validation"), transformer=two)
    pictures = scenes(replace(LARGE, frames=1), 2)
    second = replace(first, train=scenes(LARGE, 4), validation=scenes(LARGE, 2, "validation"), pictures=pictures)
    return MiniRecipe(
        vae_frames=scenes(SMALL, 3),
        vae_validation=scenes(SMALL, 2, "validation"),
        vae=replace(VAE, loop=replace(VAE.loop, budget=Budget(steps=2))),
        latents=LatentRecipe(num_captions=2, batch=3),
        stages=(first, second),
        sheet=SheetRecipe(clips=1, continued=1, steps=2),
        export=ExportRecipe(name="toy", seconds=0.5),
    )


def test_the_whole_story(tmp_path: Path) -> None:
    work = Work(out=tmp_path, recipe=toy())
    facts = {name: run_phase(name, work) for name in PHASES}
    model = open_model(tmp_path / "model")
    assert model.content_hash() == facts["export"]["hash"]
    card = model.card
    assert card.sizes == ((32, 24), (24, 16))
    assert card.conditions == ("keyframes", "camera", "motion")
    assert set(card.languages) == {"en", "zh"}
    assert card.vocabulary["kind"]["puppy"]
    assert card.training["phases"]["vae"]["steps"] == 2
    assert facts["latents"]["samples"] == {
        "1-train": 8,
        "1-validation": 4,
        "2-train": 8,
        "2-validation": 4,
        "2-pictures": 4,
    }
    vae = load_component(model, "vae", dtype=torch.float32)
    assert isinstance(vae, VideoAutoencoder)
    assert vae.config.latent_std is not None
    trained = mini.trained_weights(tmp_path / "transformer-2")["transformer"]
    loaded = load_component(model, "transformer", dtype=torch.float32).state_dict()
    assert all(torch.equal(loaded[k], v.bfloat16().float()) for k, v in trained.items())
    assert (tmp_path / "transformer-1" / "sheets" / "step-00000002.png").exists()
    captions = (tmp_path / "transformer-1" / "sheets" / "step-00000002.txt").read_text()
    assert captions.startswith("1. ")
    assert "2. first frame given: " in captions
    # done phases are left alone
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert {name: run_phase(name, work) for name in PHASES} == facts
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}


def test_phases_need_the_ones_before(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run phase frames first"):
        run_phase("vae", Work(out=tmp_path, recipe=toy()))


def test_a_stopped_phase_goes_on(tmp_path: Path) -> None:
    cancel = CancelToken()
    calls: list[Progress] = []

    def stop_after_first(progress: Progress) -> None:
        calls.append(progress)
        cancel.cancel()

    with pytest.raises(Cancelled):
        run_phase("frames", Work(out=tmp_path, recipe=toy(), observer=stop_after_first, cancel=cancel))
    assert not (tmp_path / "frames.done.json").exists()
    resumed: list[Progress] = []
    facts = run_phase("frames", Work(out=tmp_path, recipe=toy(), observer=resumed.append))
    assert facts["clips"] == {"train": 3, "validation": 2}
    assert (len(calls), len(resumed)) == (1, 2)  # three shards in all


def test_budget_sizes_the_run() -> None:
    hour, day = MiniRecipe().within(60), MiniRecipe().within(1440)
    assert day.stages[0].train.count == 24 * hour.stages[0].train.count
    minutes = [r.loop.budget.minutes for r in (hour.vae, hour.stages[0].transformer, hour.stages[1].transformer)]
    assert sum(m for m in minutes if m) < 60
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="budget"):
            MiniRecipe().within(wrong)


def test_shipped_recipes_fit_together() -> None:
    config, text, vae = MINI_TRANSFORMER_RECIPE.config, MINI_TRANSFORMER_RECIPE.text, MINI_VAE_RECIPE.config
    assert (config.in_channels, config.out_channels, config.known_channels) == (vae.latent_channels,) * 3
    assert (config.text_embed_dim, config.pooled_projection_dim) == (text.width, text.pooled_dim)
    for stage in MiniRecipe().stages:
        vae.compression.check(stage.train.shape)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mini.main(["--out", str(tmp_path), "--phase", "vae", "--budget", "1"]) == 1
    assert "run phase frames first" in capsys.readouterr().err
    assert mini.main(["--out", str(tmp_path), "--budget", "-3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_done_record_is_json(tmp_path: Path) -> None:
    facts = run_phase("frames", Work(out=tmp_path, recipe=toy()))
    assert json.loads((tmp_path / "frames.done.json").read_text()) == facts
