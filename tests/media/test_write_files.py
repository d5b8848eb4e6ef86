"""GIF, WebP, sequences and pictures by name; what each kind refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinema.core.errors import InvalidInput, StorageError
from kinema.media.arrays import exact_fps
from kinema.media.audio import Audio
from kinema.media.write import VideoWriter, write_picture, write_video
from tests.media.helpers import ramp


def frames_of(path: Path) -> tuple[np.ndarray, list[int]]:
    """Frames and their durations in milliseconds, as Pillow sees an animation."""
    frames, durations = [], []
    with Image.open(path) as image:
        assert image.info["loop"] == 0  # for ever
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
    return np.stack(frames), durations


@pytest.mark.parametrize("fps, total_ms", [(8, 875), (24, 292), (50, 140)])
@pytest.mark.parametrize("suffix, tolerance", [("gif", 4.0), ("webp", 2.5)])
def test_animations(tmp_path: Path, suffix: str, tolerance: float, fps: int, total_ms: int) -> None:
    frames = ramp(7, 37, 53)
    written = write_video(tmp_path / f"a.{suffix}", frames, fps=fps)
    assert written.size_bytes == (tmp_path / f"a.{suffix}").stat().st_size
    back, durations = frames_of(tmp_path / f"a.{suffix}")
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < tolerance
    assert sum(durations) == pytest.approx(total_ms, abs=10)
    assert max(durations) - min(durations) <= 10  # a GIF counts in hundredths


def test_webp_of_the_highest_quality_is_lossless(tmp_path: Path) -> None:
    frames = ramp(3, 37, 53)
    write_video(tmp_path / "a.webp", frames, fps=8, quality="master")
    np.testing.assert_array_equal(frames_of(tmp_path / "a.webp")[0], frames)


def test_gif_palette_follows_the_frames(tmp_path: Path) -> None:
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    frames[0], frames[1], frames[2] = (200, 30, 40), (31, 201, 41), (32, 42, 202)
    write_video(tmp_path / "a.gif", frames, fps=8)
    np.testing.assert_allclose(frames_of(tmp_path / "a.gif")[0].astype(int), frames, atol=3)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_of_one_frame_is_a_picture(tmp_path: Path, suffix: str) -> None:
    frames = ramp(1, 17, 23)
    write_video(tmp_path / f"a.{suffix}", frames, fps=8)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert getattr(image, "n_frames", 1) == 1
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[0]).mean() < 4


@pytest.mark.parametrize("suffix, atol", [("png", 0), ("jpg", 12), ("jpeg", 12), ("webp", 0)])
def test_pictures(tmp_path: Path, suffix: str, atol: int) -> None:
    picture = ramp(1, 37, 53)[0]
    written = write_picture(tmp_path / f"a.{suffix}", picture, quality="master")
    assert (written.num_frames, written.height_px, written.width_px) == (1, 37, 53)
    with Image.open(written.path) as image:
        assert image.format == {"png": "PNG", "webp": "WEBP"}.get(suffix, "JPEG")
        np.testing.assert_allclose(np.asarray(image.convert("RGB")).astype(int), picture, atol=atol)


@pytest.mark.parametrize(
    "name, first", [("new/", "frame_00000.png"), ("clip_%04d.png", "clip_0000.png"), ("c%d.png", "c0.png")]
)
def test_sequences(tmp_path: Path, name: str, first: str) -> None:
    frames = ramp(11, 17, 23)
    written = write_video(f"{tmp_path}/{name}", frames, fps=8)
    folder = tmp_path / "new" if name.endswith("/") else tmp_path
    files = sorted(folder.iterdir(), key=lambda p: (len(p.name), p.name))
    assert files[0].name == first
    assert len(files) == 11
    assert written.size_bytes == sum(p.stat().st_size for p in files)
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(p)) for p in files]), frames)
    with pytest.raises(StorageError, match=r"already holds frames \((frame_|clip_|c)\d+\.png\)"):
        write_video(f"{tmp_path}/{name}", frames, fps=8)
    assert len(list(folder.iterdir())) == 11


def test_a_sequence_goes_into_an_existing_folder_beside_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_video(tmp_path, ramp(2, 8, 8), fps=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame_00000.png", "frame_00001.png", "notes.txt"]


def test_a_picture_holds_no_clip(tmp_path: Path) -> None:
    frames = ramp(2, 8, 8)
    with pytest.raises(InvalidInput, match=r"path: .*a\.png.*one picture.*\.mp4.*%04d"):
        write_video(tmp_path / "a.png", frames, fps=8)
    with pytest.raises(InvalidInput, match="one picture"):
        write_video(tmp_path / "a.jpg", iter(frames), fps=8)  # nobody knew how many would come
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, options, field, rule",
    [
        ("a.avi", {}, "path", r"\.mp4, .*\.gif, .*%04d"),
        ("a", {}, "path", "must end in"),
        ("", {}, "path", "must name a file"),
        ("a.mp4", {"fps": 0}, "fps", "above 0"),
        ("a.mp4", {"fps": float("nan")}, "fps", "above 0"),
        ("a.mp4", {"fps": 1e6}, "fps", "at most 1000"),
        ("a.gif", {"fps": 60}, "fps", r"at most 50; use \.mp4"),
        ("a.mp4", {"quality": "best"}, "quality", "draft, standard, high, master"),
        ("a.gif", {"audio": Audio(samples=np.zeros((1, 9), np.float32))}, "audio", r"no sound; use \.mp4"),
        ("%04d.png", {"audio": Audio(samples=np.zeros((1, 9), np.float32))}, "audio", "no sound"),
        ("%04d.jpg", {}, "path", r"as \.png"),
    ],
)
def test_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any], field: str, rule: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=rule) as e:
        VideoWriter(name, **{"fps": 8, **options})
    assert e.value.field == field
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "frames, rule",
    [
        (np.zeros((2, 8, 8, 3)), "uint8"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"\(t h w 3\)"),
        (np.zeros((8, 8), np.uint8), r"\(t h w 3\)"),
        (np.zeros((2, 0, 8, 3), np.uint8), "not empty"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one frame"),
    ],
)
def test_frames_that_are_none(tmp_path: Path, frames: np.ndarray, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule) as e:
        write_video(tmp_path / "a.mp4", frames, fps=8)
    assert e.value.field == "frames"
    assert not list(tmp_path.iterdir())


def test_frames_keep_their_size(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="22x18.*24x16 like the frames before"):
        write_video(tmp_path / "a.mp4", iter([ramp(2, 16, 24), ramp(2, 18, 22)]), fps=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [float("inf"), -1, True, "24"])
def test_rates_that_are_none(wrong: float) -> None:
    with pytest.raises(InvalidInput, match="fps"):
        exact_fps(wrong)
