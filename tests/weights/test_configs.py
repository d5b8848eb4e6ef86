"""Published configs in our words, checked against the reference's own reading of the same files."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from kinema.core.errors import WeightsError
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.ltx_config import LtxAutoencoderConfig
from kinema.models.autoencoders.wan_config import WanAutoencoderConfig
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.ltx_config import LtxTransformerConfig
from kinema.models.transformers.wan_config import WanTransformerConfig
from kinema.weights.configs import PUBLISHED, read_config, translate
from tests.weights import published

OURS: dict[str, type] = {
    "HunyuanVideoTransformer3DModel": VideoTransformerConfig,
    "AutoencoderKLHunyuanVideo": VideoAutoencoderConfig,
    "WanTransformer3DModel": WanTransformerConfig,
    "AutoencoderKLWan": WanAutoencoderConfig,
    "LTXVideoTransformer3DModel": LtxTransformerConfig,
    "AutoencoderKLLTXVideo": LtxAutoencoderConfig,
}
SETTINGS = {
    "HunyuanVideoTransformer3DModel": published.HUNYUAN_TRANSFORMER,
    "AutoencoderKLHunyuanVideo": published.HUNYUAN_VAE,
    "WanTransformer3DModel": published.WAN_TRANSFORMER,
    "AutoencoderKLWan": published.WAN_VAE,
    "LTXVideoTransformer3DModel": published.LTX_TRANSFORMER,
    "AutoencoderKLLTXVideo": published.LTX_LEVEL_VAE,
}


def read(class_name: str, data: dict[str, Any]) -> Any:
    return read_config(OURS[class_name], translate(class_name, data, "part")[1], "part")


@pytest.mark.parametrize("class_name", PUBLISHED)
def test_a_file_says_the_same_to_both(tmp_path: Path, class_name: str) -> None:
    reference = getattr(published, class_name)(**SETTINGS[class_name])
    reference.save_config(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    names = PUBLISHED[class_name].renamed
    config = read(class_name, data)
    compared = [n for n in data if hasattr(config, names.get(n, n))]
    assert len(compared) > 9
    for name in compared:
        value = data[name]
        assert getattr(config, names.get(name, name)) == (tuple(value) if isinstance(value, list) else value), name
    assert translate(class_name, data, "part")[0] == type(config).__name__.removesuffix("Config")


def test_missing_fields_are_what_the_reference_takes() -> None:
    """Files of before don't have every field."""
    transformer = {k: v for k, v in published.HUNYUAN_TRANSFORMER.items() if k not in ("in_channels", "out_channels")}
    theirs = published.HunyuanVideoTransformer3DModel(**transformer).config
    config = read("HunyuanVideoTransformer3DModel", transformer)
    for name in ("guidance_embeds", "image_condition_type", "rope_theta", "mlp_ratio", "patch_size", "in_channels"):
        assert getattr(config, name) == theirs[name], name
    settings: dict[str, Any] = {"block_out_channels": (6, 9, 9, 12), "norm_num_groups": 3}
    vae = read("AutoencoderKLHunyuanVideo", settings)
    their_vae = published.AutoencoderKLHunyuanVideo(**settings).config
    for name in ("scaling_factor", "latent_channels", "layers_per_block"):
        assert getattr(vae, name) == their_vae[name], name
    assert vae.mid_attention is True
    assert (vae.space_compression, vae.time_compression) == (8, 4)


@pytest.mark.parametrize("class_name", ["LTXVideoTransformer3DModel", "AutoencoderKLLTXVideo"])
def test_a_file_without_fields_is_the_first_published_one(class_name: str) -> None:
    with torch.device("meta"):
        theirs = getattr(published, class_name)().config
    ours = read(class_name, {})
    for name in (f.name for f in fields(ours)):
        assert getattr(ours, name) == theirs[name], name


def test_channels_out_may_be_left_to_those_in() -> None:
    assert read("WanTransformer3DModel", {**published.WAN_TRANSFORMER, "out_channels": None}).out_channels == 6


@pytest.mark.parametrize(
    "class_name, changes, rule",
    [
        (
            "HunyuanVideoTransformer3DModel",
            {"qk_norm": None},
            "qk_norm: None.*is not supported; must be one of rms_norm",
        ),
        ("HunyuanVideoTransformer3DModel", {"hue": 1}, "has fields that VideoTransformerConfig lacks: hue"),
        ("AutoencoderKLHunyuanVideo", {"act_fn": "gelu"}, "act_fn: gelu.*must be one of silu"),
        (
            "AutoencoderKLHunyuanVideo",
            {"up_block_types": ["HunyuanVideoUpBlock3D", "X"]},
            "must be one of HunyuanVideoUp",
        ),
        ("WanTransformer3DModel", {"qk_norm": "rms_norm"}, "qk_norm.*must be rms_norm_across_heads"),
        ("LTXVideoTransformer3DModel", {"norm_elementwise_affine": True}, "norm_elementwise_affine.*must be False"),
        ("AutoencoderKLLTXVideo", {"encoder_causal": False}, "encoder_causal.*must be True"),
        ("AutoencoderKLLTXVideo", {"down_block_types": ["X"] * 4}, "down_block_types.*one for all levels"),
        ("WanTransformer3DModel", {"num_attention_heads": "two"}, "does not describe a WanTransformerConfig"),
    ],
)
def test_what_our_networks_do_not_have_is_refused(class_name: str, changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(WeightsError, match=rule) as e:
        read(class_name, {**SETTINGS[class_name], **changes})
    assert e.value.field == "part"


def test_a_class_that_is_not_published_keeps_its_words() -> None:
    assert translate("VideoTransformer", {"hue": 1}, "part") == ("VideoTransformer", {"hue": 1})
