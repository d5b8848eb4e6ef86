"""Conversions between RGB and YUV with the matrix, range and chroma position said out loud.

swscale left to itself takes BT.601, rounds down and repeats chroma samples: up to 4 levels off and 1.6 too dark on average
(measured on flat colours). With the flags below both directions stay within half a level of the formula. The exception is
full-range video of more than 8 bits, which swscale scales by a power of two instead of 255 / (2^bits - 1): up to 1.5 levels.

Source: ITU-R BT.709-6 and BT.601-7 (matrices, ranges), H.273 (the numbers of the tags), H.264 annex E (chroma at the left).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np
from av.error import BlockingIOError, EOFError

from kinema.media.arrays import Frames, Picture

BT709 = 1  # the number of matrix, primaries and transfer alike
LIMITED, FULL = 1, 2
# PQ and HLG: high dynamic range
HDR_TRANSFERS = (16, 18)

# H.273 matrix number -> swscale's name for it; 10 (constant luminance) is rare and near enough to 9
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
# codecs with chroma samples between luma samples; PyAV doesn't tell what a file states, and the others' default is left
_CENTRED = ("mjpeg", "mpeg1video")
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
_GRAPH_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class YuvKind:
    """What has to be known of a decoded frame to turn it into RGB."""

    pixel_format: str
    width: int
    height: int
    matrix: str
    chroma: str
    is_full_range: bool
    has_alpha: bool
    is_interlaced: bool


def kind_of(frame: av.VideoFrame, codec: str, *, is_interlaced: bool) -> YuvKind:
    """How ``frame`` is to be read: what it states, or this room's rule where it states nothing."""
    fmt = frame.format
    is_rgb = fmt.is_rgb or fmt.has_palette
    return YuvKind(
        pixel_format=fmt.name,
        width=frame.width,
        height=frame.height,
        matrix="rgb" if is_rgb else matrix_of(int(frame.colorspace), frame.width, frame.height),
        chroma="center" if codec in _CENTRED else "left",
        is_full_range=is_rgb or fmt.name.startswith("yuvj") or int(frame.color_range) == FULL,
        has_alpha=fmt.has_palette or any(c.is_alpha for c in fmt.components),
        is_interlaced=is_interlaced,
    )


def matrix_of(tag: int, width: int, height: int) -> str:
    """The matrix's name for the file's tag; by size where the tag is missing or names no matrix that we have."""
    return _MATRICES.get(tag) or ("bt709" if width >= 1280 or height > 576 else "bt601")


class Graph:
    """A chain of FFmpeg's filters, from one kind of frame to another."""

    def __init__(self, source: str, *filters: tuple[str, str]) -> None:
        self._graph = av.filter.Graph()
        if hasattr(self._graph, "threads"):  # from PyAV 18 on; before, FFmpeg takes a thread per processor
            self._graph.threads = _GRAPH_THREADS
        nodes = [
            self._graph.add("buffer", source),
            *(self._graph.add(*f) for f in filters),
            self._graph.add("buffersink"),
        ]
        self._graph.link_nodes(*nodes)
        self._graph.configure()

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Puts a frame in (``None``: the end) and gives the frames that come out."""
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (BlockingIOError, EOFError):
                return


def rgb_frame(picture: Picture, index: int, time_base: Fraction) -> av.VideoFrame:
    """The picture as frame ``index`` of a stream with one frame per tick."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.color_range, frame.colorspace = FULL, 0
    frame.pts, frame.time_base = index, time_base
    return frame


def yuv_graph(width: int, height: int, time_base: Fraction) -> Graph:
    """RGB -> yuv420p, BT.709, limited range, chroma at the left: what players take H.264 to be."""
    scale = f"in_range=pc:out_color_matrix=bt709:out_range=tv:out_chroma_loc=left:flags={_FLAGS}"
    source = f"video_size={width}x{height}:pixel_aspect=1/1:pix_fmt=rgb24:time_base={time_base}:colorspace=gbr:range=pc"
    return Graph(source, ("scale", scale), ("format", "pix_fmts=yuv420p"))


def rgb_graph(kind: YuvKind, time_base: Fraction) -> Graph:
    """What a decoder gives -> full-range RGB (RGBA if there is alpha), deinterlaced if it has fields."""
    matrix, is_rgb = kind.matrix, kind.matrix == "rgb"
    tags = "colorspace=gbr:range=pc" if is_rgb else f"range={'pc' if kind.is_full_range else 'tv'}"
    source = f"video_size={kind.width}x{kind.height}:pix_fmt={kind.pixel_format}:time_base={time_base}:pixel_aspect=1/1"
    scale = f"out_range=pc:in_range={'pc' if kind.is_full_range else 'tv'}:flags={_FLAGS}"
    if not is_rgb:
        scale += f":in_color_matrix={matrix}:in_chroma_loc={kind.chroma}"
    filters = [("scale", scale), ("format", f"pix_fmts={'rgba' if kind.has_alpha else 'rgb24'}")]
    if kind.pixel_format.startswith(("gray", "ya")):
        # swscale takes grey for full range whatever is said; as YUV, unchanged, it is believed
        yuv = kind.pixel_format.replace("gray", "yuv444p").replace("ya8", "yuva444p").replace("ya16", "yuva444p16")
        filters = [("scale", f"in_range=pc:out_range=pc:flags={_FLAGS}"), ("format", f"pix_fmts={yuv}"), *filters]
    if kind.is_interlaced:
        # one frame per frame, so that times stay; frames without the flag pass untouched
        filters.insert(0, ("bwdif", "mode=send_frame:parity=auto:deint=interlaced"))
    return Graph(f"{source}:{tags}", *filters)


def over(rgba: Frames | Picture, background: tuple[int, int, int]) -> Frames | Picture:
    """RGB of ``rgba`` (... 4, straight alpha) laid over a plain background."""
    alpha = rgba[..., 3:].astype(np.uint32)
    mixed = rgba[..., :3] * alpha + np.asarray(background, np.uint32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)
