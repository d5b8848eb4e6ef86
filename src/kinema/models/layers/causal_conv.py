"""Convolutions over video that never look ahead in time, whole or chunk by chunk.

Legend: b batch, c channels, t frames, h height, w width, k kernel taps. Tensors are (b c t h w) everywhere; in memory
they are channels-last (b t h w c), so that folding frames into the batch, "b c t h w -> (b t) c h w", moves no byte.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

# Sizes change from argument to result in most layers; the sizes of public functions are spelled out where they stand.
Video = Float[Tensor, "b _c _t _h _w"]
Frames = Float[Tensor, "n c h w"]


def fold_frames(x: Video) -> Frames:
    """``x`` with its frames in the batch, channels-last in memory; a view of a channels-last video."""
    return rearrange(rearrange(x, "b c t h w -> (b t) h w c"), "n h w c -> n c h w")


def unfold_frames(x: Frames, num_frames: int) -> Video:
    """The video whose frames `fold_frames` put in the batch."""
    return rearrange(x, "(b t) c h w -> b c t h w", t=num_frames)


class Stream:
    """What causal layers remember of earlier chunks, so that chunk after chunk gives what the whole would.

    One stream serves one pass over one clip. Memory is constant in the clip's length unless the network attends over
    time: `past` then holds keys and values of all frames so far.
    """

    def __init__(self) -> None:
        self.is_start = True
        self.past: dict[nn.Module, Tensor] = {}

    def end_chunk(self) -> None:
        """Marks the chunk as done; layers that treat the clip's first frame in a special way stop doing so."""
        self.is_start = False


def at_start(stream: Stream | None) -> bool:
    """Whether a layer sees the clip's first frame: always, without a stream."""
    return stream is None or stream.is_start


def look_back(
    layer: nn.Module, x: Video, num_past: int, *, stride: int = 1, zeros: bool = False, stream: Stream | None = None
) -> Video:
    """``x`` with the frames before it in front: of earlier chunks, or copies of the layer's first frame (or ``zeros``).

    ``num_past`` is kernel taps - 1. A strided kernel ends on the newest frame, so after the start it needs
    ``stride - 1`` frames fewer.
    """
    if num_past == 0:
        return x
    past = None if stream is None else stream.past.get(layer)
    if past is None and zeros:
        x = F.pad(x, (0, 0, 0, 0, num_past, 0))
    else:
        before = x[:, :, :1].expand(-1, -1, num_past, -1, -1) if past is None else past
        # Joined with channels innermost: of copies or of a single frame `cat` can't tell the layout, and would leave
        # channels-last here, which made the shipped decoder take a quarter longer.
        x = torch.cat([before.movedim(1, -1), x.movedim(1, -1)], dim=1).movedim(-1, 1)
    if stream is not None:
        # clone: a view would keep the whole chunk alive.
        stream.past[layer] = x[:, :, x.shape[2] - (num_past + 1 - stride) :].clone()
    return x


class CausalConv3d(nn.Module):
    """A k x k x k convolution, causal in time, that repeats border pixels and the first frame.

    Source: HunyuanVideo's autoencoder. Its published tensors are ``conv.weight`` and ``conv.bias``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The convolved video; t / stride frames, counting the first frame once."""
        taps, height, width = self.conv.kernel_size
        x = look_back(self, x, taps - 1, stride=self.conv.stride[0], stream=stream)
        if height > 1 or width > 1:
            num_frames = x.shape[2]
            x = F.pad(fold_frames(x), (width // 2, width // 2, height // 2, height // 2), mode="replicate")
            x = unfold_frames(x, num_frames)
        return self.conv(x)


class FactorisedConv3d(nn.Module):
    """A 2D convolution on every frame, then (if ``temporal``) a causal one over time at every pixel.

    Space is padded with zeros, time with copies of the first frame. Source: MovieGen's autoencoder.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int = 3, temporal: bool = True) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.temporal = nn.Conv2d(out_channels, out_channels, (3, 1)) if temporal else None

    def forward(self, x: Video, stream: Stream | None = None) -> Video:
        """The convolved video, of the same size."""
        num_frames, height = x.shape[2:4]
        x = unfold_frames(self.spatial(fold_frames(x)), num_frames)
        if self.temporal is None:
            return x
        x = look_back(self, x, self.temporal.kernel_size[0] - 1, stream=stream)
        # Time and pixels as the two axes of a 2D kernel: forward measured 1.1 (bf16) to 4 times (fp32) as fast as a sum
        # of shifted matrix products.
        x = self.temporal(rearrange(rearrange(x, "b c t h w -> b t (h w) c"), "b t p c -> b c t p"))
        return rearrange(x, "b c t (h w) -> b c t h w", h=height)
