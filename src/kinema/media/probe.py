"""What a media file is: size, rate, length, colour, turn, sound. Reads headers and one frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from PIL import Image

from kinema.media.arrays import PathLike
from kinema.media.boxes import is_cut_off
from kinema.media.colour import HDR_TRANSFERS, kind_of
from kinema.media.decode import (
    UPRIGHT,
    Orientation,
    VideoDecoder,
    open_container,
    orientation_of,
    unusable,
    video_stream,
)
from kinema.media.files import input_path
from kinema.media.images import ANIMATED_FORMATS, decoding, open_image


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """The sound in a file."""

    codec: str
    rate_hz: int
    num_channels: int
    duration_s: float | None


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What a file states about itself, and what one decoded frame shows.

    ``width_px`` and ``height_px`` are as seen (turned upright, square pixels), the coded ones as stored; 0 for plain sound.
    ``num_frames``, ``fps`` and ``duration_s`` are None where the file doesn't say. ``matrix`` is the one used to read it, stated
    by the file or not.
    """

    path: Path
    kind: Literal["picture", "animation", "video", "sound"]
    container: str
    codec: str
    size_bytes: int
    width_px: int = 0
    height_px: int = 0
    coded_width_px: int = 0
    coded_height_px: int = 0
    num_frames: int | None = None
    fps: Fraction | None = None
    duration_s: float | None = None
    pixel_format: str = ""
    bit_depth: int = 8
    matrix: str = "rgb"
    is_full_range: bool = True
    is_hdr: bool = False
    has_alpha: bool = False
    is_interlaced: bool = False
    pixel_aspect: Fraction = Fraction(1)
    orientation: Orientation = UPRIGHT
    is_truncated: bool = False
    audio: AudioInfo | None = None

    @property
    def rotation_deg(self) -> int:
        """How far the stored pixels are turned clockwise to be upright."""
        return self.orientation.clockwise_deg

    @property
    def upright_pixel_aspect(self) -> float:
        """Width over height of a pixel once the frame is upright."""
        return float(1 / self.pixel_aspect if self.orientation.is_transposed else self.pixel_aspect)


def probe(media: PathLike) -> MediaInfo:
    """What the file is. Raises: MediaError if it is missing, empty or no picture, video or sound."""
    path = input_path(media)
    with open_image(path) as image:
        if image is not None:
            return image_info(image, path)
    return video_info(path)


def image_info(image: Image.Image, path: Path) -> MediaInfo:
    """What an opened picture file is."""
    with decoding(path):
        num_frames = getattr(image, "n_frames", 1) if image.format in ANIMATED_FORMATS else 1
        # Pillow turns TIFF by itself
        is_turned = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5
        has_alpha = image.has_transparency_data
    width, height = image.size[::-1] if is_turned else image.size
    return MediaInfo(
        path=path,
        kind="animation" if num_frames > 1 else "picture",
        container=(image.format or "").lower(),
        codec=(image.format or "").lower(),
        size_bytes=path.stat().st_size,
        width_px=width,
        height_px=height,
        coded_width_px=image.width,
        coded_height_px=image.height,
        num_frames=num_frames,
        pixel_format=image.mode,
        bit_depth=16 if image.mode.startswith("I") else 8,
        has_alpha=has_alpha,
        is_truncated=is_cut_off(path),
    )


def video_info(path: Path) -> MediaInfo:
    """What a video or sound file is. Raises: MediaError."""
    with open_container(path) as container:
        if video_stream(container) is None:
            if not container.streams.audio:
                raise unusable(path, "has no picture and no sound in it")
            return _sound_info(container, path)
        decoder = VideoDecoder(container, path)
        frame = next(decoder.av_frames(), None)
        if frame is None:
            raise unusable(path, "holds no frame that can be shown; it is damaged")
        return _video_info(container, decoder, frame)


def _video_info(container: InputContainer, decoder: VideoDecoder, frame: av.VideoFrame) -> MediaInfo:
    stream, orientation = decoder.stream, orientation_of(frame)
    kind = kind_of(frame, stream.codec_context.name, is_interlaced=frame.interlaced_frame)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width = max(1, round(frame.width * max(aspect, 1)))
    height = max(1, round(frame.height / min(aspect, 1)))
    return MediaInfo(
        path=decoder.path,
        kind="video",
        container=container.format.name,
        codec=stream.codec_context.name,
        size_bytes=decoder.path.stat().st_size,
        width_px=height if orientation.is_transposed else width,
        height_px=width if orientation.is_transposed else height,
        coded_width_px=frame.width,
        coded_height_px=frame.height,
        num_frames=stream.frames or None,
        fps=stream.average_rate or stream.guessed_rate,
        duration_s=_duration_s(container, stream),
        pixel_format=frame.format.name,
        bit_depth=max(c.bits for c in frame.format.components),
        matrix=kind.matrix,
        is_full_range=kind.is_full_range,
        is_hdr=int(frame.color_trc) in HDR_TRANSFERS,
        has_alpha=kind.has_alpha,
        is_interlaced=kind.is_interlaced,
        pixel_aspect=aspect,
        orientation=orientation,
        is_truncated=decoder.damage.is_truncated,
        audio=_audio_info(container),
    )


def _sound_info(container: InputContainer, path: Path) -> MediaInfo:
    audio = _audio_info(container)
    return MediaInfo(
        path=path,
        kind="sound",
        container=container.format.name,
        codec=audio.codec if audio else "",
        size_bytes=path.stat().st_size,
        duration_s=audio.duration_s if audio else None,
        is_truncated=is_cut_off(path),
        audio=audio,
    )


def _audio_info(container: InputContainer) -> AudioInfo | None:
    if not container.streams.audio or container.streams.audio[0].codec_context is None:
        return None
    stream = container.streams.audio[0]
    return AudioInfo(
        codec=stream.codec_context.name,
        rate_hz=stream.rate,
        num_channels=stream.channels,
        duration_s=_duration_s(container, stream),
    )


def _duration_s(container: InputContainer, stream: av.VideoStream | av.AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
