"""The published family: keys, shapes and values against diffusers, which is written by others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import HunyuanVideoTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]

from kinema.models.transformers.config import HUNYUAN_VIDEO, VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer

KEYS = Path(__file__).parent / "hunyuan_video_keys.json"

REFERENCE: dict[str, Any] = {
    "in_channels": 16, "out_channels": 16, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2,
    "num_single_layers": 3, "num_refiner_layers": 2, "guidance_embeds": True, "text_embed_dim": 11,
    "pooled_projection_dim": 7, "rope_axes_dim": (4, 6, 6),
}  # fmt: skip

# name -> (changes to REFERENCE, latent size, real text tokens of each sample, of 5)
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int], list[int]]] = {
    "plain": ({}, (3, 10, 14), [5, 5]),
    "padded": ({}, (5, 6, 14), [5, 2]),
    "one-frame": ({}, (1, 22, 10), [1, 4]),
    "unguided": ({"guidance_embeds": False, "num_attention_heads": 3, "mlp_ratio": 2.5}, (2, 6, 10), [3, 5]),
    "time-patches": ({"patch_size_t": 3, "num_refiner_layers": 1}, (6, 6, 10), [3, 5]),
    "big-patches": ({"patch_size": 3, "out_channels": 5, "rope_theta": 100.0}, (2, 9, 15), [5, 3]),
    "other-rope": ({"attention_head_dim": 24, "rope_axes_dim": (12, 2, 10)}, (3, 6, 10), [5]),
    "latent-concat": ({"in_channels": 33, "image_condition_type": "latent_concat"}, (3, 10, 6), [3, 4]),
    "token-replace": ({"image_condition_type": "token_replace"}, (3, 10, 6), [3, 4]),
    "token-replace-one-frame": ({"image_condition_type": "token_replace"}, (1, 10, 6), [3, 4]),
    "token-replace-unguided": ({"image_condition_type": "token_replace", "guidance_embeds": False}, (2, 6, 6), [5, 5]),
}


def expanded(patterns: dict[str, dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {
        key.replace("*", str(i)): tuple(entry["shape"])
        for key, entry in patterns.items()
        for i in range(entry["count"])
    }


def pair(changes: dict[str, Any]) -> tuple[HunyuanVideoTransformer3DModel, VideoTransformer]:
    """Both networks with the same random weights."""
    settings = {**REFERENCE, **changes}
    reference = HunyuanVideoTransformer3DModel(**settings).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in reference.parameters():
            std = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    ours = VideoTransformer(VideoTransformerConfig(**settings)).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


def arguments(config: VideoTransformerConfig, size: tuple[int, int, int], lengths: list[int]) -> dict[str, Any]:
    g, batch = torch.Generator().manual_seed(1), len(lengths)
    return {
        "latents": torch.randn(batch, config.in_channels, *size, generator=g),
        "sigma": torch.rand(batch, generator=g),
        "text": torch.randn(batch, 5, config.text_embed_dim, generator=g),
        "text_mask": torch.arange(5) < torch.tensor(lengths)[:, None],
        "pooled": torch.randn(batch, config.pooled_projection_dim, generator=g),
        "guidance": 8 * torch.rand(batch, generator=g) if config.guidance_embeds else None,
    }


@torch.no_grad()
def velocity(reference: HunyuanVideoTransformer3DModel, given: dict[str, Any], dtype: torch.dtype) -> torch.Tensor:
    guidance = given["guidance"]
    return reference(
        given["latents"].to(dtype), given["sigma"] * 1000, given["text"].to(dtype), given["text_mask"],
        given["pooled"].to(dtype), None if guidance is None else guidance * 1000, return_dict=False,
    )[0]  # fmt: skip


def test_keys_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        model = VideoTransformer(HUNYUAN_VIDEO)
    published = expanded(json.loads(KEYS.read_text()))
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == published
    assert len(published) == 1264
    assert sum(p.numel() for p in model.parameters()) == 12_821_012_544


def test_the_list_of_keys_is_that_of_the_reference():
    with torch.device("meta"):
        reference = HunyuanVideoTransformer3DModel()
    assert expanded(json.loads(KEYS.read_text())) == {k: tuple(t.shape) for k, t in reference.state_dict().items()}


@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_reference(case: str):
    changes, size, lengths = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths)
    expected = velocity(reference, given, torch.float32)
    with torch.no_grad():
        actual = ours(**given)
    assert expected.std() > 0.5
    assert (actual - expected).abs().max() < 1e-4


@pytest.mark.parametrize("case", ["padded", "token-replace"])
def test_bf16_is_as_good_as_the_reference(case: str):
    changes, size, lengths = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths)
    exact = velocity(reference, given, torch.float32)
    reference.bfloat16()
    theirs = (velocity(reference, given, torch.bfloat16).float() - exact).pow(2).mean().sqrt()
    with torch.no_grad():
        actual = ours.to(torch.bfloat16)(**given)
    assert actual.dtype == given["latents"].dtype
    assert (actual - exact).pow(2).mean().sqrt() < 1.2 * theirs


def test_without_options_there_are_no_other_keys():
    ours = VideoTransformer(VideoTransformerConfig(**REFERENCE))
    assert ours.state_dict().keys() == HunyuanVideoTransformer3DModel(**REFERENCE).state_dict().keys()
