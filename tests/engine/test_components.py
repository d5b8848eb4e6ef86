"""Models that don't fit, or fit no memory, are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.core.card import ModelCard
from kinema.core.errors import KinemaError, WeightsError
from kinema.core.geometry import Compression
from kinema.core.request import GenerationRequest
from kinema.engine import denoise as denoise_module
from kinema.engine.engine import Engine
from kinema.engine.families.family import residency_key
from tests.engine.conftest import save_tiny


def run(folder: Path, request: GenerationRequest) -> None:
    """A clip of the model in ``folder``."""
    Engine(folder, dtype="float32", threads=1).generate(request)


@pytest.mark.parametrize(
    "change, what",
    [
        ({"compression": Compression(time=4, space=8, channels=4)}, "compression"),
        ({"patch": (1, 1, 1)}, "patch"),
        ({"decodes": ("default", "tiles")}, "ways to decode"),
        ({"text_tokens": 9}, "tokens of the text: .* by its text_encoder, 9 by its card"),
    ],
)
def test_a_card_of_another_model_is_refused(
    tmp_path: Path, tiny_card: ModelCard, request_: GenerationRequest, change: dict, what: str
) -> None:
    with pytest.raises(WeightsError, match=f"{what}.*must be the same"):
        run(save_tiny(tmp_path / "m", replace(tiny_card, **change)), request_)


def _edit(folder: Path, component: str, change: Callable[[dict], None]) -> None:
    path = folder / component / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def test_configs_that_can_not_be_are_refused(tmp_path: Path, tiny_card: ModelCard, request_: GenerationRequest) -> None:
    folder = save_tiny(tmp_path / "m", tiny_card)
    _edit(folder, "scheduler", lambda c: c.update(shift=-1.0))
    with pytest.raises(WeightsError, match="^scheduler: .*shift"):
        run(folder, request_)
    _edit(folder, "transformer", lambda c: c.update(num_attention_heads=3))
    with pytest.raises(WeightsError, match="^transformer: .*misshapen"):
        run(folder, request_)
    _edit(folder, "transformer", lambda c: c.update(colour="red"))
    with pytest.raises(WeightsError, match="^transformer: .*lacks: colour"):
        run(folder, request_)


def test_nan_in_the_weights_is_named(tmp_path: Path, tiny_card: ModelCard, request_: GenerationRequest) -> None:
    folder = save_tiny(tmp_path / "m", tiny_card)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {n: t.clone() for n, t in load_file(file).items()}
    tensors["decoder.conv_in.spatial.weight"][0, 0] = torch.nan
    file.unlink()
    save_file(tensors, file)
    with pytest.raises(WeightsError, match="^vae: .*decoder.conv_in.spatial.weight"):
        run(folder, request_)


def test_an_unknown_class_is_named(tmp_path: Path, tiny_card: ModelCard, request_: GenerationRequest) -> None:
    folder = save_tiny(tmp_path / "m", tiny_card)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["vae"] = ["diffusers", "AutoencoderKLMochi"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKLMochi"}', encoding="utf-8")
    with pytest.raises(WeightsError, match="^vae: 'AutoencoderKLMochi'.*VideoAutoencoder"):
        run(folder, request_)


def test_a_model_without_a_sampler_is_sampled_plainly(
    tmp_path: Path, tiny_card: ModelCard, request_: GenerationRequest, engine: Engine
) -> None:
    folder = save_tiny(tmp_path / "m", tiny_card)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    del index["scheduler"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    plain = Engine(folder, dtype="float32", threads=1).generate(request_)
    assert plain.digest != engine.generate(request_).digest, "the tiny model's own has a shift"


@pytest.mark.parametrize("message", ["[enforce fail at alloc_cpu.cpp:75] can't allocate memory", "CUDA out of memory"])
def test_out_of_memory_says_what_to_do(
    engine: Engine, request_: GenerationRequest, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(denoise_module, "walk", fail)
    with pytest.raises(KinemaError, match="^out of memory during denoise: .* GB; .*fewer seconds") as e:
        engine.generate(request_)
    assert "\n" not in str(e.value)


def test_other_errors_pass_through(
    engine: Engine, request_: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(denoise_module, "walk", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        engine.generate(request_)


def test_weights_are_read_once_for_plans_that_share_them(engine: Engine, request_: GenerationRequest) -> None:
    plan = engine.plan(request_)
    engine.generate(request_, plan=plan)
    first = engine._resident
    engine.generate(request_, plan=replace(plan, guidance_mode="split", isa="any"))
    assert engine._resident is first
    assert residency_key(plan) != residency_key(replace(plan, vae_dtype="bfloat16"))
