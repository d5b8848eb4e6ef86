"""LTX-Video's transformer: keys, shapes and values against diffusers, which is written by others.

``ltx_keys.json`` is the reference's list for the published configs: no index of the published files was at hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel  # pyright: ignore[reportPrivateImportUsage]
from einops import rearrange
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.transformers.ltx import LtxTransformer, Spacing
from kinema.models.transformers.ltx_config import LTX_2B, LTX_13B, LtxTransformerConfig
from tests.models.transformers.test_wan import expanded, randomised, shapes

KEYS = Path(__file__).parent / "ltx_keys.json"

# name -> (what the published config file says, parameters)
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "2B": (
        {"activation_fn": "gelu-approximate", "attention_bias": True, "attention_head_dim": 64, "attention_out_bias": True,
         "caption_channels": 4096, "cross_attention_dim": 2048, "in_channels": 128, "norm_elementwise_affine": False,
         "norm_eps": 1e-06, "num_attention_heads": 32, "num_layers": 28, "out_channels": 128, "patch_size": 1,
         "patch_size_t": 1, "qk_norm": "rms_norm_across_heads"},
        1_923_385_472,
    ),
    "13B": ({"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48}, 13_042_569_344),
}  # fmt: skip
CONFIGS = {"2B": LTX_2B, "13B": LTX_13B}

SMALL: dict[str, Any] = {
    "in_channels": 5, "out_channels": 7, "num_attention_heads": 3, "attention_head_dim": 12, "cross_attention_dim": 36,
    "num_layers": 3, "caption_channels": 11,
}  # fmt: skip
AT_25_FPS: Spacing = (8 / 25, 32.0, 32.0)

# name -> (changes to SMALL, latent size, real text tokens of each sample, sigma per: sample, frame or token, spacing)
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int], list[int], str, Spacing]] = {
    "plain": ({}, (3, 5, 7), [19, 19], "sample", AT_25_FPS),
    "padded": ({}, (5, 3, 7), [19, 7], "sample", AT_25_FPS),
    "one word": ({"num_layers": 2}, (2, 3, 5), [19, 1], "sample", (8 / 30, 32.0, 32.0)),
    "one frame": ({}, (1, 11, 5), [3], "sample", AT_25_FPS),
    "wide, other spacing": ({"num_layers": 1}, (1, 2, 101), [3], "sample", (0.5, 16.0, 24.0)),
    "two pairs stand still": (
        {"attention_head_dim": 22, "num_attention_heads": 1, "cross_attention_dim": 22}, (3, 3, 5), [19, 2], "sample",
        AT_25_FPS,
    ),
    "a pair stands still": (
        {"attention_head_dim": 10, "num_attention_heads": 2, "cross_attention_dim": 20}, (3, 3, 5), [19, 2], "sample",
        AT_25_FPS,
    ),
    "sigma per frame": ({}, (5, 3, 7), [19, 7], "frame", AT_25_FPS),
    "sigma per token": ({"num_layers": 2}, (3, 5, 3), [7, 19], "token", (8 / 24, 32.0, 32.0)),
}  # fmt: skip


def small(changes: dict[str, Any]) -> LtxTransformer:
    model = LtxTransformer(LtxTransformerConfig(**{**SMALL, **changes})).eval()
    randomised(model)
    return model


def pair(changes: dict[str, Any]) -> tuple[Any, LtxTransformer]:
    """Both networks with the same random weights."""
    reference: Any = LTXVideoTransformer3DModel(**{**SMALL, **changes}).eval()
    randomised(reference)
    ours = LtxTransformer(LtxTransformerConfig(**{**SMALL, **changes})).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


def arguments(
    config: LtxTransformerConfig,
    size: tuple[int, int, int],
    lengths: list[int],
    per: str = "sample",
    spacing: Spacing = AT_25_FPS,
) -> dict[str, Any]:
    g, batch, tokens = torch.Generator().manual_seed(1), len(lengths), size[0] * size[1] * size[2]
    return {
        "latents": torch.randn(batch, config.in_channels, *size, generator=g),
        "sigma": torch.rand(
            *{"sample": (batch,), "frame": (batch, size[0]), "token": (batch, tokens)}[per], generator=g
        ),
        "text": torch.randn(batch, max(lengths), config.caption_channels, generator=g),
        "text_mask": torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
        "spacing": spacing,
    }


@torch.no_grad()
def velocity(reference: Any, given: dict[str, Any], dtype: torch.dtype) -> Tensor:
    latents, sigma = given["latents"], given["sigma"]
    t, h, w = latents.shape[2:]
    if sigma.ndim == 2:
        sigma = sigma.repeat_interleave(t * h * w // sigma.shape[1], dim=1)
    tokens = reference(
        rearrange(latents, "b c t h w -> b (t h w) c").to(dtype), given["text"].to(dtype), 1000 * sigma,
        given["text_mask"], t, h, w, given["spacing"], return_dict=False,
    )[0]  # fmt: skip
    return rearrange(tokens, "b (t h w) o -> b o t h w", t=t, h=h, w=w)


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_and_sizes_are_the_published_ones(name: str):
    settings, num_parameters = PUBLISHED[name]
    assert LtxTransformerConfig(**settings) == CONFIGS[name]
    published = expanded(json.loads(KEYS.read_text())[name])
    with torch.device("meta"):
        ours, reference = LtxTransformer(CONFIGS[name]), LTXVideoTransformer3DModel(**asdict(CONFIGS[name]))
    assert shapes(ours) == published == shapes(reference)
    assert sum(p.numel() for p in ours.parameters()) == num_parameters


@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_reference(case: str):
    changes, size, lengths, per, spacing = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths, per, spacing)
    expected = velocity(reference, given, torch.float32)
    with torch.no_grad():
        actual = ours(**given)
    assert expected.std() > 0.5
    assert (actual - expected).abs().max() < 1e-4


@pytest.mark.parametrize("case", ["padded", "sigma per frame", "two pairs stand still"])
def test_bf16_is_as_good_as_the_reference(case: str):
    changes, size, lengths, per, spacing = CASES[case]
    reference, ours = pair(changes)
    given = arguments(ours.config, size, lengths, per, spacing)
    exact = velocity(reference, given, torch.float32)
    assert not reference._keep_in_fp32_modules
    reference.bfloat16()
    ours.bfloat16()
    theirs = (velocity(reference, given, torch.bfloat16).float() - exact).pow(2).mean().sqrt()
    with torch.no_grad():
        actual = ours(**given)
    assert actual.dtype == given["latents"].dtype
    assert 0 < (actual - exact).pow(2).mean().sqrt() < 1.2 * theirs


@pytest.mark.parametrize("case", ["padded", "sigma per frame"])
def test_a_sample_does_not_depend_on_its_batch(case: str):
    changes, size, lengths, per, spacing = CASES[case]
    ours = small(changes)
    given = arguments(ours.config, size, lengths, per, spacing)
    with torch.no_grad():
        together = ours(**given)
        for i in range(2):
            one = {name: v[i : i + 1] if isinstance(v, Tensor) else v for name, v in given.items()}
            assert (ours(**one) - together[i : i + 1]).abs().max() < 2e-5


def test_padding_is_not_heard_and_no_mask_hears_all():
    ours = small({})
    given = arguments(ours.config, (2, 3, 5), [19, 7])
    with torch.no_grad():
        expected = ours(**given)
        given["text"][1, 7:] = 100.0
        assert torch.equal(ours(**given), expected)
        whole = ours(**{**given, "text_mask": torch.ones(2, 19, dtype=torch.bool)})
        assert torch.equal(ours(**{**given, "text_mask": None}), whole)
    assert (whole[1] - expected[1]).abs().max() > 0.1


def test_one_sigma_said_in_three_ways_is_the_same():
    ours = small({})
    given = arguments(ours.config, (3, 3, 5), [5, 5])
    with torch.no_grad():
        expected = ours(**given)
        for count in (1, 3, 45):
            given["sigma"] = given["sigma"].reshape(2, -1)[:, :1].expand(2, count)
            assert (ours(**given) - expected).abs().max() < 2e-5


def test_initial_weights_depend_on_the_generator_alone_and_reach_every_tensor():
    states = []
    for seed in (3, 3, 4):
        model = small({})
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
        model.init_weights(torch.Generator().manual_seed(seed))
        assert all(value.isfinite().all() for value in model.state_dict().values())
        states.append(model.state_dict())
        with torch.no_grad():
            assert model(**arguments(model.config, (1, 2, 6), [3])).abs().max() == 0
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    key = "transformer_blocks.1.attn1.to_q.weight"
    assert not torch.equal(states[0][key], states[2][key])


def test_what_does_not_fit_is_refused():
    model = small({})
    given = arguments(model.config, (3, 3, 5), [5])
    for change, message in (
        ({"latents": torch.zeros(1, 4, 3, 3, 5)}, r"latents: .*must have 5 channels"),
        ({"latents": torch.zeros(1, 5, 0, 3, 5)}, r"latents: .*at least one place"),
        ({"sigma": torch.zeros(1, 4)}, r"sigma: \(1, 4\): .*3 frames, or of all 45"),
        ({"text": torch.zeros(1, 5, 12)}, r"text: .*must have 11 channels"),
        ({"spacing": (0.0, 32.0, 32.0)}, r"spacing: .*three numbers above 0"),
    ):
        with pytest.raises(InvalidInput, match=message):
            model(**{**given, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0}, {"num_layers": 0}, {"patch_size": 2}, {"patch_size_t": 2},
        {"cross_attention_dim": 1024}, {"attention_head_dim": 1, "num_attention_heads": 5, "cross_attention_dim": 5},
        {"qk_norm": None}, {"norm_eps": 1e-5}, {"attention_bias": False}, {"activation_fn": "gelu"},
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_named(change: dict[str, Any]):
    with pytest.raises(InvalidInput) as error:
        replace(LTX_2B, **change)
    assert error.value.field in change
