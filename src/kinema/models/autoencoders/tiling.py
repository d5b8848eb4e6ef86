"""The reference's blended tiles: overlapping tiles, each encoded or decoded alone, their overlaps mixed linearly.

Legend: b batch, c channels, t frames, h height, w width, z latent channels, n y x latent frames, height and width. A tile's norms and
attention see the tile alone and its first frame starts a clip, so this is not what `encode` and `decode` give: it is what
diffusers' HunyuanVideo gives by default, where a clip of more than 16 frames is cut in time. For exact frames in little
memory see `kinema.models.autoencoders.chunked`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.models.autoencoders.gaussian import gaussian
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.layers.causal_conv import Video


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """(length, stride) of the tiles along each axis of the pixels; None: not cut. The defaults are diffusers'.

    A tile in time has one frame more than its length: the frame before it, which starts it as a clip.
    """

    frames: tuple[int, int] | None = (16, 12)
    height_px: tuple[int, int] | None = (256, 192)
    width_px: tuple[int, int] | None = (256, 192)


# What the reference does unless spatial tiles are switched on.
TIME_TILES = Tiles(height_px=None, width_px=None)


def encode_tiled(
    model: VideoAutoencoder, video: Float[Tensor, "b c t h w"], tiles: Tiles = TIME_TILES
) -> tuple[Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
    """(mean, logvar) of the latents, as `VideoAutoencoder.encode` but by tiles.

    Raises: InvalidInput for tiles that the latents' grid doesn't fit, or a size off the grid.
    """
    time, height, width = _axes(model, tiles, encoding=True)
    return gaussian(torch.cat(list(_in_time(model.moments, video, time, height, width)), dim=2))


def decode_tiled(
    model: VideoAutoencoder, latents: Float[Tensor, "b z n y x"], tiles: Tiles = TIME_TILES
) -> Iterator[Video]:
    """Pixels in order, a tile's frames at a time; memory doesn't grow with the number of frames.

    Raises: InvalidInput for tiles that the latents' grid doesn't fit.
    """
    return _in_time(model.decode, latents, *_axes(model, tiles, encoding=False))


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Length and stride of the tiles in what goes in, and in what comes out."""

    length: int
    stride: int
    out_length: int
    out_stride: int

    @property
    def overlap(self) -> int:
        return self.out_length - self.out_stride


def _axes(model: VideoAutoencoder, tiles: Tiles, *, encoding: bool) -> tuple[_Axis | None, _Axis | None, _Axis | None]:
    time, space = model.config.time_compression, model.config.space_compression
    axes: list[_Axis | None] = []
    for field, unit in (("frames", time), ("height_px", space), ("width_px", space)):
        value = getattr(tiles, field)
        if value is None:
            axes.append(None)
            continue
        length, stride = value
        if not 0 < stride <= length or length % unit or stride % unit:
            raise InvalidInput(
                f"tiles.{field}", value, f"must be (length, stride), multiples of {unit}, stride <= length"
            )
        pixels, latents = (length, stride), (length // unit, stride // unit)
        (a, b), (c, d) = (pixels, latents) if encoding else (latents, pixels)
        axes.append(_Axis(length=a, stride=b, out_length=c, out_stride=d))
    return axes[0], axes[1], axes[2]


def _in_time(
    code: Callable[[Tensor], Tensor], x: Tensor, time: _Axis | None, height: _Axis | None, width: _Axis | None
) -> Iterator[Tensor]:
    num_frames = x.shape[2]
    if time is None or num_frames <= time.length:
        yield _in_space(code, x, height, width)
        return
    previous: Tensor | None = None
    # A last frame alone is the one that the tile before it ends on.
    for start in range(0, num_frames - 1, time.stride):
        tile = _in_space(code, x[:, :, start : start + time.length + 1], height, width)
        if previous is not None:
            tile = tile[:, :, 1:]
            _blend(previous, tile, time.overlap, dim=2)
        yield tile[:, :, : time.out_stride + (previous is None)]
        previous = tile


def _in_space(code: Callable[[Tensor], Tensor], x: Tensor, height: _Axis | None, width: _Axis | None) -> Tensor:
    tall, wide = x.shape[3:]
    fits = (height is None or tall <= height.length) and (width is None or wide <= width.length)
    if fits:
        return code(x)
    rows: list[Tensor] = []
    above: list[Tensor] = []
    for top in _starts(tall, height):
        row: list[Tensor] = []
        for left in _starts(wide, width):
            tile = code(_cut(_cut(x, height, top, dim=3), width, left, dim=4))
            # First with the tile above, then with the one on the left, both as they were blended themselves.
            if above and height is not None:
                _blend(above[len(row)], tile, height.overlap, dim=3)
            if row and width is not None:
                _blend(row[-1], tile, width.overlap, dim=4)
            row.append(tile)
        rows.append(torch.cat([_kept(_kept(tile, height, dim=3), width, dim=4) for tile in row], dim=4))
        above = row
    return torch.cat(rows, dim=3)


def _starts(size: int, axis: _Axis | None) -> range:
    return range(0, size, size if axis is None else axis.stride)


def _cut(x: Tensor, axis: _Axis | None, start: int, *, dim: int) -> Tensor:
    return x if axis is None else x.narrow(dim, start, min(axis.length, x.shape[dim] - start))


def _kept(tile: Tensor, axis: _Axis | None, *, dim: int) -> Tensor:
    return tile if axis is None else tile.narrow(dim, 0, min(axis.out_stride, tile.shape[dim]))


def _blend(before: Tensor, tile: Tensor, overlap: int, *, dim: int) -> None:
    """Fades from the end of ``before`` to ``tile`` over the tile's first places, in it."""
    overlap = min(overlap, before.shape[dim], tile.shape[dim])
    if overlap == 0:
        return
    shape = [1] * 5
    shape[dim] = overlap
    share = (torch.arange(overlap, dtype=torch.float32, device=tile.device) / overlap).view(shape)
    start = tile.narrow(dim, 0, overlap)
    start.copy_(before.narrow(dim, before.shape[dim] - overlap, overlap) * (1 - share) + start * share)
