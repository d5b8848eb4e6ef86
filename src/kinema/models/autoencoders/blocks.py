"""Blocks of the causal video autoencoder: norm, residual block, attention, and changes of resolution.

Legend: b batch, c channels, t frames, h height, w width; r, s factors of time and space. Attribute names are those of
the published tensors. Every block takes the stream of a chunked pass, or None for a whole clip.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.layers.causal_conv import (
    CausalConv3d,
    FactorisedConv3d,
    Stream,
    Video,
    at_start,
    fold_frames,
    unfold_frames,
)

EPS = 1e-6


class PixelRmsNorm(nn.Module):
    """RMS norm over the channels of every pixel, in fp32: knows nothing of other frames, so streams are exact."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Video) -> Video:
        """``x`` with a root mean square of ``weight`` at every pixel, in x's dtype."""
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(dim=1, keepdim=True) + EPS)
        return (y * self.weight.float().view(-1, 1, 1, 1)).to(x.dtype)


def make_norm(config: VideoAutoencoderConfig, channels: int) -> nn.Module:
    """The norm that ``config`` names."""
    if config.norm == "rms":
        return PixelRmsNorm(channels)
    return nn.GroupNorm(config.norm_num_groups, channels, eps=EPS)


def make_conv(
    config: VideoAutoencoderConfig, in_channels: int, out_channels: int, *, kernel_size: int = 3, temporal: bool = True
) -> CausalConv3d | FactorisedConv3d:
    """The convolution that ``config`` names; ``temporal=False`` keeps a factorised one within frames."""
    if config.conv == "full":
        return CausalConv3d(in_channels, out_channels, kernel_size=kernel_size)
    return FactorisedConv3d(in_channels, out_channels, kernel_size=kernel_size, temporal=temporal)


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice, beside a shortcut."""

    def __init__(self, config: VideoAutoencoderConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = make_norm(config, in_channels)
        self.conv1 = make_conv(config, in_channels, out_channels, temporal=config.temporal_convs >= 1)
        self.norm2 = make_norm(config, out_channels)
        self.conv2 = make_conv(config, out_channels, out_channels, temporal=config.temporal_convs >= 2)
        self.conv_shortcut = None
        if in_channels != out_channels:
            self.conv_shortcut = make_conv(config, in_channels, out_channels, kernel_size=1, temporal=False)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """Same frames, height and width; ``out_channels`` channels."""
        y = self.conv1(F.silu(self.norm1(x)), stream)
        y = self.conv2(F.silu(self.norm2(y)), stream)
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x, stream))


class FrameCausalAttention(nn.Module):
    """Single-head attention in which a pixel sees its own frame and all earlier ones."""

    def __init__(self, config: VideoAutoencoderConfig, channels: int) -> None:
        super().__init__()
        self.group_norm = make_norm(config, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """``x`` plus what its pixels read from their past."""
        return x + self.read(self.group_norm(x), stream)

    def read(self, x: Video, stream: Stream | None) -> Video:
        """What the pixels of ``x``, which is normed, read from their past."""
        num_frames, height, width = x.shape[2:]
        pixels = height * width
        y = rearrange(x, "b c t h w -> b 1 (t h w) c")
        q, k, v = self.to_q(y), self.to_k(y), self.to_v(y)
        if stream is not None:
            both = torch.stack([k, v])
            stream.past[self] = both if stream.is_start else torch.cat([stream.past[self], both], dim=3)
            k, v = stream.past[self].unbind()
        num_past = k.shape[2] - q.shape[2]
        # Frame by frame instead of a (t h w)^2 mask: half the work, and memory for one frame's rows only.
        frames: list[Tensor] = []
        for i in range(num_frames):
            seen = num_past + (i + 1) * pixels
            frames.append(
                F.scaled_dot_product_attention(q[:, :, i * pixels : (i + 1) * pixels], k[:, :, :seen], v[:, :, :seen])
            )
        y = self.to_out[0](torch.cat(frames, dim=2))
        return rearrange(y, "b 1 (t h w) c -> b c t h w", t=num_frames, h=height)


class MidBlock(nn.Module):
    """Residual blocks at the coarsest level with attention between them."""

    def __init__(self, config: VideoAutoencoderConfig, channels: int) -> None:
        super().__init__()
        num_attentions = config.mid_layers - 1 if config.mid_attention else 0
        self.attentions = nn.ModuleList(FrameCausalAttention(config, channels) for _ in range(num_attentions))
        self.resnets = nn.ModuleList(ResidualBlock(config, channels, channels) for _ in range(config.mid_layers))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """Same shape."""
        for i, resnet in enumerate(self.resnets):
            if i and self.attentions:
                x = self.attentions[i - 1](x, stream)
            x = resnet(x, stream)
        return x


class StridedDownsample(nn.Module):
    """A strided convolution, as published."""

    def __init__(self, channels: int, factor: tuple[int, int]) -> None:
        super().__init__()
        r, s = factor
        self.conv = CausalConv3d(channels, channels, stride=(r, s, s))

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """1 + k*r frames become 1 + k."""
        return self.conv(x, stream)


class RepeatUpsample(nn.Module):
    """Repeated pixels and frames (the clip's first frame only once), then a convolution, as published."""

    def __init__(self, config: VideoAutoencoderConfig, channels: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor = factor
        self.conv = make_conv(config, channels, channels)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """1 + k frames become 1 + k*r."""
        r, s = self.factor
        x = repeat(x, "b c t h w -> b (t r) (h s) (w z) c", r=r, s=s, z=s)
        x = rearrange(x, "b t h w c -> b c t h w")
        return self.conv(x[:, :, r - 1 :] if at_start(stream) else x, stream)


class ShuffleDownsample(nn.Module):
    """Space and time folded into channels and projected, plus a shortcut that averages those channels.

    The clip's first frame fills its own time group, so no chunk needs the one before.
    Source: DC-AE, section 3.2 (residual autoencoding).
    """

    def __init__(self, in_channels: int, out_channels: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor = factor
        self.proj = nn.Conv2d(in_channels * factor[0] * factor[1] ** 2, out_channels, 1)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """1 + k*r frames become 1 + k."""
        r, s = self.factor
        if r > 1 and at_start(stream):
            x = torch.cat([x[:, :, :1].expand(-1, -1, r - 1, -1, -1), x], dim=2)
        num_frames = x.shape[2] // r
        # Channels innermost: whole pixels are copied, not single numbers.
        x = rearrange(x, "b c (t r) (h s) (w z) -> (b t) h w (r s z c)", r=r, s=s, z=s)
        x = rearrange(x, "n h w c -> n c h w")
        shortcut = reduce(x, "n (g c) h w -> n c h w", "mean", c=self.proj.out_channels)
        return unfold_frames(self.proj(x) + shortcut, num_frames)


class ShuffleUpsample(nn.Module):
    """A projection whose channels unfold into space and time, plus a shortcut that repeats channels."""

    def __init__(self, in_channels: int, out_channels: int, factor: tuple[int, int]) -> None:
        super().__init__()
        self.factor = factor
        self.proj = nn.Conv2d(in_channels, out_channels * factor[0] * factor[1] ** 2, 1)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """1 + k frames become 1 + k*r."""
        r, s = self.factor
        num_frames = x.shape[2]
        x = fold_frames(x)
        y = rearrange(self.proj(x), "n (g c) h w -> n g c h w", c=x.shape[1]) + x.unsqueeze(1)
        y = rearrange(y, "n g c h w -> n h w (g c)")
        y = rearrange(y, "(b t) h w (r s z c) -> b (t r) (h s) (w z) c", t=num_frames, r=r, s=s, z=s)
        y = rearrange(y, "b t h w c -> b c t h w")
        return y[:, :, r - 1 :] if at_start(stream) else y
