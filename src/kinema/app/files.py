"""What a media file is and how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.media.probe import MediaInfo, probe
from kinema.media.recipe import read_recipe


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file's own facts, and its recipe if it carries one."""

    path: Path
    media: MediaInfo
    recipe: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        info, sound = self.media, self.media.audio
        media = {
            "kind": info.kind,
            "container": info.container,
            "codec": info.codec,
            "size_bytes": info.size_bytes,
            "width_px": info.width_px,
            "height_px": info.height_px,
            "frames": info.num_frames,
            "fps": None if info.fps is None else float(info.fps),
            "seconds": info.duration_s,
            "pixel_format": info.pixel_format,
            "bit_depth": info.bit_depth,
            "matrix": info.matrix,
            "is_full_range": info.is_full_range,
            "is_hdr": info.is_hdr,
            "has_alpha": info.has_alpha,
            "is_interlaced": info.is_interlaced,
            "rotation_deg": info.rotation_deg,
            "is_truncated": info.is_truncated,
            "sound": sound and {"codec": sound.codec, "rate_hz": sound.rate_hz, "channels": sound.num_channels},
        }
        return {"path": str(self.path), "media": media, "recipe": self.recipe}


def inspect(path: str | Path) -> Inspection:
    """What the file at ``path`` is, and its recipe. Raises: MediaError."""
    return Inspection(path=Path(path), media=probe(str(path)), recipe=read_recipe(str(path)))
