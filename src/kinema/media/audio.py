"""Sound: float32 (channels samples) in [-1, 1] with its rate; read, resampled, encoded as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError, InvalidDataError

from kinema.core.errors import InvalidInput, MediaError
from kinema.media.arrays import PathLike, Samples
from kinema.media.decode import open_container, seek, video_stream
from kinema.media.files import input_path

RATE_HZ = 48_000
_LAYOUTS = {1: "mono", 2: "stereo"}
_AAC_FRAME = 1024
# timestamps in some containers are whole milliseconds: smaller jumps than this are no gaps
_GAP_S = 0.02
_PREROLL_S = 0.2  # AAC needs frames before the first that is right


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Sound: ``samples`` float32 (c n), one or two channels, in [-1, 1]. Raises: InvalidInput."""

    samples: np.ndarray
    rate_hz: int = RATE_HZ

    def __post_init__(self) -> None:
        array = self.samples
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[0] not in _LAYOUTS:
            raise InvalidInput("audio", f"shape {np.shape(array)}", "must be (channels samples) with 1 or 2 channels")
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidInput("audio", array.dtype, "must be finite float32 in [-1, 1]")
        if not 8000 <= self.rate_hz <= 384_000:
            raise InvalidInput("audio", self.rate_hz, "must have a rate from 8000 to 384000 Hz")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate_hz

    def resampled(self, rate_hz: int) -> Audio:
        """The same sound at another rate, as long to the sample."""
        if rate_hz == self.rate_hz or not self.samples.shape[1]:
            return Audio(samples=self.samples, rate_hz=rate_hz)
        layout = _LAYOUTS[len(self.samples)]
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate_hz)
        frame = _audio_frame(self.samples, self.rate_hz, layout)
        parts = [f.to_ndarray() for f in (*resampler.resample(frame), *resampler.resample(None))]
        out = _fitted(np.concatenate(parts, axis=1), round(self.samples.shape[1] * rate_hz / self.rate_hz))
        return Audio(samples=out, rate_hz=rate_hz)


def read_audio(
    media: PathLike, *, start_s: float = 0.0, end_s: float | None = None, rate_hz: int = RATE_HZ
) -> Audio | None:
    """The sound of a file from ``start_s`` to ``end_s``, mono or stereo; None if it has none.

    Time counts from the first video frame where there is one, so sample 0 belongs to the frame shown at ``start_s``.
    More than two channels are mixed down to stereo; gaps are silent. It is shorter where the file's sound ends before ``end_s``.

    Raises: MediaError.
    """
    path = input_path(media)
    with open_container(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise MediaError("file", path, "has sound of a kind that can't be decoded here")
        video = video_stream(container)
        timed = video or stream
        origin_s = float((timed.start_time or 0) * timed.time_base) if timed.time_base else 0.0
        if start_s > _PREROLL_S:
            seek(container, origin_s + start_s - _PREROLL_S)
        if end_s is None and stream.duration and stream.time_base:
            # AAC fills its last block up with silence
            first = stream.start_time or 0
            end_s = max(start_s, float((first + stream.duration) * stream.time_base) - origin_s)
        seconds = None if end_s is None else end_s - start_s
        placed = _placed(_decoded(container, stream), stream.rate, origin_s + start_s, seconds)
    return Audio(samples=placed, rate_hz=stream.rate).resampled(rate_hz)


def _decoded(container: InputContainer, stream: av.AudioStream) -> Iterator[tuple[float, Samples]]:
    """(time in s, samples) of each decoded frame, at the stream's rate, mono or stereo."""
    layout = "mono" if stream.channels == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=stream.rate)
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except InvalidDataError:  # damage shows as a gap
                continue
            for frame in frames:
                for out in resampler.resample(frame):
                    if out.pts is not None and out.time_base is not None:
                        yield float(out.pts * out.time_base), out.to_ndarray()
    except FFmpegError:  # a file that was cut off ends here
        return


def _placed(parts: Iterator[tuple[float, Samples]], rate_hz: int, start_s: float, seconds: float | None) -> Samples:
    """The parts at their times in one array that starts at ``start_s``; silence where nothing is."""
    kept: list[Samples] = []
    position = 0  # samples so far
    limit = None if seconds is None else round(seconds * rate_hz)
    num_channels = 1
    for time_s, samples in parts:
        num_channels = len(samples)
        at = round((time_s - start_s) * rate_hz)
        if not kept and at < 0:
            samples, at = samples[:, -at:], 0
        if not samples.shape[1]:
            continue
        if at - position > _GAP_S * rate_hz or not kept:
            kept.append(np.zeros((num_channels, at - position), np.float32))
            position = at
        kept.append(samples)
        position += samples.shape[1]
        if limit is not None and position >= limit:
            break
    joined = np.concatenate(kept, axis=1) if kept else np.zeros((num_channels, 0), np.float32)
    return joined if limit is None else joined[:, :limit]


class AacTrack:
    """The sound track of a file being written: fed as the picture goes on, so that both lie side by side in the file."""

    def __init__(self, container: OutputContainer, audio: Audio, bits_per_s: int) -> None:
        self._audio = audio.resampled(RATE_HZ)
        self._container = container
        self._layout = _LAYOUTS[len(audio.samples)]
        self._stream = container.add_stream("aac", rate=RATE_HZ, layout=self._layout)
        self._stream.codec_context.bit_rate = bits_per_s
        self._position = 0

    def feed(self, until_s: float, *, is_end: bool = False) -> None:
        """Encodes sound up to ``until_s``; at the end, what is left of it up to there."""
        samples = self._audio.samples
        end = min(samples.shape[1], round(until_s * RATE_HZ))
        while self._position < end and (is_end or self._position + _AAC_FRAME <= end):
            part = samples[:, self._position : min(end, self._position + _AAC_FRAME)]
            frame = _audio_frame(np.clip(part, -1, 1), RATE_HZ, self._layout)
            frame.pts, frame.time_base = self._position, Fraction(1, RATE_HZ)
            self._container.mux(self._stream.encode(frame))
            self._position += part.shape[1]
        if is_end:
            self._container.mux(self._stream.encode(None))


def _audio_frame(samples: Samples, rate_hz: int, layout: str) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate = rate_hz
    return frame


def _fitted(samples: Samples, num_samples: int) -> Samples:
    """Cut or filled with silence to ``num_samples``."""
    missing = num_samples - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :num_samples]
