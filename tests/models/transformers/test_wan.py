"""Wan's transformer: keys, shapes and values against diffusers, which is written by others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.transformers.wan import WanTransformer
from kinema.models.transformers.wan_config import (
    WAN_I2V_14B,
    WAN_T2V_1_3B,
    WAN_T2V_14B,
    WAN_TI2V_5B,
    WanTransformerConfig,
)

KEYS = Path(__file__).parent / "wan_keys.json"

COMMON: dict[str, Any] = {
    "added_kv_proj_dim": None, "attention_head_dim": 128, "cross_attn_norm": True, "eps": 1e-06, "freq_dim": 256,
    "image_dim": None, "patch_size": (1, 2, 2), "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
    "text_dim": 4096,
}  # fmt: skip
# name -> (what the published config file says, parameters)
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "T2V 1.3B": (
        COMMON | {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30, "in_channels": 16, "out_channels": 16},
        1_418_996_800,
    ),
    "T2V 14B": (
        COMMON | {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40, "in_channels": 16, "out_channels": 16},
        14_288_491_584,
    ),
    "I2V 14B": (
        COMMON | {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40, "in_channels": 36, "out_channels": 16,
                  "image_dim": 1280, "added_kv_proj_dim": 5120},
        16_394_878_784,
    ),
    "TI2V 5B": (
        COMMON | {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48},
        4_999_787_712,
    ),
}  # fmt: skip
CONFIGS = {"T2V 1.3B": WAN_T2V_1_3B, "T2V 14B": WAN_T2V_14B, "I2V 14B": WAN_I2V_14B, "TI2V 5B": WAN_TI2V_5B}

SMALL: dict[str, Any] = {
    "patch_size": (1, 2, 2), "num_attention_heads": 3, "attention_head_dim": 16, "in_channels": 5, "out_channels": 7,
    "text_dim": 11, "freq_dim": 10, "ffn_dim": 22, "num_layers": 3,
}  # fmt: skip
IMAGE: dict[str, Any] = {"in_channels": 13, "image_dim": 9, "added_kv_proj_dim": 48}

# name -> (changes to SMALL, latent size, real text tokens of each sample, sigma per: sample, frame or token)
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int], list[int], str]] = {
    "plain": ({}, (3, 10, 14), [19, 19], "sample"),
    "padded": ({}, (5, 6, 14), [19, 7], "sample"),
    "no words": ({"num_layers": 2}, (2, 6, 10), [19, 0], "sample"),
    "one frame": ({}, (1, 22, 10), [3], "sample"),
    "wide": ({"num_layers": 1}, (1, 2, 202), [3], "sample"),
    "odd heads": ({"attention_head_dim": 22, "num_attention_heads": 1}, (3, 6, 10), [19, 2], "sample"),
    "time patches": ({"patch_size": (3, 1, 2)}, (6, 5, 14), [5, 19], "sample"),
    "image": (IMAGE, (3, 10, 6), [512, 512], "sample"),
    "image, padded": (IMAGE, (2, 6, 10), [31, 512], "sample"),
    "first and last image": ({**IMAGE, "pos_embed_seq_len": 10}, (2, 6, 10), [512, 40], "sample"),
    "sigma per frame": ({}, (5, 6, 14), [19, 7], "frame"),
    "sigma per token": ({"num_attention_heads": 2}, (3, 10, 6), [7, 19], "token"),
    "sigma per token of one frame": ({}, (1, 6, 6), [7, 19], "token"),
}


def expanded(patterns: dict[str, dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {
        key.replace("*", str(i)): tuple(entry["shape"])
        for key, entry in patterns.items()
        for i in range(entry["count"])
    }


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def randomised(model: torch.nn.Module) -> None:
    """Every parameter of a size at which it matters, tables and positions too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_matrix = name.endswith("weight") and parameter.ndim > 1
            std = parameter[0].numel() ** -0.5 if is_matrix else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            if name.endswith("weight") and parameter.ndim == 1:
                parameter += 1


def small(changes: dict[str, Any]) -> WanTransformer:
    model = WanTransformer(WanTransformerConfig(**{**SMALL, **changes})).eval()
    randomised(model)
    return model


def pair(changes: dict[str, Any]) -> tuple[Any, WanTransformer]:
    """Both networks with the same random weights."""
    reference: Any = WanTransformer3DModel(**{**SMALL, **changes}).eval()
    randomised(reference)
    ours = WanTransformer(WanTransformerConfig(**{**SMALL, **changes})).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


def arguments(
    config: WanTransformerConfig, size: tuple[int, int, int], lengths: list[int], per: str = "sample"
) -> dict[str, Any]:
    g, batch = torch.Generator().manual_seed(1), len(lengths)
    frames = size[0] // config.patch_size[0]
    tokens = size[0] * size[1] * size[2] // config.patch_volume
    text = torch.randn(batch, max(lengths), config.text_dim, generator=g)
    padding = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    given: dict[str, Any] = {
        "latents": torch.randn(batch, config.in_channels, *size, generator=g),
        "sigma": torch.rand(
            *{"sample": (batch,), "frame": (batch, frames), "token": (batch, tokens)}[per], generator=g
        ),
        "text": text.masked_fill(padding[..., None], 0),
    }
    if config.image_dim is not None:
        # Small enough for the norm's epsilon to matter.
        given["image"] = 0.01 * torch.randn(batch, config.pos_embed_seq_len or 13, config.image_dim, generator=g)
    return given


@torch.no_grad()
def velocity(reference: Any, given: dict[str, Any], dtype: torch.dtype) -> Tensor:
    sigma, image = given["sigma"], given.get("image")
    if sigma.ndim == 2:
        latents, (pt, ph, pw) = given["latents"], reference.config["patch_size"]
        tokens = latents[0, 0].numel() // (pt * ph * pw)
        sigma = sigma.repeat_interleave(tokens // sigma.shape[1], dim=1)
    if image is not None and reference.config["pos_embed_seq_len"]:
        # The reference takes first and last image as two samples.
        image = image.unflatten(1, (2, -1)).flatten(0, 1)
    return reference(
        given["latents"].to(dtype), 1000 * sigma, given["text"].to(dtype), None if image is None else image.to(dtype),
        return_dict=False,
    )[0]  # fmt: skip


def as_bf16(model: torch.nn.Module, fp32_parts: frozenset[str]) -> None:
    """What loading as bf16 does: the named parts stay fp32."""
    for name, parameter in model.named_parameters():
        if not fp32_parts & set(name.split(".")):
            parameter.data = parameter.data.bfloat16()


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_and_sizes_are_the_published_ones(name: str):
    settings, num_parameters = PUBLISHED[name]
    assert WanTransformerConfig(**settings) == CONFIGS[name]
    published = expanded(json.loads(KEYS.read_text())[name])
    with torch.device("meta"):
        ours, reference = WanTransformer(CONFIGS[name]), WanTransformer3DModel(**settings)
    assert shapes(ours) == published == shapes(reference)
    assert sum(p.numel() for p in ours.parameters()) == num_parameters


def test_a_head_s_channels_are_shared_as_published():
    assert WAN_T2V_14B.rope_axes_dim == (44, 42, 42)


@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_reference(case: str):
    changes, size, lengths, per = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths, per)
    expected = velocity(reference, given, torch.float32)
    with torch.no_grad():
        actual = ours(**given)
    assert expected.std() > 0.5
    assert (actual - expected).abs().max() < 1e-4


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("case", ["padded", "image", "sigma per frame"])
def test_bf16_is_as_good_as_the_reference(case: str, kept: bool):
    changes, size, lengths, per = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths, per)
    exact = velocity(reference, given, torch.float32)
    assert set(reference._keep_in_fp32_modules) - {"rope"} == WanTransformer.fp32_parts
    for model in (reference, ours):
        as_bf16(model, WanTransformer.fp32_parts if kept else frozenset())
    theirs = (velocity(reference, given, torch.bfloat16).float() - exact).pow(2).mean().sqrt()
    with torch.no_grad():
        actual = ours(**given)
    assert actual.dtype == given["latents"].dtype
    assert (actual - exact).pow(2).mean().sqrt() < 1.2 * theirs


@pytest.mark.parametrize("case", ["padded", "image, padded", "sigma per frame"])
def test_a_sample_does_not_depend_on_its_batch(case: str):
    changes, size, lengths, per = CASES[case]
    ours = small(changes)
    given = arguments(ours.config, size, lengths, per)
    with torch.no_grad():
        together = ours(**given)
        for i in range(len(lengths)):
            alone = ours(**{name: value[i : i + 1] for name, value in given.items()})
            assert (alone - together[i : i + 1]).abs().max() < 2e-5


def test_one_sigma_said_in_three_ways_is_the_same():
    ours = small({})
    given = arguments(ours.config, (3, 6, 10), [5, 5])
    with torch.no_grad():
        expected = ours(**given)
        for count in (3, 45):
            given["sigma"] = given["sigma"].reshape(2, -1)[:, :1].expand(2, count)
            assert (ours(**given) - expected).abs().max() < 2e-5


@pytest.mark.parametrize("changes", [{}, {**IMAGE, "pos_embed_seq_len": 10}])
def test_initial_weights_depend_on_the_generator_alone_and_reach_every_tensor(changes: dict[str, Any]):
    states = []
    for seed in (3, 3, 4):
        model = small(changes)
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
        model.init_weights(torch.Generator().manual_seed(seed))
        assert all(value.isfinite().all() for value in model.state_dict().values())
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    key = "blocks.1.attn1.to_q.weight"
    assert not torch.equal(states[0][key], states[2][key])
    assert states[0][key].std() == pytest.approx(0.88 * 48**-0.5, rel=0.1)
    with torch.no_grad():
        assert model(**arguments(model.config, (1, 2, 6), [3])).abs().max() == 0


def test_what_does_not_fit_is_refused():
    plain, pictured = small({}), small({**IMAGE, "pos_embed_seq_len": 10})
    given = arguments(plain.config, (3, 6, 10), [5])
    with_image = arguments(pictured.config, (3, 6, 10), [5])
    for model, base, change, message in (
        (plain, given, {"latents": torch.zeros(1, 4, 3, 6, 10)}, r"latents: .*must have 5 channels"),
        (plain, given, {"latents": torch.zeros(1, 5, 3, 7, 10)}, r"latents: \(3, 7, 10\): .*patch \(1, 2, 2\)"),
        (plain, given, {"latents": torch.zeros(1, 5, 0, 6, 10)}, r"latents: \(0, 6, 10\): .*multiples"),
        (plain, given, {"latents": torch.zeros(1, 5, 1, 2, 2050)}, r"latents: .*at most 1024 tokens"),
        (plain, given, {"sigma": torch.zeros(1, 4)}, r"sigma: \(1, 4\): .*3 frames of tokens, or of all 45"),
        (plain, given, {"text": torch.zeros(1, 5, 12)}, r"text: .*must have 11 channels"),
        (plain, given, {"image": torch.zeros(1, 10, 9)}, r"image: 'given': this model has no image input"),
        (pictured, with_image, {"image": None}, r"image: 'None': this model needs an image input"),
        (pictured, with_image, {"image": torch.zeros(1, 9, 9)}, r"image: \(1, 9, 9\): must be \(b, 10, 9\)"),
        (pictured, with_image, {"image": torch.zeros(1, 10, 8)}, r"image: \(1, 10, 8\): must be \(b, 10, 9\)"),
    ):
        with pytest.raises(InvalidInput, match=message):
            model(**{**base, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0}, {"num_layers": -1}, {"patch_size": (2, 2)}, {"patch_size": (1, 0, 2)},
        {"attention_head_dim": 127}, {"freq_dim": 255}, {"qk_norm": None}, {"cross_attn_norm": False}, {"eps": 1e-5},
        {"added_kv_proj_dim": 5120}, {"image_dim": 1280, "added_kv_proj_dim": 512}, {"pos_embed_seq_len": 514},
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_named(change: dict[str, Any]):
    with pytest.raises(InvalidInput) as error:
        replace(WAN_T2V_14B, **change)
    assert error.value.field in change
