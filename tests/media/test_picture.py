"""Pictures of every kind: orientation, depth, palettes, profiles, alpha; fitted sizes; frames of videos."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageCms

from kinema.core.errors import InvalidInput, MediaError
from kinema.core.media_ref import MediaRef
from kinema.core.protocols import MediaReader
from kinema.media.picture import read_picture
from kinema.media.probe import probe
from kinema.media.write import write_video
from tests.media.helpers import corners, quarters, ramp

ORIENTATIONS = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(corners(32, 48)).save(path, exif=exif, **options)
    picture = read_picture(path)
    assert quarters(picture) == ORIENTATIONS[orientation]
    assert picture.shape == ((48, 32, 3) if orientation >= 5 else (32, 48, 3))
    info = probe(path)
    assert (info.height_px, info.width_px) == picture.shape[:2]


def png16(path: Path, pixels: np.ndarray, colour_type: int) -> None:
    """A 16-bit PNG by hand: greys (0) or RGB (2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_16_bits(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 17 * 23).astype(np.uint16).reshape(17, 23)
    png16(tmp_path / "grey.png", grey, 0)
    exact = grey.astype(float) / 257
    back = read_picture(tmp_path / "grey.png").astype(float)
    assert np.abs(back - exact[..., None]).max() <= 0.51
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)
    png16(tmp_path / "colour.png", colour, 2)
    assert np.abs(read_picture(tmp_path / "colour.png").astype(float) - colour.astype(float) / 257).max() <= 1
    Image.fromarray(grey).save(tmp_path / "a.tiff")
    assert np.abs(read_picture(tmp_path / "a.tiff").astype(float) - exact[..., None]).max() <= 0.51


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"])
def test_modes(tmp_path: Path, mode: str) -> None:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:, 12:] = 255
    path = tmp_path / ("a.tiff" if mode in ("CMYK", "PA") else "a.png")
    image = Image.fromarray(picture)
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    image.save(path)
    np.testing.assert_allclose(read_picture(path).astype(int), picture, atol=1)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.fromarray(corners(32, 48)).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert quarters(read_picture(tmp_path / "a.jpg")) == "RGBW"


def test_alpha(tmp_path: Path) -> None:
    rgba = np.full((16, 48, 4), (200, 100, 50, 255), np.uint8)
    rgba[:, 16:32, 3], rgba[:, 32:, 3] = 128, 0
    for suffix in ("png", "webp", "tiff"):
        path = tmp_path / f"a.{suffix}"
        options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
        Image.fromarray(rgba).save(path, **options)
        white = read_picture(path)
        assert white.shape == (16, 48, 3)
        assert [tuple(white[8, x]) for x in (8, 24, 40)] == [(200, 100, 50), (227, 177, 152), (255, 255, 255)]
        black = read_picture(path, background=(0, 0, 0))
        assert [tuple(black[8, x]) for x in (8, 24, 40)] == [(200, 100, 50), (100, 50, 25), (0, 0, 0)]
        np.testing.assert_array_equal(read_picture(path, background=None), rgba)
        assert probe(path).has_alpha


def test_palette_with_one_clear_colour(tmp_path: Path) -> None:
    image = Image.new("P", (24, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 12, 16))
    for suffix in ("gif", "png"):
        image.save(tmp_path / f"a.{suffix}", transparency=0)
        picture = read_picture(tmp_path / f"a.{suffix}", background=(9, 9, 9))
        assert tuple(picture[8, 4]) == (9, 9, 9)
        assert tuple(picture[8, 20]) == (0, 0, 255)


def test_alpha_does_not_bleed_when_resized(tmp_path: Path) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[:, :16] = 255  # white and opaque; on the right black and clear
    Image.fromarray(rgba).save(tmp_path / "a.png")
    kept = read_picture(tmp_path / "a.png", width_px=15, height_px=15, background=None)
    assert (kept[kept[..., 3] > 8][:, :3] > 250).all()


def test_profiles_are_applied(tmp_path: Path) -> None:
    # a profile with red and blue changed over: its numbers mean other colours
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(lab)
    entries = {lab[132 + 12 * i : 136 + 12 * i]: 132 + 12 * i for i in range(struct.unpack_from(">I", lab, 128)[0])}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    swapped[red + 4 : red + 12], swapped[blue + 4 : blue + 12] = lab[blue + 4 : blue + 12], lab[red + 4 : red + 12]
    for mode in ("RGB", "RGBA"):
        Image.new(mode, (16, 16), (250, 20, 20)).save(tmp_path / "a.png", icc_profile=bytes(swapped))
        np.testing.assert_allclose(read_picture(tmp_path / "a.png")[8, 8].astype(int), (20, 20, 250), atol=3)
    for profile in (lab, b"rubbish"):
        Image.new("RGB", (16, 16), (250, 20, 20)).save(tmp_path / "a.png", icc_profile=profile)
        np.testing.assert_allclose(read_picture(tmp_path / "a.png")[8, 8].astype(int), (250, 20, 20), atol=1)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(MediaError, match="floating-point"):
        read_picture(tmp_path / "a.tiff")
    Image.fromarray(np.full((8, 8), 1 << 20, np.int32)).save(tmp_path / "b.tiff")
    with pytest.raises(MediaError, match="more than 16 bits"):
        read_picture(tmp_path / "b.tiff")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff", "bmp"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_truncated(tmp_path: Path, suffix: str, part: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(picture).save(data, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data.getvalue()[: int(data.tell() * part)])
    with pytest.raises(MediaError, match=rf"a\.{suffix}") as e:
        read_picture(path)
    assert "\n" not in str(e.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for width, height in ((13_000, 13_000), (60_000, 60_000)):

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        with pytest.raises(MediaError, match="150,000,000 pixels; make it smaller"):
            read_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    "width, height, shape",
    [(None, None, (32, 48)), (24, None, (16, 24)), (None, 64, (64, 96)), (30, 30, (30, 30)), (1, None, (1, 1))],
)
def test_sizes(tmp_path: Path, width: int | None, height: int | None, shape: tuple[int, int]) -> None:
    Image.fromarray(corners(32, 48)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", width_px=width, height_px=height).shape == (*shape, 3)


def test_fits(tmp_path: Path) -> None:
    # a wide picture: black ends, a white disc in the middle
    y, x = np.mgrid[:60, :180]
    picture = np.where((x - 89.5) ** 2 + (y - 29.5) ** 2 < 25**2, 255, 90).astype(np.uint8)[..., None].repeat(3, 2)
    picture[:, :20] = picture[:, -20:] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")

    def read(fit: Literal["cover", "contain", "stretch"]) -> np.ndarray:
        return read_picture(tmp_path / "a.png", width_px=60, height_px=60, fit=fit, background=(255, 0, 0))

    cover, contain, stretch = read("cover"), read("contain"), read("stretch")
    np.testing.assert_array_equal(cover, picture[:, 60:120])  # cut, not resampled
    assert (contain[:19] == (255, 0, 0)).all()
    assert (contain[-19:] == (255, 0, 0)).all()
    assert tuple(contain[30, 2]) == (0, 0, 0)
    assert tuple(stretch[30, 2]) == (0, 0, 0)
    for name, image, high, wide in (("contain", contain, 17, 17), ("stretch", stretch, 50, 17)):
        white = np.all(image > 200, axis=2)
        assert abs(int(white[:, 30].sum()) - high) <= 1, name
        assert abs(int(white[30].sum()) - wide) <= 1, name


def test_contain_without_background_is_clear_around(tmp_path: Path) -> None:
    Image.fromarray(corners(32, 96)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", width_px=48, height_px=48, fit="contain", background=None)
    assert (picture[0] == 0).all()
    assert (picture[24, :, 3] == 255).all()


def test_downscaling_does_not_alias(tmp_path: Path) -> None:
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")
    small = read_picture(tmp_path / "a.png", width_px=30, height_px=30)
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_frames_of_a_video(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 24, 3), 8 * i, np.uint8) for i in range(24)])
    path = write_video(tmp_path / "a.mp4", frames, fps=8).path
    for at_s, number in ((0.0, 0), (0.12, 0), (0.125, 1), (1.0, 8), (2.3, 18), (2.99, 23)):
        assert round(read_picture(path, at_s=at_s).mean() / 8) == number
    with pytest.raises(MediaError, match=r"at_s: 3.0: must be less than 3 s, the length of .*a.mp4"):
        read_picture(path, at_s=3.0)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="at_s"):
            read_picture(path, at_s=wrong)
    gif = write_video(tmp_path / "a.gif", frames[:4], fps=8).path
    assert round(read_picture(gif, at_s=0.3).mean() / 8) == 2


def test_it_is_the_media_reader_of_core(tmp_path: Path) -> None:
    Image.fromarray(ramp(1, 20, 30)[0]).save(tmp_path / "a.png")
    reader: MediaReader = read_picture
    assert reader(MediaRef(str(tmp_path / "a.png")), width_px=10, height_px=10).shape == (10, 10, 3)
