"""A clip at a glance: its cover frame, and sheets of small frames with the geometry that a player's preview needs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from einops import rearrange

from kinema.core.errors import InvalidInput
from kinema.media.arrays import WHITE, Colour, Fps, Frames, PathLike, Picture, as_chunk, exact_fps
from kinema.media.images import fit
from kinema.media.quality import DEFAULT_QUALITY
from kinema.media.write import Recipe, WrittenFile, write_picture

_DETAIL_PX, _LAYOUT_PX = 64, 8  # the widths at which frames are compared
_ENDS = 0.1  # fades and titles: this part at both ends is passed over


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One small frame of a sheet: where it lies, and the time that it stands for."""

    x_px: int
    y_px: int
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class SpriteSheet:
    """The geometry of a written sheet, row by row from the top left."""

    columns: int
    rows: int
    tile_width_px: int
    tile_height_px: int
    tiles: tuple[Tile, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)

    def to_vtt(self, url: str) -> str:
        """A WebVTT thumbnail track that points into the sheet at ``url``."""
        lines = ["WEBVTT", ""]
        for tile in self.tiles:
            region = f"#xywh={tile.x_px},{tile.y_px},{self.tile_width_px},{self.tile_height_px}"
            lines += [f"{_clock(tile.start_s)} --> {_clock(tile.end_s)}", url + region, ""]
        return "\n".join(lines)


def cover_index(frames: Frames) -> int:
    """The index of the frame that stands best for the clip: detailed, and near to what the clip looks like on average.

    Each frame's detail (standard deviation of its Laplacian, over the clip's largest) less its distance from the clip's median
    frame, both coarse (over the largest distance); the first and last tenth are left out. A still clip gives its first frame.
    """
    chunk = as_chunk(frames)
    skip = int(len(chunk) * _ENDS)
    candidates = range(skip, len(chunk) - skip)
    grey = np.stack([_small(chunk[i], _DETAIL_PX).mean(axis=2) for i in candidates])
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner
    detail = laplacian.std(axis=(1, 2))
    layout = np.stack([_small(chunk[i], _LAYOUT_PX).astype(float) for i in candidates])
    distance = np.abs(layout - np.median(layout, axis=0)).mean(axis=(1, 2, 3))
    score = detail / max(detail.max(), 1e-9) - distance / max(distance.max(), 1e-9)
    return candidates[int(score.argmax())]


def write_cover(
    path: PathLike, frames: Frames, *, quality: str = DEFAULT_QUALITY, recipe: Recipe | None = None
) -> WrittenFile:
    """What was written to ``path`` (.jpg, .png, .webp): the clip's cover frame. Raises: InvalidInput, StorageError."""
    chunk = as_chunk(frames)
    return write_picture(path, chunk[cover_index(chunk)], quality=quality, recipe=recipe)


def write_spritesheet(
    path: PathLike,
    frames: Frames,
    *,
    fps: Fps,
    tile_width_px: int = 160,
    columns: int = 5,
    max_tiles: int = 25,
    quality: str = DEFAULT_QUALITY,
) -> SpriteSheet:
    """The geometry of a sheet written to ``path``: up to ``max_tiles`` frames, evenly spread, ``columns`` to a row.

    Raises: InvalidInput, StorageError.
    """
    chunk, rate = as_chunk(frames), exact_fps(fps)
    for name, value in (("tile_width_px", tile_width_px), ("columns", columns), ("max_tiles", max_tiles)):
        if value < 1:
            raise InvalidInput(name, value, "must be at least 1")
    num_tiles = min(max_tiles, len(chunk))
    width, height = tile_width_px, max(1, round(tile_width_px * chunk.shape[1] / chunk.shape[2]))
    starts = [i * len(chunk) // num_tiles for i in range(num_tiles + 1)]
    # each tile shows the middle of the stretch that it stands for
    shown = [fit(chunk[(a + b) // 2], (width, height), "stretch", WHITE) for a, b in itertools.pairwise(starts)]
    write_picture(path, grid(shown, columns=min(columns, num_tiles)), quality=quality)
    tiles = [
        Tile(
            x_px=i % columns * width,
            y_px=i // columns * height,
            start_s=float(starts[i] / rate),
            end_s=float(starts[i + 1] / rate),
        )
        for i in range(num_tiles)
    ]
    rows = math.ceil(num_tiles / columns)
    sizes = {"tile_width_px": width, "tile_height_px": height}
    return SpriteSheet(columns=min(columns, num_tiles), rows=rows, tiles=tuple(tiles), **sizes)


def grid(pictures: Sequence[Picture], *, columns: int, gap_px: int = 0, background: Colour = WHITE) -> Picture:
    """One picture of ``pictures``, all of one size, ``columns`` to a row with ``gap_px`` between them."""
    height, width = pictures[0].shape[:2]
    rows = math.ceil(len(pictures) / columns)
    tiles = np.empty((rows * columns, height + gap_px, width + gap_px, 3), np.uint8)
    tiles[:] = background
    tiles[: len(pictures), :height, :width] = pictures
    sheet = rearrange(tiles, "(row column) h w c -> (row h) (column w) c", row=rows)
    return np.ascontiguousarray(sheet[: rows * (height + gap_px) - gap_px, : columns * (width + gap_px) - gap_px])


def _small(picture: Picture, width_px: int) -> Picture:
    height_px = max(3, round(width_px * picture.shape[0] / picture.shape[1]))
    return fit(picture, (width_px, height_px), "stretch", WHITE)


def _clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"
