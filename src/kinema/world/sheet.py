"""Contact sheets: clips below each other, frames side by side. No media library is needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from kinema.core.errors import InvalidInput


def contact_sheet(
    clips: Sequence[UInt8[Tensor, "_t _h _w 3"]], *, columns: int = 6, gap_px: int = 2, background: int = 24
) -> UInt8[Tensor, "h w 3"]:
    """One picture (h w c): a row a clip, ``columns`` frames of it evenly spread from first to last.

    Raises: InvalidInput without clips, or with clips of several frame sizes.
    """
    if not clips:
        raise InvalidInput("clips", "none", "give at least one clip")
    sizes = {tuple(c.shape[1:]) for c in clips}
    if len(sizes) > 1:
        raise InvalidInput("clips", sorted(sizes), "must all have one frame size")
    if columns < 1:
        raise InvalidInput("columns", columns, "must be at least 1")
    height, width = clips[0].shape[1], clips[0].shape[2]
    down, across = len(clips) * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px
    sheet = torch.full((down, across, 3), background, dtype=torch.uint8)
    for row, clip in enumerate(clips):
        for column in range(columns):
            frame = clip[round(column * (clip.shape[0] - 1) / max(1, columns - 1))]
            top, left = gap_px + row * (height + gap_px), gap_px + column * (width + gap_px)
            sheet[top : top + height, left : left + width] = frame.cpu()
    return sheet
