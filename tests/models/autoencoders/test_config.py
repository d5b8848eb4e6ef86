from __future__ import annotations

from dataclasses import replace

import pytest

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.config import HUNYUAN_VIDEO_VAE, MINI_VAE, VideoAutoencoderConfig


def test_factors_multiply_to_the_compression():
    for config in (HUNYUAN_VIDEO_VAE, MINI_VAE, replace(MINI_VAE, time_compression=2)):
        time, space = 1, config.patch_px
        for t, s in config.factors:
            time, space = time * t, space * s
        assert (time, space) == (config.time_compression, config.space_compression)


def test_published_levels():
    assert HUNYUAN_VIDEO_VAE.factors == ((1, 2), (2, 2), (2, 2))
    assert HUNYUAN_VIDEO_VAE.encoder_layers == (2, 2, 2, 2)
    assert HUNYUAN_VIDEO_VAE.decoder_layers == (3, 3, 3, 3)
    assert HUNYUAN_VIDEO_VAE.decoder_channels == (128, 256, 512, 512)


@pytest.mark.parametrize(
    "field, value, rule",
    [
        ("norm", "batch", "one of group, rms"),
        ("conv", "depthwise", "one of full, factorised"),
        ("resample", "pool", "one of conv, shuffle"),
        ("latent_channels", 0, "at least 1"),
        ("block_out_channels", (), "for every level"),
        ("block_out_channels", (128, 0, 512, 512), "width of at least 1"),
        ("decoder_block_out_channels", (128, 256, -1, 512), "width of at least 1"),
        ("time_compression", 3, "power of two"),
        ("space_compression", 0, "power of two"),
        ("time_compression", 16, "needs 4 halvings; 4 levels have 0 to 3"),
        ("space_compression", 32, "needs 5 halvings"),
        ("layers_per_block", (1, 2), "must hold 4 numbers"),
        ("layers_per_block", (1, 0, 1, 1), "from 128 to 256 channels needs a residual block"),
        ("decoder_layers_per_block", (0, 1, 1, 1), "from 128 to 256 channels needs a residual block"),
        ("decoder_block_out_channels", (32, 64), "must hold 4 numbers"),
        ("norm_num_groups", 48, "must divide every width"),
        ("temporal_convs", 3, "must be 0, 1 or 2"),
        ("latent_std", (1.0,) * 16, "go together"),
    ],
)
def test_bad_values_name_field_and_rule(field: str, value: object, rule: str):
    with pytest.raises(InvalidInput, match=rule) as caught:
        replace(HUNYUAN_VIDEO_VAE, **{field: value})
    assert caught.value.field == field


def test_latent_statistics_are_per_channel():
    with pytest.raises(InvalidInput, match="must hold 16 numbers"):
        replace(MINI_VAE, latent_mean=(0.0,) * 15, latent_std=(1.0,) * 15)


def test_shortcuts_need_widths_that_divide():
    with pytest.raises(InvalidInput, match="24 x 8 channels must be a multiple of the next level's 100"):
        replace(MINI_VAE, block_out_channels=(24, 100, 200))
    VideoAutoencoderConfig(block_out_channels=(4, 16, 128), resample="shuffle", norm="rms", patch_px=2)
