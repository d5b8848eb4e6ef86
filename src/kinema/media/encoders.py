"""Which encoder writes which kind of file, and what each kind can't hold.

An encoder takes frames in order and puts the finished file in place at the end, or nothing. What a kind of file can't do is refused by
`check` before any work is done.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from kinema.core.errors import InvalidInput
from kinema.media.arrays import Picture
from kinema.media.encode_picture import PictureEncoder, SequenceEncoder, is_numbered, one_picture
from kinema.media.encode_video import AnimatedWebpEncoder, GifEncoder, H264Encoder, Settings

_MAX_GIF_FPS = 50


class Encoder(Protocol):
    """Writes one file, or a folder of pictures."""

    notes: list[str]
    paths: list[Path]

    def add(self, frame: Picture) -> None:
        """Encodes the next frame."""
        ...

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place, with ``recipe`` (JSON) in it."""
        ...

    def discard(self) -> None:
        """Leaves nothing."""
        ...


class WebpEncoder:
    """webp: a picture for one frame, an animation for more."""

    def __init__(self, target: Path, settings: Settings) -> None:
        self._target, self._settings = target, settings
        self._picture = PictureEncoder(target, settings)
        self._first: Picture | None = None
        self._animation: AnimatedWebpEncoder | None = None
        self.notes: list[str] = []
        self.paths = [target]

    def add(self, frame: Picture) -> None:
        """Takes the next frame."""
        if self._first is None:
            self._first = frame
            self._picture.add(frame)
            return
        if self._animation is None:
            self._animation = AnimatedWebpEncoder(self._target, self._settings)
            self._animation.add(self._first)
        self._animation.add(frame)

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place."""
        if self._animation is None:
            self._picture.finish(recipe)
        else:
            self._animation.finish(recipe)
            self._picture.discard()

    def discard(self) -> None:
        """Leaves nothing."""
        self._picture.discard()
        if self._animation is not None:
            self._animation.discard()


ENCODERS: dict[str, Callable[[Path, Settings], Encoder]] = {
    ".mp4": H264Encoder,
    ".m4v": H264Encoder,
    ".mov": H264Encoder,
    ".gif": GifEncoder,
    ".webp": WebpEncoder,
    ".png": PictureEncoder,
    ".jpg": PictureEncoder,
    ".jpeg": PictureEncoder,
}
_WITH_SOUND = (".mp4", ".m4v", ".mov")


def encoder_for(target: Path, *, is_folder: bool) -> Callable[[Path, Settings], Encoder]:
    """The encoder for the file's ending. Raises: InvalidInput, naming the endings that work."""
    if is_folder or is_numbered(target):
        return SequenceEncoder
    suffix = target.suffix.lower()
    if suffix not in ENCODERS:
        rule = f"must end in {', '.join(ENCODERS)}, or be a folder ending in / or a pattern like clip_%04d.png"
        raise InvalidInput("path", target, rule)
    return ENCODERS[suffix]


def check(target: Path, settings: Settings, *, num_frames: int | None, is_folder: bool) -> None:
    """Refuses what the kind of file can't hold. Raises: InvalidInput."""
    encoder, suffix = encoder_for(target, is_folder=is_folder), target.suffix.lower()
    if encoder is PictureEncoder and num_frames is not None and num_frames > 1:
        raise one_picture(target)
    if encoder is GifEncoder and settings.fps > _MAX_GIF_FPS:
        raise InvalidInput("fps", float(settings.fps), f"a GIF shows at most {_MAX_GIF_FPS}; use .mp4 or .webp")
    if settings.audio is not None and (encoder is SequenceEncoder or suffix not in _WITH_SOUND):
        raise InvalidInput("audio", target, f"this kind of file has no sound; use {' or '.join(_WITH_SOUND)}")
    if is_numbered(target) and suffix != ".png":
        raise InvalidInput("path", target, "a numbered sequence is written as .png")
