"""LTX-Video's autoencoders: keys, shapes and values against diffusers, which is written by others; and streams.

``ltx_keys.json`` is the reference's list for the published configs: no index of the published files was at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLLTXVideo  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Compression
from kinema.models.autoencoders.ltx import LtxAutoencoder
from kinema.models.autoencoders.ltx_blocks import Conv
from kinema.models.autoencoders.ltx_config import LTX_0_9_1_VAE, LTX_0_9_5_VAE, LTX_0_9_VAE, LtxAutoencoderConfig
from tests.models.autoencoders.test_wan import assert_same, expanded, normal_like, shapes

KEYS = Path(__file__).parent / "ltx_keys.json"
# name -> (our config, parameters)
PUBLISHED: dict[str, tuple[LtxAutoencoderConfig, int]] = {
    "0.9": (LTX_0_9_VAE, 419_193_649),
    "0.9.1": (LTX_0_9_1_VAE, 934_976_434),
    "0.9.5": (LTX_0_9_5_VAE, 1_246_913_522),
}
SMALL: dict[str, Any] = {
    "latent_channels": 5, "layers_per_block": (1, 1, 1, 1, 1), "decoder_layers_per_block": (1, 1, 1, 1, 1),
}  # fmt: skip
OLD = replace(LTX_0_9_VAE, **SMALL, block_out_channels=(6, 10, 14, 14), decoder_block_out_channels=(6, 10, 14, 22))
NOISY = replace(
    LTX_0_9_1_VAE, **{**SMALL, "decoder_layers_per_block": (2, 1, 1, 3)}, block_out_channels=(6, 10, 14, 14),
    decoder_block_out_channels=(8, 16, 32),
)  # fmt: skip
NEW = replace(
    LTX_0_9_5_VAE, **{**SMALL, "decoder_layers_per_block": (1, 2, 1, 1)}, block_out_channels=(6, 8, 16, 16, 32),
    decoder_block_out_channels=(8, 16, 32),
)  # fmt: skip
# two levels, one of which steps down: 2x6x6
FEW: dict[str, Any] = {
    "patch_size": 3, "spatio_temporal_scaling": (False, True), "decoder_spatio_temporal_scaling": (True, False),
    "in_channels": 2, "out_channels": 4, "down_block_types": ("LTXVideoDownBlock3D",) * 2,
    "layers_per_block": (2, 1, 1), "decoder_layers_per_block": (1, 1, 2), "decoder_inject_noise": (False, True, True),
    "downsample_type": ("conv", "conv"), "upsample_residual": (False, True), "upsample_factor": (1, 1),
}  # fmt: skip

# name -> (config, batch, frames, height, width)
CASES: dict[str, tuple[LtxAutoencoderConfig, int, int, int, int]] = {
    "0.9": (OLD, 1, 9, 32, 64),
    "0.9, one frame, batch 2": (OLD, 2, 1, 64, 32),
    "0.9, long, batch 2": (OLD, 2, 41, 32, 32),
    "0.9, causal decoder": (replace(OLD, decoder_causal=True, scaling_factor=0.7), 1, 17, 32, 32),
    "0.9, 2x6x6": (
        replace(OLD, **FEW, block_out_channels=(6, 10), decoder_block_out_channels=(16, 8), resnet_norm_eps=1e-3),
        1, 7, 12, 18,
    ),
    "0.9.1": (NOISY, 2, 17, 32, 64),
    "0.9.1, one frame": (NOISY, 1, 1, 96, 128),
    "0.9.1, causal decoder": (replace(NOISY, decoder_causal=True), 1, 9, 64, 32),
    "0.9.5": (NEW, 1, 17, 64, 32),
    "0.9.5, long, batch 2": (NEW, 2, 33, 32, 32),
    "0.9.5, other steps": (
        replace(NEW, downsample_type=("temporal", "conv", "spatial", "spatiotemporal"),
                block_out_channels=(6, 6, 6, 8, 16), upsample_residual=(True, False, True)),
        1, 9, 64, 32,
    ),
}  # fmt: skip


def reference(config: LtxAutoencoderConfig) -> Any:
    settings: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return AutoencoderKLLTXVideo(**settings).eval().requires_grad_(False)


def randomise(model: torch.nn.Module) -> None:
    """Every parameter of a size at which it matters, and statistics."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("timestep_scale_multiplier"):
                parameter.fill_(900.0)
                continue
            values = torch.randn(parameter.shape, generator=generator)
            is_matrix = name.endswith("weight") and parameter.ndim > 1
            scale = parameter[0].numel() ** -0.5 if is_matrix else 0.3
            parameter.copy_(scale * values + (name.endswith("norm3.weight")))
        for name, buffer in model.named_buffers():
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + name.endswith("std"))


def small(config: LtxAutoencoderConfig) -> LtxAutoencoder:
    model = LtxAutoencoder(config).eval().requires_grad_(False)
    randomise(model)
    return model


def pair(config: LtxAutoencoderConfig) -> tuple[Any, LtxAutoencoder]:
    """Both networks with the same random weights."""
    theirs, ours = reference(config), LtxAutoencoder(config).eval().requires_grad_(False)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def pixels(case: str) -> Tensor:
    config, batch, frames, height, width = CASES[case]
    size = (batch, config.in_channels, frames, height, width)
    return torch.rand(size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def latents_of(case: str) -> Tensor:
    config, batch, *_ = CASES[case]
    frames, height, width = CASES[case][2:]
    time, space = config.compression.time, config.compression.space
    size = (batch, config.latent_channels, 1 + (frames - 1) // time, height // space, width // space)
    return normal_like(torch.empty(size))


def told(case: str) -> dict[str, Any]:
    """A level for every sample, where the network is told one; and noise's generator."""
    config, batch, *_ = CASES[case]
    level = torch.tensor([0.05, 0.4])[:batch] if config.timestep_conditioning else None
    return {"level": level, "generator": torch.Generator().manual_seed(3)}


def decoded_by(theirs: Any, latents: Tensor, case: str) -> Tensor:
    # the reference takes noise from the global generator
    torch.manual_seed(3)
    return theirs.decode(latents, told(case)["level"]).sample


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_and_sizes_are_the_published_ones(name: str):
    config, num_parameters = PUBLISHED[name]
    published = expanded(json.loads(KEYS.read_text())[name])
    with torch.device("meta"):
        ours, theirs = LtxAutoencoder(config), reference(config)
    assert shapes(ours) == published == shapes(theirs)
    assert sum(p.numel() for p in ours.parameters()) == num_parameters
    assert config.compression == Compression(time=8, space=32, channels=128)
    assert (theirs.temporal_compression_ratio, theirs.spatial_compression_ratio) == (8, 32)


@pytest.mark.parametrize("case", CASES)
def test_encode_and_decode_equal_the_reference(case: str):
    theirs, ours = pair(CASES[case][0])
    video, latents = pixels(case), latents_of(case)
    mean, logvar = ours.encode(video)
    expected = theirs.encode(video).latent_dist
    assert mean.shape == latents.shape
    assert mean.std() > 0.2
    assert_same(mean, expected.mean, 1e-4)
    assert_same(logvar, expected.logvar, 1e-4)
    decoded = ours.decode(latents, **told(case))
    assert decoded.std() > 0.1
    assert decoded.is_contiguous()
    assert_same(decoded, decoded_by(theirs, latents, case), 1e-4)


@pytest.mark.parametrize("case", ["0.9", "0.9.1", "0.9.5"])
def test_bf16_is_as_good_as_the_reference(case: str):
    theirs, ours = pair(CASES[case][0])
    video, latents = pixels(case), latents_of(case)
    mean, decoded = ours.encode(video)[0], ours.decode(latents, level=told(case)["level"])
    theirs.bfloat16()
    ours.bfloat16()
    half = latents.bfloat16()
    for block in theirs.decoder.modules():  # its noise is drawn in the dtype of the network
        if getattr(block, "per_channel_scale1", None) is not None:
            block.per_channel_scale1 = block.per_channel_scale2 = None
    level = told(case)["level"]
    for exact, actual, expected in (
        (mean, ours.encode(video.bfloat16())[0], theirs.encode(video.bfloat16()).latent_dist.mean),
        (decoded, ours.decode(half, level=level), theirs.decode(half, level).sample),
    ):
        assert actual.dtype == torch.bfloat16
        errors = [(x.float() - exact).pow(2).mean().sqrt() for x in (actual, expected)]
        assert 0 < errors[0] < 1.2 * errors[1]


@pytest.mark.parametrize("case", ["0.9, long, batch 2", "0.9.1", "0.9.5, long, batch 2"])
def test_a_sample_does_not_depend_on_its_batch(case: str):
    model, video, latents, given = small(CASES[case][0]), pixels(case), latents_of(case), told(case)
    mean, logvar = model.encode(video)
    decoded = model.decode(latents, **given)
    for i in range(len(video)):
        one = slice(i, i + 1)
        level = None if given["level"] is None else given["level"][one]
        alone, alone_logvar = model.encode(video[one])
        assert_same(alone, mean[one])
        assert_same(alone_logvar, logvar[one])
        assert_same(model.decode(latents[one], **{**told(case), "level": level}), decoded[one])


@pytest.mark.parametrize("case", CASES)
def test_streams_give_what_the_whole_does(case: str):
    model, video, latents = small(CASES[case][0]), pixels(case), latents_of(case)
    whole = model.decode(latents, **told(case))
    splits = [latents.split(1, dim=2), latents.split(2, dim=2), [latents]]
    for chunks in splits:
        streamed = list(model.decode_stream(iter(chunks), **told(case)))
        assert all(chunk.shape[2] for chunk in streamed)
        assert_same(torch.cat(streamed, dim=2), whole)
    assert_same(torch.cat(list(model.decode_stream(latents, **told(case))), dim=2), whole)
    time, frames = model.config.compression.time, video.shape[2]
    mean, logvar = model.encode(video)
    encoded = list(model.encode_stream(video.split([1] + [time] * ((frames - 1) // time), dim=2)))
    assert_same(torch.cat([m for m, _ in encoded], dim=2), mean)
    assert_same(torch.cat([v for _, v in encoded], dim=2), logvar)


def test_a_stream_reads_ahead_no_further_than_it_must_and_never_holds_the_clip(monkeypatch: pytest.MonkeyPatch):
    model = small(NEW)
    seen: list[int] = []
    forward = torch.nn.Conv3d.forward
    monkeypatch.setattr(torch.nn.Conv3d, "forward", lambda self, x: seen.append(x.shape[2]) or forward(self, x))
    num_read = 0

    def chunks() -> Iterator[Tensor]:
        nonlocal num_read
        for chunk in normal_like(torch.empty(1, 5, 40, 1, 1)).split(1, dim=2):
            num_read += 1
            yield chunk

    stream = model.decode_stream(chunks())
    first = next(stream)
    assert num_read < 20, "convolutions look ahead, but not through the whole clip"
    frames = first.shape[2] + sum(chunk.shape[2] for chunk in stream)
    assert (frames, num_read) == (1 + 8 * 39, 40)
    assert max(seen) <= 8 + 2, "a latent frame's frames and those beside it"


def test_what_is_not_seen_does_not_matter():
    """The encoder looks at no later frame; the decoder does."""
    model, video, latents = small(OLD), pixels("0.9, long, batch 2"), latents_of("0.9, long, batch 2")
    changed = torch.cat([video[:, :, :17], -video[:, :, 17:]], dim=2)
    assert torch.equal(model.encode(changed)[0][:, :, :3], model.encode(video)[0][:, :, :3])
    other = torch.cat([latents[:, :, :3], -latents[:, :, 3:]], dim=2)
    difference = (model.decode(other) - model.decode(latents)).abs().amax((0, 1, 3, 4))
    assert difference[0] > 1e-3


def test_level_and_noise_are_heard_where_there_are_any():
    latents = latents_of("0.9.1")[:1]
    model = small(NOISY)
    plain = model.decode(latents)
    assert torch.equal(plain, model.decode(latents, level=torch.zeros(1)))
    assert (model.decode(latents, level=torch.ones(1) * 0.3) - plain).abs().max() > 0.01
    noisy = [model.decode(latents, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    for other in (plain, noisy[2]):
        assert (noisy[0] - other).abs().max() > 0.01
    still = small(OLD)
    assert torch.equal(
        still.decode(latents, level=torch.ones(1), generator=torch.Generator().manual_seed(1)), still.decode(latents)
    )


def test_normalised_latents_are_the_reference_s():
    model, latents = small(replace(OLD, scaling_factor=0.4)), latents_of("0.9")
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (model.latents_mean, model.latents_std))
    torch.testing.assert_close(model.normalise(latents), (latents - mean) * 0.4 / std)
    torch.testing.assert_close(model.denormalise(model.normalise(latents)), latents)


def test_a_convolution_in_chunks_sees_the_borders_of_the_clip_alone():
    for is_causal in (True, False):
        conv = Conv(2, 3, is_causal=is_causal).requires_grad_(False)
        x = normal_like(torch.empty(1, 2, 5, 4, 4))
        whole = conv(x)
        assert whole.shape[2] == 5
        for sizes in ([1, 1, 1, 1, 1], [2, 3], [1, 4], [5]):
            assert_same(torch.cat(list(conv.through(x.split(sizes, dim=2))), dim=2), whole)


def test_initial_weights_depend_on_the_generator_alone_and_reach_every_tensor():
    states = []
    for seed in (3, 3, 4):
        model = LtxAutoencoder(NOISY)
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
        model.init_weights(torch.Generator().manual_seed(seed))
        states.append(model.state_dict())
    assert all(value.isfinite().all() for value in states[0].values())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["encoder.conv_in.conv.weight"], states[2]["encoder.conv_in.conv.weight"])


def test_what_does_not_fit_is_refused():
    model = small(OLD)
    for video, message in (
        (torch.zeros(1, 3, 7, 32, 32), "frames: 7: .*nearest: 9 or 1"),
        (torch.zeros(1, 3, 9, 33, 32), "height_px: 33: .*nearest: 32 or 64"),
        (torch.zeros(1, 4, 9, 32, 32), r"video: .*must have 3 channels"),
    ):
        with pytest.raises(InvalidInput, match=message):
            model.encode(video)
    for latents in (torch.zeros(1, 4, 2, 1, 1), torch.zeros(1, 5, 0, 1, 1)):
        with pytest.raises(InvalidInput, match="latents: .*must have 5 channels and at least one frame"):
            model.decode(latents)
        with pytest.raises(InvalidInput, match="latents: "):
            list(model.decode_stream([latents]))


@pytest.mark.parametrize(
    "base, change",
    [
        (LTX_0_9_VAE, {"patch_size_t": 2}), (LTX_0_9_VAE, {"patch_size": 0}), (LTX_0_9_VAE, {"scaling_factor": 0.0}),
        (LTX_0_9_VAE, {"block_out_channels": ()}), (LTX_0_9_VAE, {"layers_per_block": (1, 1)}),
        (LTX_0_9_VAE, {"down_block_types": ("A", "A")}), (LTX_0_9_VAE, {"timestep_conditioning": True}),
        (LTX_0_9_VAE, {"spatial_compression_ratio": 16}), (LTX_0_9_VAE, {"temporal_compression_ratio": 4}),
        (LTX_0_9_VAE, {"decoder_spatio_temporal_scaling": (True, True, False, False)}),
        (LTX_0_9_VAE, {"decoder_inject_noise": (True,) * 5}),
        (LTX_0_9_VAE, {"upsample_factor": (2, 1, 1, 1)}), (LTX_0_9_1_VAE, {"upsample_factor": (0, 2, 2)}),
        (LTX_0_9_1_VAE, {"decoder_block_out_channels": (256, 500, 1024)}), (LTX_0_9_5_VAE, {"downsample_type": ("x",) * 4}),
        (LTX_0_9_5_VAE, {"block_out_channels": (128, 250, 512, 1024, 2048)}),
        (LTX_0_9_5_VAE, {"downsample_type": ("spatial",) * 4}),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_named(base: LtxAutoencoderConfig, change: dict[str, Any]):
    with pytest.raises(InvalidInput):
        replace(base, **change)
