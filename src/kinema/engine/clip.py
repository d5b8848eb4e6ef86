"""A finished clip: its frames, its shape and how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from kinema.core.geometry import VideoShape
from kinema.engine.meter import RunMetrics


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """``frames`` are uint8 RGB (t h w c); ``recipe`` is everything that is needed to make them again."""

    frames: UInt8[np.ndarray, "t h w 3"]
    shape: VideoShape
    recipe: Mapping[str, Any]
    metrics: RunMetrics

    @property
    def seed(self) -> int:
        """The seed that it was made from."""
        return self.recipe["request"]["seed"]

    @property
    def digest(self) -> str:
        """The hash of its frames."""
        return self.recipe["frames"]

    def save(self, path: str | os.PathLike[str], *, quality: str | None = None) -> Path:
        """The path written, in the format that its ending names, the recipe inside. Raises: StorageError, MediaError."""
        from kinema.media.quality import DEFAULT_QUALITY
        from kinema.media.write import write_video

        write_video(path, self.frames, fps=self.shape.fps, quality=quality or DEFAULT_QUALITY, recipe=self.recipe)
        return Path(path)
