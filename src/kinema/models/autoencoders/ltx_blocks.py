"""Blocks of LTX-Video's autoencoder. Attribute names are those of published tensors.

Legend: b batch, c channels, t frames, h height, w width. Norms stay within a pixel, so only convolutions mix frames.
The decoder's see one frame ahead: each of its blocks has a way to run on chunks (``through``) that gives out what it can
and keeps what the next chunk needs, so that chunk after chunk gives what the whole does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from kinema.models.autoencoders.ltx_config import STEPS, Down, Up
from kinema.models.layers.causal_conv import Stream, Video, at_start, look_back
from kinema.models.layers.embeddings import LevelEmbedding

_EPS = 1e-8
# What a block is told: (b, vectors, c, 1, 1, 1) of the noise level, and noise (h, w) for either convolution.
Level = Float[Tensor, "b v c 1 1 1"] | None
Noises = tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]] | None


class Told(NamedTuple):
    """What the decoder's residual blocks are told besides the video: their noise level's embedding, and noise of their own."""

    level: Float[Tensor, "b v"] | None
    noises: Noises


def pixel_norm(x: Video) -> Video:
    """``x`` with root mean square 1 over the channels of every pixel."""
    return F.rms_norm(x.movedim(1, -1), x.shape[1:2], eps=_EPS).movedim(-1, 1)


class Conv(nn.Module):
    """A convolution over video that repeats border frames: causal ones the first, the others the first and the last."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, is_causal: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride, padding=(0, kernel // 2, kernel // 2))
        self.num_past = kernel - 1 if is_causal else kernel // 2
        self.num_ahead = kernel - 1 - self.num_past

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The convolved video. A ``stream`` goes with causal convolutions alone."""
        ahead = x[:, :, -1:].expand(-1, -1, self.num_ahead, -1, -1)
        x = look_back(self, x, self.num_past, stride=self.conv.stride[0], stream=stream)
        return self.conv(torch.cat([x, ahead], dim=2) if self.num_ahead else x)

    def through(self, chunks: Iterable[Video]) -> Iterator[Video]:
        """The same of a video in chunks, each as soon as the frames that it needs are there."""
        size = self.num_past + 1 + self.num_ahead
        held: Tensor | None = None
        for x in chunks:
            past = x[:, :, :1].expand(-1, -1, self.num_past, -1, -1) if held is None else held
            held = torch.cat([past, x], dim=2)
            del x, past
            if held.shape[2] >= size:
                ready = [self.conv(held)]
                # clone: a view would keep the whole chunk alive, as would a name for what is given out
                held = held[:, :, held.shape[2] - size + 1 :].clone()
                yield ready.pop()
        if self.num_ahead and held is not None:
            yield self.conv(torch.cat([held, held[:, :, -1:].expand(-1, -1, self.num_ahead, -1, -1)], dim=2))


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice, beside a shortcut; in a decoder perhaps modulated by the noise level and made noisy."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        eps: float,
        is_causal: bool = True,
        has_noise: bool = False,
        has_level: bool = False,
    ) -> None:
        super().__init__()
        self.has_noise = has_noise
        self.conv1 = Conv(in_channels, out_channels, is_causal=is_causal)
        self.conv2 = Conv(out_channels, out_channels, is_causal=is_causal)
        self.norm3 = self.conv_shortcut = None
        if in_channels != out_channels:
            self.norm3 = nn.LayerNorm(in_channels, eps=eps)
            self.conv_shortcut = Conv(in_channels, out_channels, kernel=1)
        if has_noise:
            self.per_channel_scale1, self.per_channel_scale2 = (
                nn.Parameter(torch.zeros(out_channels, 1, 1)) for _ in range(2)
            )
        self.scale_shift_table = nn.Parameter(torch.zeros(4, in_channels)) if has_level else None

    def forward(self, x: Video, told: Told = Told(None, None), stream: Stream | None = None) -> Video:  # noqa: B008
        """Same frames, height and width; ``out_channels`` channels."""
        y = self.conv1(self._before_first(x, told), stream)
        y = self.conv2(self._before_second(y, told), stream)
        return self._after(y, x, told)

    def through(self, chunks: Iterable[Video], told: Told) -> Iterator[Video]:
        """The same of a video in chunks."""
        skipped: deque[Video] = deque()
        # map and not a generator, which would hold on to its last chunk
        ys = self.conv1.through(map(partial(self._before_first, told=told), noting(chunks, skipped)))
        ys = self.conv2.through(map(partial(self._before_second, told=told), ys))
        for y, x in in_step(ys, skipped):
            yield self._after(y, x, told)

    def _before_first(self, x: Video, told: Told) -> Video:
        return F.silu(self._modulated(pixel_norm(x), told.level, 0))

    def _before_second(self, y: Video, told: Told) -> Video:
        if told.noises is not None and self.has_noise:
            y = y + (told.noises[0] * self.per_channel_scale1)[:, None]
        return F.silu(self._modulated(pixel_norm(y), told.level, 2))

    def _after(self, y: Video, x: Video, told: Told) -> Video:
        if told.noises is not None and self.has_noise:
            y = y + (told.noises[1] * self.per_channel_scale2)[:, None]
        if self.norm3 is not None and self.conv_shortcut is not None:
            x = self.conv_shortcut(self.norm3(x.movedim(1, -1)).movedim(-1, 1))
        return y + x

    def _modulated(self, x: Video, level: Tensor | None, first: int) -> Video:
        if self.scale_shift_table is None or level is None:
            return x
        shift, scale = as_vectors(level, self.scale_shift_table)[first : first + 2]
        return x * (1 + scale) + shift


def as_vectors(level: Float[Tensor, "b v"], table: Float[Tensor, "k c"]) -> tuple[Float[Tensor, "b c 1 1 1"], ...]:
    """The k vectors of an embedded level beside their ``table``, to be broadcast to a video."""
    return ((level.unflatten(1, table.shape) + table)[..., None, None, None]).unbind(1)


def noting(chunks: Iterable[Video], notes: deque[Video]) -> Iterator[Video]:
    """``chunks``, each put into ``notes`` as it goes by. `itertools.tee` would keep dozens that both sides are done with."""
    for x in chunks:
        notes.append(x)
        del x
        yield notes[-1]


def in_step(ys: Iterable[Video], xs: deque[Video]) -> Iterator[tuple[Video, Video]]:
    """Each of ``ys`` with as many frames from the front of ``xs``, where at least as many are by then."""
    for y in ys:
        taken: list[Video] = []
        missing = y.shape[2]
        while missing:
            x = xs.popleft()
            if x.shape[2] > missing:
                xs.appendleft(x[:, :, missing:])
                x = x[:, :, :missing]
            missing -= x.shape[2]
            taken.append(x)
        yield y, taken[0] if len(taken) == 1 else torch.cat(taken, dim=2)


def fold(x: Video, factor: tuple[int, int]) -> Video:
    """``x`` with ``factor`` (time, space) frames and pixels folded into channels."""
    r, s = factor
    return rearrange(x, "b c (t r) (h s) (w z) -> b (c r s z) t h w", r=r, s=s, z=s)


class Downsample(nn.Module):
    """The newer step down: a convolution whose frames and pixels are folded into channels, beside an average of channels."""

    def __init__(self, in_channels: int, out_channels: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor, self.out_channels = factor, out_channels
        self.conv = Conv(in_channels, out_channels // (factor[0] * factor[1] ** 2))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The smaller video."""
        if at_start(stream):  # the clip's first frame stands alone: it makes a group with copies of itself
            x = torch.cat([x[:, :, :1].expand(-1, -1, self.factor[0] - 1, -1, -1), x], dim=2)
        shortcut = reduce(fold(x, self.factor), "b (o g) t h w -> b o t h w", "mean", o=self.out_channels)
        return fold(self.conv(x, stream), self.factor) + shortcut


class DownLevel(nn.Module):
    """A level of the encoder, of either kind: residual blocks, then perhaps a step down and, of the older, a change of width."""

    def __init__(self, level: Down, *, is_new: bool, eps: float) -> None:
        super().__init__()
        width, after = level.in_channels, level.out_channels
        self.resnets = nn.ModuleList(ResidualBlock(width, width, eps=eps) for _ in range(level.num_blocks))
        self.downsamplers = nn.ModuleList()
        if level.step == "conv":
            self.downsamplers.append(Conv(width, width, stride=2))
        elif level.step is not None:
            self.downsamplers.append(Downsample(width, after, STEPS[level.step]))
        self.conv_out = None if is_new or width == after else ResidualBlock(width, after, eps=eps)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next level's video."""
        for resnet in self.resnets:
            x = resnet(x, stream=stream)
        for step in self.downsamplers:
            x = step(x, stream)
        return x if self.conv_out is None else self.conv_out(x, stream=stream)


class MiddleLevel(nn.Module):
    """The encoder's residual blocks at the coarsest level."""

    def __init__(self, width: int, num_blocks: int, *, eps: float) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResidualBlock(width, width, eps=eps) for _ in range(num_blocks))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """Same shape."""
        for resnet in self.resnets:
            x = resnet(x, stream=stream)
        return x


class Upsample(nn.Module):
    """Twice the frames, height and width from eight times the channels; 1 + k frames become 1 + 2k."""

    def __init__(self, in_channels: int, factor: int, *, adds_residual: bool, is_causal: bool) -> None:
        super().__init__()
        self.num_repeats = 8 // factor if adds_residual else 0
        self.conv = Conv(in_channels, in_channels * 8 // factor, is_causal=is_causal)

    def forward(self, x: Video) -> Video:
        """The larger video."""
        return self._unfolded(self.conv(x), x)[:, :, 1:]

    def through(self, chunks: Iterable[Video]) -> Iterator[Video]:
        """The same of a video in chunks."""
        skipped: deque[Video] = deque()
        num_dropped = 1
        for y, x in in_step(self.conv.through(noting(chunks, skipped)), skipped):
            yield self._unfolded(y, x)[:, :, num_dropped:]
            num_dropped = 0

    def _unfolded(self, y: Video, x: Video) -> Video:
        y = _unfold(y)
        return y + _unfold(x).repeat(1, self.num_repeats, 1, 1, 1) if self.num_repeats else y


def _unfold(x: Video) -> Video:
    return rearrange(x, "b (c r s z) t h w -> b c (t r) (h s) (w z)", r=2, s=2, z=2)


class UpLevel(nn.Module):
    """A level of the decoder: perhaps a change of width, perhaps a step up, then residual blocks. Its middle is one, too."""

    def __init__(self, level: Up, *, is_causal: bool, has_level: bool, eps: float) -> None:
        super().__init__()
        width = level.out_channels

        def block(before: int) -> ResidualBlock:
            return ResidualBlock(
                before, width, eps=eps, is_causal=is_causal, has_noise=level.has_noise, has_level=has_level
            )

        self.time_embedder = LevelEmbedding(4 * width) if has_level else None
        self.conv_in = None if level.in_channels == width else block(level.in_channels)
        self.upsamplers = nn.ModuleList()
        if level.steps_up:
            self.upsamplers.append(
                Upsample(width * level.factor, level.factor, adds_residual=level.adds_residual, is_causal=is_causal)
            )
        self.resnets = nn.ModuleList(block(width) for _ in range(level.num_blocks))

    def forward(self, x: Video, timestep: Float[Tensor, " b"] | None, noises: dict[nn.Module, Noises]) -> Video:
        """The next finer level's video."""
        level = self._level(timestep, x.dtype)
        if self.conv_in is not None:
            x = self.conv_in(x)
        for step in self.upsamplers:
            x = step(x)
        for resnet in self.resnets:
            x = resnet(x, Told(level, noises.get(resnet)))
        return x

    def through(
        self, chunks: Iterator[Video], timestep: Float[Tensor, " b"] | None, noises: dict[nn.Module, Noises]
    ) -> Iterator[Video]:
        """The same of a video in chunks."""
        level = self._level(timestep, next(self.parameters()).dtype)
        if self.conv_in is not None:
            chunks = self.conv_in.through(chunks, Told(None, None))
        for step in self.upsamplers:
            assert isinstance(step, Upsample)
            chunks = step.through(chunks)
        for resnet in self.resnets:
            assert isinstance(resnet, ResidualBlock)
            chunks = resnet.through(chunks, Told(level, noises.get(resnet)))
        return chunks

    def _level(self, timestep: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if self.time_embedder is None or timestep is None:
            return None
        return self.time_embedder(timestep).to(dtype)
