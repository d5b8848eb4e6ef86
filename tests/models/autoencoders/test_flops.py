from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.config import HUNYUAN_VIDEO_VAE, MINI_VAE
from kinema.models.autoencoders.flops import flops
from kinema.models.autoencoders.video import VideoAutoencoder
from tests.models.autoencoders.test_video import CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_arithmetic_equals_the_counter(name: str):
    config = CONFIGS[name]
    shape = VideoShape(
        frames=1 + 2 * config.time_compression,
        height_px=3 * config.space_compression,
        width_px=5 * config.space_compression,
        fps=8,
    )
    model = VideoAutoencoder(config)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as encode:
            moments = model._moments(torch.zeros(1, 3, shape.frames, shape.height_px, shape.width_px), None)
        with FlopCounterMode(display=False) as decode:
            model._decode(moments.chunk(2, dim=1)[0], None)
    assert flops(config, shape) == (encode.get_total_flops(), decode.get_total_flops())


def test_the_mini_is_light():
    shape = VideoShape(frames=17, height_px=64, width_px=64, fps=8)
    encode, decode = (work / shape.pixels for work in flops(MINI_VAE, shape))
    assert encode <= 60_000
    assert decode <= 200_000


def test_published_work_grows_with_pixels():
    small = VideoShape(frames=1, height_px=256, width_px=256, fps=8)
    large = VideoShape(frames=1, height_px=256, width_px=512, fps=8)
    for a, b in zip(flops(HUNYUAN_VIDEO_VAE, small), flops(HUNYUAN_VIDEO_VAE, large), strict=True):
        assert 2 * a < b < 2.1 * a


def test_sizes_off_the_grid_are_refused():
    with pytest.raises(InvalidInput, match="nearest: 5 or 1"):
        flops(MINI_VAE, VideoShape(frames=4, height_px=64, width_px=64, fps=8))
