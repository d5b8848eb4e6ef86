"""Frames out of video files through PyAV: opened without trust, in display order, timed, upright, RGB.

Only the local file itself is read: playlists and lists of files (hls, dash, concat) are refused, since they name others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from kinema.core.errors import MediaError
from kinema.media.arrays import Picture
from kinema.media.boxes import is_cut_off
from kinema.media.colour import Graph, YuvKind, kind_of, rgb_graph

_CONTAINERS = (
    "mov,mp4,m4a,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,nut,dv,ivf,h264,hevc,obu,m4v,yuv4mpegpipe,gif,apng,"
    "mjpeg,wav,w64,mp3,flac,aac,aiff,caf,au,ac3,eac3,opus"
)


class Frame(NamedTuple):
    """A decoded frame: when it is shown (s from the file's first frame), for how long, and its pixels (h w 3 or 4)."""

    time_s: float
    duration_s: float
    pixels: Picture


@dataclass
class Damage:
    """What went wrong on the way."""

    is_truncated: bool = False
    num_bad_packets: int = field(default=0)


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """The open media file. Raises: MediaError."""
    try:
        container = av.open(
            str(path.absolute()),  # a bare name with a colon would be taken for a protocol
            mode="r",
            metadata_errors="replace",
            container_options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS},
        )
    except (FFmpegError, OSError, ValueError) as e:
        raise unusable(path, "is no picture, video or sound that can be read; convert it to mp4, png or wav") from e
    with container:
        yield container


def unusable(path: Path, otherwise: str) -> MediaError:
    """The error for a file that gives nothing: it was cut off, or else ``otherwise``."""
    cut_off = "is cut off, and without its end nothing in it can be shown; copy or download it again"
    return MediaError("file", path, cut_off if is_cut_off(path) else otherwise)


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The stream to look at: the first that is no cover picture of a sound file."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return streams[0] if streams else None


def seek(container: InputContainer, to_s: float) -> None:
    """Goes to the last key frame at or before ``to_s``; to the start where the file can't say."""
    try:
        container.seek(max(0, int(to_s * av.time_base)), backward=True, any_frame=False)
    except FFmpegError:
        container.seek(0)


class VideoDecoder:
    """An open video file as a sequence of `Frame`."""

    def __init__(self, container: InputContainer, path: Path) -> None:
        stream = video_stream(container)
        if stream is None:
            raise MediaError("file", path, "has no picture in it; name a picture or a video")
        if stream.codec_context is None or stream.time_base is None:
            raise MediaError("file", path, "has video of a kind that can't be decoded here; convert it to H.264")
        stream.codec_context.thread_type = ThreadType.AUTO
        self.container, self.path, self.stream = container, path, stream
        self.damage = Damage(is_truncated=is_cut_off(path))
        self._decoder = _alpha_decoder(stream) or stream.codec_context
        self._time_base: Fraction = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._tick = max(1, round(1 / (rate * self._time_base)))
        self._origin = stream.start_time

    def av_frames(self) -> Iterator[av.VideoFrame]:
        """Frames as the decoder gives them, each with a time. Broken packets are skipped and noted in `damage`."""
        next_pts = self._origin or 0
        for packet in self._packets():
            if packet.is_corrupt:
                self.damage.num_bad_packets += 1
                continue
            try:
                frames = self._decoder.decode(packet if packet.size else None)
            except FFmpegError:
                self.damage.num_bad_packets += 1
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                frame.pts = next_pts if frame.pts is None else frame.pts
                frame.time_base = self._time_base
                if not frame.duration:
                    frame.duration = self._tick
                next_pts = frame.pts + frame.duration
                if self._origin is None:
                    self._origin = frame.pts
                yield frame

    def frames(self, start_s: float = 0.0) -> Iterator[Frame]:
        """RGB (or RGBA) frames from the key frame before ``start_s`` on, deinterlaced and upright."""
        if start_s > 0:
            self._enter(start_s)
        graph, kind, is_interlaced = None, None, False
        orientation = UPRIGHT
        for frame in self.av_frames():
            is_interlaced = is_interlaced or frame.interlaced_frame
            found = kind_of(frame, self.stream.codec_context.name, is_interlaced=is_interlaced)
            if found != kind:  # the first frame, or a stream that changes its size
                if graph is not None:
                    yield from self._shown(graph.push(None), orientation)
                # not for every frame: PyAV's side data and frame hold each other until the garbage collector comes round
                graph, kind, orientation = self._graph(found), found, orientation_of(frame)
            assert graph is not None
            yield from self._shown(graph.push(frame), orientation)
        if graph is not None:
            yield from self._shown(graph.push(None), orientation)

    def _enter(self, start_s: float) -> None:
        """Goes to a key frame at or before ``start_s``; to the start where seeking lands too late, as in transport streams."""
        target_s = start_s + float((self._origin or 0) * self._time_base)
        self._seek(target_s)
        first = next(self.av_frames(), None)
        is_late = first is None or first.pts is None or float(first.pts * self._time_base) > target_s
        self._seek(0 if is_late else target_s)

    def _seek(self, to_s: float) -> None:
        seek(self.container, to_s)
        self._decoder.flush_buffers()

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(self.stream)
        except FFmpegError:
            self.damage.is_truncated = True

    def _graph(self, kind: YuvKind) -> Graph:
        try:
            return rgb_graph(kind, self._time_base)
        except (FFmpegError, ValueError) as e:
            raise MediaError("file", self.path, f"has pixels of a kind ({kind.pixel_format}) that can't be read") from e

    def _filtered(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        try:
            yield from frames
        except FFmpegError as e:
            raise MediaError("file", self.path, f"has frames that can't be turned into RGB ({e.strerror})") from e

    def _shown(self, frames: Iterator[av.VideoFrame], orientation: Orientation) -> Iterator[Frame]:
        for frame in self._filtered(frames):
            assert frame.pts is not None
            assert frame.time_base is not None
            start = Fraction(self._origin or 0) * self._time_base
            yield Frame(
                time_s=float(frame.pts * frame.time_base - start),
                duration_s=float((frame.duration or 0) * frame.time_base) or float(self._tick * self._time_base),
                pixels=orientation.apply(frame.to_ndarray()),
            )


class Orientation(NamedTuple):
    """How stored pixels are turned to be upright: transposed first, then flipped."""

    is_transposed: bool
    is_flipped_x: bool
    is_flipped_y: bool

    @property
    def clockwise_deg(self) -> int:
        """The turn that it makes, mirroring left aside."""
        return {(0, 0): 0, (1, 0): 90, (1, 1): 180, (0, 1): 270}[_turn(self)]

    def apply(self, pixels: Picture) -> Picture:
        """``pixels`` upright."""
        out = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        out = out[:, ::-1] if self.is_flipped_x else out
        return np.ascontiguousarray(out[::-1] if self.is_flipped_y else out)


UPRIGHT = Orientation(False, False, False)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The turn that the frame's display matrix asks for; angles between quarter turns are left as they are.

    The matrix (16.16 fixed point, rows a b u, c d v, x y w) sends a stored point (x, y) to (a x + c y, b x + d y).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
    if b == c == 0 and a and d:
        return Orientation(False, bool(a < 0), bool(d < 0))
    if a == d == 0 and b and c:
        return Orientation(True, bool(c < 0), bool(b < 0))
    return UPRIGHT


def _turn(orientation: Orientation) -> tuple[int, int]:
    transposed, flip_x, flip_y = orientation
    if transposed:
        return (1, 0) if flip_x else (0, 1)
    return (1, 1) if flip_y else (0, 0)


def _alpha_decoder(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """A decoder that gives VP9's alpha, which FFmpeg's own leaves out."""
    if (
        stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1"
        or stream.codec_context.name != "vp9"
    ):
        return None
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder
