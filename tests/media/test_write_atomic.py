"""Whole files or none: errors, interrupts, a full disk, places that can't be written."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import Cancelled, KinemaError, StorageError
from kinema.core.progress import CancelToken, Progress
from kinema.media import encode_video
from kinema.media.write import VideoWriter, write_picture, write_video
from tests.media.helpers import ramp

NAMES = ["a.mp4", "a.mov", "a.gif", "a.webp", "new/", "a%02d.png"]


def noise(num_frames: int) -> np.ndarray:
    """Frames that don't compress."""
    return np.random.default_rng(0).integers(0, 256, (num_frames, 64, 64, 3), np.uint8)


def target(folder: Path, name: str) -> str:
    """A path as text, which keeps the slash at its end."""
    return f"{folder}/{name}"


def is_encoder_running() -> bool:
    """Whether some writer left its thread behind."""
    return any(t.name == "kinema-encoder" for t in threading.enumerate())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [0, 1, 19])
def test_nothing_remains_after_an_error_of_the_caller(
    tmp_path: Path, name: str, error: BaseException, after: int
) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from ramp(after, 16, 16)
        raise error

    with pytest.raises(type(error)):
        write_video(target(tmp_path, name), frames(), fps=8)
    assert not list(tmp_path.iterdir())
    assert not is_encoder_running()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_remains_after_cancelling(tmp_path: Path, name: str) -> None:
    cancel = CancelToken()

    def watch(event: Progress) -> None:
        if event.step > 3:
            cancel.cancel()
        cancel.check("writing")

    with pytest.raises(Cancelled):
        write_video(target(tmp_path, name), ramp(200, 16, 16), fps=8, on_progress=watch)
    assert not list(tmp_path.iterdir())


def test_nothing_remains_after_a_bad_recipe(tmp_path: Path) -> None:
    with pytest.raises(KinemaError, match="recipe"):
        write_video(tmp_path / "a.mp4", ramp(3, 16, 16), fps=8, recipe={"seconds": float("nan")})
    assert not list(tmp_path.iterdir())


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with VideoWriter(path, fps=8) as writer:
        writer.write(ramp(3, 16, 16))
        assert path.read_bytes() == b"old"
    assert path.read_bytes() != b"old"
    new = path.read_bytes()
    with pytest.raises(KinemaError, match="uint8"):
        write_video(path, iter([ramp(1, 16, 16), np.zeros((1, 16, 16, 3))]), fps=8)
    assert path.read_bytes() == new
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def file_limit(num_bytes: int) -> Iterator[None]:
    """No file may grow past ``num_bytes`` within; also not the one that the test run's own words go to, so no longer than needed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [0, 0.3, 0.7, 0.98])
def test_no_room_at_any_point(tmp_path: Path, name: str, part: float) -> None:
    frames = noise(9)
    (tmp_path / "free").mkdir()
    written = write_video(target(tmp_path / "free", name), frames, fps=8)
    largest = max(p.stat().st_size for p in (tmp_path / "free").rglob("*.*"))
    assert written.num_frames == 9
    (tmp_path / "full").mkdir()
    with file_limit(int(largest * part)), pytest.raises(StorageError, match=str(tmp_path)):
        write_video(target(tmp_path / "full", name), frames, fps=8)
    assert not list((tmp_path / "full").iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp"])
@pytest.mark.parametrize("num_frames", [1, 40])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, num_frames: int) -> None:
    opened = encode_video.av.open
    monkeypatch.setattr(encode_video.av, "open", lambda _, *args, **kwargs: opened("/dev/full", *args, **kwargs))
    frames = noise(max(num_frames, 2 if name == "a.webp" else 1))
    with pytest.raises(StorageError, match="no space left on the disk"):
        write_video(tmp_path / name, frames, fps=8)
    assert not list(tmp_path.iterdir())
    assert not is_encoder_running()


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp", "png", "jpg"])
def test_places_that_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / f"folder.{suffix}").mkdir()
    wrong = {
        f"missing/a.{suffix}": "the folder does not exist",
        f"file/a.{suffix}": "the folder does not exist",
        f"folder.{suffix}": "is a folder; name a file",
        f"{'x' * 300}.{suffix}": "the name is too long",
    }
    for name, rule in wrong.items():
        with pytest.raises(StorageError, match=rule):
            write_picture(tmp_path / name, ramp(1, 16, 16)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", f"folder.{suffix}"]


@pytest.mark.parametrize("name", ["new/", "a%02d.png"])
def test_sequences_with_nowhere_to_go(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("missing", "file"):
        with pytest.raises(StorageError, match="the folder does not exist"):
            write_video(target(tmp_path / place, name), ramp(1, 16, 16), fps=8)


def test_a_writer_that_fails_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encode_video.H264Encoder, "add", fail)
    num_given = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal num_given
        for frame in ramp(100, 16, 16):
            num_given += 1
            yield frame

    with pytest.raises(StorageError):
        write_video(tmp_path / "a.mp4", frames(), fps=8)
    assert num_given < 20  # not only at the end


def test_closing_and_aborting_by_hand(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=8) as writer:
        writer.write(ramp(3, 16, 16))
        assert writer.close() is writer.close()
        writer.abort()
    assert (tmp_path / "a.mp4").stat().st_size == writer.result.size_bytes
    with VideoWriter(tmp_path / "b.mp4", fps=8) as writer:
        writer.write(ramp(3, 16, 16))
        writer.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_what_an_encoder_cannot_do_is_one_line(tmp_path: Path) -> None:
    for name, shape in (("a.mp4", (1, 2, 16_400, 3)), ("a.webp", (2, 2, 16_400, 3)), ("one.webp", (1, 2, 16_400, 3))):
        with pytest.raises(KinemaError, match="could not be") as e:
            write_video(tmp_path / name, np.zeros(shape, np.uint8), fps=8)
        assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())
