"""mp4 and mov: order of boxes, times, odd sizes, sound, the same bytes each time."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kinema.core.errors import InvalidInput
from kinema.media.audio import Audio, read_audio
from kinema.media.boxes import add_index_first
from kinema.media.write import VideoWriter, write_video
from tests.media.helpers import boxes, find_box, ramp


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov"])
@pytest.mark.parametrize("recipe", [None, {"prompt": "x" * 70_000}])
def test_index_stands_before_the_data_and_points_into_it(tmp_path: Path, suffix: str, recipe: dict | None) -> None:
    path = write_video(tmp_path / f"a.{suffix}", ramp(13, 34, 46), fps=24, recipe=recipe).path
    data = path.read_bytes()
    top = {kind: (start, end) for kind, start, end in boxes(data)}
    assert list(top) == ["ftyp", "moov", "mdat"]
    assert top["mdat"][1] == len(data)
    stco = find_box(data, "moov/trak/mdia/minf/stbl/stco")
    count, first = struct.unpack_from(">II", stco, 4)
    assert count >= 1
    assert first == top["mdat"][0]
    size, unit = struct.unpack_from(">IB", data, first)  # a length and a NAL header: SEI, SPS or a key frame
    assert size < len(data)
    assert unit & 31 in (5, 6, 7)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 13


def test_wide_offsets_and_other_tracks_move_too(tmp_path: Path) -> None:
    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", len(body) + 8, kind) + body

    def track(table: bytes) -> bytes:
        return box(b"trak", box(b"tkhd", bytes(5)), box(b"mdia", box(b"minf", box(b"stbl", table))))

    head, mdat = box(b"ftyp", b"isom", bytes(4)), box(b"mdat", b"ABCDEFG")
    at = len(head) + 8 + 8  # a free box stands between
    narrow = box(b"stco", struct.pack(">II2I", 0, 2, at, at + 3))
    wide = box(b"co64", struct.pack(">II2Q", 0, 2, at + 1, at + 5))
    moov = box(b"moov", box(b"mvhd", bytes(3)), track(narrow), track(wide), box(b"udta", b"old"))
    (tmp_path / "in").write_bytes(head + box(b"free") + mdat + moov)
    add_index_first(tmp_path / "in", tmp_path / "out", "é")
    out = (tmp_path / "out").read_bytes()
    assert [kind for kind, *_ in boxes(out)] == ["ftyp", "moov", "mdat"]
    assert b"old" not in out
    tables = out[out.index(b"stco") + 12 :], out[out.index(b"co64") + 12 :]
    assert [out[i : i + 1] for i in struct.unpack_from(">2I", tables[0])] == [b"A", b"D"]
    assert [out[i : i + 1] for i in struct.unpack_from(">2Q", tables[1])] == [b"B", b"F"]
    assert find_box(out, "moov/udta/meta/ilst/\xa9cmt/data")[8:] == "é".encode()


@pytest.mark.parametrize(
    "fps, expected",
    [
        (8, Fraction(8)),
        (12.5, Fraction(25, 2)),
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (1 / 3, Fraction(1, 3)),
    ],
)
@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_times_are_exact(tmp_path: Path, fps: float, expected: Fraction, num_frames: int) -> None:
    written = write_video(tmp_path / "a.mp4", ramp(num_frames, 18, 22), fps=fps)
    assert written.fps == expected
    assert written.seconds == pytest.approx(num_frames / expected)
    with av.open(str(written.path)) as container:
        stream = container.streams.video[0]
        times = [f.pts * f.time_base for f in container.decode(stream) if f.pts is not None and f.time_base]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert times == [i / expected for i in range(num_frames)]
        assert stream.duration * stream.time_base == num_frames / expected
        assert stream.average_rate == expected


def test_same_frames_same_bytes_and_no_date(tmp_path: Path) -> None:
    frames, sound = ramp(30, 130, 90), Audio(samples=np.zeros((2, 4800), np.float32))
    files = [write_video(tmp_path / f"{i}.mp4", frames, fps=24, audio=sound, recipe={"a": 1}).path for i in range(2)]
    first, second = (path.read_bytes() for path in files)
    assert first == second
    for path in ("moov/mvhd", "moov/trak/tkhd", "moov/trak/mdia/mdhd"):
        assert find_box(first, path)[4:12] == bytes(8)  # creation and modification time


@pytest.mark.parametrize("height, width", [(1, 1), (17, 22), (18, 23), (17, 23)])
def test_odd_sizes_repeat_the_last_row_and_column_and_say_so(tmp_path: Path, height: int, width: int) -> None:
    frames = ramp(2, height, width)
    written = write_video(tmp_path / "a.mp4", frames, fps=8, quality="master")
    assert (written.height_px, written.width_px) == (height, width)
    assert "even sizes" in written.notes[0]
    with av.open(str(written.path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.height, frame.width) == (height + height % 2, width + width % 2)
    luma = frame.to_ndarray()[: frame.height].astype(int)
    if height % 2:
        assert np.abs(luma[-1] - luma[-2]).max() <= 2
    if width % 2:
        assert np.abs(luma[:, -1] - luma[:, -2]).max() <= 2


def test_even_sizes_have_no_notes(tmp_path: Path) -> None:
    assert write_video(tmp_path / "a.mp4", ramp(2, 16, 24), fps=8).notes == ()


@pytest.mark.parametrize("num_channels, rate", [(1, 48_000), (2, 48_000), (2, 16_000)])
def test_sound_keeps_its_place_and_ends_with_the_picture(tmp_path: Path, num_channels: int, rate: int) -> None:
    samples = np.zeros((num_channels, rate * 3), np.float32)
    time = np.arange(rate // 10) / rate
    samples[:, rate // 2 : rate // 2 + len(time)] = 0.5 * np.sin(2 * np.pi * 1000 * time)  # a tone from 0.5 to 0.6 s
    frames = ramp(20, 16, 16)
    path = write_video(tmp_path / "a.mp4", frames, fps=10, audio=Audio(samples=samples, rate_hz=rate)).path
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", 48_000, num_channels)
        assert container.streams.video[0].frames == 20
    heard = read_audio(path)
    assert heard is not None
    assert heard.samples.shape[0] == num_channels
    assert heard.seconds == pytest.approx(2, abs=1e-3)  # cut with the picture, which lasts 2 s
    loud = np.flatnonzero(np.abs(heard.samples[0]) > 0.2)
    assert loud[0] / 48_000 == pytest.approx(0.5, abs=0.002)
    assert loud[-1] / 48_000 == pytest.approx(0.6, abs=0.002)


def test_sound_shorter_than_the_picture(tmp_path: Path) -> None:
    sound = Audio(samples=np.full((1, 4_800), 0.1, np.float32))
    path = write_video(tmp_path / "a.mp4", ramp(20, 16, 16), fps=10, audio=sound).path
    heard = read_audio(path)
    assert heard is not None
    assert heard.seconds == pytest.approx(0.1, abs=0.03)  # AAC goes by blocks of 1024


def test_no_sound_no_track(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(2, 16, 16), fps=10).path
    with av.open(str(path)) as container:
        assert not container.streams.audio
    assert read_audio(path) is None


@pytest.mark.parametrize(
    "samples, rate, match",
    [
        (np.zeros(5, np.float32), 48_000, "channels samples"),
        (np.zeros((3, 5), np.float32), 48_000, "1 or 2 channels"),
        (np.zeros((1, 5)), 48_000, "float32"),
        (np.full((1, 5), np.nan, np.float32), 48_000, "finite"),
        (np.zeros((1, 5), np.float32), 100, "rate"),
    ],
)
def test_sound_that_is_none(samples: np.ndarray, rate: int, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        Audio(samples=samples, rate_hz=rate)


def test_players_can_enter_every_two_seconds(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(50, 16, 16), fps=10).path
    with av.open(str(path)) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.pts is not None]
    assert keys == [0, 2, 4]


def test_encoder_works_while_the_caller_makes_frames(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with VideoWriter(
        tmp_path / "a.mp4", fps=8, num_frames=60, on_progress=lambda p: seen.append((p.step, p.steps))
    ) as writer:
        for chunk in np.split(ramp(60, 32, 32), 12):
            writer.write(chunk)
            chunk[:] = 0  # taken over by then
    assert seen[-1] == (60, 60)
    assert [s for s, _ in seen] == sorted(s for s, _ in seen)
    assert 0 < seen[30][0] < 60  # some were encoded before all were given: at most eight wait
    back = write_video(tmp_path / "b.mp4", ramp(60, 32, 32), fps=8)
    assert writer.result.frames_digest == back.frames_digest
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
