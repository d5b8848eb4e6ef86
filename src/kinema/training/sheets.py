"""Contact sheets: clips as rows of frames in one PNG, captions in a text file beside it. No image library needed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.data.load.shards import write_atomically


class SheetFolder:
    """A `SampleSink`: calling it writes ``NAME.png`` (one row a clip, ``columns`` frames of each) and ``NAME.txt`` into ``folder``."""

    def __init__(self, folder: Path, *, columns: int = 6, gap_px: int = 2) -> None:
        self.folder, self.columns, self.gap_px = folder, columns, gap_px

    def __call__(self, name: str, clips: Sequence[Any], captions: Sequence[str]) -> None:
        """Writes one sheet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = sheet([torch.as_tensor(c) for c in clips], columns=self.columns, gap_px=self.gap_px)
        write_atomically(self.folder / f"{name}.png", png(picture))
        lines = "".join(f"{i + 1}. {caption}\n" for i, caption in enumerate(captions))
        write_atomically(self.folder / f"{name}.txt", lines.encode())


def sheet(clips: Sequence[UInt8[Tensor, "_ _ _ 3"]], *, columns: int = 6, gap_px: int = 2) -> UInt8[Tensor, "h w 3"]:
    """A picture with one row per clip (all of one size): ``columns`` frames from first to last."""
    if not clips:
        raise InvalidInput("clips", 0, "a sheet needs at least one clip")
    rows = []
    for clip in clips:
        picked = torch.linspace(0, len(clip) - 1, min(columns, len(clip))).round().long()
        frames = torch.nn.functional.pad(clip[picked], (0, 0, 0, gap_px, 0, gap_px), value=255)
        rows.append(rearrange(frames, "n h w c -> h (n w) c"))
    return torch.cat(rows)


def png(picture: UInt8[Tensor, "h w 3"]) -> bytes:
    """``picture`` as a PNG file. Source: PNG specification, 8-bit truecolour without filters."""
    height, width, _ = picture.shape
    lines = torch.nn.functional.pad(
        rearrange(picture.cpu(), "h w c -> h (w c)"), (1, 0)
    )  # filter type 0 before each line

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.contiguous().numpy().tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
