"""The published autoencoder's layers without gradients: one copy per convolution, one rounding per activation, fewer products.

Legend: b batch, c channels, t frames, h height, w width, g groups. All videos are channels-last in memory. What a plain layer
does in turn (norm, SiLU, padding in time, padding in space) is written here once, into the buffer that the convolution reads.
Every function works on a chunk of frames and its stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.models.layers.causal_conv import CausalConv3d, Stream, Video

# (scale, shift), each (b c) in fp32: what a group norm does once its statistics are known.
Affine = tuple[Tensor, Tensor]

# Values that are worked on at a time in fp32: on a CPU they should stay in its caches.
_CPU_BLOCK, _BLOCK = 2**18, 2**26


class Moments:
    """Statistics of a group norm's input, gathered chunk by chunk."""

    def __init__(self) -> None:
        self.count = 0
        # per sample and channel: a value near the mean, and (sum, sum of squares) of what is beyond it
        self.pivot: Tensor | None = None
        self.sums: Tensor | None = None

    def add(self, x: Video) -> None:
        """Counts the values of a chunk."""
        if self.pivot is None:
            self.pivot = x[:, :, 0].float().mean(dim=(2, 3))
        pixels = rearrange(x, "b c t h w -> b (t h w) c")
        sums = torch.stack([_sums(*sample) for sample in zip(pixels, self.pivot, strict=True)])
        # In double precision chunks lose nothing against a whole; not every device has it.
        sums = sums.cpu().double()
        self.sums = sums if self.sums is None else self.sums + sums
        self.count += pixels.shape[1]

    def affine(self, norm: nn.GroupNorm) -> Affine:
        """What ``norm`` does to an input with these statistics."""
        assert self.pivot is not None, "no chunk was added"
        assert self.sums is not None
        pivot, (beyond, beyond_squared) = self.pivot.cpu().double(), self.sums.unbind(dim=1)
        channel_means = pivot + beyond / self.count
        channel_squares = pivot.square() + (2 * pivot * beyond + beyond_squared) / self.count
        mean, mean_square = (
            torch.stack(value.chunk(norm.num_groups, dim=1), dim=1).mean(dim=2)
            for value in (channel_means, channel_squares)
        )
        rstd = torch.rsqrt((mean_square - mean.square()).clamp(min=0) + norm.eps)
        per_group = norm.num_channels // norm.num_groups
        mean, rstd = (value.repeat_interleave(per_group, dim=1) for value in (mean, rstd))
        weight, bias = (parameter.detach().cpu().double() for parameter in (norm.weight, norm.bias))
        scale = rstd * weight
        shift = bias - mean * scale
        return scale.to(norm.weight.device, torch.float32), shift.to(norm.weight.device, torch.float32)


def _sums(pixels: Tensor, pivot: Tensor) -> Tensor:
    """(sum, sum of squares) of every channel over (p c) pixels, beyond the pivot: squares of large means cancel badly."""
    parts = []
    for part in pixels.split(max(1, _block(pixels) // pixels.shape[1])):
        part = part - pivot
        parts.append(torch.stack([part.sum(dim=0), part.square_().sum(dim=0)]))
    return torch.stack(parts).sum(dim=0)


def normed(x: Video, affine: Affine) -> Video:
    """``x`` scaled and shifted, in its own dtype."""
    scale, shift = (value[:, :, None, None, None] for value in affine)
    return torch.addcmul(shift, x, scale).to(x.dtype)


def convolve(conv: CausalConv3d, x: Video, stream: Stream, affine: Affine | None = None) -> Video:
    """``conv`` of ``x``, or of silu(norm(x)) if the norm's ``affine`` is given."""
    layer = conv.conv
    taps, height, width = layer.kernel_size
    if (taps, height, width) == (1, 1, 1):
        assert affine is None, "no published 1x1x1 convolution follows a norm"
        out = F.linear(rearrange(x, "b c t h w -> b t h w c"), layer.weight.flatten(1), layer.bias)
        return rearrange(out, "b t h w c -> b c t h w")
    still = _is_still(x, stream)
    weight = layer.weight.sum(dim=2, keepdim=True) if still else layer.weight
    at_start = 0 if still else taps - 1
    buffer = _padded(conv, x, stream, num_past=taps - layer.stride[0], at_start=at_start, affine=affine)
    return F.conv3d(buffer, weight, layer.bias, layer.stride)


def _is_still(x: Tensor, stream: Stream) -> bool:
    """Whether a chunk is the clip's first frame alone: all taps in time fall on it, so one kernel, their sum, is enough.

    Not in bf16: rounding the sum takes a picture's error from 0.94 to 1.10 of the plain layers' (mean of six small networks).
    """
    return stream.is_start and x.shape[2] == 1 and x.dtype == torch.float32


# Of three neighbouring taps two fall on one pixel once pixels are repeated: the first two, or the last two. (tap, tap left)
_FIRST_TWO = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
_LAST_TWO = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


class FoldedUpsample:
    """A convolution of repeated pixels and frames, as smaller ones of the pixels before they are repeated.

    Where two taps fall on the same pixel their weights are added: 8 products are left of 27 where time and space double, 12
    where space alone does. Every phase of the output (odd or even along each axis) has a kernel of its own.
    """

    def __init__(self, conv: CausalConv3d, factor: tuple[int, int]) -> None:
        self.conv, self.factor = conv, factor
        self._kernels: Tensor | None = None

    def __call__(self, x: Video, stream: Stream) -> Video:
        """1 + k frames become 1 + k*r, k later ones k*r."""
        layer = self.conv.conv
        if self._kernels is None:
            self._kernels = folded_kernels(layer.weight, self.factor)
        # The clip's first frame isn't repeated: it has the last phase alone.
        num_dropped = self.factor[0] - 1 if stream.is_start else 0
        still, num_past = _is_still(x, stream), 3 - self.factor[0]
        buffer = _padded(self.conv, x, stream, num_past=num_past, at_start=0 if still else num_past)
        kernels = self._kernels.sum(dim=5, keepdim=True) if still else self._kernels
        return convolve_phases(buffer, kernels, layer.bias, num_dropped=num_dropped)


def folded_kernels(weight: Tensor, factor: tuple[int, int]) -> Tensor:
    """A kernel (out in u v v) of repeated pixels as kernels by phase: (frame, row, column, out, in, taps in time, rows, columns)."""
    r, s = factor
    # (tap, phase, tap left). Time looks back, so its even phase ends on a frame's first copy; space looks both ways.
    time, space = (
        torch.eye(taps)[:, None] if repeats == 1 else torch.tensor(doubled).transpose(0, 1)
        for taps, repeats, doubled in zip(
            weight.shape[2:4], (r, s), ([_FIRST_TWO, _LAST_TWO], [_LAST_TWO, _FIRST_TWO]), strict=True
        )
    )
    taps = torch.einsum("xpa,yqb,zuc->xyzpquabc", time, space, space).to(weight.device)
    folded = weight.float().flatten(2) @ taps.flatten(3).flatten(0, 2)
    phases, left = taps.shape[3:6], taps.shape[6:]
    folded = folded.to(weight.dtype).unflatten(2, (phases.numel(), left.numel()))
    return folded.permute(2, 0, 1, 3).contiguous().view(*phases, *weight.shape[:2], *left)


def convolve_phases(buffer: Video, kernels: Tensor, bias: Tensor | None, *, num_dropped: int = 0) -> Video:
    """What `folded_kernels` make of frames with a border of one pixel, and those before them that the kernels need.

    Of the first frame the phases up to ``num_dropped`` are left out.
    """
    r, s = kernels.shape[:2]
    rows, columns = kernels.shape[-2:]
    b, _, t, h, w = buffer.shape
    t, h, w = t + 1 - kernels.shape[5], h + 1 - rows - (s - 1), w + 1 - columns - (s - 1)
    out = empty_video(buffer, (b, kernels.shape[3], t * r - num_dropped, h * s, w * s))
    for frame, row, column in product(range(r), range(s), range(s)):
        first = 1 if frame < num_dropped else 0
        if first == t:
            continue
        seen = buffer[:, :, first:, row : row + h + rows - 1, column : column + w + columns - 1]
        seen = seen.contiguous(memory_format=torch.channels_last_3d)
        values = F.conv3d(seen, kernels[frame, row, column], bias)
        out[:, :, (frame - num_dropped) % r :: r, row::s, column::s] = values
    return out


def _padded(
    conv: CausalConv3d, x: Tensor, stream: Stream, *, num_past: int, at_start: int, affine: Affine | None = None
) -> Tensor:
    """silu(norm(x)), or ``x``, with a border of repeated pixels, after frames of the past.

    Those are ``num_past`` frames of the chunk before, or ``at_start`` copies of the clip's first frame.
    """
    b, c, t, h, w = x.shape
    past = None if stream.is_start else stream.past[conv]
    now = at_start if past is None else num_past
    buffer = empty_video(x, (b, c, now + t, h + 2, w + 2))
    frames = buffer[:, :, now:]
    inner = frames[:, :, :, 1:-1, 1:-1]
    if affine is None:
        inner.copy_(x)
    else:
        _write_normed_silu(inner, x, affine)
    frames[:, :, :, 0, 1:-1] = inner[:, :, :, 0]
    frames[:, :, :, -1, 1:-1] = inner[:, :, :, -1]
    frames[..., 0] = frames[..., 1]
    frames[..., -1] = frames[..., -2]
    buffer[:, :, :now] = frames[:, :, :1] if past is None else past
    last = frames.expand(-1, -1, num_past, -1, -1) if now + t < num_past else buffer[:, :, now + t - num_past :]
    # clone: a view would keep the whole chunk alive.
    stream.past[conv] = last.clone()
    return buffer


def _write_normed_silu(out: Tensor, x: Tensor, affine: Affine) -> None:
    """Rounds once, at the end; the plain layers round after the norm and after SiLU."""
    for i, (scale, shift) in enumerate(zip(*affine, strict=True)):
        for to, source in zip(pixel_blocks(out[i]), pixel_blocks(x[i]), strict=True):
            to.copy_(F.silu(torch.addcmul(shift, source, scale), inplace=True))


def pixel_blocks(x: Tensor) -> Iterator[Tensor]:
    """A sample (c t h w) as (t h w c), in blocks of frames, or of rows where a frame is too large."""
    x = rearrange(x, "c t h w -> t h w c")
    values = max(1, _block(x) // x[0, 0].numel())
    for frames in x.split(max(1, values // x.shape[1])):
        yield from frames.split(values, dim=1)


def _block(x: Tensor) -> int:
    return _CPU_BLOCK if x.device.type == "cpu" else _BLOCK


def empty_video(x: Tensor, shape: tuple[int, ...]) -> Video:
    """Memory for a video of ``shape``, channels-last, beside ``x``."""
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
