"""Blocks of Wan's autoencoder. Attribute names are those of published tensors.

Legend: b batch, c channels, t frames, h height, w width; r, s factors of time and space. Blocks that mix frames take the
stream of a chunked pass, or None for a whole clip. The clip's first frame passes every change of frame rate alone.
Without gradients norm and activation are written into the buffer that a convolution reads, and rounded once; repeated pixels are
never made.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from kinema.models.autoencoders.lean import convolve_phases, empty_video, folded_kernels, pixel_blocks
from kinema.models.layers.causal_conv import Stream, Video, at_start, fold_frames, look_back, unfold_frames


class WanRmsNorm(nn.Module):
    """RMS norm over the channels of every pixel, in fp32. ``num_axes`` is that of the published tensor after channels."""

    def __init__(self, channels: int, num_axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * num_axes))

    def forward(self, x: Tensor) -> Tensor:
        """(b c ...) with a root mean square of ``gamma`` at every pixel, in x's dtype."""
        return (F.normalize(x.float(), dim=1) * self._scale()).to(x.dtype)

    def write_silu(self, out: Video, x: Video) -> None:
        """silu(norm(x)) into ``out``, block by block; the plain layers round after the norm as well."""
        scale = self._scale().flatten()
        for to, source in zip(map(pixel_blocks, out), map(pixel_blocks, x), strict=True):
            for to_block, block in zip(to, source, strict=True):
                to_block.copy_(F.silu(F.normalize(block.float(), dim=-1).mul_(scale), inplace=True))

    def _scale(self) -> Tensor:
        return self.gamma.float() * self.gamma.shape[0] ** 0.5


class WanCausalConv3d(nn.Conv3d):
    """A convolution over video, causal in time, with zeros around the frames and before the first."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int, int] = (3, 3, 3)) -> None:
        _, height, width = kernel_size
        super().__init__(in_channels, out_channels, kernel_size, padding=(0, height // 2, width // 2))

    def forward(self, x: Video, stream: Stream | None = None, *, norm: WanRmsNorm | None = None) -> Video:
        """The convolved video, of the same size; that of silu(norm(x)) if a ``norm`` is given."""
        num_past = self.kernel_size[0] - 1
        x = self._behind_past(x, num_past, stream, norm)
        weight = self.weight
        if x.shape[2] == num_past + 1 and at_start(stream):
            # a single frame has nothing but zeros before it
            x, weight = x[:, :, num_past:], weight[:, :, num_past:]
        return F.conv3d(x, weight, self.bias, padding=self.padding)  # pyright: ignore[reportArgumentType]

    def _behind_past(self, x: Video, num_past: int, stream: Stream | None, norm: WanRmsNorm | None) -> Video:
        """``x``, or silu(norm(x)), after the frames before it."""
        if norm is None or not _is_lean():
            return look_back(self, x if norm is None else F.silu(norm(x)), num_past, zeros=True, stream=stream)
        b, c, t, h, w = x.shape
        past = None if stream is None else stream.past.get(self)
        buffer = empty_video(x, (b, c, num_past + t, h, w))
        buffer[:, :, :num_past] = 0 if past is None else past
        norm.write_silu(buffer[:, :, num_past:], x)
        if stream is not None:
            # clone: a view would keep the whole chunk alive.
            stream.past[self] = buffer[:, :, t:].clone()
        return buffer


def _is_lean() -> bool:
    """Whether buffers may be written into: no gradient is asked for, and no compiler looks on."""
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling()


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = WanRmsNorm(in_channels)
        self.conv1 = WanCausalConv3d(in_channels, out_channels)
        self.norm2 = WanRmsNorm(out_channels)
        self.conv2 = WanCausalConv3d(out_channels, out_channels)
        self.conv_shortcut = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """Same frames, height and width; ``out_channels`` channels."""
        y = self.conv1(x, stream, norm=self.norm1)
        y = self.conv2(y, stream, norm=self.norm2)
        x = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return y.add_(x) if _is_lean() else y + x


def residual_blocks(in_channels: int, out_channels: int, num_blocks: int) -> nn.ModuleList:
    """``num_blocks`` blocks, of which the first changes the width."""
    return nn.ModuleList(ResidualBlock(out_channels if i else in_channels, out_channels) for i in range(num_blocks))


class FrameAttention(nn.Module):
    """Single-head attention among the pixels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = WanRmsNorm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Video) -> Video:
        """``x`` plus what its pixels read from their frame."""
        num_frames, height = x.shape[2:4]
        q, k, v = rearrange(self.to_qkv(self.norm(fold_frames(x))), "n (r c) h w -> r n 1 (h w) c", r=3)
        y = rearrange(F.scaled_dot_product_attention(q, k, v), "n 1 (h w) c -> n c h w", h=height)
        return x + unfold_frames(self.proj(y), num_frames)


class MidBlock(nn.Module):
    """Two residual blocks at the coarsest level with attention between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = residual_blocks(channels, channels, 2)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """Same shape."""
        x = self.attentions[0](self.resnets[0](x, stream))
        return self.resnets[1](x, stream)


class Downsample(nn.Module):
    """Half the height and width and, with ``halves_time``, 1 + 2k frames to 1 + k."""

    def __init__(self, channels: int, *, halves_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if halves_time else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The smaller video."""
        x = unfold_frames(self.resample(fold_frames(x)), x.shape[2])
        return x if self.time_conv is None else self._halve_time(self.time_conv, x, stream)

    def _halve_time(self, conv: nn.Conv3d, x: Video, stream: Stream | None) -> Video:
        # Every pair of frames with the frame before it; the clip's first frame is only ever that.
        if not at_start(stream):
            assert stream is not None
            x = torch.cat([stream.past[self], x], dim=2)
        if stream is not None:
            stream.past[self] = x[:, :, -1:].clone()
        pairs = conv(x) if x.shape[2] > 2 else x[:, :, :0]
        return torch.cat([x[:, :, :1], pairs], dim=2) if at_start(stream) else pairs


class Upsample(nn.Module):
    """Twice the height and width and, with ``doubles_time``, 1 + k frames to 1 + 2k."""

    def __init__(self, in_channels: int, out_channels: int, *, doubles_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.time_conv = WanCausalConv3d(in_channels, 2 * in_channels, (3, 1, 1)) if doubles_time else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The larger video."""
        if self.time_conv is not None:
            x = self._double_time(self.time_conv, x, stream)
        if not _is_lean():
            return unfold_frames(self.resample(fold_frames(x)), x.shape[2])
        conv: Any = self.resample[1]
        kernels = folded_kernels(conv.weight[:, :, None], (1, 2))
        return convolve_phases(F.pad(x, (1, 1, 1, 1)), kernels, conv.bias)

    def _double_time(self, conv: WanCausalConv3d, x: Video, stream: Stream | None) -> Video:
        first, x = x.tensor_split([1 if at_start(stream) else 0], dim=2)
        # The convolution begins with the second frame: to it, the clip's first frame is zeros.
        if x.shape[2]:
            x = rearrange(conv(x, stream), "b (r c) t h w -> b c (t r) h w", r=2)
        return torch.cat([first, x], dim=2)


class ResidualDownBlock(nn.Module):
    """A level of the 5B's encoder: residual blocks and a step down, beside a shortcut that averages channels."""

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor, self.out_channels = factor, out_channels
        self.resnets = residual_blocks(in_channels, out_channels, num_blocks)
        self.downsampler = Downsample(out_channels, halves_time=factor[0] > 1) if factor[1] > 1 else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next level's video."""
        shortcut = average_down(x, self.out_channels, self.factor, is_start=at_start(stream))
        for resnet in self.resnets:
            x = resnet(x, stream)
        return shortcut + (x if self.downsampler is None else self.downsampler(x, stream))


class UpBlock(nn.Module):
    """A level of 2.1's decoder: residual blocks, then a step up to half the channels unless ``factor`` is (1, 1)."""

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.resnets = residual_blocks(in_channels, out_channels, num_blocks)
        self.upsamplers = nn.ModuleList()
        if factor[1] > 1:
            self.upsamplers.append(Upsample(out_channels, out_channels // 2, doubles_time=factor[0] > 1))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next finer level's video."""
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x, stream)
        return x


class ResidualUpBlock(nn.Module):
    """A level of the 5B's decoder: residual blocks and a step up, beside a shortcut that repeats channels."""

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor, self.out_channels = factor, out_channels
        self.resnets = residual_blocks(in_channels, out_channels, num_blocks)
        self.upsampler = Upsample(out_channels, out_channels, doubles_time=factor[0] > 1) if factor[1] > 1 else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The next finer level's video. The last level has no shortcut."""
        y = x
        for resnet in self.resnets:
            y = resnet(y, stream)
        if self.upsampler is None:
            return y
        return self.upsampler(y, stream) + repeat_up(x, self.out_channels, self.factor, is_start=at_start(stream))


def average_down(x: Video, out_channels: int, factor: tuple[int, int], *, is_start: bool) -> Video:
    """``x`` with space and time folded into channels, groups of which are averaged; zeros stand before the first frame."""
    r, s = factor
    if r > 1 and is_start:
        x = F.pad(x, (0, 0, 0, 0, r - 1, 0))
    x = rearrange(x, "b c (t r) (h s) (w z) -> b (c r s z) t h w", r=r, s=s, z=s)
    return reduce(x, "b (o g) t h w -> b o t h w", "mean", o=out_channels)


def repeat_up(x: Video, out_channels: int, factor: tuple[int, int], *, is_start: bool) -> Video:
    """``x`` with its channels repeated, then unfolded into space and time; of the first frame only the last copy stays."""
    r, s = factor
    x = x.repeat_interleave(out_channels * r * s * s // x.shape[1], dim=1)
    x = rearrange(x, "b (o r s z) t h w -> b o (t r) (h s) (w z)", r=r, s=s, z=s)
    return x[:, :, r - 1 :] if is_start else x
