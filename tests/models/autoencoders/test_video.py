from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.blocks import PixelRmsNorm
from kinema.models.autoencoders.config import HUNYUAN_VIDEO_VAE, MINI_VAE, VideoAutoencoderConfig
from kinema.models.autoencoders.gaussian import sample_latents
from kinema.models.autoencoders.video import VideoAutoencoder

# Light enough for seconds, different in every option. "published" is HunyuanVideo's layout at a tenth of its width.
PUBLISHED = VideoAutoencoderConfig(block_out_channels=(6, 9, 12, 12), norm_num_groups=3, layers_per_block=1)
SMALL = VideoAutoencoderConfig(
    latent_channels=7,
    block_out_channels=(6, 8, 16),
    layers_per_block=(1, 2, 0),
    decoder_block_out_channels=(8, 16, 32),
    decoder_layers_per_block=(1, 1, 0),
    patch_px=2,
    norm="rms",
    conv="factorised",
    temporal_convs=1,
    resample="shuffle",
    mid_layers=1,
    mid_attention=False,
)
CONFIGS = {
    "mini": MINI_VAE,
    "small": SMALL,
    "linear-ends": replace(SMALL, norm_out=False),
    "published": PUBLISHED,
    "published-rms": replace(PUBLISHED, norm="rms"),
    "attentive": replace(SMALL, mid_layers=3, mid_attention=True, temporal_convs=2),
    "factorised-strided": replace(PUBLISHED, norm="rms", conv="factorised", layers_per_block=(1, 1, 1, 0)),
    "8x8x8": replace(SMALL, time_compression=8, patch_px=1, block_out_channels=(4, 4, 8, 8), layers_per_block=1,
                     decoder_block_out_channels=None, decoder_layers_per_block=None),
    "4x16x16": replace(SMALL, space_compression=16, block_out_channels=(4, 4, 8, 8), layers_per_block=1,
                       decoder_block_out_channels=None, decoder_layers_per_block=None),
    "2x8x8": replace(SMALL, time_compression=2),
    "1x4x4": replace(PUBLISHED, norm="rms", time_compression=1, space_compression=4),
}  # fmt: skip
STREAMING = [name for name, config in CONFIGS.items() if config.can_stream]


def build(config: VideoAutoencoderConfig, seed: int = 0) -> VideoAutoencoder:
    model = VideoAutoencoder(config).eval().requires_grad_(False)
    model.init_weights(torch.Generator().manual_seed(seed))
    # Norm weights of one and time kernels near the identity would hide swapped or unused tensors.
    generator = torch.Generator().manual_seed(seed + 1)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def pixels(config: VideoAutoencoderConfig, *, batch: int = 1, groups: int = 2, seed: int = 3) -> Tensor:
    shape = (batch, 3, 1 + groups * config.time_compression, 3 * config.space_compression, 5 * config.space_compression)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal but for fp32 rounding, which follows the kernel that a size selects."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("groups", [0, 2])
def test_shapes_follow_the_compression(name: str, groups: int):
    model = build(CONFIGS[name])
    video = pixels(model.config, batch=2, groups=groups)
    mean, logvar = model.encode(video)
    assert mean.shape == logvar.shape == (2, model.config.latent_channels, 1 + groups, 3, 5)
    reconstruction = model.decode(mean)
    assert reconstruction.shape == video.shape
    assert reconstruction.is_contiguous()
    for tensor in (mean, logvar, reconstruction):
        assert tensor.isfinite().all()
        assert tensor.std() > 1e-3


@pytest.mark.parametrize("name", STREAMING)  # a norm over all frames sees the later ones
def test_latents_never_see_a_later_frame(name: str):
    model = build(CONFIGS[name])
    video = pixels(model.config)
    first_changed = 1 + model.config.time_compression
    changed = video.clone()
    changed[:, :, first_changed:] = changed[:, :, first_changed:].flip(-1)
    latents, latents_changed = model.encode(video)[0], model.encode(changed)[0]
    assert_same(latents_changed[:, :, :2], latents[:, :, :2])
    assert (latents_changed[:, :, 2] - latents[:, :, 2]).abs().max() > 1e-3

    changed = latents.clone()
    changed[:, :, 2] = changed[:, :, 2].flip(-1)
    whole, whole_changed = model.decode(latents), model.decode(changed)
    assert_same(whole_changed[:, :, :first_changed], whole[:, :, :first_changed])
    assert (whole_changed[:, :, first_changed:] - whole[:, :, first_changed:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", CONFIGS)
def test_every_frame_of_a_latent_is_seen(name: str):
    # What the encoder never reads can't be reconstructed: each pixel frame must move its own latent frame.
    model = build(CONFIGS[name])
    video = pixels(model.config, groups=1)
    latents = model.encode(video)[0]
    for frame in range(video.shape[2]):
        changed = video.clone()
        changed[:, :, frame] = changed[:, :, frame].flip(-1)
        latent_frame = model.config.compression.latent_frame_of(frame)
        assert (model.encode(changed)[0] - latents)[:, :, latent_frame].abs().max() > 1e-3, frame


@pytest.mark.parametrize("name", CONFIGS)
def test_a_sample_does_not_depend_on_its_batch(name: str):
    model = build(CONFIGS[name])
    video = pixels(model.config, batch=3)
    mean, logvar = model.encode(video)
    decoded = model.decode(mean)
    for i in range(3):
        alone, alone_logvar = model.encode(video[i : i + 1])
        assert_same(alone, mean[i : i + 1])
        assert_same(alone_logvar, logvar[i : i + 1])
        assert_same(model.decode(mean[i : i + 1]), decoded[i : i + 1])


@pytest.mark.parametrize("name", STREAMING)
def test_streamed_decode_equals_whole(name: str):
    model = build(CONFIGS[name])
    latents = model.encode(pixels(model.config, batch=2, groups=4))[0]
    whole = model.decode(latents)
    chunks = list(model.decode_stream(latents))
    assert [chunk.shape[2] for chunk in chunks] == [1] + [model.config.time_compression] * 4
    assert_same(torch.cat(chunks, dim=2), whole)
    uneven = list(model.decode_stream(latents.split([2, 3], dim=2)))
    assert_same(torch.cat(uneven, dim=2), whole)


def test_a_streamed_decode_stays_channels_last():
    # where frames are joined in time it was lost once, and speed with it
    model = VideoAutoencoder(replace(MINI_VAE, block_out_channels=(8, 16, 32), decoder_block_out_channels=(8, 16, 32)))
    model.init_weights(torch.Generator().manual_seed(0))
    inside: list[bool] = []

    def look(_: object, inputs: tuple[Tensor, ...]) -> None:
        inside.append(inputs[0].movedim(1, -1).is_contiguous())

    for norm in (m for m in model.decoder.modules() if isinstance(m, PixelRmsNorm)):
        norm.register_forward_pre_hook(look)
    with torch.inference_mode():
        list(model.decode_stream(torch.randn(1, 16, 3, 4, 6)))
    assert len(inside) == 3 * (2 * (3 + 3 + 4 + 0) + 1)
    # but for the clip's first frame where a level's upsampling leaves it out of a group
    assert all(inside)


@pytest.mark.parametrize("name", STREAMING)
def test_streamed_encode_equals_whole(name: str):
    model = build(CONFIGS[name])
    time = model.config.time_compression
    video = pixels(model.config, batch=2, groups=4)
    mean, logvar = model.encode(video)
    for sizes in ([1, time, time, time, time], [1 + time, 2 * time, time]):
        chunks = list(model.encode_stream(video.split(sizes, dim=2)))
        assert_same(torch.cat([m for m, _ in chunks], dim=2), mean)
        assert_same(torch.cat([v for _, v in chunks], dim=2), logvar)


def test_streams_don_t_touch_each_other():
    model = build(SMALL)
    one, two = (model.encode(pixels(SMALL, seed=seed))[0] for seed in (3, 4))
    interleaved = list(zip(model.decode_stream(one), model.decode_stream(two), strict=True))
    for i, latents in enumerate((one, two)):
        alone = list(model.decode_stream(latents))
        assert all(torch.equal(a, pair[i]) for a, pair in zip(alone, interleaved, strict=True))


def test_a_streamed_decode_holds_no_more_memory_for_a_longer_clip():
    from kinema.models.layers.causal_conv import Stream

    model = build(SMALL)
    latents = torch.randn(1, 7, 6, 3, 5, generator=torch.Generator().manual_seed(5))
    stream, sizes = Stream(), []
    for chunk in latents.split(1, dim=2):
        model._decode(chunk, stream)
        stream.end_chunk()
        sizes.append(sum(past.untyped_storage().nbytes() for past in stream.past.values()))
    assert sizes[0] > 0
    assert len(set(sizes)) == 1


def test_a_norm_over_time_refuses_to_encode_a_stream():
    model = build(PUBLISHED)
    with pytest.raises(InvalidInput, match=r"norm: 'group': .*rms"):
        model.encode_stream([torch.zeros(1, 3, 1, 24, 40)])


def test_sizes_off_the_grid_are_refused_with_the_nearest():
    model = build(SMALL)
    with pytest.raises(InvalidInput, match="frames: 7: .*nearest: 5 or 9"):
        model.encode(torch.zeros(1, 3, 7, 24, 40))
    with pytest.raises(InvalidInput, match="height_px: 25: .*nearest: 24 or 32"):
        model.encode(torch.zeros(1, 3, 5, 25, 40))
    with pytest.raises(InvalidInput, match="width_px: 39: .*nearest: 40 or 32"):
        model.encode(torch.zeros(1, 3, 5, 24, 39))
    with pytest.raises(InvalidInput, match=r"video: \(1, 4, 5, 24, 40\): must have 3 channels"):
        model.encode(torch.zeros(1, 4, 5, 24, 40))
    with pytest.raises(InvalidInput, match=r"latents: \(1, 8, 2, 3, 5\): must have 7 channels"):
        model.decode(torch.zeros(1, 8, 2, 3, 5))
    with pytest.raises(InvalidInput, match="frames: 3: .*multiple of 4"):
        list(model.encode_stream(torch.zeros(1, 3, 4, 24, 40).split([1, 3], dim=2)))


def test_one_seed_gives_one_set_of_weights():
    def weights(seed: int) -> dict[str, Tensor]:
        model = VideoAutoencoder(SMALL)
        model.init_weights(torch.Generator().manual_seed(seed))
        return model.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    random = [name for name, value in first.items() if value.ndim > 1]
    assert not any(torch.equal(first[name], other[name]) for name in random)


@pytest.mark.parametrize("name", CONFIGS)
def test_init_weights_reaches_every_tensor(name: str):
    with torch.device("meta"):
        model = VideoAutoencoder(CONFIGS[name])
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.fill_(torch.nan)
    model.init_weights(torch.Generator().manual_seed(0))
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_training_starts_with_little_noise_in_the_latents():
    model = VideoAutoencoder(MINI_VAE).requires_grad_(False)
    model.init_weights(torch.Generator().manual_seed(0))
    mean, logvar = model.encode(pixels(MINI_VAE))
    assert torch.exp(0.5 * logvar).mean() < mean.std() / 2


def test_normalised_latents_are_standard():
    latents = torch.randn(2, 3, 5, 7, 11, generator=torch.Generator().manual_seed(1))
    mean, std = (0.5, -2.0, 3.0), (0.25, 1.0, 4.0)
    shifted = latents * torch.tensor(std).view(-1, 1, 1, 1) + torch.tensor(mean).view(-1, 1, 1, 1)
    model = VideoAutoencoder(replace(SMALL, latent_channels=3, latent_mean=mean, latent_std=std))
    assert_same(model.normalise(shifted), latents)
    torch.testing.assert_close(model.denormalise(latents), shifted)

    scaled = VideoAutoencoder(replace(SMALL, latent_channels=3, scaling_factor=0.476986))
    torch.testing.assert_close(scaled.normalise(latents), latents * 0.476986)
    torch.testing.assert_close(scaled.denormalise(scaled.normalise(latents)), latents)


def test_sampled_latents_have_the_stated_spread():
    mean = torch.full((1, 2, 3, 5, 7), 4.0)
    logvar = torch.full_like(mean, 2 * torch.log(torch.tensor(3.0)).item())
    noise = torch.ones_like(mean)
    torch.testing.assert_close(sample_latents(mean, logvar, noise), mean + 3)


def test_training_reaches_every_parameter():
    model = VideoAutoencoder(SMALL)
    model.init_weights(torch.Generator().manual_seed(0))
    video = pixels(SMALL)
    noise = torch.randn(1, 7, 3, 3, 5, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        reconstruction, mean, logvar = model(video, noise)
    loss = (reconstruction.float() - video).square().mean() + 1e-3 * (mean.square() + logvar.exp()).float().mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_shipped_sizes_stay_what_they_are():
    with torch.device("meta"):
        mini, published = VideoAutoencoder(MINI_VAE), VideoAutoencoder(HUNYUAN_VIDEO_VAE)
    assert 5_500_000 <= sum(p.numel() for p in mini.parameters()) <= 6_500_000
    assert sum(p.numel() for p in published.parameters()) == 246_478_803
    assert len(published.state_dict()) == 248
