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

from kinema.media.arrays import Picture
from kinema.media.audio import AacTrack, Audio
from kinema.media.boxes import add_index_first
from kinema.media.colour import BT709, LIMITED, Graph, rgb_frame, rgb_source, yuv_graph
from kinema.media.files import AtomicFile
from kinema.media.quality import Quality
from kinema.media.recipe import add_to_gif, add_to_webp

_KEY_FRAME_S = 2.0  # how far a player has to go back at most
# x264's choices may depend on how many threads it has; a fixed number keeps the bytes the same on every machine
_X264_THREADS = 4


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
        self._graph: Graph | None = None
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
        if self._graph is None:
            self._open(*frame.shape[:2])
        assert self._graph is not None
        prepared = self._prepared(frame)
        for converted in self._graph.push(rgb_frame(prepared, self._num_frames, self._time_base)):
            self._container.mux(self._stream.encode(converted))
        self._num_frames += 1

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place."""
        assert self._graph is not None
        for converted in self._graph.push(None):
            self._container.mux(self._stream.encode(converted))
        self._container.mux(self._stream.encode(None))
        self._close_streams()
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

    def _open(self, height: int, width: int) -> None:
        raise NotImplementedError

    def _prepared(self, frame: Picture) -> Picture:
        return frame

    def _close_streams(self) -> None:
        pass

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        raise NotImplementedError

    def _add_stream(self, codec: str, size: tuple[int, int], pixel_format: str, options: dict[str, str]) -> None:
        stream = self._container.add_stream(codec, rate=self._settings.fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = self._time_base
        self._stream = stream


class H264Encoder(_AvEncoder):
    """mp4 and mov: H.264 yuv420p, BT.709, limited range; AAC where there is sound; the index first."""

    container_format = "mp4"
    container_options: ClassVar = {"fflags": "+bitexact"}  # no version or date of the muxer in the file

    def _open(self, height: int, width: int) -> None:
        self._pad = (height % 2, width % 2)
        if any(self._pad):
            even = (width + width % 2, height + height % 2)
            self.notes.append(f"H.264 needs even sizes: the last row or column is repeated ({even[0]}x{even[1]})")
        size = (width + self._pad[1], height + self._pad[0])
        quality, fps = self._settings.quality, self._settings.fps
        options = {"crf": str(quality.crf), "preset": quality.preset, "g": str(max(1, round(fps * _KEY_FRAME_S)))}
        options |= {"chroma_sample_location": "left"}
        self._add_stream("libx264", size, "yuv420p", options)
        context = self._stream.codec_context
        context.thread_count = _X264_THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        self._graph = yuv_graph(*size, self._time_base)
        audio = self._settings.audio
        self._sound = AacTrack(self._container, audio, quality.audio_bits_per_s) if audio else None

    def _prepared(self, frame: Picture) -> Picture:
        if self._sound is not None:
            self._sound.feed(float(self._num_frames * self._time_base))
        return np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge") if any(self._pad) else frame

    def _close_streams(self) -> None:
        if self._sound is not None:
            self._sound.feed(float(self._num_frames * self._time_base), is_end=True)

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_index_first(raw, final, recipe)


class GifEncoder(_AvEncoder):
    """GIF: a palette of its own for each frame, ordered dither (which stands still where the picture does)."""

    container_format = "gif"
    container_options: ClassVar = {"loop": "0"}

    def _open(self, height: int, width: int) -> None:
        self._add_stream("gif", (width, height), "pal8", {})
        self._graph = Graph.with_side(
            rgb_source(width, height, self._time_base),
            ("palettegen", "stats_mode=single:reserve_transparent=0"),
            ("paletteuse", "new=1:dither=bayer:bayer_scale=3"),
        )

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_to_gif(raw, final, recipe)


class AnimatedWebpEncoder(_AvEncoder):
    """Animated WebP, lossless at the highest quality. Frames equal to their neighbours are merged by the format."""

    container_format = "webp"
    container_options: ClassVar = {"loop": "0"}

    def _open(self, height: int, width: int) -> None:
        level = self._settings.quality.picture
        options = {"quality": str(level), "lossless": str(int(level == 100)), "compression_level": "4"}
        # libwebp turns RGB into its own YUV
        self._add_stream("libwebp_anim", (width, height), "bgra", options)
        self._graph = Graph(rgb_source(width, height, self._time_base), ("format", "pix_fmts=bgra"))

    def _finalise(self, raw: Path, final: Path, recipe: str | None) -> None:
        add_to_webp(raw, final, recipe)
