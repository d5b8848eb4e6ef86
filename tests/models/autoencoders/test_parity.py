"""HunyuanVideo's autoencoder: same tensors as the reference, same numbers on the same small random weights."""

from __future__ import annotations

import warnings
from dataclasses import asdict

import pytest
import torch

from kinema.models.autoencoders.config import HUNYUAN_VIDEO_VAE, VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.models.autoencoders.autoencoder_kl_hunyuan_video import AutoencoderKLHunyuanVideo

# name -> (config, batch, frames, height, width)
CASES = {
    "odd sizes": ({"block_out_channels": (6, 9, 12, 15), "norm_num_groups": 3, "layers_per_block": 1}, 1, 9, 24, 40),
    "one frame, batch 2": ({"block_out_channels": (4, 8, 8, 16), "norm_num_groups": 4}, 2, 1, 40, 24),
    "long, batch 2": ({"block_out_channels": (4, 4, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}, 2, 21, 16, 24),
    "half the space": (
        {"block_out_channels": (4, 8, 8, 8), "norm_num_groups": 2, "space_compression": 4, "latent_channels": 5},
        1, 13, 20, 28,
    ),
    "no attention": ({"block_out_channels": (6, 6, 6, 6), "norm_num_groups": 3, "mid_attention": False}, 2, 5, 16, 24),
}  # fmt: skip
REFERENCE_NAMES = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "latent_channels": "latent_channels",
    "block_out_channels": "block_out_channels",
    "layers_per_block": "layers_per_block",
    "norm_num_groups": "norm_num_groups",
    "scaling_factor": "scaling_factor",
    "space_compression": "spatial_compression_ratio",
    "time_compression": "temporal_compression_ratio",
    "mid_attention": "mid_block_add_attention",
}


def reference(config: VideoAutoencoderConfig) -> AutoencoderKLHunyuanVideo:
    values = asdict(config)
    model = AutoencoderKLHunyuanVideo(**{theirs: values[ours] for ours, theirs in REFERENCE_NAMES.items()})
    model.use_framewise_encoding = model.use_framewise_decoding = False
    return model.eval().requires_grad_(False)


def test_published_keys_and_shapes():
    with torch.device("meta"):
        ours, theirs = VideoAutoencoder(HUNYUAN_VIDEO_VAE), reference(HUNYUAN_VIDEO_VAE)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert theirs.config["scaling_factor"] == HUNYUAN_VIDEO_VAE.scaling_factor
    assert VideoAutoencoderConfig(block_out_channels=(4,) * 4, norm_num_groups=1).scaling_factor == 1


@pytest.mark.parametrize("name", CASES)
def test_encode_and_decode_equal_the_reference(name: str):
    options, batch, frames, height, width = CASES[name]
    config = VideoAutoencoderConfig(**options)
    torch.manual_seed(7)
    theirs = reference(config)
    for parameter in theirs.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    ours = VideoAutoencoder(config).eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    video = torch.rand(batch, 3, frames, height, width) * 2 - 1

    mean, logvar = ours.encode(video)
    expected = theirs.encode(video, return_dict=False)[0]
    assert mean.std() > 0.05
    torch.testing.assert_close(mean, expected.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(logvar, expected.logvar, rtol=0, atol=1e-4)
    latents = torch.randn(mean.shape)
    torch.testing.assert_close(ours.decode(latents), theirs.decode(latents, return_dict=False)[0], rtol=0, atol=1e-4)
