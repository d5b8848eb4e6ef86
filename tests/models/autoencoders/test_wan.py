"""Wan's autoencoders: keys, shapes and values against diffusers, which is written by others; and streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.wan import WanAutoencoder
from kinema.models.autoencoders.wan_config import WAN_2_1_VAE, WAN_2_2_VAE, WanAutoencoderConfig
from kinema.models.autoencoders.wan_strips import decode_strips
from kinema.models.layers.causal_conv import Stream

KEYS = Path(__file__).parent / "wan_keys.json"

# name -> (what the published config file says but for the statistics, parameters)
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "2.1": (
        {"attn_scales": [], "base_dim": 96, "dim_mult": [1, 2, 4, 4], "dropout": 0.0, "num_res_blocks": 2,
         "temperal_downsample": [False, True, True], "z_dim": 16},
        126_892_531,
    ),
    "2.2 5B": (
        {"attn_scales": [], "base_dim": 160, "decoder_base_dim": 256, "dim_mult": [1, 2, 4, 4], "dropout": 0.0,
         "in_channels": 12, "is_residual": True, "num_res_blocks": 2, "out_channels": 12, "patch_size": 2,
         "scale_factor_spatial": 16, "scale_factor_temporal": 4, "temperal_downsample": [False, True, True], "z_dim": 48},
        704_688_668,
    ),
}  # fmt: skip
CONFIGS = {"2.1": WAN_2_1_VAE, "2.2 5B": WAN_2_2_VAE}

SMALL = replace(WAN_2_1_VAE, base_dim=6, z_dim=5, latents_mean=(0.5,) * 5, latents_std=(2.0,) * 5)
RESIDUAL = replace(
    WAN_2_2_VAE, base_dim=6, decoder_base_dim=10, z_dim=7, latents_mean=(0.5,) * 7, latents_std=(2.0,) * 7
)

# name -> (config, batch, frames, height, width)
CASES: dict[str, tuple[WanAutoencoderConfig, int, int, int, int]] = {
    "2.1": (SMALL, 1, 9, 24, 40),
    "2.1, one frame, batch 2": (SMALL, 2, 1, 40, 24),
    "2.1, long, batch 2": (SMALL, 2, 21, 8, 16),
    "2.1, other steps": (replace(SMALL, temperal_downsample=(True, False, True), num_res_blocks=1), 1, 13, 24, 8),
    "2.1, 2x4x4": (
        replace(SMALL, dim_mult=(1, 3, 2), temperal_downsample=(False, True), scale_factor_temporal=2,
                scale_factor_spatial=4),
        1, 9, 12, 20,
    ),
    "2.1, patches": (
        replace(SMALL, patch_size=3, in_channels=27, out_channels=18, scale_factor_spatial=24, decoder_base_dim=4),
        1, 5, 24, 72,
    ),
    "5B": (RESIDUAL, 1, 9, 48, 80),
    "5B, one frame, batch 2": (RESIDUAL, 2, 1, 48, 16),
    "5B, long, batch 2": (RESIDUAL, 2, 17, 16, 32),
    "5B, other steps": (replace(RESIDUAL, temperal_downsample=(True, True, False), num_res_blocks=1), 1, 9, 16, 48),
    "5B, other widths": (
        replace(RESIDUAL, dim_mult=(1, 4, 2), temperal_downsample=(True, True), patch_size=None, in_channels=4,
                out_channels=2, scale_factor_spatial=4),
        1, 9, 12, 20,
    ),
}  # fmt: skip


def expanded(patterns: dict[str, dict[str, list[str]]]) -> dict[str, tuple[int, ...]]:
    """Key -> shape of pattern -> shape -> the numbers that stand for the pattern's stars."""
    keys: dict[str, tuple[int, ...]] = {}
    for pattern, by_shape in patterns.items():
        for shape, places in by_shape.items():
            for place in places:
                key = pattern
                for number in place.split("."):
                    key = key.replace("*", number, 1)
                keys[key] = tuple(map(int, shape.split()))
    return keys


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def reference(config: WanAutoencoderConfig) -> Any:
    settings: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    del settings["clip_output"]
    return AutoencoderKLWan(**settings).eval().requires_grad_(False)


def randomise(model: torch.nn.Module) -> None:
    """Every parameter of a size at which it matters; pixels that reach past [-1, 1], but rarely."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            scale = parameter[0].numel() ** -0.5 if name.endswith("weight") else 0.3
            parameter.copy_(1 + scale * values if name.endswith("gamma") else scale * values)


def small(config: WanAutoencoderConfig) -> WanAutoencoder:
    model = WanAutoencoder(config).eval().requires_grad_(False)
    randomise(model)
    return model


def pair(config: WanAutoencoderConfig) -> tuple[Any, WanAutoencoder]:
    """Both networks with the same random weights."""
    theirs, ours = reference(config), WanAutoencoder(config).eval().requires_grad_(False)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def pixels(case: str) -> Tensor:
    config, batch, frames, height, width = CASES[case]
    channels = config.in_channels // config.patch_px**2
    return torch.rand(batch, channels, frames, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def normal_like(latents: Tensor) -> Tensor:
    return torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))


def assert_same(actual: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_and_sizes_are_the_published_ones(name: str):
    settings, num_parameters = PUBLISHED[name]
    published = expanded(json.loads(KEYS.read_text())[name])
    with torch.device("meta"):
        ours, theirs = WanAutoencoder(CONFIGS[name]), AutoencoderKLWan(**settings)
    assert shapes(ours) == published == shapes(theirs)
    assert sum(p.numel() for p in ours.parameters()) == num_parameters


@pytest.mark.parametrize("name", PUBLISHED)
def test_configs_are_the_published_ones(name: str):
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in PUBLISHED[name][0].items()}
    config = CONFIGS[name]
    statistics: dict[str, Any] = {"latents_mean": config.latents_mean, "latents_std": config.latents_std}
    assert WanAutoencoderConfig(**settings, **statistics) == config
    if name == "2.1":
        with torch.device("meta"):
            theirs: Any = AutoencoderKLWan().config
        assert statistics == {key: tuple(theirs[key]) for key in statistics}
    else:
        # The reference holds 2.1's alone; these are the sums of the published lists.
        assert (sum(config.latents_mean), sum(config.latents_std)) == pytest.approx((-0.5589, 32.536))


@pytest.fixture(autouse=True)
def _no_grad():
    """As the engine runs it, in buffers that are written into; one test asks for the plain layers as well."""
    with torch.no_grad():
        yield


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_encode_and_decode_equal_the_reference(case: str, gradients: bool):
    torch.set_grad_enabled(gradients)
    theirs, ours = pair(CASES[case][0])
    video = pixels(case)
    mean, logvar = ours.encode(video)
    expected = theirs.encode(video).latent_dist
    assert mean.std() > 0.2
    assert_same(mean, expected.mean, 1e-4)
    assert_same(logvar, expected.logvar, 1e-4)
    latents = normal_like(mean)
    decoded = ours.decode(latents)
    assert decoded.std() > 0.1
    assert (decoded.abs() < 1).float().mean() > 0.8
    assert decoded.is_contiguous()
    assert_same(decoded, theirs.decode(latents).sample, 1e-4)


@pytest.mark.parametrize("case", ["2.1", "5B"])
def test_bf16_is_as_good_as_the_reference(case: str):
    theirs, ours = pair(CASES[case][0])
    video = pixels(case)
    mean = ours.encode(video)[0]
    latents = normal_like(mean)
    decoded = ours.decode(latents)
    theirs.bfloat16()
    ours.bfloat16()
    for exact, actual, reference in (
        (mean, ours.encode(video.bfloat16())[0], theirs.encode(video.bfloat16()).latent_dist.mean),
        (decoded, ours.decode(latents.bfloat16()), theirs.decode(latents.bfloat16()).sample),
    ):
        assert actual.dtype == torch.bfloat16
        errors = [(x.float() - exact).pow(2).mean().sqrt() for x in (actual, reference)]
        assert errors[0] < 1.2 * errors[1]


@pytest.mark.parametrize("case", ["2.1, long, batch 2", "5B, long, batch 2"])
def test_a_sample_does_not_depend_on_its_batch(case: str):
    model, video = small(CASES[case][0]), pixels(case)
    mean, logvar = model.encode(video)
    decoded = model.decode(mean)
    for i in range(len(video)):
        alone, alone_logvar = model.encode(video[i : i + 1])
        assert_same(alone, mean[i : i + 1])
        assert_same(alone_logvar, logvar[i : i + 1])
        assert_same(model.decode(mean[i : i + 1]), decoded[i : i + 1])


@pytest.mark.parametrize("case", CASES)
def test_streamed_decode_equals_whole(case: str):
    model = small(CASES[case][0])
    latents = normal_like(model.encode(pixels(case))[0])
    whole = model.decode(latents)
    chunks = list(model.decode_stream(latents))
    time, num_latents = model.config.compression.time, latents.shape[2]
    assert [chunk.shape[2] for chunk in chunks] == [1] + [time] * (num_latents - 1)
    assert_same(torch.cat(chunks, dim=2), whole)
    if num_latents > 2:
        uneven = list(model.decode_stream(latents.split([2, num_latents - 2], dim=2)))
        assert_same(torch.cat(uneven, dim=2), whole)


@pytest.mark.parametrize("case", CASES)
def test_a_decode_in_strips_equals_the_whole(case: str):
    model = small(CASES[case][0])
    latents = normal_like(model.encode(pixels(case))[0])
    whole = model.decode(latents)
    for rows in (1, 2):
        chunks = list(decode_strips(model, latents, rows=rows))
        assert [chunk.shape[2] for chunk in chunks] == [chunk.shape[2] for chunk in model.decode_stream(latents)]
        assert_same(torch.cat(chunks, dim=2), whole.detach())
        assert not chunks[0].requires_grad


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
def test_strips_see_as_far_as_they_must_and_no_farther(config: WanAutoencoderConfig):
    model = small(config)
    latents = torch.randn(1, config.z_dim, 2, 61, 1, generator=torch.Generator().manual_seed(5))

    def decoded(chunks: Callable[[], Iterator[Tensor]]) -> tuple[Tensor, int]:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            return torch.cat(list(chunks()), dim=2), counter.get_total_flops()

    whole, work = decoded(lambda: model.decode_stream(latents))
    in_strips, more = decoded(lambda: decode_strips(model, latents, rows=16))
    assert_same(in_strips, whole)
    assert work < more < 1.35 * work


@pytest.mark.parametrize("case", CASES)
def test_streamed_encode_equals_whole(case: str):
    model, video = small(CASES[case][0]), pixels(case)
    mean, logvar = model.encode(video)
    time, num_later = model.config.compression.time, mean.shape[2] - 1
    splits = [[1] + [time] * num_later]
    if num_later > 1:
        splits.append([1 + time, time * (num_later - 1)])
    for sizes in splits:
        chunks = list(model.encode_stream(video.split(sizes, dim=2)))
        assert_same(torch.cat([m for m, _ in chunks], dim=2), mean)
        assert_same(torch.cat([v for _, v in chunks], dim=2), logvar)


def test_an_empty_chunk_is_refused():
    model, px = small(SMALL), SMALL.compression.space
    video = torch.zeros(1, 3, 5, px, px)
    with pytest.raises(InvalidInput, match="^frames: 0: a chunk after the first .* and not empty"):
        list(model.encode_stream([video[:, :, :1], video[:, :, :0]]))


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
def test_streams_don_t_touch_each_other(config: WanAutoencoderConfig):
    model = small(config)
    one, two = torch.randn(2, 1, config.z_dim, 3, 3, 1, generator=torch.Generator().manual_seed(3))
    interleaved = list(zip(model.decode_stream(one), model.decode_stream(two), strict=True))
    for i, latents in enumerate((one, two)):
        alone = list(model.decode_stream(latents))
        assert all(torch.equal(a, both[i]) for a, both in zip(alone, interleaved, strict=True))


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
def test_streams_hold_no_more_memory_for_a_longer_clip(config: WanAutoencoderConfig):
    model, time, px = small(config), config.compression.time, config.compression.space
    latents = torch.randn(1, config.z_dim, 6, 3, 1, generator=torch.Generator().manual_seed(5))
    video = torch.zeros(1, 3, 1 + 5 * time, 3 * px, px)
    for run, chunks in (
        (model._decode, latents.split(1, dim=2)),
        (model._moments, video.split([1] + [time] * 5, dim=2)),
    ):
        stream, sizes = Stream(), []
        for chunk in chunks:
            run(chunk, stream)
            stream.end_chunk()
            sizes.append(sum(past.untyped_storage().nbytes() for past in stream.past.values()))
            assert sizes[-1] == sum(past.nbytes for past in stream.past.values())
        assert sizes[0] > 0
        # Convolutions over time after a change of frame rate begin with the second chunk.
        assert len(set(sizes[1:])) == 1


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
def test_latents_never_see_a_later_frame(config: WanAutoencoderConfig):
    model, px = small(config), config.compression.space
    video = torch.rand(1, 3, 9, px, 2 * px, generator=torch.Generator().manual_seed(4))
    changed = video.clone()
    changed[:, :, 5:] = changed[:, :, 5:].flip(-1)
    before, after = model.encode(video)[0], model.encode(changed)[0]
    assert_same(after[:, :, :2], before[:, :, :2])
    assert (after[:, :, 2] - before[:, :, 2]).abs().max() > 1e-2


def test_normalised_latents_are_standard():
    mean, std = (0.5, -2.0, 3.0, 0.0, 1.0), (0.25, 1.0, 4.0, 2.0, 3.0)
    model = WanAutoencoder(replace(SMALL, latents_mean=mean, latents_std=std))
    latents = torch.randn(2, 5, 3, 2, 7, generator=torch.Generator().manual_seed(1))
    raw = latents * torch.tensor(std).view(-1, 1, 1, 1) + torch.tensor(mean).view(-1, 1, 1, 1)
    torch.testing.assert_close(model.normalise(raw), latents)
    torch.testing.assert_close(model.denormalise(latents), raw)


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
def test_initial_weights_depend_on_the_generator_alone_and_reach_every_tensor(config: WanAutoencoderConfig):
    states = []
    for seed in (3, 3, 4):
        model = WanAutoencoder(config).requires_grad_(False)
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
        model.init_weights(torch.Generator().manual_seed(seed))
        assert all(value.isfinite().all() for value in model.state_dict().values())
        states.append(model.state_dict())
    key = "encoder.conv_in.weight"
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0][key], states[2][key])
    generator = torch.Generator().manual_seed(5)
    video = torch.rand(1, 3, 1, config.compression.space, config.compression.space, generator=generator)
    reconstruction, mean, _ = model(video, torch.randn(1, config.z_dim, 1, 1, 1, generator=generator))
    assert reconstruction.shape == video.shape
    assert mean.std() > 0.05


def test_sizes_off_the_grid_are_refused_with_the_nearest():
    model, patched = small(SMALL), small(RESIDUAL)
    for video, message in (
        (torch.zeros(1, 3, 7, 24, 40), "frames: 7: .*nearest: 5 or 9"),
        (torch.zeros(1, 3, 5, 25, 40), "height_px: 25: .*nearest: 24 or 32"),
        (torch.zeros(1, 3, 5, 24, 39), "width_px: 39: .*nearest: 40 or 32"),
        (torch.zeros(1, 4, 5, 24, 40), r"video: \(1, 4, 5, 24, 40\): must have 3 channels"),
    ):
        with pytest.raises(InvalidInput, match=message):
            model.encode(video)
    with pytest.raises(InvalidInput, match="height_px: 24: .*nearest: 16 or 32"):
        patched.encode(torch.zeros(1, 3, 5, 24, 32))
    with pytest.raises(InvalidInput, match=r"video: .*must have 3 channels"):
        patched.encode(torch.zeros(1, 12, 5, 32, 32))
    with pytest.raises(InvalidInput, match="frames: 3: .*multiple of 4"):
        list(model.encode_stream(torch.zeros(1, 3, 4, 24, 40).split([1, 3], dim=2)))
    for latents in (torch.zeros(1, 8, 2, 3, 5), torch.zeros(1, 5, 0, 3, 5)):
        with pytest.raises(InvalidInput, match="latents: .*must have 5 channels and at least one frame"):
            model.decode(latents)
        with pytest.raises(InvalidInput, match="latents: "):
            list(model.decode_stream([latents]))


@pytest.mark.parametrize(
    "change",
    [
        {"base_dim": 0}, {"z_dim": 17}, {"dim_mult": (1, 2, 4)}, {"dim_mult": ()}, {"attn_scales": (0.5,)},
        {"dropout": 0.1}, {"temperal_downsample": (True, True)}, {"latents_mean": (0.0,)}, {"latents_std": (1.0,)},
        {"patch_size": 0}, {"patch_size": 2}, {"scale_factor_temporal": 8}, {"scale_factor_spatial": 16},
        {"base_dim": 5, "dim_mult": (1, 1, 3, 4)}, {"is_residual": True, "dim_mult": (1, 3, 9, 27)},
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_named(change: dict[str, Any]):
    with pytest.raises(InvalidInput):
        replace(WAN_2_1_VAE, **change)
