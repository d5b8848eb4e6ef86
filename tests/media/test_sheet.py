"""Covers and sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinema.core.errors import InvalidInput
from kinema.media.recipe import read_recipe
from kinema.media.sheet import cover_index, grid, write_cover, write_spritesheet
from tests.media.helpers import ramp


def blurred(picture: np.ndarray) -> np.ndarray:
    """The picture without its detail."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((4, 3)).resize((width, height), Image.Resampling.BICUBIC))


def test_cover_is_sharp_and_typical() -> None:
    scene = np.random.default_rng(0).integers(60, 200, (48, 64, 3), np.uint8)
    other = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    frames = np.stack([np.zeros_like(scene)] * 2 + [blurred(scene)] * 7 + [scene] + [blurred(scene)] * 6 + [other] * 4)
    assert cover_index(frames) == 9  # not black, not blurred, not the odd one out, not at the end


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_short_and_still_clips_have_a_cover(num_frames: int) -> None:
    assert cover_index(np.full((num_frames, 8, 8, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_cover_is_written_with_its_recipe(tmp_path: Path, suffix: str) -> None:
    frames = ramp(9, 24, 40)
    write_cover(tmp_path / f"c.{suffix}", frames, quality="master", recipe={"seed": 1})
    assert read_recipe(tmp_path / f"c.{suffix}") == {"seed": 1}
    with Image.open(tmp_path / f"c.{suffix}") as image:
        expected = frames[cover_index(frames)].astype(int)
        np.testing.assert_allclose(np.asarray(image.convert("RGB")).astype(int), expected, atol=12)


def test_spritesheet_geometry(tmp_path: Path) -> None:
    levels = np.arange(23) * 10
    frames = np.broadcast_to(levels[:, None, None, None], (23, 30, 50, 3)).astype(np.uint8)
    sheet = write_spritesheet(tmp_path / "s.png", frames, fps=8, tile_width_px=20, columns=3, max_tiles=7)
    assert (sheet.columns, sheet.rows, sheet.tile_width_px, sheet.tile_height_px) == (3, 3, 20, 12)
    with Image.open(tmp_path / "s.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (36, 60, 3)
    assert len(sheet.tiles) == 7
    assert sheet.tiles[0].start_s == 0
    assert sheet.tiles[-1].end_s == 23 / 8
    for i, tile in enumerate(sheet.tiles):
        assert (tile.x_px, tile.y_px) == (i % 3 * 20, i // 3 * 12)
        if i:
            assert tile.start_s == sheet.tiles[i - 1].end_s
        shown = pixels[tile.y_px + 6, tile.x_px + 10, 0] / 10
        assert tile.start_s <= shown / 8 < tile.end_s
    assert (pixels[24:, 20:] == 255).all()  # the rest of the last row


def test_spritesheet_as_vtt_and_json(tmp_path: Path) -> None:
    sheet = write_spritesheet(tmp_path / "s.jpg", ramp(2, 16, 32), fps=1 / 3, tile_width_px=10)
    assert sheet.to_vtt("s.jpg") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:03.000\ns.jpg#xywh=0,0,10,5\n\n"
        "00:00:03.000 --> 00:00:06.000\ns.jpg#xywh=10,0,10,5\n"
    )
    assert sheet.to_dict()["tiles"][1] == {"x_px": 10, "y_px": 0, "start_s": 3.0, "end_s": 6.0}


@pytest.mark.parametrize("field", ["tile_width_px", "columns", "max_tiles"])
def test_sheets_that_are_none(tmp_path: Path, field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        write_spritesheet(tmp_path / "s.png", ramp(2, 8, 8), fps=8, **dict.fromkeys([field], 0))  # pyright: ignore[reportArgumentType]


def test_grid() -> None:
    pictures = [np.full((2, 3, 3), i * 10, np.uint8) for i in range(5)]
    sheet = grid(pictures, columns=2, gap_px=1, background=(9, 9, 9))
    assert sheet.shape == (2 * 3 + 2, 3 * 2 + 1, 3)
    assert [sheet[y, x, 0] for y, x in ((0, 0), (0, 4), (3, 0), (3, 4), (6, 0))] == [0, 10, 20, 30, 40]
    assert (sheet[2] == 9).all()
    assert (sheet[:, 3] == 9).all()
    assert (sheet[6:, 4:] == 9).all()
