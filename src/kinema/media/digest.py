"""A hash over raw frames, the same whether they come whole or in chunks: what `kinema reproduce` compares."""

from __future__ import annotations

import hashlib

import numpy as np

from kinema.core.errors import InvalidInput
from kinema.media.arrays import as_chunk


class FramesDigest:
    """SHA-256 over RGB bytes in order, closed by the shape: ``"{t}x{h}x{w}x3"``."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size: tuple[int, ...] | None = None
        self.num_frames = 0

    def update(self, frames: np.ndarray) -> None:
        """Adds a chunk (t h w 3) or a picture (h w 3), uint8. Raises: InvalidInput if its size differs from the chunks before."""
        chunk = as_chunk(frames)
        if self._size not in (None, chunk.shape[1:]):
            raise InvalidInput(
                "frames", f"shape {chunk.shape}", f"must be {self._size} per frame, as the frames before"
            )
        self._size = chunk.shape[1:]
        self.num_frames += len(chunk)
        self._hash.update(np.ascontiguousarray(chunk).data)

    def value(self) -> str:
        """``"sha256:"`` and 64 hex digits, of what was added so far."""
        closed = self._hash.copy()
        closed.update("x".join(str(n) for n in (self.num_frames, *(self._size or (0, 0, 3)))).encode())
        return f"sha256:{closed.hexdigest()}"


def frames_digest(frames: np.ndarray) -> str:
    """``"sha256:..."`` over raw uint8 frames (t h w 3), or one picture (h w 3), shape included."""
    digest = FramesDigest()
    digest.update(frames)
    return digest.value()
