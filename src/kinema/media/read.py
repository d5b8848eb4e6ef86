"""Videos, animations and pictures as frames: uint8 RGB (t h w c) with their times.

A file that was cut off gives the frames that can still be decoded, and `VideoClip.is_truncated` says so; one without any raises.
Frames keep the file's own times (variable rates included) unless ``fps`` asks for a constant rate: then each frame is the one
that a player would show at that moment. Interlaced frames are deinterlaced, pixels made square, pictures turned upright.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from kinema.core.errors import InvalidInput, MediaError, choices, shown
from kinema.media.arrays import WHITE, Colour, Fps, Frames, PathLike, Picture, exact_fps
from kinema.media.audio import Audio, read_audio
from kinema.media.colour import over
from kinema.media.decode import Damage, Frame, VideoDecoder, open_container, unusable
from kinema.media.files import input_path
from kinema.media.images import decoding, fit, open_image, pixels_of
from kinema.media.probe import MediaInfo, image_info, video_info

MAX_FRAMES_BYTES = 8 << 30
FITS = ("cover", "contain", "stretch")
# players and browsers show frames of up to 10 ms for 100 ms; files rely on it
_LEAST_PICTURE_S, _PICTURE_S = 0.011, 0.1


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size that frames are brought to, and how (see `kinema.media.images.fit`). Raises: InvalidInput."""

    width_px: int
    height_px: int
    fit: Literal["cover", "contain", "stretch"] = "cover"

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 32768:
                raise InvalidInput(name, value, "must be a whole number from 1 to 32768")
        if self.fit not in FITS:
            raise InvalidInput("fit", self.fit, f"must be {choices(FITS)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoClip:
    """Frames (t h w 3), or (t h w 4) where alpha was kept, each shown from ``times_s`` (t) on; ``fps`` is their mean rate."""

    frames: Frames
    times_s: np.ndarray
    fps: Fraction
    info: MediaInfo
    audio: Audio | None = None
    is_truncated: bool = False
    num_bad_packets: int = 0

    @property
    def is_variable_rate(self) -> bool:
        """Whether frames stand unevenly in time, by more than a millisecond."""
        return len(self.times_s) > 2 and bool(np.ptp(np.diff(self.times_s)) > 2e-3)


class Source(Protocol):
    """An open file with frames in it."""

    info: MediaInfo
    damage: Damage

    def frames(self, start_s: float) -> Iterator[Frame]:
        """Frames in order, from one at or before ``start_s`` on, at native size."""
        ...


def read_video(
    media: PathLike,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: Fps | None = None,
    size: Size | tuple[int, int] | None = None,
    max_frames: int | None = None,
    background: Colour | None = WHITE,
    with_audio: bool = False,
) -> VideoClip:
    """The frames of a file from ``start_s`` to ``end_s``, at most ``max_frames``.

    ``size`` is (width, height), filled and cut (`Size` says otherwise). Alpha is laid over ``background``; None keeps it as a fourth
    channel. ``with_audio`` adds the sound of the same stretch of time.

    Raises: MediaError, also where the frames would take more memory than `MAX_FRAMES_BYTES`.
    """
    path = input_path(media)
    window = _Window(start_s=start_s, end_s=end_s, fps=fps, max_frames=max_frames)
    kept: list[Frame] = []
    with open_source(path) as source:
        num_bytes = 0
        for frame in _read(source, window, size, background):
            kept.append(frame)
            num_bytes += frame.pixels.nbytes
            if num_bytes > MAX_FRAMES_BYTES:
                rule = f"takes more than {MAX_FRAMES_BYTES >> 30} GiB as frames; read less of it (start_s, end_s, fps, size)"
                raise MediaError("file", path, rule)
        info, damage = source.info, source.damage
    end = kept[-1].time_s + kept[-1].duration_s
    return VideoClip(
        frames=np.stack([f.pixels for f in kept]),
        times_s=np.array([f.time_s for f in kept]),
        fps=exact_fps(fps) if fps is not None else _rate(kept, info),
        info=info,
        audio=read_audio(path, start_s=start_s, end_s=end) if with_audio and info.audio else None,
        is_truncated=damage.is_truncated,
        num_bad_packets=damage.num_bad_packets,
    )


def iter_frames(
    media: PathLike,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: Fps | None = None,
    size: Size | tuple[int, int] | None = None,
    max_frames: int | None = None,
    background: Colour | None = WHITE,
) -> Iterator[Frame]:
    """The frames that `read_video` gives, one by one, in constant memory. Raises: MediaError."""
    path = input_path(media)
    window = _Window(start_s=start_s, end_s=end_s, fps=fps, max_frames=max_frames)
    with open_source(path) as source:
        yield from _read(source, window, size, background)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The file as frames, whatever its kind. Raises: MediaError."""
    with open_image(path) as image:
        if image is not None:
            yield _ImageSource(image, path)
            return
    info = video_info(path)
    with open_container(path) as container:
        decoder = VideoDecoder(container, path)
        yield _VideoSource(info, decoder)


class _VideoSource:
    def __init__(self, info: MediaInfo, decoder: VideoDecoder) -> None:
        self.info, self.damage, self.frames = info, decoder.damage, decoder.frames


class _ImageSource:
    """A picture, or an animation of pictures."""

    def __init__(self, image: Image.Image, path: Path) -> None:
        self.info, self.damage = image_info(image, path), Damage()
        self._image, self._path = image, path

    def frames(self, start_s: float) -> Iterator[Frame]:
        """All frames: animations can't be entered in the middle."""
        del start_s
        time_s = 0.0
        for i in range(self.info.num_frames or 1):
            try:
                with decoding(self._path):
                    self._image.seek(i)
                pixels = pixels_of(self._image, self._path)
            except MediaError:
                if i == 0:
                    raise
                self.damage.is_truncated = True
                return
            duration_s = float(self._image.info.get("duration") or 0) / 1000
            duration_s = duration_s if duration_s >= _LEAST_PICTURE_S else _PICTURE_S
            yield Frame(time_s, duration_s, pixels)
            time_s += duration_s


@dataclass(frozen=True, kw_only=True)
class _Window:
    """Which frames are wanted."""

    start_s: float
    end_s: float | None
    fps: Fps | None
    max_frames: int | None

    def __post_init__(self) -> None:
        if not math.isfinite(self.start_s) or self.start_s < 0:
            raise InvalidInput("start_s", self.start_s, "must be 0 or more seconds")
        if self.end_s is not None and not self.end_s > self.start_s:
            raise InvalidInput("end_s", self.end_s, f"must be after start_s ({self.start_s:g} s)")
        if self.max_frames is not None and self.max_frames < 1:
            raise InvalidInput("max_frames", self.max_frames, "must be at least 1")

    def pick(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The wanted ones of ``frames``."""
        picked = self._as_stored(frames) if self.fps is None else self._held(frames, exact_fps(self.fps))
        return itertools.islice(picked, self.max_frames)

    def _as_stored(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            tolerance = min(1e-3, frame.duration_s / 4)
            if self.end_s is not None and frame.time_s >= self.end_s - tolerance:
                return
            if frame.time_s >= self.start_s - tolerance:
                yield frame

    def _held(self, frames: Iterator[Frame], fps: Fraction) -> Iterator[Frame]:
        """At each tick of ``fps`` the frame that is on screen then.

        Some containers round times to milliseconds, so a frame counts as on screen a little before its time; without that,
        reading such a file at its own rate would show one frame twice and lose another.
        """
        tolerance = min(1e-3, float(1 / fps) / 4)
        end_s = math.inf if self.end_s is None else self.end_s
        index = 0
        for frame, following in _pairs(frames):
            until = following.time_s if following else frame.time_s + frame.duration_s
            while (time_s := self.start_s + float(index / fps)) < min(until, end_s) - tolerance:
                yield Frame(time_s, float(1 / fps), frame.pixels)
                index += 1
            if time_s >= end_s - tolerance:
                return


def _pairs(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    current = next(frames, None)
    while current is not None:
        following = next(frames, None)
        yield current, following
        current = following


def _read(
    source: Source, window: _Window, size: Size | tuple[int, int] | None, background: Colour | None
) -> Iterator[Frame]:
    prepare = looks(source.info, size, background)
    last: tuple[Picture, Picture] | None = None  # a held frame comes again as the same array
    latest_s = 0.0

    def watched() -> Iterator[Frame]:
        nonlocal latest_s
        for frame in source.frames(window.start_s):
            latest_s = frame.time_s + frame.duration_s
            yield frame

    num_frames = 0
    for frame in window.pick(watched()):
        if last is None or last[0] is not frame.pixels:
            last = frame.pixels, prepare(frame.pixels)
        num_frames += 1
        yield frame._replace(pixels=last[1])
    if not num_frames:
        if latest_s:
            rule = f"is past the last frame of {shown(source.info.path)} ({latest_s:.3g} s long)"
            raise MediaError("start_s", window.start_s, rule)
        raise unusable(source.info.path, "holds no frame that can be shown; it is damaged")


def looks(
    info: MediaInfo, size: Size | tuple[int, int] | None, background: Colour | None
) -> Callable[[Picture], Picture]:
    """A function that brings the file's frames to their size and number of channels."""
    target = Size(width_px=size[0], height_px=size[1]) if isinstance(size, tuple) else size
    # a stream may change its size on the way: without a target, all frames take the size that the file states
    target = target or Size(width_px=info.width_px, height_px=info.height_px, fit="stretch")

    def prepare(pixels: Picture) -> Picture:
        if background is None and pixels.shape[2] == 3:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
        elif background is not None and pixels.shape[2] == 4:
            pixels = over(pixels, background)
        fill = background or (0, 0, 0, 0)
        wanted = (target.width_px, target.height_px)
        return fit(pixels, wanted, target.fit, fill, pixel_aspect=info.upright_pixel_aspect)

    return prepare


def _rate(frames: list[Frame], info: MediaInfo) -> Fraction:
    if info.fps:
        return info.fps
    return Fraction(len(frames) / sum(f.duration_s for f in frames)).limit_denominator(1001)
