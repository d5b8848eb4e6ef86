"""HunyuanVideo's autoencoder as diffusers has it, at small widths, and ours with the same random weights."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.models.autoencoders.autoencoder_kl_hunyuan_video import AutoencoderKLHunyuanVideo

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


def reference(config: VideoAutoencoderConfig) -> Any:
    """The reference, with its tiles off; its methods' types say too little for a type checker."""
    values = asdict(config)
    model = AutoencoderKLHunyuanVideo(**{theirs: values[ours] for ours, theirs in REFERENCE_NAMES.items()})
    model.use_framewise_encoding = model.use_framewise_decoding = False
    return model.eval().requires_grad_(False)


def pair(options: dict[str, Any], seed: int = 7) -> tuple[Any, VideoAutoencoder]:
    """(theirs, ours); norms' weights differ from one, and every number is exact in bf16."""
    config = VideoAutoencoderConfig(**options)
    torch.manual_seed(seed)
    theirs = reference(config)
    for parameter in theirs.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter)).copy_(parameter.bfloat16())
    ours = VideoAutoencoder(config).eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def latents_and_video(
    ours: VideoAutoencoder, batch: int, frames: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Random latents, and a random video of that many latent frames, rows and columns, exact in bf16."""
    config, g = ours.config, torch.Generator().manual_seed(11)
    time, space = config.time_compression, config.space_compression
    latents = torch.randn(batch, config.latent_channels, frames, height, width, generator=g)
    video = torch.rand(batch, 3, 1 + (frames - 1) * time, height * space, width * space, generator=g) * 2 - 1
    return latents.bfloat16().float(), video.bfloat16().float()


def largest_error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference of two tensors of one shape."""
    assert actual.shape == expected.shape
    return (actual.float() - expected.float()).abs().max().item()
