"""The whole story at toy size: from frames to a model folder; resumable, and left alone when done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

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
from kinema.training.vae_folder import load_vae, save_vae
from kinema.training.vae_losses import to_model
from kinema.weights.build import load_component
from kinema.weights.folder import ModelFolder, open_model
from kinema.weights.preview import KEY as LATENT_RGB
from kinema.weights.preview import latent_rgb
from kinema.world.sampler import DIFFICULTIES
from tests.training.toys import TEXT, TRANSFORMER, VAE, StopAt

SMALL = VideoShape(frames=5, height_px=16, width_px=24, fps=8.0)
LARGE = VideoShape(frames=5, height_px=24, width_px=32, fps=8.0)


def scenes(shape: VideoShape, count: int, split: str = "train") -> SceneRange:
    return SceneRange(split=split, shape=shape, count=count, per_shard=2)


def toy() -> MiniRecipe:
    two = replace(TRANSFORMER, loop=replace(TRANSFORMER.loop, budget=Budget(steps=2)))
    first = StageRecipe(train=(scenes(SMALL, 4),), validation=scenes(SMALL, 2, "validation"), transformer=two)
    pictures = scenes(replace(LARGE, frames=1), 2)
    second = replace(first, train=(scenes(LARGE, 4), pictures), validation=scenes(LARGE, 2, "validation"))
    return MiniRecipe(
        vae_frames=scenes(SMALL, 3),
        vae_validation=scenes(SMALL, 2, "validation"),
        vae=replace(VAE, loop=replace(VAE.loop, budget=Budget(steps=2))),
        decoder=replace(VAE.loop, budget=Budget(steps=4)),
        latents=LatentRecipe(num_captions=2, batch=3),
        text=replace(TEXT, loop=replace(TEXT.loop, budget=Budget(steps=3))),
        stages=(first, second),
        sheet=SheetRecipe(clips=1, continued=1, steps=2),
        export=ExportRecipe(name="toy", seconds=0.5, int8=()),
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
    assert set(card.vocabulary["kind"]) == set(DIFFICULTIES["core"].kinds)
    assert set(card.cameras) == set(DIFFICULTIES["core"].cameras)
    assert card.training["phases"]["vae"]["steps"] == 2
    assert facts["latents"]["samples"] == {
        "1-train-1": 8,
        "1-validation": 4,
        "2-train-1": 8,
        "2-train-2": 4,
        "2-validation": 4,
    }
    assert card.training["phases"]["decoder"]["steps"] == 4
    check_decoder(tmp_path, model)
    check_preview(card.training[LATENT_RGB], work)
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
    check_int8(work, trained)


def check_int8(work: Work, trained: Mapping[str, Tensor]) -> None:
    """Exported with its transformer as int8, as the shipped model is: every weight within half a step of its row's."""
    (work.out / "export.done.json").unlink()
    recipe = replace(work.recipe, export=replace(work.recipe.export, int8=("transformer",)))
    facts = run_phase("export", replace(work, recipe=recipe))
    model = open_model(work.out / "model")
    assert model.content_hash() == facts["hash"]
    stored = model.weights("transformer")
    assert set(stored) == set(trained)
    matrices = {k for k, v in trained.items() if v.ndim > 1 and k.endswith(".weight")}
    assert {k for k, info in stored.items() if info.dtype == "I8"} == matrices
    loaded = load_component(model, "transformer", dtype=torch.float32).state_dict()
    for name, weight in trained.items():
        if name not in matrices:
            assert torch.equal(loaded[name], weight.bfloat16().float()), name
            continue
        rows, error = weight.flatten(1), (loaded[name] - weight).flatten(1).abs().amax(dim=1)
        step = rows.abs().amax(dim=1) / 127
        assert (error <= 0.5001 * step).all(), name  # the rest is fp32's rounding
        assert (error > 0.1 * step).any(), name


def check_decoder(out: Path, model: ModelFolder) -> None:
    """The exported autoencoder is the first one with another decoder, for the same latents."""
    first, tuned = load_vae(out / "vae" / "model"), load_vae(out / "decoder" / "model")
    exported = load_component(model, "vae", dtype=torch.float32)
    assert isinstance(exported, VideoAutoencoder)
    assert exported.config == tuned.config == first.config
    assert exported.config.latent_std is not None
    before, after, shipped = (v.state_dict() for v in (first, tuned, exported))
    assert all(torch.equal(shipped[k], v.bfloat16().float()) for k, v in after.items())
    changed = {k.split(".")[0] for k, v in before.items() if not torch.equal(v, after[k])}
    assert changed == {"decoder", "post_quant_conv"}


def check_preview(rows: list[list[float]], work: Work) -> None:
    """The map turns latents into about what their clips look like from afar."""
    vae, frames = load_vae(work.decoder), work.shards("frames", "validation")
    clips = to_model(frames.read(next(iter(frames.buckets)), range(2))[0]["frames"])
    shown = latent_rgb(vae.normalise(vae.encode(clips)[0]), rows)
    assert shown.shape == (2, 3, 4, 6, 3)
    expected = avg_pool2d(clips[:, :, 0], 4)
    error = to_model(shown)[:, :, 0] - expected
    assert error.square().mean() < 0.5 * expected.var()


@pytest.mark.parametrize("name", ["vae", "decoder"])
def test_a_stopped_training_goes_on(tmp_path: Path, name: str) -> None:
    """With the same result as one that was not stopped."""
    toys = toy()
    toys = replace(toys, stages=toys.stages[:1], vae=replace(toys.vae, loop=toys.decoder))
    for folder, stop in (("whole", None), ("stopped", StopAt(2))):
        work = Work(out=tmp_path / folder, recipe=toys)
        for phase in PHASES:
            if phase == name and stop is not None:
                with pytest.raises(Cancelled):
                    run_phase(phase, replace(work, observer=stop, cancel=stop.token))
                assert not (work.out / f"{phase}.done.json").exists()
            facts = run_phase(phase, work)
            if phase == name:
                assert facts["steps"] == 4
                break
    one, other = (load_vae(tmp_path / folder / name / "model").state_dict() for folder in ("whole", "stopped"))
    assert all(torch.equal(v, other[k]) for k, v in one.items())


def test_a_decoder_of_another_autoencoder_is_refused(tmp_path: Path) -> None:
    work = Work(out=tmp_path, recipe=toy())
    for phase in ("frames", "vae", "latents", "decoder"):
        run_phase(phase, work)
    (tmp_path / "decoder.done.json").unlink()
    first = load_vae(work.vae)
    first.config = replace(first.config, latent_mean=(0.25,) * 5)
    save_vae(first, work.vae)
    with pytest.raises(TrainingError, match="latent_mean"):
        run_phase("decoder", work)


def test_phases_need_the_ones_before(tmp_path: Path) -> None:
    for phase, needed in (("vae", "frames"), ("decoder", "latents"), ("transformer", "latents"), ("export", "frames")):
        with pytest.raises(TrainingError, match=f"run phase {needed} first"):
            run_phase(phase, Work(out=tmp_path, recipe=toy()))


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
    evening, day = MiniRecipe().within(120), MiniRecipe().within(1440)
    for longer, shorter in zip(day.stages, evening.stages, strict=True):
        counts = [[s.count for s in stage.train] for stage in (longer, shorter)]
        assert counts[0] == pytest.approx([12 * n for n in counts[1]], rel=0.01)
    loops = [
        evening.vae.loop,
        evening.decoder,
        evening.text.loop,
        *(stage.transformer.loop for stage in evening.stages),
    ]
    minutes = [loop.budget.minutes for loop in loops]
    assert sum(m for m in minutes if m) == pytest.approx(96)
    assert evening.decoder.budget.minutes == pytest.approx(12)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="budget"):
            MiniRecipe().within(wrong)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_alone_gets_all_of_the_minutes(phase: str) -> None:
    recipe = MiniRecipe().for_phase(phase, 30)
    given = {
        "vae": recipe.vae.loop.budget.minutes or 0,
        "decoder": recipe.decoder.budget.minutes or 0,
        "transformer": sum(s.transformer.loop.budget.minutes or 0 for s in recipe.stages),
    }
    for name, minutes in given.items():
        assert (minutes == pytest.approx(30)) == (name == phase)


def test_shipped_recipes_fit_together() -> None:
    config, text, vae = MINI_TRANSFORMER_RECIPE.config, MINI_TRANSFORMER_RECIPE.text, MINI_VAE_RECIPE.config
    assert (config.in_channels, config.out_channels, config.known_channels) == (vae.latent_channels,) * 3
    assert (config.text_embed_dim, config.pooled_projection_dim) == (text.width, text.pooled_dim)
    for stage in MiniRecipe().stages:
        for ranged in (*stage.train, stage.validation):
            vae.compression.check(ranged.shape)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mini.main(["--out", str(tmp_path), "--phase", "vae", "--budget", "1"]) == 1
    assert "run phase frames first" in capsys.readouterr().err
    assert mini.main(["--out", str(tmp_path), "--budget", "-3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_done_record_is_json(tmp_path: Path) -> None:
    facts = run_phase("frames", Work(out=tmp_path, recipe=toy()))
    assert json.loads((tmp_path / "frames.done.json").read_text()) == facts
