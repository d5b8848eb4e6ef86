"""Written colour against the formulas: planes, tags, chroma position, round trip."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from kinema.media.quality import QUALITIES
from kinema.media.read import read_video
from kinema.media.write import write_video
from tests.media.helpers import find_box, to_yuv

BLOCK = 16
COLOURS = np.array(list(itertools.product(range(0, 256, 51), repeat=3)), np.uint8).reshape(12, 18, 3)


def blocks(colours: np.ndarray) -> np.ndarray:
    """Three equal frames of flat squares, one of each colour."""
    return np.repeat(colours.repeat(BLOCK, 0).repeat(BLOCK, 1)[None], 3, axis=0)


def planes(path: Path) -> list[np.ndarray]:
    """Y, U and V of the first frame as they are stored."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p"
        packed = frame.to_ndarray()
        height, width = frame.height, frame.width
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    return [packed[:height], chroma[0], chroma[1]]


def test_stored_planes_are_bt709_limited(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", blocks(COLOURS), fps=24, quality="master")
    stored = planes(tmp_path / "a.mp4")
    expected = to_yuv(COLOURS.astype(float))
    # a 601 matrix would be off by up to 30 levels
    for plane, levels, step in zip(stored, np.moveaxis(expected, -1, 0), (BLOCK, BLOCK // 2, BLOCK // 2), strict=True):
        middle = plane[step // 2 :: step, step // 2 :: step].astype(float)
        assert np.abs(middle - levels).max() <= 1.5


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_container_and_stream_state_matrix_and_range(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", blocks(COLOURS[:3, :3]), fps=24).path
    colr = find_box(path.read_bytes(), "moov/trak/mdia/minf/stbl/stsd/avc1/colr")
    assert colr[:10] == (b"nclx" if suffix == "mp4" else b"nclc") + struct.pack(">3H", 1, 1, 1)
    assert colr[10:] in (b"\x00", b"")  # not full range
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    assert frame.color_range == 1  # limited: "tv"


def test_chroma_is_sited_left(tmp_path: Path) -> None:
    x = np.arange(64)
    row = np.stack([60 + 0 * x, 60 + 0 * x, x * 4], axis=-1).astype(np.uint8)
    path = write_video(tmp_path / "a.mp4", np.repeat(row[None, None], 32, axis=1), fps=24, quality="master").path
    blue = planes(path)[1].astype(float).mean(axis=0)[2:-2]
    exact = to_yuv(row.astype(float))[:, 1]
    left, centre = exact[0::2][2:-2], (exact[0::2] + exact[1::2])[2:-2] / 2
    assert abs((blue - left).mean()) < 0.3
    assert abs((blue - centre).mean()) > 0.5


def test_colours_stay_in_their_place(tmp_path: Path) -> None:
    x = np.arange(64)
    row = np.stack([60 + 0 * x, 60 + 0 * x, x * 4], axis=-1).astype(np.uint8)
    frames = np.repeat(row[None, None], 32, axis=1)
    write_video(tmp_path / "a.mp4", frames, fps=24, quality="master")
    back = read_video(tmp_path / "a.mp4").frames.astype(float)
    # chroma read as if sited in the middle would lie half a sample beside: blue would be off by 2
    assert abs((back - frames)[..., 2][0, :, 4:-4].mean()) < 0.4


def test_colours_come_back(tmp_path: Path) -> None:
    frames = blocks(COLOURS)
    write_video(tmp_path / "a.mp4", frames, fps=24, quality="master")
    back = read_video(tmp_path / "a.mp4").frames
    middle = (slice(None), slice(BLOCK // 2, None, BLOCK), slice(BLOCK // 2, None, BLOCK))
    assert np.abs(back[middle].astype(int) - frames[middle]).max() <= 3


@pytest.mark.parametrize("quality", QUALITIES)
def test_greys_come_back_within_one(tmp_path: Path, quality: str) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    write_video(tmp_path / "a.mp4", blocks(greys), fps=24, quality=quality)
    back = read_video(tmp_path / "a.mp4").frames[:, BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
    assert np.abs(back.astype(int) - greys).max() <= 1


def test_better_quality_is_nearer_and_larger(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = np.clip(blocks(COLOURS[:5, :7]) + rng.normal(0, 12, (3, 80, 112, 3)), 0, 255).astype(np.uint8)
    errors, sizes = [], []
    for name in QUALITIES:
        written = write_video(tmp_path / f"{name}.mp4", frames, fps=24, quality=name)
        errors.append(np.square(read_video(written.path).frames.astype(float) - frames).mean())
        sizes.append(written.size_bytes)
    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes)
