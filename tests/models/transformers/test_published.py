"""The published family: keys, shapes and values against diffusers, which is written by others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import HunyuanVideoTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]

from kinema.models.transformers import config as configs
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer

# of the text-to-video model; and what the others lack or have in another shape
KEYS = Path(__file__).parent / "hunyuan_video_keys.json"
VARIANTS: dict[str, dict[str, Any]] = json.loads((KEYS.parent / "hunyuan_video_variants.json").read_text())

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
    "one-frame-unguided": ({"guidance_embeds": False}, (1, 6, 2), [4]),
    "three-samples": ({"num_layers": 1, "num_single_layers": 1}, (2, 2, 6), [5, 1, 3]),
    "dual-alone": ({"num_single_layers": 0}, (2, 6, 4), [2, 5]),
    "single-alone": ({"num_layers": 0}, (2, 6, 4), [2, 5]),
    "unguided": ({"guidance_embeds": False, "num_attention_heads": 3, "mlp_ratio": 2.5}, (2, 6, 10), [3, 5]),
    "time-patches": ({"patch_size_t": 3, "num_refiner_layers": 1}, (6, 6, 10), [3, 5]),
    "big-patches": ({"patch_size": 3, "out_channels": 5, "rope_theta": 100.0}, (2, 9, 15), [5, 3]),
    "other-rope": ({"attention_head_dim": 24, "rope_axes_dim": (12, 2, 10)}, (3, 6, 10), [5]),
    "latent-concat": ({"in_channels": 33, "image_condition_type": "latent_concat"}, (3, 10, 6), [3, 4]),
    "picture-on-channels": ({"in_channels": 32}, (3, 4, 6), [5, 2]),
    "token-replace": ({"image_condition_type": "token_replace"}, (3, 10, 6), [3, 4]),
    "token-replace-one-frame": ({"image_condition_type": "token_replace"}, (1, 10, 6), [3, 4]),
    "token-replace-time-patches": (
        {"image_condition_type": "token_replace", "patch_size_t": 2},
        (4, 6, 2),
        [2, 5],
    ),
    "token-replace-unguided": ({"image_condition_type": "token_replace", "guidance_embeds": False}, (2, 6, 6), [5, 5]),
}


def published(variant: str) -> dict[str, tuple[int, ...]]:
    patterns, changes = json.loads(KEYS.read_text()), VARIANTS[variant]
    shapes = {
        key.replace("*", str(i)): tuple(entry["shape"])
        for key, entry in patterns.items()
        for i in range(entry["count"])
        if not any(key.startswith(prefix) for prefix in changes["without"])
    }
    assert changes["shapes"].keys() <= shapes.keys()
    return shapes | {key: tuple(shape) for key, shape in changes["shapes"].items()}


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


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys_and_shapes_are_the_published_ones(variant: str):
    with torch.device("meta"):
        model = VideoTransformer(getattr(configs, variant))
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == published(variant)
    assert len(published(variant)) == VARIANTS[variant]["tensors"]
    assert sum(p.numel() for p in model.parameters()) == VARIANTS[variant]["parameters"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_list_of_keys_is_that_of_the_reference(variant: str):
    settings = VARIANTS[variant]["reference"]
    with torch.device("meta"):
        reference = HunyuanVideoTransformer3DModel(**settings)
    assert published(variant) == {k: tuple(t.shape) for k, t in reference.state_dict().items()}
    # What decides the numbers, and not the tensors, is the same too.
    ours = getattr(configs, variant)
    for name, value in reference.config.items():
        if hasattr(ours, name):
            assert getattr(ours, name) == (tuple(value) if isinstance(value, list) else value), name


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


@torch.no_grad()
def test_pictures_enter_as_in_the_reference_s_pipelines():
    """A picture's latents and mask on the channels, or in place of the first frame; its tokens come before the text's."""
    g = torch.Generator().manual_seed(5)
    picture, noise = torch.randn(2, 16, 1, 10, 6, generator=g), torch.randn(2, 16, 4, 10, 6, generator=g)
    tokens, text = torch.randn(2, 7, 11, generator=g), torch.randn(2, 5, 11, generator=g)
    mask = torch.arange(5) < torch.tensor([2, 4])[:, None]
    rest = torch.zeros(2, 16, 3, 10, 6)
    is_given = torch.cat([torch.ones(2, 1, 1, 10, 6), torch.zeros(2, 1, 3, 10, 6)], dim=2)
    latents = {
        "latent_concat": torch.cat([noise, torch.cat([picture, rest], dim=2), is_given], dim=1),
        "token_replace": torch.cat([picture, noise[:, :, 1:]], dim=2),
    }
    for kind, value in latents.items():
        guided = kind == "token_replace"
        changes = {"in_channels": value.shape[1], "image_condition_type": kind, "guidance_embeds": guided}
        reference, ours = pair(changes)
        given = {
            **arguments(ours.config, (4, 10, 6), [5, 5]),
            "latents": value,
            "text": torch.cat([tokens, text], dim=1),
            "text_mask": torch.cat([torch.ones(2, 7, dtype=torch.bool), mask], dim=1),
        }
        expected = velocity(reference, given, torch.float32)
        assert expected.shape == noise.shape
        assert (ours(**given) - expected).abs().max() < 1e-4
        # Its tokens are read.
        other = {**given, "text": torch.cat([tokens + 1, text], dim=1)}
        assert (ours(**other) - expected).abs().max() > 1e-2


@torch.no_grad()
def test_real_tokens_count_wherever_the_mask_has_them():
    """The reference takes as many tokens from the front as are real, which every published pipeline sees to."""
    reference, ours = pair({})
    given = arguments(ours.config, (2, 6, 4), [3, 3])
    padded = {**given, "text": given["text"][:, [3, 0, 4, 1, 2]], "text_mask": given["text_mask"][:, [3, 0, 4, 1, 2]]}
    assert not padded["text_mask"][:, 0].any()
    assert (ours(**padded) - velocity(reference, given, torch.float32)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "case", ["plain", "padded", "one-frame", "unguided", "latent-concat", "token-replace", "token-replace-unguided"]
)
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
