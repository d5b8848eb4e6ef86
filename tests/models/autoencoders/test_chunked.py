"""The published autoencoder over chunks of frames: exact, in how much memory, and how near without exactness."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kinema.accel.shelf import FileShelf
from kinema.core.errors import InvalidInput
from kinema.models.autoencoders import chunked, lean
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.layers.causal_conv import Stream
from tests.models.autoencoders.published import largest_error, latents_and_video, pair

OPTIONS = {"block_out_channels": (6, 9, 12, 15), "norm_num_groups": 3, "layers_per_block": 1}


@pytest.fixture(scope="module")
def ours() -> VideoAutoencoder:
    return pair(OPTIONS)[1]


@pytest.fixture(params=[1, 500, 2**22])
def values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every part a frame, parts of other sizes at every level, no parts at all."""
    monkeypatch.setattr(chunked, "_CPU_VALUES", request.param)
    return request.param


@pytest.mark.parametrize("shape", [(1, 4, 2, 3), (2, 1, 3, 2)])
def test_chunks_are_the_whole_wherever_they_wait(ours: VideoAutoencoder, values: int, shape: tuple[int, int, int, int]):
    latents, video = latents_and_video(ours, *shape)
    whole = ours.decode(latents)
    decoded = []
    for memory_bytes in (torch.inf, 6 * latents.numel() * 4, 0):
        chunks = list(ours.decode_stream(latents, make_shelf=partial(FileShelf, memory_bytes)))
        decoded.append(torch.cat(chunks, dim=2))
        assert (len(chunks) > 1) == (shape[1] > 1 and values < 2**22)
    assert largest_error(decoded[0], whole) < 2e-5
    assert all(torch.equal(other, decoded[0]) for other in decoded[1:])
    mean, logvar = ours.encode(video)
    with torch.no_grad():
        chunked_mean, chunked_logvar = ours.encode(video)
    assert largest_error(chunked_mean, mean) < 2e-5
    assert largest_error(chunked_logvar, logvar) < 2e-5


def test_gradients_decide_and_don_t_change_what_is_decoded(ours: VideoAutoencoder, monkeypatch: pytest.MonkeyPatch):
    latents, video = latents_and_video(ours, 1, 2, 2, 3)
    latents.requires_grad_()
    decoded = ours.decode(latents)
    assert torch.autograd.grad(decoded.square().sum(), latents)[0].abs().max() > 0
    monkeypatch.setattr(ours.decoder, "forward", None)
    monkeypatch.setattr(ours.encoder, "forward", None)
    with torch.no_grad():
        assert largest_error(ours.decode(latents), decoded.detach()) < 2e-5
        assert not ours.encode(video)[0].requires_grad


def peak_bytes(work: Callable[[], object], folder: Path) -> int:
    """The most that ``work`` holds at a time beyond what was there."""
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        work()
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    moves = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    held = most = 0
    for _, moved in moves:
        held += moved
        most = max(most, held)
    return most


def exhaust(chunks) -> None:
    for _ in chunks:
        pass


@pytest.fixture(autouse=True)
def _in_proportion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Where memory is measured, parts are as small beside these clips as they are beside those of the published size."""
    if "tmp_path" in request.fixturenames:
        monkeypatch.setattr(chunked, "_CPU_VALUES", 2**14)
        monkeypatch.setattr(lean, "_CPU_BLOCK", 2**12)


def test_exact_frames_in_less_than_half_the_reference_s_memory(tmp_path: Path):
    # In bf16: small convolutions in fp32 run by a kernel that unfolds them.
    theirs, ours = pair({"block_out_channels": (8, 16, 32, 32), "norm_num_groups": 4})
    theirs.bfloat16()
    ours.bfloat16()
    latents, video = (value.bfloat16() for value in latents_and_video(ours, 1, 5, 4, 4))
    reference = peak_bytes(lambda: theirs.decode(latents), tmp_path)
    unit = 8 * 17 * 32 * 32 * 2
    assert unit < peak_bytes(lambda: ours.decode(latents), tmp_path) < 0.35 * reference
    assert peak_bytes(lambda: ours.encode(video), tmp_path) < 0.5 * peak_bytes(lambda: theirs.encode(video), tmp_path)


def test_memory_that_doesn_t_grow_with_the_clip(tmp_path: Path):
    config = VideoAutoencoderConfig(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=0)
    ours = VideoAutoencoder(config).bfloat16()

    def peak(frames: int, **options) -> int:
        latents = torch.randn(1, 16, frames, 4, 4).bfloat16()
        return peak_bytes(lambda: exhaust(ours.decode_stream(latents, **options)), tmp_path)

    assert peak(6) > 1.5 * peak(3)
    # left to grow: keys and values of the middle's attention
    assert peak(6, make_shelf=partial(FileShelf, 0)) < 1.1 * peak(3, make_shelf=partial(FileShelf, 0))
    assert peak(6, exact=False) < 1.1 * peak(3, exact=False)


def test_folded_weights_save_work(ours: VideoAutoencoder):
    latents, _ = latents_and_video(ours, 1, 3, 2, 3)
    with FlopCounterMode(display=False) as plain:
        ours.decode(latents)
    with FlopCounterMode(display=False) as lean_work, torch.no_grad():
        ours.decode(latents)
    assert lean_work.get_total_flops() < 0.85 * plain.get_total_flops()


class TestStatisticsOfTheChunksSoFar:
    def test_the_first_chunk_is_exact_and_the_rest_is_near(self, ours: VideoAutoencoder):
        latents, _ = latents_and_video(ours, 1, 12, 3, 4)
        chunks = list(ours.decode_stream(latents.split([3] * 4, dim=2), exact=False))
        assert [chunk.shape[2] for chunk in chunks] == [9, 12, 12, 12]
        assert largest_error(chunks[0], ours.decode(latents[:, :, :3])) < 2e-5
        assert 25 < psnr(torch.cat(chunks, dim=2), ours.decode(latents)) < 60

    def test_a_norm_takes_all_chunks_so_far(self):
        norm, x = nn.GroupNorm(3, 6, eps=1e-6), torch.randn(1, 6, 9, 3, 5) * torch.arange(1.0, 10.0).view(9, 1, 1)

        def run(state: chunked.State, affine: lean.Affine | None, _: Stream) -> chunked.State:
            assert affine is not None
            return lean.normed(state[0], affine), None

        step, end = chunked.Step(work=1, run=run, norm=norm), 0
        for result in chunked.run_at_once([step], x.split([1, 5, 3], dim=2)):
            start, end = end, end + result.shape[2]
            assert largest_error(result, norm(x[:, :, :end])[:, :, start:]) < 2e-6
        assert end == 9

    def test_frames_come_as_latents_come(self, ours: VideoAutoencoder):
        latents, _ = latents_and_video(ours, 1, 4, 2, 3)
        taken: list[int] = []

        def source():
            for i, chunk in enumerate(latents.split(1, dim=2)):
                taken.append(i)
                yield chunk

        chunks = ours.decode_stream(source(), exact=False)
        assert taken == []
        assert next(chunks).shape == (1, 3, 1, 16, 24)
        assert taken == [0]
        assert sum(chunk.shape[2] for chunk in chunks) == 12

    def test_it_sees_no_later_frame(self, ours: VideoAutoencoder):
        latents, _ = latents_and_video(ours, 1, 4, 2, 3)
        other = latents.clone()
        other[:, :, 2:] += 1
        frames, changed = (torch.cat(list(ours.decode_stream(z, exact=False)), dim=2) for z in (latents, other))
        assert torch.equal(frames[:, :, :5], changed[:, :, :5])
        assert largest_error(frames[:, :, 5:], changed[:, :, 5:]) > 1e-2


def psnr(actual: Tensor, exact: Tensor) -> float:
    peak = exact.max() - exact.min()
    return 10 * torch.log10(peak.square() / (actual - exact).square().mean()).item()


class TestBadInput:
    def test_exact_frames_need_the_whole_clip(self, ours: VideoAutoencoder):
        with pytest.raises(InvalidInput, match=r"latents: .*whole clip, or exact=False"):
            ours.decode_stream(torch.zeros(1, 16, 2, 3, 5).split(1, dim=2))

    def test_only_the_published_layout_is_cut_at_its_norms(self):
        config = VideoAutoencoderConfig(block_out_channels=(4, 4, 4, 4), norm_num_groups=2, conv="factorised")
        with pytest.raises(InvalidInput, match="norm: 'group': .*published layout"):
            VideoAutoencoder(config).decode_stream(torch.zeros(1, 16, 2, 3, 5))
        assert not replace(config, conv="full", norm_out=False).is_published

    def test_latents_of_other_channels_are_named(self, ours: VideoAutoencoder):
        for exact in (True, False):
            with pytest.raises(InvalidInput, match="must have 16 channels"):
                list(ours.decode_stream(torch.zeros(1, 5, 2, 3, 5), exact=exact))
