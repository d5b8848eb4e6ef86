"""Times: variable rates, stretches, resampling, and the streaming reader."""

from __future__ import annotations

import gc
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from kinema.core.errors import InvalidInput, MediaError
from kinema.media import read
from kinema.media.audio import Audio
from kinema.media.probe import probe
from kinema.media.read import iter_frames, read_video
from kinema.media.write import write_video
from tests.media.helpers import encode, rgb_frames


def numbered(num_frames: int) -> np.ndarray:
    """Flat grey frames whose level tells their number: 8 i + 4."""
    levels = (np.arange(num_frames, dtype=np.uint8) * 8 + 4)[:, None, None, None]
    return np.broadcast_to(levels, (num_frames, 16, 24, 3)).copy()


def numbers(frames: np.ndarray) -> list[int]:
    """Which of `numbered`'s frames these are."""
    return np.round((frames.mean(axis=(1, 2, 3)) - 4) / 8).astype(int).tolist()


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    """24 frames at 8 fps: 3 s, with key frames 2 s apart."""
    return write_video(tmp_path / "constant.mp4", numbered(24), fps=8).path


TIMES_MS = [0, 40, 80, 400, 420, 1000, 1900]


@pytest.fixture(params=["mkv", "mp4"])
def uneven(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Seven frames, unevenly spaced."""
    frames = [f.reformat(format="yuv420p") for f in rgb_frames(numbered(7))]
    return encode(tmp_path / f"uneven.{request.param}", frames, "libx264", times=TIMES_MS)


def test_variable_rate_keeps_its_times(uneven: Path) -> None:
    clip = read_video(uneven)
    np.testing.assert_allclose(clip.times_s, np.array(TIMES_MS) / 1000, atol=1e-4)
    assert clip.is_variable_rate
    assert numbers(clip.frames) == list(range(7))


@pytest.mark.parametrize(
    "fps, shown",
    [
        (10, [0, 2, 2, 2, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6]),
        (5, [0, 2, 3, 4, 4, 5, 5, 5, 5, 5]),
        (Fraction(5, 3), [0, 4, 5, 5]),
    ],
)
def test_constant_rate_shows_what_is_on_screen(uneven: Path, fps: float, shown: list[int]) -> None:
    clip = read_video(uneven, fps=fps)
    assert numbers(clip.frames)[: len(shown)] == shown
    assert set(numbers(clip.frames)[len(shown) :]) <= {6}  # the last frame's duration is the container's guess
    np.testing.assert_allclose(clip.times_s, np.arange(len(clip.frames)) / float(fps))
    assert not clip.is_variable_rate
    assert clip.fps == fps


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_files_own_rate_loses_and_repeats_nothing(tmp_path: Path, fps: Fraction, suffix: str) -> None:
    frames = [f.reformat(format="yuv420p") for f in rgb_frames(numbered(30))]
    # whole milliseconds, as Matroska has them
    times = [round(1000 * i / fps) for i in range(30)]
    path = encode(tmp_path / f"a.{suffix}", frames, "libx264", times=times, fps=fps)
    assert numbers(read_video(path, fps=fps).frames) == list(range(30))
    assert numbers(read_video(path, fps=fps / 2).frames) == list(range(0, 30, 2))
    doubled = numbers(read_video(path, fps=fps * 2).frames)
    assert doubled == [i // 2 for i in range(60)]


@pytest.mark.parametrize(
    "start_s, end_s, fps, expected",
    [
        (0.0, None, None, list(range(24))),
        (1.0, 1.5, None, [8, 9, 10, 11]),
        (1.01, 1.5, None, [9, 10, 11]),
        (2.4, None, None, [20, 21, 22, 23]),
        (1.01, 1.5, 8, [8, 9, 10, 11]),  # 1.01 s shows frame 8
        (1.01, 1.5, 4, [8, 10]),
        (0.0, 0.05, None, [0]),
        (2.9, 99.0, None, []),
        (2.9, 99.0, 8, [23]),
        (0.5, None, 2, [4, 8, 12, 16, 20]),
    ],
)
def test_stretches(constant: Path, start_s: float, end_s: float | None, fps: float | None, expected: list[int]) -> None:
    if not expected:
        with pytest.raises(MediaError, match="past the last frame"):
            read_video(constant, start_s=start_s, end_s=end_s, fps=fps)
        return
    clip = read_video(constant, start_s=start_s, end_s=end_s, fps=fps)
    assert numbers(clip.frames) == expected
    wanted = [i / 8 for i in expected] if fps is None else [start_s + i / fps for i in range(len(expected))]
    np.testing.assert_allclose(clip.times_s, wanted, atol=1e-6)
    streamed = list(iter_frames(constant, start_s=start_s, end_s=end_s, fps=fps))
    np.testing.assert_array_equal(np.stack([f.pixels for f in streamed]), clip.frames)
    assert [f.time_s for f in streamed] == clip.times_s.tolist()


@pytest.mark.parametrize(
    "suffix, codec", [("mkv", "libx264"), ("ts", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx-vp9")]
)
def test_entering_in_the_middle_gives_the_same_frames(tmp_path: Path, suffix: str, codec: str) -> None:
    frames = [f.reformat(format="yuv420p") for f in rgb_frames(numbered(30))]
    path = encode(tmp_path / f"a.{suffix}", frames, codec, fps=Fraction(10), options={"g": "7"})
    whole = read_video(path)
    assert numbers(whole.frames) == list(range(30))
    assert whole.times_s[0] == 0
    for first in (1, 6, 7, 8, 16, 29):
        part = read_video(path, start_s=first / 10)
        assert numbers(part.frames) == list(range(first, 30))
        np.testing.assert_array_equal(part.frames, whole.frames[first:])
        assert numbers(read_video(path, start_s=first / 10 + 0.05, fps=10, max_frames=1).frames) == [first]


def test_at_most_so_many(constant: Path) -> None:
    assert numbers(read_video(constant, max_frames=5).frames) == [0, 1, 2, 3, 4]
    assert numbers(read_video(constant, max_frames=99).frames) == list(range(24))
    assert numbers(read_video(constant, start_s=1, fps=4, max_frames=2).frames) == [8, 10]


@pytest.mark.parametrize(
    "options, field",
    [
        ({"start_s": -1}, "start_s"),
        ({"start_s": float("nan")}, "start_s"),
        ({"start_s": 2, "end_s": 2}, "end_s"),
        ({"fps": 0}, "fps"),
        ({"max_frames": 0}, "max_frames"),
    ],
)
def test_stretches_that_are_none(constant: Path, options: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as e:
        read_video(constant, **options)
    assert e.value.field == field


def test_past_the_end_names_the_length(constant: Path) -> None:
    with pytest.raises(MediaError, match=r"start_s: 7: is past the last frame of .*constant.mp4' \(3 s long\)"):
        read_video(constant, start_s=7)


def test_too_much_for_memory_is_refused(constant: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_FRAMES_BYTES", 16 * 24 * 3 * 23)
    with pytest.raises(MediaError, match="read less of it"):
        read_video(constant)
    assert len(list(iter_frames(constant))) == 24


def test_streaming_keeps_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(30).repeat(2, 0), fps=8).path
    gc.collect()
    gc.disable()  # what lives in reference cycles would stay
    try:
        for _ in itertools.islice(iter_frames(path), 30):  # at the end the decoder gives all that it holds at once
            assert sum(type(o) is av.VideoFrame for o in gc.get_objects()) <= 8
    finally:
        gc.enable()


def test_sound_of_the_same_stretch(tmp_path: Path) -> None:
    rate = 48_000
    samples = np.zeros((1, rate * 3), np.float32)
    time = np.arange(rate // 4) / rate
    samples[0, rate * 3 // 2 : rate * 7 // 4] = 0.5 * np.sin(2 * np.pi * 500 * time)  # 1.5 s to 1.75 s
    path = write_video(tmp_path / "a.mp4", numbered(24), fps=8, audio=Audio(samples=samples)).path
    clip = read_video(path, start_s=1, end_s=2, with_audio=True)
    assert numbers(clip.frames) == list(range(8, 16))
    assert clip.audio is not None
    assert clip.audio.seconds == pytest.approx(1)
    loud = np.flatnonzero(np.abs(clip.audio.samples[0]) > 0.2) / rate
    assert (loud[0], loud[-1]) == pytest.approx((0.5, 0.75), abs=0.003)
    assert read_video(path).audio is None


def test_animations_have_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(f) for f in numbered(4)]
    durations = [100, 300, 0, 50]  # browsers show 0 as 100
    for suffix in ("gif", "png"):
        path = tmp_path / f"a.{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
        assert (probe(path).kind, probe(path).num_frames) == ("animation", 4)
        clip = read_video(path)
        np.testing.assert_allclose(clip.times_s, [0, 0.1, 0.4, 0.5], atol=1e-6)
        assert numbers(clip.frames) == [0, 1, 2, 3]
        assert numbers(read_video(path, fps=10).frames)[:5] == [0, 1, 1, 1, 2]
        assert numbers(read_video(path, start_s=0.45, fps=10, max_frames=1).frames) == [2]


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(numbered(3)[2]).save(tmp_path / "a.png")
    clip = read_video(tmp_path / "a.png")
    assert (numbers(clip.frames), clip.times_s.tolist()) == ([2], [0.0])
    assert probe(tmp_path / "a.png").kind == "picture"


def test_probe(constant: Path, tmp_path: Path) -> None:
    info = probe(constant)
    assert (info.kind, info.codec, info.num_frames) == ("video", "h264", 24)
    assert (info.fps, info.duration_s, info.audio) == (8, 3, None)
    assert (info.width_px, info.height_px, info.size_bytes) == (24, 16, constant.stat().st_size)
    assert (info.matrix, info.is_full_range, info.pixel_format, info.bit_depth) == ("bt709", False, "yuv420p", 8)
    assert not any([info.is_interlaced, info.has_alpha, info.is_hdr, info.is_truncated])
    sound = Audio(samples=np.zeros((2, 48_000), np.float32))
    info = probe(write_video(tmp_path / "s.mp4", numbered(8), fps=8, audio=sound).path)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.rate_hz, info.audio.num_channels) == ("aac", 48_000, 2)
    assert info.audio.duration_s == pytest.approx(1, abs=0.03)
