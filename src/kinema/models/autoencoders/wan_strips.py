"""Wan's decoder in strips of rows: the pixels that `WanAutoencoder.decode` gives, in the memory of a strip.

Legend: b batch, c channels, t frames, h height, w width, z latent channels, n y x latent frames, height and width. A level
is one of the decoder's ``up_blocks``; a *window* (first row, row after the last) is of rows at the resolution of a level's input.

Attention sees a whole frame, but at the coarsest level alone, which is small: up to there the whole clip runs first. All that comes
after sees a row or two beyond its own in every block. So a strip is decoded from its rows and a halo around them, and each level leaves
out of the halo what no later one needs. The zeros that convolutions see beyond a window's edge reach only rows that are left out, but
where the frame ends there, too. A strip passes through the whole clip, chunk by chunk, before the next begins: what convolutions
remember of earlier frames is then a strip's as well.

The halo costs work: for strips of 16 rows of latents about a third more. Held besides a strip are the coarsest level's features and the
pixels, of the whole clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.models.autoencoders.wan import Decoder, WanAutoencoder
from kinema.models.autoencoders.wan_blocks import ResidualUpBlock, UpBlock
from kinema.models.autoencoders.wan_config import STRIP_ROWS
from kinema.models.autoencoders.work import OnWork, ignore_work, part_of
from kinema.models.layers.causal_conv import Stream, Video

Window = tuple[int, int]


def decode_strips(
    model: WanAutoencoder,
    latents: Float[Tensor, "b z n y x"],
    *,
    rows: int = STRIP_ROWS,
    on_work: OnWork = ignore_work,
) -> Iterator[Video]:
    """Pixels (b c t h w) in [-1, 1] of ``latents``, a latent frame's at a time; nearly all work is done before the first come."""
    height = latents.shape[3]
    features = _coarsest(model, latents, on_work)
    wanted = [(top, min(top + rows, height)) for top in range(0, height, rows)]
    strips = [
        list(_strip(model, features, window, part_of(on_work, i, len(wanted)))) for i, window in enumerate(wanted)
    ]
    for parts in zip(*strips, strict=True):
        yield torch.cat(parts, dim=3)


@torch.no_grad()
def _coarsest(model: WanAutoencoder, latents: Tensor, on_work: OnWork) -> list[Video]:
    """What the first level is given for each latent frame."""
    decoder, stream, features = model.decoder, Stream(), []
    for latent in latents.split(1, dim=2):
        x = model.post_quant_conv(latent).contiguous(memory_format=torch.channels_last_3d)
        features.append(decoder.mid_block(decoder.conv_in(x, stream), stream))
        stream.end_chunk()
        # too little to count, and enough to be stopped in
        on_work(0.0)
    return features


@torch.no_grad()
def _strip(model: WanAutoencoder, features: Sequence[Video], wanted: Window, on_work: OnWork) -> Iterator[Video]:
    """The pixels of the ``wanted`` rows of latents, for each latent frame."""
    decoder, stream = model.decoder, Stream()
    windows = _windows(decoder, wanted, features[0].shape[3])
    for i, x in enumerate(features):
        seen = (0, x.shape[3])
        for level, window in zip(_levels(decoder), windows, strict=False):
            x = level(_cut(x, seen, window), stream)
            factor = _factor(level)
            seen = window[0] * factor, window[1] * factor
        x = decoder.conv_out(_cut(x, seen, windows[-2]), stream, norm=decoder.norm_out)
        on_work((i + 1) / len(features))
        yield model.unfolded(_cut(x, windows[-2], windows[-1]))
        stream.end_chunk()


def _windows(decoder: Decoder, wanted: Window, height: int) -> list[Window]:
    """What every level is given, then the last convolution, then what is ``wanted`` of its output, for rows of latents of ``height``."""
    levels = _levels(decoder)
    scale = math.prod(map(_factor, levels))
    height, (first, end) = height * scale, (wanted[0] * scale, wanted[1] * scale)
    windows = [(first, end)]

    def see(more: int) -> None:
        nonlocal first, end
        first, end = max(0, first - more), min(height, end + more)

    see(1)
    windows.append((first, end))
    for level in reversed(levels):
        if (factor := _factor(level)) > 1:
            see(1)
            height, first, end = height // factor, first // factor, -(-end // factor)
        see(2 * len(level.resnets))
        windows.append((first, end))
    return windows[::-1]


def _levels(decoder: Decoder) -> list[UpBlock | ResidualUpBlock]:
    """The decoder's levels, coarsest first."""
    return [cast("UpBlock | ResidualUpBlock", level) for level in decoder.up_blocks]


def _factor(level: UpBlock | ResidualUpBlock) -> int:
    """By how much ``level`` makes rows more."""
    has_step = level.upsampler is not None if isinstance(level, ResidualUpBlock) else len(level.upsamplers) > 0
    return 2 if has_step else 1


def _cut(x: Video, seen: Window, window: Window) -> Video:
    """The rows of ``window`` of ``x``, which has those of ``seen``."""
    if seen == window:
        return x
    return x[:, :, :, window[0] - seen[0] : window[1] - seen[0]].contiguous(memory_format=torch.channels_last_3d)
