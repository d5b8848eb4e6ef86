"""Configs from JSON, the sampler's description, and the latents' map to colours."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, WeightsError
from kinema.models.text.byte_encoder import MINI_TEXT, ByteTextEncoder, ByteTextEncoderConfig, tokenize
from kinema.models.transformers.config import MINI, VideoTransformerConfig
from kinema.weights.build import as_component, load_component, load_sampler
from kinema.weights.configs import read_config
from kinema.weights.preview import fit_latent_rgb, latent_rgb
from kinema.weights.sampler import SamplerConfig
from kinema.weights.save import save_model


@pytest.mark.parametrize("config", [MINI, MINI_TEXT, SamplerConfig(shift=3.0)])
def test_configs_survive_json(config: object) -> None:
    data = json.loads(json.dumps(asdict(config)))  # pyright: ignore[reportArgumentType]
    assert read_config(type(config), {"_class_name": "X", **data}, "c") == config


def test_configs_that_can_not_be_are_refused() -> None:
    with pytest.raises(WeightsError, match="lacks: hue"):
        read_config(SamplerConfig, {"hue": 1}, "scheduler")
    with pytest.raises(WeightsError, match="missing"):
        read_config(VideoTransformerConfig, {}, "transformer")
    for value in ("much", -1.0):
        with pytest.raises(WeightsError, match="^scheduler: .*does not describe a SamplerConfig"):
            read_config(SamplerConfig, {"shift": value}, "scheduler")


def test_a_component_is_saved_and_built_again(tmp_path: Path, card: ModelCard) -> None:
    config = ByteTextEncoderConfig(width=8, num_heads=2, num_layers=1, num_tokens=3, pooled_dim=5, mlp_width=7)
    encoder = ByteTextEncoder(config)
    encoder.init_weights(torch.Generator().manual_seed(0))
    parts = {"text_encoder": as_component(encoder), "scheduler": SamplerConfig(shift=2.0).as_component()}
    model = save_model(tmp_path / "m", parts, card=card, dtype=torch.float32)
    assert [f.name for f in model.tensor_files("text_encoder")] == ["model.safetensors"]
    again = load_component(model, "text_encoder", dtype=torch.float32)
    ids, mask = tokenize(["a ball", "球"])
    for mine, its in zip(encoder.eval()(ids, mask), again(ids, mask), strict=True):
        assert torch.equal(mine, its)
    assert load_sampler(model) == SamplerConfig(shift=2.0)


def test_a_module_of_no_known_class_is_refused() -> None:
    with pytest.raises(InvalidInput, match="^module: 'Linear'"):
        as_component(nn.Linear(2, 3))


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"schedule": "cosine"}, "schedule"),
        ({"stepper": "rk45"}, "stepper"),
        ({"guidance": "none"}, "guidance"),
        ({"shift": 0.0}, "shift"),
        ({"schedule": "linear_quadratic", "shift": 2.0}, "shift"),
    ],
)
def test_samplers_are_checked(fields: dict, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: "):
        SamplerConfig(**fields)


def test_a_sampler_gives_its_levels() -> None:
    shifted = SamplerConfig(shift=3.0).sigmas(4)
    assert shifted.tolist() == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])
    assert len(SamplerConfig(schedule="linear_quadratic").sigmas(7)) == 8


def test_the_map_to_colours_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 5, 3, 4, 6, generator=generator)
    true = 0.2 * torch.randn(3, 5, generator=generator)
    pictures = torch.einsum("bcthw,oc->bothw", latents, true) + 0.25
    rows = fit_latent_rgb(latents, pictures)
    assert torch.allclose(torch.tensor(rows[:5]), true.T, atol=1e-4)
    assert rows[5] == pytest.approx([0.25] * 3, abs=1e-4)
    shown = latent_rgb(latents, rows)
    assert shown.shape == (2, 3, 4, 6, 3)
    wanted = ((pictures.permute(0, 2, 3, 4, 1) + 1) * 127.5).clamp(0, 255)
    assert (shown.float() - wanted).abs().max() <= 0.51
    with pytest.raises(InvalidInput, match="^latent_rgb: '6 rows'.*8"):
        latent_rgb(torch.zeros(1, 7, 1, 1, 1), rows)
