"""Layers without gradients against the plain ones, whole and in chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.autoencoders import lean
from kinema.models.autoencoders.blocks import RepeatUpsample, StridedDownsample
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.lean import FoldedUpsample, Moments, convolve, normed
from kinema.models.layers.causal_conv import CausalConv3d, Stream
from tests.models.autoencoders.published import largest_error

CONFIG = VideoAutoencoderConfig(block_out_channels=(6, 6, 6, 6), norm_num_groups=3)
# how 7 frames may come
CHUNKS = [[7], [1, 6], [1, 2, 4], [5, 2], [3, 1, 1, 2]]


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def video(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def in_chunks(layer, x: Tensor, sizes: list[int]) -> Tensor:
    stream, results = Stream(), []
    for chunk in x.split(sizes, dim=2):
        results.append(layer(chunk, stream))
        stream.end_chunk()
    return torch.cat(results, dim=2)


@pytest.mark.parametrize("sizes", CHUNKS)
@pytest.mark.parametrize("factor", [(1, 2), (2, 2), (2, 1)])
def test_a_folded_upsample_is_the_plain_one(factor: tuple[int, int], sizes: list[int]):
    torch.manual_seed(1)
    plain = RepeatUpsample(CONFIG, 6, factor)
    assert isinstance(plain.conv, CausalConv3d)
    x = video(2, 6, 7, 3, 5)
    assert largest_error(in_chunks(FoldedUpsample(plain.conv, factor), x, sizes), plain(x)) < 2e-6


@pytest.mark.parametrize("sizes", CHUNKS)
def test_a_convolution_is_norm_silu_and_the_plain_one(sizes: list[int]):
    torch.manual_seed(1)
    conv, norm = CausalConv3d(6, 4), nn.GroupNorm(3, 6, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = video(2, 6, 7, 3, 5) * 3 + 1
    moments = Moments()
    for chunk in x.split(sizes, dim=2):
        moments.add(chunk)
    affine = moments.affine(norm)
    result = in_chunks(lambda chunk, stream: convolve(conv, chunk, stream, affine), x, sizes)
    assert largest_error(result, conv(F.silu(norm(x)))) < 2e-6
    assert largest_error(normed(x, affine), norm(x)) < 2e-6


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2)])
@pytest.mark.parametrize("sizes", [[7], [1, 6], [1, 2, 4], [5, 2]])
def test_a_strided_convolution_is_the_plain_one(stride: tuple[int, int, int], sizes: list[int]):
    torch.manual_seed(1)
    plain = StridedDownsample(6, stride[:2])
    x = video(2, 6, 7, 4, 6)
    assert largest_error(in_chunks(lambda c, s: convolve(plain.conv, c, s), x, sizes), plain(x)) < 2e-6


def test_a_convolution_of_one_tap_is_the_plain_one():
    torch.manual_seed(1)
    conv = CausalConv3d(6, 4, kernel_size=1)
    x = video(2, 6, 7, 3, 5)
    assert largest_error(in_chunks(lambda c, s: convolve(conv, c, s), x, [1, 6]), conv(x)) < 2e-6


@pytest.mark.parametrize("block", [1, 100, 2**18])
def test_statistics_don_t_depend_on_blocks(monkeypatch: pytest.MonkeyPatch, block: int):
    # A frame of 5 rows fills several blocks, or several frames one.
    monkeypatch.setattr(lean, "_CPU_BLOCK", block)
    norm, x = nn.GroupNorm(3, 6, eps=1e-6), video(2, 6, 7, 5, 3)
    moments = Moments()
    moments.add(x)
    affine = moments.affine(norm)
    assert largest_error(normed(x, affine), norm(x)) < 2e-6
    conv = CausalConv3d(6, 4)
    assert largest_error(convolve(conv, x, Stream(), affine), conv(F.silu(norm(x)))) < 2e-6


def test_a_mean_far_from_zero_keeps_its_variance():
    norm, x = nn.GroupNorm(3, 6, eps=1e-6), video(1, 6, 7, 11, 13) + 30
    moments = Moments()
    for chunk in x.split([1, 4, 2], dim=2):
        moments.add(chunk)
    exact = F.group_norm(x.double(), 3, eps=1e-6)
    assert largest_error(normed(x, moments.affine(norm)), exact) < 1e-4


def test_a_picture_in_bf16_rounds_no_more_than_the_plain_layer():
    torch.manual_seed(1)
    conv = CausalConv3d(16, 16).bfloat16()
    x = video(1, 16, 1, 7, 11).bfloat16()
    lean_frame, plain_frame = convolve(conv, x, Stream()).float(), conv(x).float()
    exact = conv.float()(x.float())
    assert (lean_frame - exact).norm() < 1.05 * (plain_frame - exact).norm()


def test_a_chunk_leaves_what_came_in_as_it_was():
    conv, x = CausalConv3d(6, 6), video(1, 6, 3, 3, 5)
    before, stream = x.clone(), Stream()
    moments = Moments()
    moments.add(x)
    convolve(conv, x, stream, moments.affine(nn.GroupNorm(3, 6)))
    assert torch.equal(x, before)
    # A view would hold the whole chunk.
    assert stream.past[conv].untyped_storage().nbytes() == 2 * 6 * 5 * 7 * 4
