"""Turned, mirrored, oblong, odd and interlaced video comes out upright, square and whole."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from kinema.core.errors import InvalidInput
from kinema.media.picture import read_picture
from kinema.media.probe import probe
from kinema.media.read import Size, read_video
from kinema.media.write import write_video
from tests.media.helpers import corners, encode, quarters, ramp, rgb_frames

ONE = 1 << 16
# a, b, c, d of the display matrix: what it does to corners() of red green / blue white
MATRICES = {
    "upright": ((1, 0, 0, 1), "RGBW", 0),
    "90 clockwise": ((0, 1, -1, 0), "BRWG", 90),  # a phone held upright
    "180": ((-1, 0, 0, -1), "WBGR", 180),
    "90 counterclockwise": ((0, -1, 1, 0), "GWRB", 270),
    "mirrored": ((-1, 0, 0, 1), "GRWB", 0),
    "upside down mirrored": ((1, 0, 0, -1), "BWRG", 180),
    "transposed": ((0, 1, 1, 0), "RBGW", 270),
    "transverse": ((0, -1, -1, 0), "WGBR", 90),
    "45 degrees": ((0.7, 0.7, -0.7, 0.7), "RGBW", 0),  # left as it is
}


def turn(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Writes the matrix into the track header of an mp4, by hand."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version, times and ids, reserved, layer to volume
    assert struct.unpack_from(">9i", data, at) == (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
    a, b, c, d = (round(v * ONE) for v in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrix(tmp_path: Path, name: str) -> None:
    matrix, expected, degrees = MATRICES[name]
    path = write_video(tmp_path / "a.mp4", corners(32, 48)[None].repeat(3, 0), fps=8).path
    turn(path, matrix)
    info = probe(path)
    is_turned = matrix[0] == 0
    assert (info.width_px, info.height_px) == ((32, 48) if is_turned else (48, 32))
    assert (info.coded_width_px, info.coded_height_px) == (48, 32)
    if "mirrored" not in name and "trans" not in name:
        assert info.rotation_deg == degrees
    frames = read_video(path).frames
    assert frames.shape == (3, info.height_px, info.width_px, 3)
    assert quarters(frames[0]) == expected
    assert quarters(read_picture(path, width_px=20, height_px=20)) == expected


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="PyAV 18 and later")
def test_rotation_as_pyav_writes_it(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.set_display_rotation(90)  # counterclockwise
        for frame in rgb_frames(corners(32, 48)[None].repeat(2, 0)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert probe(tmp_path / "a.mp4").rotation_deg == 270
    assert quarters(read_video(tmp_path / "a.mp4").frames[0]) == "GWRB"


@pytest.mark.parametrize(
    "aspect, matrix, shape",
    [
        (Fraction(16, 15), None, (72, 96)),  # PAL
        (Fraction(1, 2), None, (144, 90)),
        (Fraction(2), None, (72, 180)),
        (Fraction(2), (0, 1, -1, 0), (180, 72)),
    ],
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, matrix: tuple | None, shape: tuple[int, int]) -> None:
    frames = rgb_frames(corners(72, 90)[None])
    path = encode(
        tmp_path / "a.mp4",
        [f.reformat(format="yuv420p") for f in frames],
        "libx264",
        tags={"sample_aspect_ratio": aspect},
    )
    if matrix:
        turn(path, matrix)
    info = probe(path)
    assert info.pixel_aspect == aspect
    assert (info.height_px, info.width_px) == shape
    frame = read_video(path).frames[0]
    assert frame.shape[:2] == shape
    assert quarters(frame) == ("BRWG" if matrix else "RGBW")


def test_cover_and_contain_count_with_square_pixels(tmp_path: Path) -> None:
    # a disc in pixels twice as wide as high: stored as an upright ellipse, seen as a disc
    y, x = np.mgrid[:64, :64]
    disc = np.where((x - 31.5) ** 2 * 4 + (y - 31.5) ** 2 < 30**2, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
    frames = [f.reformat(format="yuv420p") for f in rgb_frames(disc[None])]
    path = encode(tmp_path / "a.mp4", frames, "libx264", tags={"sample_aspect_ratio": Fraction(2)})
    for fit in ("cover", "contain"):
        size = Size(width_px=50, height_px=50, fit=fit)
        frame = read_video(path, size=size, background=(0, 0, 0)).frames[0, ..., 0]
        high, wide = (frame[:, 25] > 128).sum(), (frame[25] > 128).sum()
        assert abs(int(high) - int(wide)) <= 2, fit
        assert abs(int(high) - (47 if fit == "cover" else 23)) <= 2


@pytest.mark.parametrize("height, width", [(17, 23), (18, 23), (17, 22), (1, 1), (2, 3)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_odd_sizes(tmp_path: Path, height: int, width: int, pixel_format: str) -> None:
    frames = np.full((2, height, width, 3), (180, 60, 120), np.uint8)
    coded = [f.reformat(format=pixel_format, dst_colorspace=1, dst_color_range=1) for f in rgb_frames(frames)]
    path = encode(tmp_path / "a.mkv", coded, "ffv1", tags={"colorspace": 1, "color_range": 1})
    back = read_video(path).frames
    assert back.shape == frames.shape
    np.testing.assert_allclose(back.astype(int), frames, atol=3)


def comb(picture: np.ndarray) -> float:
    """How far lines stand out from both of their neighbours: high where two moments are woven into one frame."""
    grey = picture.astype(float).mean(axis=2)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_fields_are_taken_apart(tmp_path: Path, order: str) -> None:
    height, width, step = 64, 96, 3
    fields = np.zeros((24, height, width, 3), np.uint8)  # a bar moves on with every field
    for i in range(24):
        fields[i, 12:52, 5 + i * step : 17 + i * step] = 255
    first, second = (0, 1) if order == "tff" else (1, 0)
    woven = fields[::2].copy()
    woven[:, first::2], woven[:, second::2] = fields[0::2, first::2], fields[1::2, second::2]
    options = {"x264-params": f"{order}=1", "crf": "8", "preset": "fast", "flags": "+ildct+ilme"}
    graph = av.filter.Graph()  # the encoder takes the order from the frames
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 24))
    graph.link_nodes(source, graph.add("setfield", f"mode={order}"), graph.add("buffersink")).configure()
    coded = []
    for i, frame in enumerate(rgb_frames(woven)):
        frame.pts = i
        graph.vpush(frame)
        coded.append(graph.vpull().reformat(format="yuv420p", interpolation="POINT"))
    path = encode(tmp_path / "a.mp4", coded, "libx264", options=options)
    assert probe(path).is_interlaced
    clip = read_video(path)
    assert clip.frames.shape == woven.shape
    np.testing.assert_allclose(clip.times_s, np.arange(12) / 24, atol=1e-6)
    for i in range(2, 10):
        assert comb(woven[i]) > 10
        assert comb(clip.frames[i]) < 3.5
        # it shows the first of its two moments
        errors = [np.abs(clip.frames[i].astype(float) - fields[j]).mean() for j in range(24)]
        assert int(np.argmin(errors)) == 2 * i


def test_progressive_frames_are_not_touched(tmp_path: Path) -> None:
    stripes = np.zeros((4, 32, 48, 3), np.uint8)
    stripes[:, ::2] = 255  # looks like fields, but nothing says so
    path = write_video(tmp_path / "a.mp4", stripes, fps=8, quality="master").path
    assert not probe(path).is_interlaced
    np.testing.assert_allclose(read_video(path).frames.astype(int), stripes, atol=6)


def test_a_stream_that_changes_its_size(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.ts"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in rgb_frames(corners(32, 48)[None].repeat(5, 0)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "b.ts"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for frame in rgb_frames(corners(64, 96)[None].repeat(5, 0)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "both.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames = read_video(path).frames
    assert len(frames) >= 8
    assert {quarters(f) for f in frames} == {"RGBW"}
    assert frames.shape[1:3] == (32, 48)


@pytest.mark.parametrize("fit, expected", [("cover", (20, 20)), ("contain", (20, 20)), ("stretch", (20, 20))])
def test_sizes(tmp_path: Path, fit: str, expected: tuple[int, int]) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(3, 32, 48), fps=8).path
    size = Size(width_px=20, height_px=20, fit=fit)  # pyright: ignore[reportArgumentType]
    assert read_video(path, size=size).frames.shape[1:3] == expected
    assert read_video(path, size=(22, 14)).frames.shape == (3, 14, 22, 3)


@pytest.mark.parametrize("size", [(0, 5), (5, 99_999)])
def test_sizes_that_are_none(tmp_path: Path, size: tuple) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(1, 16, 16), fps=8).path
    with pytest.raises(InvalidInput, match="whole number"):
        read_video(path, size=size)
    with pytest.raises(InvalidInput, match="whole number"):
        Size(width_px=5.0, height_px=5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="cover, contain, stretch"):
        Size(width_px=5, height_px=5, fit="crop")  # pyright: ignore[reportArgumentType]
