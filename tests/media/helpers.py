"""Files made here with PyAV and bytes, so that nothing is tested against itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# (Kr, Kb) of the matrices
WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}


def ramp(num_frames: int, height: int, width: int) -> np.ndarray:
    """Smooth frames (t h w 3), each different from the others and from its mirror images."""
    y, x = np.mgrid[:height, :width]
    t = np.arange(num_frames)[:, None, None]
    red, green = x * 200 / width + t * 5, y * 180 / height + t * 3
    return np.stack([red, green, np.broadcast_to(40 + t * 4, red.shape)], axis=-1).clip(0, 255).astype(np.uint8)


def corners(height: int, width: int) -> np.ndarray:
    """A picture (h w 3) whose four quarters are red, green, blue and white, from the top left by rows."""
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[: height // 2, : width // 2] = 255, 0, 0
    picture[: height // 2, width // 2 :] = 0, 255, 0
    picture[height // 2 :, : width // 2] = 0, 0, 255
    return picture


def quarters(picture: np.ndarray) -> str:
    """The letters of the four quarters of `corners`, turned as they may be: "RGBW" upright."""
    height, width = picture.shape[:2]
    points = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    names = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    return "".join(min(names, key=lambda n: np.abs(picture[p].astype(int) - names[n]).sum()) for p in points)


def to_yuv(rgb: np.ndarray, matrix: str = "bt709", *, full: bool = False, bits: int = 8) -> np.ndarray:
    """Y, Cb, Cr (... 3) as unrounded levels, by the formula of H.273."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = (rgb[..., i] / 255 for i in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)]
    unit = 2 ** (bits - 8)
    if full:
        top = 2**bits - 1
        return np.stack([luma * top, *(c * top + 128 * unit for c in chroma)], axis=-1)
    return np.stack([luma * 219 * unit + 16 * unit, *(c * 224 * unit + 128 * unit for c in chroma)], axis=-1)


def yuv_frame(levels: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """A frame of one of the planar YUV formats from levels (h w 3), chroma by taking every other sample."""
    height, width = levels.shape[:2]
    frame = av.VideoFrame(width, height, pixel_format)
    bits = 10 if "10" in pixel_format else 8
    dtype = np.dtype("<u2") if bits > 8 else np.dtype("u1")
    for i, plane in enumerate(frame.planes):
        part = np.round(levels[:, :, i]).clip(0, 2**bits - 1)
        part = part[::2] if i and "420" in pixel_format else part
        part = part[:, ::2] if i and "444" not in pixel_format else part
        rows = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
        rows[:, : part.shape[1]] = part
        plane.update(rows.tobytes())
    return frame


def encode(
    path: Path,
    frames: Sequence[av.VideoFrame],
    codec: str,
    *,
    fps: Fraction = Fraction(24),
    times: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    tags: Mapping[str, object] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """``path``, encoded from frames; ``times`` are in milliseconds, ``tags`` attributes of the codec's context."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        time_base = 1 / fps if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = time_base
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for key, value in (metadata or {}).items():
            stream.metadata[key] = value
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i if times is None else times[i], time_base
            for name in ("colorspace", "color_range"):
                setattr(frame, name, (tags or {}).get(name, getattr(frame, name)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rgb_frames(frames: np.ndarray, pixel_format: str = "rgb24") -> list[av.VideoFrame]:
    """PyAV's frames of an array."""
    return [av.VideoFrame.from_ndarray(np.ascontiguousarray(f), format=pixel_format) for f in frames]


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, int]]:
    """(kind, first byte of the content, end) of mp4 boxes."""
    end = len(data) if end is None else end
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        assert size >= 8
        yield kind.decode("latin1"), start + 8, start + size
        start += size


def find_box(data: bytes, path: str) -> bytes:
    """The content of the first box at ``moov/trak/...``."""
    start, end = 0, len(data)
    for name in path.split("/"):
        start, end = next((a, b) for kind, a, b in boxes(data, start, end) if kind == name)
        start += {"meta": 4, "stsd": 8, "avc1": 78}.get(name, 0)  # what stands before their children
    return data[start:end]
