"""Read colour against the formulas: matrices, ranges, depths, alpha."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from kinema.media.colour import matrix_of, over
from kinema.media.probe import probe
from kinema.media.read import read_video
from tests.media.helpers import WEIGHTS, encode, rgb_frames, to_yuv, yuv_frame

BLOCK = 8
MIDDLE = (slice(BLOCK // 2, None, BLOCK), slice(BLOCK // 2, None, BLOCK))
TAGS = {"bt709": 1, "bt601": 5, "bt2020": 9}
FULL, LIMITED = 2, 1


def colours(rows: int, columns: int) -> np.ndarray:
    """Colours from everywhere in the cube, greys and corners among them, as a picture of flat squares."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (rows, columns, 3))
    small[0, :7] = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 0)]
    return small.astype(np.uint8).repeat(BLOCK, 0).repeat(BLOCK, 1)


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full", [False, True], ids=["tv", "pc"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv422p10le"])
def test_stated_matrix_and_range(tmp_path: Path, matrix: str, full: bool, pixel_format: str) -> None:
    picture = colours(7, 11)
    bits = 10 if "10" in pixel_format else 8
    levels = to_yuv(picture.astype(float), matrix, full=full, bits=bits)
    tags = {"colorspace": TAGS[matrix], "color_range": FULL if full else LIMITED}
    path = encode(tmp_path / "a.mkv", [yuv_frame(levels, pixel_format)] * 2, "ffv1", tags=tags)
    info = probe(path)
    assert (info.matrix, info.is_full_range, info.bit_depth) == (matrix, full, bits)
    back = read_video(path).frames
    assert back.shape == (2, *picture.shape)
    # half a level from rounding YUV, up to 2 times as much in blue, and swscale's scale for full range of 10 bits
    tolerance = 2 if bits == 10 else 3
    assert np.abs(back[0][MIDDLE].astype(int) - picture[MIDDLE]).max() <= tolerance


def test_ten_bits_are_rounded_not_cut(tmp_path: Path) -> None:
    luma = np.arange(64, 941)[:864].reshape(27, 32).astype(float)
    levels = np.stack([luma, np.full_like(luma, 512), np.full_like(luma, 512)], axis=-1).repeat(8, 0).repeat(8, 1)
    path = encode(
        tmp_path / "a.mkv",
        [yuv_frame(levels, "yuv420p10le")],
        "ffv1",
        tags={"colorspace": 1, "color_range": LIMITED},
    )
    back = read_video(path).frames[0][4::8, 4::8].astype(float)
    exact = (luma - 64) / 876 * 255
    assert np.abs(back - exact[..., None]).max() <= 0.51
    assert abs((back - exact[..., None]).mean()) < 0.02


def test_ten_bit_h264(tmp_path: Path) -> None:
    picture = colours(9, 11)
    frame = yuv_frame(to_yuv(picture.astype(float), bits=10), "yuv420p10le")
    tags = {"colorspace": 1, "color_range": LIMITED}
    path = encode(tmp_path / "a.mp4", [frame, frame], "libx264", options={"crf": "4", "preset": "ultrafast"}, tags=tags)
    back = read_video(path).frames
    assert np.abs(back[0][MIDDLE].astype(int) - picture[MIDDLE]).mean() < 2


def test_ten_bit_hevc() -> None:
    # One frame of the same picture as above by libx265 (crf 4, ultrafast), kept: in a process with a long past, x265 now and then
    # wrote headers that the muxer refused.
    picture = colours(9, 11)
    back = read_video(Path(__file__).parent / "ten_bits.mp4").frames
    assert np.abs(back[0][MIDDLE].astype(int) - picture[MIDDLE]).mean() < 2


@pytest.mark.parametrize("size, matrix", [((64, 96), "bt601"), ((584, 64), "bt709"), ((64, 1280), "bt709")])
def test_unstated_matrix_goes_by_size_and_range_is_limited(tmp_path: Path, size: tuple[int, int], matrix: str) -> None:
    picture = np.full((*size, 3), (200, 40, 90), np.uint8)
    frame = yuv_frame(to_yuv(picture.astype(float), matrix), "yuv420p")
    path = encode(tmp_path / "a.mkv", [frame], "ffv1")
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
        assert (stored.colorspace, stored.color_range) == (2, 0)  # unspecified
    assert probe(path).matrix == matrix
    np.testing.assert_allclose(read_video(path).frames[0].astype(int), picture, atol=2)


def test_matrix_by_tag() -> None:
    assert matrix_of(1, 64, 64) == "bt709"
    assert matrix_of(6, 1920, 1080) == "bt601"
    assert matrix_of(8, 1920, 1080) == "bt709"  # a matrix that can't be read: by size
    assert [matrix_of(2, *size) for size in ((720, 576), (1024, 577), (1280, 100))] == ["bt601", "bt709", "bt709"]


def test_full_range_by_pixel_format(tmp_path: Path) -> None:
    picture = colours(7, 11)
    levels = to_yuv(picture.astype(float), "bt601", full=True)
    path = encode(
        tmp_path / "a.avi",
        [yuv_frame(levels, "yuvj444p")],
        "mjpeg",
        options={"qmin": "1", "q": "1"},
        tags={"color_range": FULL},
    )
    assert probe(path).is_full_range
    assert np.abs(read_video(path).frames[0][MIDDLE].astype(int) - picture[MIDDLE]).max() <= 6


@pytest.mark.parametrize("codec, suffix, pixel_format", [("ffv1", "mkv", "bgr0"), ("libx264rgb", "mp4", "rgb24")])
def test_rgb_video_is_left_alone(tmp_path: Path, codec: str, suffix: str, pixel_format: str) -> None:
    picture = colours(7, 11)
    frames = rgb_frames(picture[None])
    frames = [f.reformat(format=pixel_format) for f in frames]
    path = encode(tmp_path / f"a.{suffix}", frames, codec, options={"qp": "0"} if codec == "libx264rgb" else {})
    assert probe(path).matrix == "rgb"
    np.testing.assert_array_equal(read_video(path).frames[0], picture)


@pytest.mark.parametrize("pixel_format, bits", [("gray", 8), ("gray10le", 10), ("ya8", 8)])
@pytest.mark.parametrize("full", [False, True], ids=["tv", "pc"])
def test_grey_video(tmp_path: Path, pixel_format: str, bits: int, full: bool) -> None:
    unit = 2 ** (bits - 8)
    levels = np.arange(16 * unit, 235 * unit + 1, unit).astype(np.uint8 if bits == 8 else np.uint16)
    luma = levels[:216].reshape(1, 216).repeat(24, 0)
    if pixel_format == "ya8":
        frame = av.VideoFrame(216, 24, "ya8")
        rows = np.zeros((24, frame.planes[0].line_size), np.uint8)
        rows[:, :432] = np.stack([luma, np.full_like(luma, 255)], axis=-1).reshape(24, 432)
        frame.planes[0].update(rows.tobytes())
    else:
        frame = av.VideoFrame.from_ndarray(luma, format=pixel_format)
    path = encode(tmp_path / "a.mkv", [frame], "ffv1", tags={"color_range": FULL if full else LIMITED})
    back = read_video(path).frames[0].astype(float)
    values = luma.astype(float)
    exact = values / (2**bits - 1) * 255 if full else (values / unit - 16) * 255 / 219
    assert np.abs(back - exact[..., None]).max() <= (0.51 if bits == 8 or not full else 1)


def alpha_picture() -> np.ndarray:
    """RGBA: flat colour, opaque on the left, half in the middle, clear on the right."""
    rgba = np.full((32, 48, 4), (200, 100, 50, 255), np.uint8)
    rgba[:, 16:32, 3], rgba[:, 32:, 3] = 128, 0
    return rgba


ALPHA_FILES = {
    "qtrle": ("a.mov", "qtrle", "argb", {}, {}),
    "prores": ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444", "qscale": "1"}, {}),
    "vp9": ("a.webm", "libvpx-vp9", "yuva420p", {"crf": "4", "b:v": "0", "auto-alt-ref": "0"}, {"alpha_mode": "1"}),
    "ffv1": ("a.mkv", "ffv1", "bgra", {}, {}),
}


@pytest.mark.parametrize("kind", ALPHA_FILES)
def test_alpha_over_a_background_or_kept(tmp_path: Path, kind: str) -> None:
    name, codec, pixel_format, options, metadata = ALPHA_FILES[kind]
    rgba = alpha_picture()
    frame = av.VideoFrame.from_ndarray(rgba, format="rgba")
    frame = frame.reformat(format=pixel_format, dst_colorspace=5, dst_color_range=1 if "yuv" in pixel_format else 2)
    tags = {"colorspace": 5, "color_range": LIMITED} if "yuv" in pixel_format else {}
    path = encode(tmp_path / name, [frame, frame], codec, options=options, tags=tags, metadata=metadata)
    assert probe(path).has_alpha

    def bands(frames: np.ndarray) -> np.ndarray:
        return frames[0, 8:24][:, [8, 24, 40]].astype(int)

    white = bands(read_video(path).frames)
    np.testing.assert_allclose(white[:, 0], np.broadcast_to((200, 100, 50), (16, 3)), atol=5)
    np.testing.assert_allclose(white[:, 1], np.broadcast_to((227, 177, 152), (16, 3)), atol=5)
    np.testing.assert_allclose(white[:, 2], 255, atol=3)
    black = bands(read_video(path, background=(0, 0, 0)).frames)
    np.testing.assert_allclose(black[:, 1], np.broadcast_to((100, 50, 25), (16, 3)), atol=5)
    np.testing.assert_allclose(black[:, 2], 0, atol=3)
    kept = read_video(path, background=None).frames
    assert kept.shape == (2, 32, 48, 4)
    np.testing.assert_allclose(bands(kept)[..., 3], np.broadcast_to((255, 128, 0), (16, 3)), atol=3)


def test_asking_for_alpha_gives_four_channels_always(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", rgb_frames(colours(7, 11)[None], "rgb24"), "libx264rgb")
    frames = read_video(path, background=None).frames
    assert frames.shape[3] == 4
    assert (frames[..., 3] == 255).all()


def test_over_rounds() -> None:
    rgba = np.array([[(255, 0, 100, 0), (255, 0, 100, 255), (255, 0, 101, 128)]], np.uint8)
    expected = [[(10, 20, 30), (255, 0, 100), (133, 10, 66)]]
    np.testing.assert_array_equal(over(rgba, (10, 20, 30)), expected)


def test_hdr_is_said(tmp_path: Path) -> None:
    frame = yuv_frame(to_yuv(colours(8, 8).astype(float), "bt2020", bits=10), "yuv420p10le")
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": LIMITED}
    options = {"preset": "ultrafast"}
    assert probe(encode(tmp_path / "a.mp4", [frame], "libx264", options=options, tags=tags)).is_hdr
    assert not probe(encode(tmp_path / "b.mp4", [frame], "libx264", options=options)).is_hdr
