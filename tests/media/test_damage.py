"""Files that are missing, empty, foreign, cut off or garbled: one line that names the file, or what can be saved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kinema.core.errors import MediaError
from kinema.core.media_ref import MediaRef
from kinema.media.audio import Audio, read_audio
from kinema.media.boxes import is_cut_off
from kinema.media.picture import read_picture
from kinema.media.probe import probe
from kinema.media.read import iter_frames, read_video
from kinema.media.recipe import read_recipe
from kinema.media.write import write_video
from tests.media.helpers import encode, ramp, rgb_frames

READERS: list[Callable[..., object]] = [
    read_video,
    read_picture,
    probe,
    read_audio,
    read_recipe,
    lambda p: list(iter_frames(p)),
]


def noisy(num_frames: int) -> np.ndarray:
    """Frames with something new in each, so that each takes room in a file."""
    rng = np.random.default_rng(2)
    return np.clip(ramp(num_frames, 64, 96) + rng.normal(0, 8, (num_frames, 64, 96, 3)), 0, 255).astype(np.uint8)


def cut(path: Path, part: float) -> Path:
    """The first part of a file."""
    data = path.read_bytes()
    out = path.with_name(f"cut{path.suffix}")
    out.write_bytes(data[: int(len(data) * part)])
    return out


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file(tmp_path: Path, reader: Callable) -> None:
    (tmp_path / "empty.mp4").touch()
    cases = {
        str(tmp_path / "missing.mp4"): "does not exist",
        str(tmp_path / "empty.mp4"): "is empty",
        str(tmp_path): "is a folder",
        str(tmp_path / "empty.mp4" / "a.png"): "can't be read",
        "https://example.com/a.mp4": "is a url; fetch it first",
        "sha256:" + "0" * 64: "is a blob",
    }
    for ref, rule in cases.items():
        for media in (ref, MediaRef(ref)):
            with pytest.raises(MediaError, match=rule) as e:
                reader(media)
            assert "\n" not in str(e.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "name, data",
    [
        ("a.mp4", b"hello, this is no video\n" * 50),
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
        ("a.gif", b"GIF89a"),
        ("a.webp", b"RIFF\x10\x00\x00\x00WEBPVP8 "),
        ("a.mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"),
        ("a.mkv", b"\x1aE\xdf\xa3" + bytes(60)),
        ("a.bin", bytes(range(256)) * 40),
        ("a", b"\x00"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ],
)
def test_what_is_no_media(tmp_path: Path, reader: Callable, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MediaError, match=name) as e:
        reader(tmp_path / name)
    assert "\n" not in str(e.value)


def test_random_bytes_after_a_real_beginning(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for suffix in ("mp4", "gif", "webp", "png", "jpg"):
        path = write_video(tmp_path / f"a.{suffix}", noisy(1 if suffix in ("png", "jpg") else 3), fps=8).path
        whole = bytearray(path.read_bytes())
        for _ in range(12):
            data = whole.copy()
            for at in rng.integers(0, len(data), 20):
                data[at] = rng.integers(0, 256)
            path.write_bytes(data)
            for reader in READERS:
                with contextlib.suppress(MediaError):  # any other error fails the test
                    reader(path)


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"])
@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat"])
def test_lists_that_name_other_files_are_refused(tmp_path: Path, text: str, name: str) -> None:
    secret = write_video(tmp_path / "secret.mp4", ramp(3, 16, 16), fps=8).path
    (tmp_path / name).write_text(text.format(secret))
    with pytest.raises(MediaError, match="no picture, video or sound"):
        read_video(tmp_path / name)


def test_names_that_look_like_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = write_video("a.mp4", ramp(2, 16, 16), fps=8).path.read_bytes()
    for name in ("http:a.mp4", "-i.mp4", "pipe:1.mp4", "a%03d.mp4", "视频 🎬.mp4", "a?b#c.mp4"):
        if "%" in name:
            Path(name).write_bytes(whole)
        else:
            write_video(name, ramp(2, 16, 16), fps=8)
        assert len(read_video(name).frames) == 2, name


def test_index_at_the_end_and_cut_off(tmp_path: Path) -> None:
    frames = [f.reformat(format="yuv420p") for f in rgb_frames(noisy(20))]
    path = cut(encode(tmp_path / "a.mp4", frames, "libx264"), 0.8)  # PyAV writes the index last
    with pytest.raises(MediaError, match=r"cut\.mp4.*is cut off.*copy or download it again"):
        read_video(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_cut_off_files_give_what_they_have(tmp_path: Path, suffix: str, part: float) -> None:
    original = noisy(40)
    if suffix == "mp4":
        path = write_video(tmp_path / "a.mp4", original, fps=8).path
    else:
        frames = [f.reformat(format="yuv420p") for f in rgb_frames(original)]
        codec, options = ("mpeg4", {"b": "9000000"}) if suffix == "avi" else ("libx264", {})
        path = encode(tmp_path / f"a.{suffix}", frames, codec, fps=Fraction(8), options=options)
    whole = read_video(path)
    assert (len(whole.frames), whole.is_truncated, whole.num_bad_packets) == (40, False, 0)
    broken = cut(path, part)
    clip = read_video(broken)
    assert 40 * part * 0.5 < len(clip.frames) < 40
    if suffix != "ts":  # a transport stream states no length
        assert clip.is_truncated
        assert probe(broken).is_truncated
    np.testing.assert_array_equal(clip.frames[:10], whole.frames[:10])
    # the packet that was cut through is not shown half grey
    error = np.abs(clip.frames[-1].astype(float) - original[len(clip.frames) - 1]).mean()
    assert error < 12


def test_cut_off_animations_give_what_they_have(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.gif", noisy(12), fps=8).path, 0.6)
    clip = read_video(path)
    assert 2 <= len(clip.frames) < 12


def test_damage_in_the_middle_is_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noisy(40), fps=8).path
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    clip = read_video(path)
    assert clip.num_bad_packets > 0
    assert not clip.is_truncated
    assert 20 < len(clip.frames) <= 40


def test_sound_that_was_cut_off_and_a_file_with_sound_only(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32)
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe(path)
    assert (info.kind, info.width_px) == ("sound", 0)
    heard = read_audio(path, rate_hz=24_000)
    assert heard is not None
    assert heard.samples.shape == (1, 48_000)
    np.testing.assert_allclose(heard.samples[0, 1000:-1000], tone[2000:-2000:2], atol=0.01)
    part = read_audio(path, start_s=0.5, end_s=1.25)
    assert part is not None
    np.testing.assert_allclose(part.samples[0], tone[24_000:60_000], atol=1e-4)
    heard = read_audio(cut(path, 0.5))
    assert heard is not None
    assert heard.seconds == pytest.approx(1, abs=0.1)
    for reader in (read_video, read_picture):
        with pytest.raises(MediaError, match="has no picture in it"):
            reader(path)


def test_surround_sound_is_mixed_to_two(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.zeros((1, 6 * 4800), np.int16)
    samples[0, 0::6] = 8000  # front left
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="5.1")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = read_audio(path)
    assert heard is not None
    assert heard.samples.shape == (2, 4800)
    assert np.abs(heard.samples[0]).mean() > 5 * np.abs(heard.samples[1]).mean() + 0.01


def test_cut_off_is_told_from_whole(tmp_path: Path) -> None:
    sound = Audio(samples=np.zeros((1, 4800), np.float32))
    for name in ("a.mp4", "a.mov", "a.webp"):
        path = write_video(tmp_path / name, noisy(5), fps=8, audio=None if name == "a.webp" else sound).path
        assert not is_cut_off(path)
        assert is_cut_off(cut(path, 0.99))
        assert is_cut_off(cut(path, 0.3))
