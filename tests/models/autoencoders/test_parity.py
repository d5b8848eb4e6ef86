"""HunyuanVideo's autoencoder: same tensors as the reference, same numbers on the same small random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.models.autoencoders.config import HUNYUAN_VIDEO_VAE, VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from tests.models.autoencoders.published import largest_error, latents_and_video, pair, reference

# layers with their weights' shapes; a bias is as long as its weight
KEYS = Path(__file__).parent / "hunyuan_video_keys.json"

# name -> (config, batch, latent frames, rows, columns)
CASES: dict[str, tuple[dict[str, Any], int, int, int, int]] = {
    "odd sizes": ({"block_out_channels": (6, 9, 12, 15), "norm_num_groups": 3, "layers_per_block": 1}, 1, 3, 3, 5),
    "one frame, batch 2": ({"block_out_channels": (4, 8, 8, 16), "norm_num_groups": 4}, 2, 1, 5, 3),
    "long, batch 2": ({"block_out_channels": (4, 4, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}, 2, 6, 2, 3),
    "half the space": (
        {"block_out_channels": (4, 8, 8, 8), "norm_num_groups": 2, "space_compression": 4, "latent_channels": 5},
        1, 4, 5, 7,
    ),
    "no attention": ({"block_out_channels": (6, 6, 6, 6), "norm_num_groups": 3, "mid_attention": False}, 2, 2, 2, 3),
}  # fmt: skip


def test_keys_and_shapes_are_the_published_ones():
    layers: dict[str, list[int]] = json.loads(KEYS.read_text())
    published = {f"{name}.weight": tuple(shape) for name, shape in layers.items()}
    published |= {f"{name}.bias": (shape[0],) for name, shape in layers.items()}
    with torch.device("meta"):
        ours, theirs = VideoAutoencoder(HUNYUAN_VIDEO_VAE), reference(HUNYUAN_VIDEO_VAE)
    for model in (ours, theirs):
        assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == published
        assert sum(p.numel() for p in model.parameters()) == 246_478_803
    assert len(published) == 248
    assert theirs.config["scaling_factor"] == HUNYUAN_VIDEO_VAE.scaling_factor
    assert VideoAutoencoderConfig(block_out_channels=(4,) * 4, norm_num_groups=1).scaling_factor == 1


@pytest.mark.parametrize("gradients", [True, False], ids=["plain", "in chunks"])
@pytest.mark.parametrize("name", CASES)
def test_encode_and_decode_equal_the_reference(name: str, gradients: bool):
    options, *shape = CASES[name]
    theirs, ours = pair(options)
    latents, video = latents_and_video(ours, *shape)
    expected = theirs.encode(video, return_dict=False)[0]
    expected_video = theirs.decode(latents, return_dict=False)[0]
    with torch.set_grad_enabled(gradients):
        mean, logvar = ours.encode(video)
        decoded = ours.decode(latents)
    assert mean.std() > 0.05
    assert expected_video.std() > 0.05
    assert largest_error(mean, expected.mean) < 1e-4
    assert largest_error(logvar, expected.logvar) < 1e-4
    assert largest_error(decoded, expected_video) < 1e-4


@pytest.mark.parametrize("gradients", [True, False], ids=["plain", "in chunks"])
@pytest.mark.parametrize("shape", [(1, 3, 5, 3), (2, 1, 3, 4)])
def test_bf16_is_as_good_as_the_reference(shape: tuple[int, int, int, int], gradients: bool):
    options = {"block_out_channels": (16, 32, 32, 32), "norm_num_groups": 8, "layers_per_block": 1}

    def error(actual: Tensor, exact: Tensor) -> float:
        return (actual.float() - exact).square().mean().sqrt().item()

    ratios: list[list[float]] = []
    for seed in (0, 1, 2):
        theirs, ours = pair(options, seed)
        latents, video = latents_and_video(ours, *shape)
        exact = theirs.decode(latents, return_dict=False)[0], theirs.encode(video, return_dict=False)[0].mean
        latents, video = latents.bfloat16(), video.bfloat16()
        theirs.bfloat16()
        reached = theirs.decode(latents, return_dict=False)[0], theirs.encode(video, return_dict=False)[0].mean
        ours.bfloat16()
        with torch.set_grad_enabled(gradients):
            actual = ours.decode(latents), ours.encode(video)[0]
        assert all(value.dtype == torch.bfloat16 for value in actual)
        ratios.append([error(a, e) / error(r, e) for a, e, r in zip(actual, exact, reached, strict=True)])
    # One small network's rounding is luck; three together are not.
    assert max(sum(ratio) / len(ratio) for ratio in zip(*ratios, strict=True)) < 1.2
