"""Blended tiles: the reference's numbers with its tiles on, at its default sizes and at others."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.tiling import (
    SPACE_TILES,
    TIME_TILES,
    Tiles,
    decode_tiled,
    decode_wan_tiled,
    encode_tiled,
)
from kinema.models.autoencoders.wan_config import WanAutoencoderConfig
from tests.models.autoencoders.published import AutoencoderKLHunyuanVideo, largest_error, latents_and_video, pair
from tests.models.autoencoders.test_wan import RESIDUAL as RESIDUAL_WAN
from tests.models.autoencoders.test_wan import SMALL as SMALL_WAN
from tests.models.autoencoders.test_wan import pair as wan_pair

OPTIONS: dict[str, Any] = {"block_out_channels": (4, 4, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}
SMALL = Tiles(frames=(8, 4), height_px=(32, 24), width_px=(16, 8))

# name -> (tiles, latent frames, rows, columns)
CASES: dict[str, tuple[Tiles, int, int, int]] = {
    "in time": (TIME_TILES, 5, 3, 5),
    "in time, a last frame alone": (TIME_TILES, 7, 2, 3),
    "in time, exactly one tile": (TIME_TILES, 4, 2, 3),
    "in space, one frame": (SMALL, 1, 5, 3),
    "in space, low enough": (SMALL, 2, 3, 4),
    "in all": (SMALL, 4, 5, 3),
    "without overlap": (Tiles(frames=(4, 4), height_px=(16, 16), width_px=(16, 16)), 3, 3, 2),
    "by more than half": (Tiles(frames=(8, 4), height_px=(24, 8), width_px=None), 3, 4, 3),
}


@pytest.fixture(scope="module")
def models():
    return pair(OPTIONS)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_tiles_equal_the_reference(models, name: str):
    tiles, frames, height, width = CASES[name]
    theirs, ours = models
    theirs.use_framewise_encoding = theirs.use_framewise_decoding = True
    theirs.disable_tiling()
    assert tiles.frames is not None
    theirs.tile_sample_min_num_frames, theirs.tile_sample_stride_num_frames = tiles.frames
    if tiles.height_px:
        (tall, tall_stride), (wide, wide_stride) = tiles.height_px, tiles.width_px or (1000, 1000)
        theirs.enable_tiling(tall, wide, None, tall_stride, wide_stride, None)
    latents, video = latents_and_video(ours, 2, frames, height, width)
    expected = theirs.encode(video, return_dict=False)[0]
    expected_video = theirs.decode(latents, return_dict=False)[0]

    mean, logvar = encode_tiled(ours, video, tiles)
    decoded = torch.cat(list(decode_tiled(ours, latents, tiles)), dim=2)
    assert largest_error(mean, expected.mean) < 1e-4
    assert largest_error(logvar, expected.logvar) < 1e-4
    assert largest_error(decoded, expected_video) < 1e-4
    # Tiles show: were nothing cut, the numbers above would be those of the whole.
    is_cut = name != "in time, exactly one tile"
    assert (largest_error(ours.decode(latents), expected_video) > 0.1) == is_cut


def test_the_default_sizes_are_the_reference_s():
    with torch.device("meta"):
        theirs: Any = AutoencoderKLHunyuanVideo()
    assert theirs.use_framewise_decoding
    assert theirs.use_framewise_encoding
    assert not theirs.use_tiling
    assert Tiles() == Tiles(
        frames=(theirs.tile_sample_min_num_frames, theirs.tile_sample_stride_num_frames),
        height_px=(theirs.tile_sample_min_height, theirs.tile_sample_stride_height),
        width_px=(theirs.tile_sample_min_width, theirs.tile_sample_stride_width),
    )
    assert Tiles(height_px=None, width_px=None) == TIME_TILES


@torch.no_grad()
def test_frames_come_tile_by_tile(models):
    _, ours = models
    latents, _ = latents_and_video(ours, 1, 8, 2, 3)
    seen: list[int] = []
    ours.post_quant_conv.register_forward_hook(lambda *_: seen.append(0))
    chunks = decode_tiled(ours, latents)
    assert next(chunks).shape[2] == 13
    first = len(seen)
    assert [chunk.shape[2] for chunk in chunks] == [12, 4]
    assert first < len(seen)
    ours.post_quant_conv._forward_hooks.clear()


@torch.no_grad()
def test_one_axis_can_be_left_whole(models):
    _, ours = models
    latents, _ = latents_and_video(ours, 1, 1, 5, 6)
    rows = Tiles(frames=None, height_px=(16, 16), width_px=None)
    (decoded,) = decode_tiled(ours, latents, rows)
    parts = [ours.decode(part) for part in latents.split(2, dim=3)]
    assert largest_error(decoded, torch.cat(parts, dim=3)) < 1e-5


@pytest.mark.parametrize(
    "field, value, rule",
    [
        ("frames", (16, 20), "stride <= length"),
        ("frames", (18, 12), "multiples of 4"),
        ("height_px", (256, 0), "stride <= length"),
        ("width_px", (256, 100), "multiples of 8"),
    ],
)
def test_tiles_off_the_grid_are_refused(models, field: str, value: tuple[int, int], rule: str):
    _, ours = models
    with pytest.raises(InvalidInput, match=rf"tiles\.{field}: {re.escape(str(value))}: .*{rule}"):
        decode_tiled(ours, torch.zeros(1, 16, 1, 2, 2), Tiles(**{field: value}))


# name -> (tiles, latent frames, rows, columns)
WAN_CASES: dict[str, tuple[WanAutoencoderConfig, Tiles, int, int, int]] = {
    "2.1": (SMALL_WAN, Tiles(frames=None, height_px=(32, 24), width_px=(16, 8)), 3, 7, 5),
    "2.1, one frame, low enough": (SMALL_WAN, Tiles(frames=None, height_px=(32, 24), width_px=(16, 8)), 1, 3, 4),
    "2.1, in the default tiles": (SMALL_WAN, SPACE_TILES, 1, 3, 33),
    "2.1, all in one": (SMALL_WAN, SPACE_TILES, 2, 4, 4),
    "5B": (RESIDUAL_WAN, Tiles(frames=None, height_px=(64, 32), width_px=(48, 32)), 2, 5, 4),
}


@pytest.mark.parametrize("name", WAN_CASES)
@torch.no_grad()
def test_wan_s_tiles_equal_the_reference(name: str):
    config, tiles, frames, height, width = WAN_CASES[name]
    theirs, ours = wan_pair(config)
    (tall, tall_stride), (wide, wide_stride) = tiles.height_px or (0, 0), tiles.width_px or (0, 0)
    theirs.enable_tiling(tall, wide, tall_stride, wide_stride)
    latents = torch.randn(2, config.z_dim, frames, height, width, generator=torch.Generator().manual_seed(0))
    expected = theirs.decode(latents, return_dict=False)[0]
    chunks = list(decode_wan_tiled(ours, latents, tiles))
    assert [chunk.shape[2] for chunk in chunks] == [1] + [4] * (frames - 1)
    assert largest_error(torch.cat(chunks, dim=2), expected) < 2e-5
    assert (largest_error(ours.decode(latents), expected) > 0.1) == (name != "2.1, all in one")


def test_wan_s_tiles_are_of_space():
    assert Tiles() == replace(SPACE_TILES, frames=TIME_TILES.frames)
    with pytest.raises(InvalidInput, match=r"^tiles\.frames: \(16, 12\): must be None"):
        next(decode_wan_tiled(wan_pair(SMALL_WAN)[1], torch.zeros(1, 5, 1, 2, 2), Tiles()))
