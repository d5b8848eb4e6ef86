"""Sizes of videos and latents: the only home of frame arithmetic, snapping and bucket tables. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput, UnsupportedRequest


@dataclass(frozen=True, kw_only=True)
class VideoShape:
    """Pixels of a clip: ``frames`` x ``height_px`` x ``width_px`` at ``fps``. A picture has one frame."""

    frames: int
    height_px: int
    width_px: int
    fps: float

    def __post_init__(self) -> None:
        for name in ("frames", "height_px", "width_px"):
            check_whole(name, getattr(self, name), least=1)
        check_number("fps", self.fps, above=0)

    @property
    def seconds(self) -> float:
        """Length in seconds: the time from the first frame's start to the last frame's end."""
        return self.frames / self.fps

    @property
    def pixels(self) -> int:
        """Pixels over all frames."""
        return self.frames * self.height_px * self.width_px

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}, {self.frames} frames at {self.fps:g} fps"


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """Latents of a clip, as (channels, frames, height, width)."""

    channels: int
    frames: int
    height: int
    width: int

    def as_tuple(self) -> tuple[int, int, int, int]:
        """(c, t, h, w)."""
        return self.channels, self.frames, self.height, self.width

    def num_tokens(self, patch: tuple[int, int, int] = (1, 2, 2)) -> int:
        """Spacetime patches of size ``patch`` (t, h, w)."""
        return (self.frames // patch[0]) * (self.height // patch[1]) * (self.width // patch[2])


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A causal video autoencoder's factors. The first frame stands alone: frames = 1 + time * k.

    ``align`` is what height and width must be divisible by once the transformer's patch counts too.
    """

    time: int
    space: int
    channels: int
    align: int = 0

    def __post_init__(self) -> None:
        for name, least in (("time", 1), ("space", 1), ("channels", 1), ("align", 0)):
            check_whole(name, getattr(self, name), least=least)
        if self.align % self.space:
            raise InvalidInput("align", self.align, f"must be a multiple of space ({self.space})")

    @property
    def align_px(self) -> int:
        """The pixel grid for height and width."""
        return self.align or self.space

    def latent(self, video: VideoShape) -> LatentShape:
        """The latents of ``video``. Raises: InvalidInput off the grid, naming the nearest sizes that fit."""
        self.check(video)
        return LatentShape(
            channels=self.channels,
            frames=1 + (video.frames - 1) // self.time,
            height=video.height_px // self.space,
            width=video.width_px // self.space,
        )

    def video(self, latent: LatentShape, fps: float) -> VideoShape:
        """The clip that ``latent`` decodes to."""
        return VideoShape(
            frames=1 + (latent.frames - 1) * self.time,
            height_px=latent.height * self.space,
            width_px=latent.width * self.space,
            fps=fps,
        )

    def check(self, video: VideoShape) -> None:
        """Raises: UnsupportedRequest if ``video`` is off the grid, naming the nearest sizes that fit."""
        if (video.frames - 1) % self.time:
            near = _either(self.nearest_frames(video.frames))
            raise UnsupportedRequest("frames", video.frames, f"must be 1 + {self.time}k; nearest: {near}")
        for name in ("height_px", "width_px"):
            value = getattr(video, name)
            if value % self.align_px:
                near = _either(nearest_multiples(value, self.align_px))
                raise UnsupportedRequest(name, value, f"must be a multiple of {self.align_px}; nearest: {near}")

    def nearest_frames(self, frames: float) -> list[int]:
        """The valid frame counts around ``frames``, nearest first (one if it fits)."""
        low = 1 + self.time * max(0, math.floor((frames - 1) / self.time))
        if low == frames:
            return [low]
        return sorted((low, low + self.time), key=lambda n: abs(n - frames))

    def snap_frames(self, frames: float) -> int:
        """The valid frame count nearest to ``frames``; the shorter one on a tie."""
        return self.nearest_frames(frames)[0]

    def latent_frame_of(self, frame: int) -> int:
        """The latent frame that holds pixel frame ``frame``."""
        return 0 if frame <= 0 else 1 + (frame - 1) // self.time

    def frames_of_latent(self, latent_frame: int) -> range:
        """The pixel frames that latent frame ``latent_frame`` holds."""
        if latent_frame == 0:
            return range(1)
        start = 1 + (latent_frame - 1) * self.time
        return range(start, start + self.time)

    def shown_frames(self, num_latent_frames: int) -> list[int]:
        """The pixel frame that stands for each latent frame where one is needed, such as for its camera: the last that it holds."""
        return [self.frames_of_latent(k)[-1] for k in range(num_latent_frames)]


@dataclass(frozen=True, kw_only=True, order=True)
class Bucket:
    """A shape that clips are sorted into for training: every clip of a batch has it."""

    frames: int
    height_px: int
    width_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}x{self.frames}"


def nearest_multiples(value: int, step: int) -> list[int]:
    """Positive multiples of ``step`` around ``value``, nearest first."""
    low = max(step, value // step * step)
    return sorted({low, low + step if low < value else low}, key=lambda n: (abs(n - value), n))


def parse_size(text: str, field: str = "size") -> tuple[int, int]:
    """(width_px, height_px) of ``"WxH"``. Raises: InvalidInput."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(_is_count(p) for p in parts):
        raise InvalidInput(field, text, "must be WIDTHxHEIGHT in pixels, such as 96x96")
    return int(parts[0]), int(parts[1])


def parse_aspect(text: str, field: str = "aspect_ratio") -> float:
    """Width over height of ``"16:9"``. Raises: InvalidInput."""
    parts = text.replace("：", ":").split(":")
    if len(parts) != 2 or not all(_is_count(p) for p in parts):
        raise InvalidInput(field, text, "must be WIDTH:HEIGHT, such as 16:9")
    return int(parts[0]) / int(parts[1])


def nearest_size(sizes: Sequence[tuple[int, int]], aspect: float) -> tuple[int, int]:
    """The (width_px, height_px) of ``sizes`` whose aspect ratio is nearest in the logarithm; the larger one on a tie."""
    return min(sizes, key=lambda s: (round(abs(math.log(s[0] / s[1] / aspect)), 9), -s[0] * s[1]))


def nearest_bucket(buckets: Sequence[Bucket], video: VideoShape) -> Bucket:
    """The bucket that ``video`` is cropped into: nearest aspect, then the longest and largest that it fills.

    Raises: InvalidInput if the clip is shorter or smaller than every bucket.
    """

    def fits(b: Bucket) -> bool:
        return b.frames <= video.frames and b.height_px <= video.height_px and b.width_px <= video.width_px

    fitting = [b for b in buckets if fits(b)]
    if not fitting:
        raise InvalidInput("clip", video, f"is shorter or smaller than every bucket: {', '.join(map(str, buckets))}")
    aspect = video.width_px / video.height_px

    def rank(b: Bucket) -> tuple[float, int, int]:
        return round(abs(math.log(b.width_px / b.height_px / aspect)), 6), -b.frames, -b.height_px * b.width_px

    return min(fitting, key=rank)


def _is_count(text: str) -> bool:
    # Python refuses to read numbers of thousands of digits, and no size has seven
    return text.strip().isdecimal() and len(text.strip()) < 7 and int(text) > 0


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(str(n) for n in numbers)
