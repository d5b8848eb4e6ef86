"""Encoders of moving pictures, through PyAV: H.264 with AAC, GIF, animated WebP.

All encoders have the same three verbs (see `kinema.media.encoders.Encoder`). These write a raw file first and finish it into a second
one, where the recipe, known only at the end, stands before the frames.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from kinema.media.arrays import Picture
from kinema.media.audio import AacTrack, Audio
from kinema.media.boxes import add_index_first
from kinema.media.colour import BT709, LIMITED, rgb_frame, yuv_graph
from kinema.media.files import AtomicFile
from kinema.media.quality import Quality
from kinema.media.recipe import add_to_gif, add_to_webp

_KEY_FRAME_S = 2.0  # how far a player has to go back at most
# The same frames shall give the same bytes. x264's choices may depend on the number of threads, so that is fixed. Its macroblock
# tree gives one of several files at random where the processor has AVX-512 (measured: 16 runs, up to 7 files; one at most with AVX2
# or without the tree); going without costs about 0.4 dB at equal size.
_X264_THREADS = 4
_X264_PARAMS = "mbtree=0"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the encoders are told."""

    fps: Fraction
    quality: Quality
    audio: Audio | None = None


class _AvEncoder:
    """What files written through PyAV share: a raw file first, finished into a second one that is put in place."""

    container_format: ClassVar[str]
    container_options: ClassVar[dict[str, str]]

    def __init__(self, target: Path, settings: Settings) -> None:
        self.notes: list[str] = []
        self.paths = [target]
        self._settings = settings
        self._time_base = 1 / settings.fps
        self._num_frames = 0
        self._stream: av.VideoStream | None = None
        kind = "mov" if target.suffix.lower() == ".mov" else self.container_format
        self._final = AtomicFile(target)
        try:
            self._raw = AtomicFile(target)
        except BaseException:
            self._final.discard()
            raise
        # the muxer opens the file with its first packet
        self._container = av.open(str(self._raw.path.absolute()), "w", format=kind, options=self.container_options)

    def add(self, frame: Picture) -> None:
        """Takes the next frame."""
        if self._stream is None:
            self._stream = self._opened(*frame.shape[:2])
        converted = self._converted(frame)
        converted.pts, converted.time_base, converted.duration = self._num_frames, self._time_base, 1
        self._container.mux(self._stream.encode(converted))
        self._num_frames += 1

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place."""
        assert self._stream is not None
        self._container.mux(self._stream.encode(None))
        self._end_sound()
        self._container.close()
        self._finalise(self._raw.path, self._final.path, recipe)
        self._final.commit()
        self._raw.discard()

    def discard(self) -> None:
        """Leaves nothing."""
        with contextlib.suppress(FFmpegError, OSError, ValueError):  # the error that led here was raised already
            self._container.close()
        self._raw.discard()
        self._final.discard()

    def _opened(self, height: int, width: int) -> av.VideoStream:
        raise NotImplementedError

    def _converted(self, frame: Picture) -> av.VideoFrame:
        raise NotImplementedError

    def _end_sound(self) -> None:
        pass

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        raise NotImplementedError

    def _add_stream(
        self, codec: str, size: tuple[int, int], pixel_format: str, options: dict[str, str]
    ) -> av.VideoStream:
        stream = self._container.add_stream(codec, rate=self._settings.fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = self._time_base
        return stream


class H264Encoder(_AvEncoder):
    """mp4 and mov: H.264 yuv420p, BT.709, limited range; AAC where there is sound; the index first."""

    container_format = "mp4"
    container_options: ClassVar = {"fflags": "+bitexact"}  # no version or date of the muxer in the file

    def _opened(self, height: int, width: int) -> av.VideoStream:
        self._pad = (height % 2, width % 2)
        size = (width + self._pad[1], height + self._pad[0])
        if any(self._pad):
            self.notes.append(f"H.264 needs even sizes: the last row or column is repeated ({size[0]}x{size[1]})")
        quality, fps = self._settings.quality, self._settings.fps
        options = {"crf": str(quality.crf), "preset": quality.preset, "g": str(max(1, round(fps * _KEY_FRAME_S)))}
        options |= {"x264-params": _X264_PARAMS, "chroma_sample_location": "left"}
        stream = self._add_stream("libx264", size, "yuv420p", options)
        context = stream.codec_context
        context.thread_count = _X264_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        self._graph = yuv_graph(*size, self._time_base)
        audio = self._settings.audio
        self._sound = AacTrack(self._container, audio, quality.audio_bits_per_s) if audio else None
        return stream

    def _converted(self, frame: Picture) -> av.VideoFrame:
        if self._sound is not None:
            self._sound.feed(float(self._num_frames * self._time_base))
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        (converted,) = self._graph.push(rgb_frame(frame, self._num_frames, self._time_base))
        return converted

    def _end_sound(self) -> None:
        if self._sound is not None:
            self._sound.feed(float(self._num_frames * self._time_base), is_end=True)

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_index_first(raw, final, recipe)


class GifEncoder(_AvEncoder):
    """GIF: 256 colours chosen for each frame, error diffusion.

    Pillow's octree with diffusion keeps local colour twice as near as FFmpeg's palettegen and paletteuse, in an eighth of the time
    (measured on film at 320x180).
    """

    container_format = "gif"
    container_options: ClassVar = {"loop": "0"}

    def _opened(self, height: int, width: int) -> av.VideoStream:
        return self._add_stream("gif", (width, height), "pal8", {})

    def _converted(self, frame: Picture) -> av.VideoFrame:
        image = Image.fromarray(frame)
        colours = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        indices = image.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
        argb = np.full((256, 4), 255, np.uint8)
        palette = np.asarray(colours.getpalette("RGB"), np.uint8).reshape(-1, 3)
        argb[: len(palette), 1:] = palette
        return av.VideoFrame.from_ndarray((np.asarray(indices), argb), format="pal8")  # pyright: ignore[reportArgumentType]

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_to_gif(raw, final, recipe)


class AnimatedWebpEncoder(_AvEncoder):
    """Animated WebP, lossless at the highest quality. Frames equal to their neighbours are merged by the format."""

    container_format = "webp"
    container_options: ClassVar = {"loop": "0"}

    def _opened(self, height: int, width: int) -> av.VideoStream:
        level = self._settings.quality.picture
        options = {"quality": str(level), "lossless": str(int(level == 100)), "compression_level": "4"}
        return self._add_stream("libwebp_anim", (width, height), "bgra", options)

    def _converted(self, frame: Picture) -> av.VideoFrame:
        # as RGB: libwebp makes its own YUV
        bgra = np.full((*frame.shape[:2], 4), 255, np.uint8)
        bgra[..., :3] = frame[..., ::-1]
        return av.VideoFrame.from_ndarray(bgra, format="bgra")

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_to_webp(raw, final, recipe)
