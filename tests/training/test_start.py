"""A run that goes on from a model: its parts stay or train on, its card names it, and another model's is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.errors import Cancelled, InvalidInput, TrainingError, WeightsError
from kinema.data.load.shards import ShardSet
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.text.byte_encoder import ByteTextEncoder
from kinema.models.transformers.video import VideoTransformer
from kinema.training import checkpoints, latents, mini, prepare, speed
from kinema.training.budget import Budget
from kinema.training.export import export_model
from kinema.training.mini import Work, run_phase
from kinema.training.recipes import MiniRecipe
from kinema.training.start import begins_with, open_start, vae_of, weights_of
from kinema.training.text import trained_text
from kinema.training.transformer import TEXT, TRANSFORMER, Weights, train_transformer, trained_weights
from kinema.training.vae_folder import load_vae
from kinema.weights.build import load_component
from kinema.weights.folder import ModelFolder, open_model, shipped_models
from tests.training.test_mini import SMALL, toy
from tests.training.toys import TRANSFORMER as RECIPE
from tests.training.toys import VAE, StopAt

# two steps of AdamW at the toys' rate move no number further than this
NEAR = 0.02


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds and is tested elsewhere: the machine's peak, and a hash of the world's code."""
    monkeypatch.setattr(speed, "matmul_peak", lambda device, dtype: 1e12)
    for module in (prepare, latents, mini):
        monkeypatch.setattr(module, "world_hash", lambda: "the world of this test")


def small() -> MiniRecipe:
    """The toy's recipe with its first stage alone."""
    whole = toy()
    return replace(whole, stages=whole.stages[:1])


def one_call() -> MiniRecipe:
    """The same as `train_mini` takes it, with the minutes of one stage."""
    return replace(small(), shares=replace(toy().shares, stages=(0.41,), stage_scenes_per_minute=(200.0,)))


def make_model(folder: Path, seed: int = 0, vae: VideoAutoencoder | None = None) -> ModelFolder:
    """A model of random networks with the toy recipe's configs."""
    transformer, text = VideoTransformer(RECIPE.config), ByteTextEncoder(RECIPE.text)
    if vae is None:
        vae = VideoAutoencoder(VAE.config)
        vae.config = replace(VAE.config, latent_mean=(0.1,) * 5, latent_std=(0.5,) * 5)
    for network in (vae, transformer, text):
        network.init_weights(torch.Generator().manual_seed(seed))
        with torch.no_grad():  # what begins at zero would be the same in every model
            for parameter in network.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    weights = {TRANSFORMER: transformer.state_dict(), TEXT: text.state_dict()}
    return export_model(
        folder, replace(toy().export, version="7"), transformer=RECIPE, weights=weights, vae=vae, shapes=[SMALL],
        levels=["core"], training={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_model(tmp_path_factory.mktemp("start") / "model")


def furthest(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((value - other[name]).abs().max()) for name, value in one.items())


def test_the_whole_run_keeps_the_autoencoder_and_trains_the_transformer_on(start: ModelFolder, tmp_path: Path) -> None:
    work = Work(out=tmp_path / "out", recipe=small(), start=start)
    facts = {name: run_phase(name, work) for name in ("frames", "latents", "transformer", "export")}
    assert facts["frames"]["clips"] == {"validation": 2}
    for name in ("vae", "decoder", "text"):
        assert work.made(name) == {"kept": True}
    assert sorted(p.name for p in (work.out / "vae").iterdir()) == ["model"]
    for kept in (load_vae(work.vae), load_vae(work.decoder)):
        assert kept.config == vae_of(start).config
        assert furthest(kept.state_dict(), vae_of(start).state_dict()) == 0
    before, after = weights_of(start), trained_weights(work.stage(1))
    assert 0 < furthest(after[TRANSFORMER], before[TRANSFORMER]) < NEAR
    model = open_model(work.out / "model")
    for name in ("vae", "text_encoder"):
        own, theirs = (load_component(m, name, dtype=torch.float32).state_dict() for m in (model, start))
        # the toys' text encoder isn't frozen, as the shipped recipe's is
        assert furthest(own, theirs) < (NEAR if name == "text_encoder" else 1e-9), name
    training = json.loads((work.out / "model" / "card.json").read_text())["training"]
    assert training["begins_with"] == {"name": "toy", "version": "7", "hash": start.content_hash()}
    assert training["phases"]["vae"] == {"kept": True}


def test_one_call_does_it_all_and_finds_it_done(start: ModelFolder, tmp_path: Path) -> None:
    recipe = one_call()
    facts = mini.train_mini(0.02, tmp_path / "out", recipe=recipe, start=str(start.path))
    assert list(facts) == list(mini.PHASES)
    assert facts["text"] == {"kept": True}
    # each scene and its mirror image: 7 of them, and 4 if the minutes of what is kept were lost
    assert facts["latents"]["samples"]["1-train-1"] == 2 * round(0.02 / (1 - 0.39) * 200)
    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert mini.train_mini(0.02, tmp_path / "out", recipe=recipe, start=str(start.path)) == facts
    assert written == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert open_model(tmp_path / "out" / "model").card.training["begins_with"] == begins_with(start)


def test_phases_that_are_asked_for_train_on(start: ModelFolder, tmp_path: Path) -> None:
    work = Work(out=tmp_path, recipe=small(), start=start)
    for name in ("frames", "vae", "latents", "decoder", "text"):
        facts = run_phase(name, work)
        assert "kept" not in facts, name
    vae, decoder = load_vae(work.vae), load_vae(work.decoder)
    assert 0 < furthest(vae.state_dict(), vae_of(start).state_dict()) < NEAR
    assert 0 < furthest(decoder.state_dict(), vae.state_dict()) < 2 * NEAR
    assert vae.config.latent_mean != vae_of(start).config.latent_mean, "measured anew"
    text = trained_text(work.text)
    assert 0 < furthest(text, weights_of(start)[TEXT]) < NEAR
    first = work.first_weights()
    assert furthest(first[TEXT], text) == 0
    assert furthest(first[TRANSFORMER], weights_of(start)[TRANSFORMER]) == 0


def test_an_autoencoder_that_trained_on_keeps_its_decoder(start: ModelFolder, tmp_path: Path) -> None:
    work = Work(out=tmp_path, recipe=small(), start=start)
    for name in ("frames", "vae"):
        run_phase(name, work)
    with pytest.raises(TrainingError, match="run phase latents first"):
        run_phase("transformer", work)
    assert work.made("decoder") == {"kept": True}
    assert furthest(load_vae(work.decoder).state_dict(), load_vae(work.vae).state_dict()) == 0


def test_a_run_goes_on_with_what_it_began_with(start: ModelFolder, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=5)
    begun, from_nothing = (
        Work(out=tmp_path / name, recipe=small(), start=s) for name, s in (("a", start), ("b", None))
    )
    for work in (begun, from_nothing):
        run_phase("frames", work)
        assert run_phase("frames", work) == work.made("frames")
    for work, words in (
        (replace(begun, start=other), r"began with toy 7 \(sha256:.*\), not with toy 7 \(sha256:"),
        (replace(begun, start=None), r"began with toy 7 \(sha256:.*\), not with no model"),
        (replace(from_nothing, start=start), r"began with no model, not with toy 7"),
    ):
        before = sorted(work.out.rglob("*"))
        with pytest.raises(TrainingError, match=words):
            run_phase("frames", work)
        assert sorted(work.out.rglob("*")) == before
    # the same model somewhere else is the same start
    assert run_phase("frames", replace(begun, start=make_model(tmp_path / "again"))) == begun.made("frames")


def other_transformer(recipe: MiniRecipe) -> MiniRecipe:
    stage = recipe.stages[0]
    config = replace(stage.transformer.config, num_single_layers=3)
    return replace(recipe, stages=(replace(stage, transformer=replace(stage.transformer, config=config)),))


def other_text(recipe: MiniRecipe) -> MiniRecipe:
    stage = recipe.stages[0]
    text = replace(stage.transformer.text, num_layers=2)
    return replace(recipe, stages=(replace(stage, transformer=replace(stage.transformer, text=text)),))


def other_vae(recipe: MiniRecipe) -> MiniRecipe:
    config = replace(recipe.vae.config, block_out_channels=(8, 32))
    return replace(recipe, vae=replace(recipe.vae, config=config))


@pytest.mark.parametrize(
    "change, words",
    [
        (other_transformer, "its transformer isn't the recipe's: num_single_layers is 2 and must be 3$"),
        (other_text, "its text_encoder isn't the recipe's: num_layers is 1 and must be 2$"),
        (other_vae, r"its vae isn't the recipe's: block_out_channels is \(8, 16\) and must be \(8, 32\)$"),
    ],
)
def test_a_model_that_the_recipe_does_not_fit_is_refused(
    start: ModelFolder, tmp_path: Path, change: Callable[[MiniRecipe], MiniRecipe], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as error:
        mini.train_mini(1.0, tmp_path / "out", recipe=change(one_call()), start=str(start.path))
    assert (error.value.field, error.value.value) == ("start", str(start.path))
    assert not (tmp_path / "out").exists()


def change_index(folder: Path, **components: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **components}))


def test_what_is_no_model_to_start_from(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    change_index(tmp_path / "m", text_encoder=["transformers", "UMT5EncoderModel"])
    with pytest.raises(InvalidInput, match="text_encoder is of class UMT5EncoderModel; must be a ByteTextEncoder"):
        open_start(str(tmp_path / "m"), small())
    change_index(tmp_path / "m", text_encoder=None)
    with pytest.raises(WeightsError, match="has no text_encoder; it has transformer, vae, scheduler"):
        open_start(str(tmp_path / "m"), small())
    make_model(tmp_path / "bare", vae=VideoAutoencoder(VAE.config))
    with pytest.raises(InvalidInput, match="its vae has no latent_mean"):
        open_start(str(tmp_path / "bare"), small())
    for name in ("", "no-such-model"):
        with pytest.raises(InvalidInput, match=f"model: '{name}': is neither a shipped model"):
            mini.train_mini(1.0, tmp_path / "out", start=name)
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_is_one_to_start_from() -> None:
    assert "kinema-mini" in shipped_models()
    assert open_start("kinema-mini", MiniRecipe()).name == "kinema-mini"


def test_the_minutes_of_what_is_kept_go_to_the_transformer() -> None:
    recipe = MiniRecipe()
    plain, going_on = recipe.within(120), recipe.going_on(120)

    def minutes(one: MiniRecipe) -> float:
        return sum(stage.transformer.loop.budget.minutes or 0 for stage in one.stages)

    kept = recipe.shares.vae + recipe.shares.decoder + recipe.shares.text
    assert minutes(going_on) == pytest.approx(minutes(plain) / (1 - kept))
    assert 0 < minutes(going_on) < 120 * (1 - 0.1), "some are left for rendering and encoding"
    with pytest.raises(InvalidInput, match="budget: -3"):
        recipe.going_on(-3)


def test_the_module_takes_a_start_too(start: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (["--phase", "frames"], []):
        assert mini.main(["--out", str(tmp_path / "out"), "--start", str(start.path), *more]) == 2
        assert "start: " in (error := capsys.readouterr().err)
        assert "isn't the recipe's" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_transformer_run_is_not_resumed_from_another_start(
    make_latents: Callable[..., ShardSet], start: ModelFolder, tmp_path: Path
) -> None:
    train, validation = make_latents(8), make_latents(4, seed=1)

    def run(weights: Weights | None, **how: Any) -> int:
        return train_transformer(
            RECIPE, train, validation=validation, folder=tmp_path / "run", start=weights, **how
        ).step  # fmt: skip

    stop = StopAt(2)
    with pytest.raises(Cancelled):
        run(weights_of(start), observer=stop, cancel=stop.token)
    changed = {name: dict(tensors) for name, tensors in weights_of(start).items()}
    name = next(iter(changed[TRANSFORMER]))
    changed[TRANSFORMER][name] = changed[TRANSFORMER][name] + 1e-3
    for other in (None, changed, {TEXT: weights_of(start)[TEXT]}):
        with pytest.raises(TrainingError, match="was made by another recipe: start: "):
            run(other)
    assert run(weights_of(start)) == 6


def test_a_run_that_wrote_down_no_start_still_goes_on(
    make_latents: Callable[..., ShardSet], start: ModelFolder, tmp_path: Path
) -> None:
    train, validation, folder = make_latents(8), make_latents(4, seed=1), tmp_path / "run"
    recipe = replace(RECIPE, loop=replace(RECIPE.loop, budget=Budget(steps=2)))
    train_transformer(recipe, train, validation=validation, folder=folder, start=weights_of(start))
    file = checkpoints.latest(folder)
    assert file is not None
    state = checkpoints.load_state(file)
    del state["recipe"]["start"]
    (file / "state.json").write_text(json.dumps(state))
    outcome = train_transformer(RECIPE, train, validation=validation, folder=folder, start=weights_of(start))
    assert outcome.step == 6
    assert "start" not in checkpoints.load_state(outcome.checkpoint)["recipe"]
