"""Where a picture, clip or sound comes from: one value for the command line, Python, the wire and the queue. Standard library only."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from kinema.core.errors import InvalidInput

_BLOB = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class MediaRef:
    """A path, a URL (``http``, ``https``) or a content hash (``sha256:`` and 64 hex digits)."""

    ref: str

    def __post_init__(self) -> None:
        if not isinstance(self.ref, str) or not self.ref.strip():
            raise InvalidInput("media", self.ref, "must be a path, a URL or sha256:HASH")
        if "\x00" in self.ref:
            raise InvalidInput("media", self.ref, "must not contain a zero byte")
        if self.ref.startswith("sha256:") and not _BLOB.fullmatch(self.ref):
            raise InvalidInput("media", self.ref, "a content hash is sha256: and 64 hex digits")

    @property
    def kind(self) -> Literal["path", "url", "blob"]:
        """Which of the three it is."""
        if self.ref.startswith(("http://", "https://")):
            return "url"
        return "blob" if _BLOB.fullmatch(self.ref) else "path"

    def __str__(self) -> str:
        return self.ref


@dataclass(frozen=True)
class Keyframe:
    """A picture that the clip shows at ``at_s`` seconds; a negative time counts back from the end (-1 is the last frame)."""

    media: MediaRef
    at_s: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.at_s, (int, float)) or isinstance(self.at_s, bool) or not math.isfinite(self.at_s):
            raise InvalidInput("at_s", self.at_s, "must be a number of seconds")

    @classmethod
    def parse(cls, text: str) -> Keyframe:
        """A keyframe from ``FILE`` or ``FILE@SECONDS``. Raises: InvalidInput."""
        path, sep, at = text.rpartition("@")
        if not sep:
            return cls(MediaRef(text))
        try:
            return cls(MediaRef(path), float(at))
        except ValueError:
            return cls(MediaRef(text))
