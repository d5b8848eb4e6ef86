"""The reference's blended tiles: overlapping tiles, each encoded or decoded alone, their overlaps mixed linearly.

Legend: b batch, c channels, t frames, h height, w width, z latent channels, n y x latent frames, height and width. A tile's norms and
attention see the tile alone and its first frame starts a clip, so this is not what `encode` and `decode` give: it is what
diffusers' HunyuanVideo gives by default, where a clip of more than 16 frames is cut in time, and its Wan with tiling enabled. For
exact frames in little memory see `kinema.models.autoencoders.chunked` and `kinema.models.autoencoders.wan_strips`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.memory import TILE_PX
from kinema.models.autoencoders.gaussian import gaussian
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.wan import WanAutoencoder
from kinema.models.autoencoders.work import OnWork, ignore_work, part_of
from kinema.models.layers.causal_conv import Stream, Video


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """(length, stride) of the tiles along each axis of the pixels; None: not cut. The defaults are diffusers'.

    A tile in time has one frame more than its length: the frame before it, which starts it as a clip.
    """

    frames: tuple[int, int] | None = (16, 12)
    height_px: tuple[int, int] | None = (TILE_PX, 192)
    width_px: tuple[int, int] | None = (TILE_PX, 192)


# What the reference does unless spatial tiles are switched on.
TIME_TILES = Tiles(height_px=None, width_px=None)
# What its Wan does where tiling is enabled.
SPACE_TILES = Tiles(frames=None)
# A tile's moments or pixels; it is told whom to tell of its work.
_Code = Callable[[Tensor, OnWork], Tensor]


def encode_tiled(
    model: VideoAutoencoder, video: Float[Tensor, "b c t h w"], tiles: Tiles = TIME_TILES
) -> tuple[Float[Tensor, "b z n y x"], Float[Tensor, "b z n y x"]]:
    """(mean, logvar) of the latents, as `VideoAutoencoder.encode` but by tiles.

    Raises: InvalidInput for tiles that the latents' grid doesn't fit, or a size off the grid.
    """
    time, height, width = _axes(model, tiles, encoding=True)
    return gaussian(torch.cat(list(_in_time(lambda tile, _: model.moments(tile), video, time, height, width)), dim=2))


def decode_tiled(
    model: VideoAutoencoder,
    latents: Float[Tensor, "b z n y x"],
    tiles: Tiles = TIME_TILES,
    *,
    on_work: OnWork = ignore_work,
) -> Iterator[Video]:
    """Pixels in order, a tile's frames at a time; memory doesn't grow with the number of frames.

    Raises: InvalidInput for tiles that the latents' grid doesn't fit.
    """
    axes = _axes(model, tiles, encoding=False)
    return _in_time(lambda tile, told: model.decode(tile, on_work=told), latents, *axes, on_work)


@torch.no_grad()
def decode_wan_tiled(
    model: WanAutoencoder,
    latents: Float[Tensor, "b z n y x"],
    tiles: Tiles = SPACE_TILES,
    *,
    on_work: OnWork = ignore_work,
) -> Iterator[Video]:
    """Wan's pixels in order, a latent frame's at a time, after all were made, tile by tile; its tiles are of space alone.

    Raises: InvalidInput for tiles that the latents' grid doesn't fit, or of time.
    """
    if tiles.frames is not None:
        raise InvalidInput("tiles.frames", tiles.frames, "must be None: Wan's decoder streams over time")
    compression, patch_px = model.config.compression, model.config.patch_px
    axes = (_axis(field, getattr(tiles, field), compression.space) for field in ("height_px", "width_px"))
    # the reference mixes patches of pixels, before they are unfolded
    height, width = (
        a and replace(a, out_length=a.out_length // patch_px, out_stride=a.out_stride // patch_px) for a in axes
    )

    def decode(tile: Tensor, told: OnWork) -> Tensor:
        stream, chunks = Stream(), []
        for i, latent in enumerate(tile.split(1, dim=2)):
            chunks.append(model.decoder(model.post_quant_conv(latent), stream))
            stream.end_chunk()
            told((i + 1) / tile.shape[2])
        return torch.cat(chunks, dim=2)

    decoded = _in_space(decode, latents, height, width, on_work)
    for chunk in decoded.split([len(compression.frames_of_latent(i)) for i in range(latents.shape[2])], dim=2):
        yield model.unfolded(chunk)


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
    fields = (("frames", time), ("height_px", space), ("width_px", space))
    axes = [_axis(field, getattr(tiles, field), unit) for field, unit in fields]
    if encoding:
        axes = [
            a and _Axis(length=a.out_length, stride=a.out_stride, out_length=a.length, out_stride=a.stride)
            for a in axes
        ]
    return axes[0], axes[1], axes[2]


def _axis(field: str, value: tuple[int, int] | None, unit: int) -> _Axis | None:
    """The axis of a decode whose tiles are ``value`` pixels, ``unit`` to a latent place."""
    if value is None:
        return None
    length, stride = value
    if not 0 < stride <= length or length % unit or stride % unit:
        rule = f"must be (length, stride), multiples of {unit}, stride <= length"
        raise InvalidInput(f"tiles.{field}", value, rule)
    return _Axis(length=length // unit, stride=stride // unit, out_length=length, out_stride=stride)


def _in_time(
    code: _Code,
    x: Tensor,
    time: _Axis | None,
    height: _Axis | None,
    width: _Axis | None,
    on_work: OnWork = ignore_work,
) -> Iterator[Tensor]:
    num_frames = x.shape[2]
    if time is None or num_frames <= time.length:
        yield _in_space(code, x, height, width, on_work)
        return
    previous: Tensor | None = None
    # A last frame alone is the one that the tile before it ends on.
    starts = range(0, num_frames - 1, time.stride)
    for i, start in enumerate(starts):
        told = part_of(on_work, i, len(starts))
        tile = _in_space(code, x[:, :, start : start + time.length + 1], height, width, told)
        if previous is not None:
            tile = tile[:, :, 1:]
            _blend(previous, tile, time.overlap, dim=2)
        yield tile[:, :, : time.out_stride + (previous is None)]
        previous = tile


def _in_space(code: _Code, x: Tensor, height: _Axis | None, width: _Axis | None, on_work: OnWork) -> Tensor:
    tall, wide = x.shape[3:]
    fits = (height is None or tall <= height.length) and (width is None or wide <= width.length)
    if fits:
        return code(x, on_work)
    tops, lefts = _starts(tall, height), _starts(wide, width)
    rows: list[Tensor] = []
    above: list[Tensor] = []
    for i, top in enumerate(tops):
        row: list[Tensor] = []
        for j, left in enumerate(lefts):
            told = part_of(on_work, i * len(lefts) + j, len(tops) * len(lefts))
            tile = code(_cut(_cut(x, height, top, dim=3), width, left, dim=4), told)
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
