from __future__ import annotations

import io
import os
import struct
import time
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinema.core.errors import MediaError
from kinema.serve import uploads
from kinema.serve.uploads import UploadLimits, Uploads, kind_of, png

LIMITS = UploadLimits(max_bytes=2_000_000, max_px=200_000, max_side_px=400)
PIXELS = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def clean(data: bytes, limits: UploadLimits = LIMITS) -> np.ndarray:
    out = Uploads(limits).picture(data, "image")
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        # nothing but size and pixels
        assert image.info == {}
        return np.asarray(image)


def refused(data: bytes, limits: UploadLimits = LIMITS) -> str:
    with pytest.raises(MediaError) as error:
        Uploads(limits).picture(data, "image")
    assert error.value.field == "image"
    return error.value.rule


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG that says to be large, and is for the most part; a few kilobytes."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(min(2 * 10**7, (1 + (width + 7) // 8) * height)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_pixels_stay_and_all_else_goes() -> None:
    data = encoded(PIXELS) + b"<script>alert(1)</script>"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.html", "<script>")
    out = Uploads(LIMITS).picture(data + archive.getvalue(), "image")
    assert b"script" not in out
    assert b"PK" not in out[-64:]
    assert zipfile.is_zipfile(io.BytesIO(data + archive.getvalue()))
    assert not zipfile.is_zipfile(io.BytesIO(out))
    assert (np.asarray(Image.open(io.BytesIO(out))) == PIXELS).all()


@pytest.mark.parametrize("kind,error", [("JPEG", 60), ("WEBP", 60), ("GIF", 90), ("AVIF", 60)])
def test_other_kinds(kind: str, error: float) -> None:
    smooth = np.asarray(Image.fromarray(PIXELS[:5, :7]).resize((53, 37), Image.Resampling.BICUBIC))
    found = clean(encoded(smooth, kind))
    assert found.shape == smooth.shape
    assert abs(found.astype(int) - smooth).mean() < error / 10


def test_upright_on_white_and_no_larger_than_it_may_be() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = np.zeros((20, 30, 4), np.uint8)
    flat[:, 15:] = (200, 10, 10, 255)
    found = clean(encoded(flat, "PNG", exif=exif))
    assert found.shape == (30, 20, 3)
    assert (found[:15] == 255).all()
    assert (found[15:] == (200, 10, 10)).all()
    assert clean(encoded(np.zeros((100, 800, 3), np.uint8))).shape == (50, 400, 3)


@pytest.mark.parametrize(
    "data,words",
    [
        (b"", "PNG, JPEG"),
        (b"\x89PNG", "PNG, JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PNG, JPEG"),
        (b"%PDF-1.7", "PNG, JPEG"),
        (b"GIF88a" + bytes(100), "PNG, JPEG"),
        (b"BM" + bytes(100), "PNG, JPEG"),
        (b"#EXTM3U\nfile:///etc/passwd", "PNG, JPEG"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(100), "PNG, JPEG"),
        (b"\0\0\0\x18ftypmp42" + bytes(100), "PNG, JPEG"),
        (b"x" * (LIMITS.max_bytes + 1), "2,000,000 bytes"),
    ],
)
def test_what_is_refused_without_a_look(data: bytes, words: str) -> None:
    assert words in refused(data)


@pytest.mark.parametrize(
    "data,words",
    [
        (encoded(PIXELS)[:-400], "cut off|truncated|damaged"),
        (encoded(PIXELS, "JPEG")[:-400], "cut off|truncated|damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no picture|damaged|unknown|can't be read"),
        (b"\xff\xd8\xff" + os.urandom(500), "no picture|damaged|can't be read"),
        (bomb(30_000, 30_000), "900,000,000|150,000,000 pixels"),
        (bomb(2**31 - 1, 2**31 - 1), "pixels|damaged"),
        (bomb(1000, 300), "300,000 pixels"),
        (encoded(np.zeros((600, 600, 3), np.uint8), "GIF"), "360,000 pixels"),
        (encoded(np.zeros((600, 600, 3), np.uint8), "WEBP"), "360,000 pixels"),
    ],
)
def test_what_the_decoder_finds(data: bytes, words: str) -> None:
    rule = refused(data)
    assert any(word in rule for word in words.split("|")), rule


def test_metadata_bombs_are_no_burden() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))
    data = encoded(PIXELS)
    begin = time.monotonic()
    assert "damaged" in refused(data[:33] + text + data[33:])
    assert time.monotonic() - begin < 20


def test_a_picture_that_takes_too_much_memory() -> None:
    limits = replace(LIMITS, max_px=10**9, memory_bytes=500 << 20)
    assert "500 MiB to be decoded" in refused(bomb(12_000, 12_000), limits)


@pytest.mark.parametrize("limits,words", [({"wall_s": 0.5}, "0.5 s"), ({"cpu_s": 1}, "1 s of processor time")])
def test_who_takes_too_long_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limits: dict[str, float], words: str
) -> None:
    start = uploads._START.replace("import main; main(*sys.argv[2:])", "import bind; bind(json.loads(sys.argv[4]), '')")
    # it tells its number, goes on for ever, and ignores what can be ignored
    code = f"import os, signal; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); {start}; exec('while True: pass')"
    monkeypatch.setattr(uploads, "_START", code)
    assert words in refused(encoded(PIXELS), replace(LIMITS, **limits))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# what a child could say that an enemy has taken over
HEADER = b'{"width_px": 2, "height_px": 2}\n'


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"H",
        b"H{}\n",
        b"H[]\n",
        b"H" + b"[" * 3000 + b"\n",
        b"H" + b"a" * 10**5,
        b"H" + HEADER.replace(b"2", b"-2"),
        b"H" + HEADER.replace(b"2", b"1e9"),
        b"H" + HEADER.replace(b"2", b"true"),
        b"H" + HEADER.replace(b"2", b"99999999999"),
        b"H" + HEADER.replace(b"height_px", b"x"),
        b"H" + HEADER + b"R" + bytes(13),
        b"H" + HEADER + b"R" + bytes(14) + b"R" + bytes(14) + b"E",
        b"H" + HEADER + b"R" + bytes(14),
        # no filter of PNG's has this number
        b"H" + HEADER + b"R" + b"\5" + bytes(13) + b"E",
        b"X" + b'{"rule": "two\\nlines"}\n',
        b"X" + b'{"rule": 5}\n',
        b"Xnonsense\n",
    ],
)
def test_a_child_that_was_taken_over_harms_nobody(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(uploads, "_START", f"import sys; sys.stdout.buffer.write({said!r})")
    assert "can't be decoded" in refused(encoded(PIXELS))


def test_rows_that_fit_no_picture_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in (bytes(13), bytes(15), b"\x05" + bytes(13)):
        with pytest.raises(ValueError, match="rows"):
            png(rows, 2, 2)
    assert np.asarray(Image.open(io.BytesIO(png(bytes(14), 2, 2)))).shape == (2, 2, 3)


@pytest.mark.parametrize("number", range(3))
def test_kinds_are_told_by_content(number: int) -> None:
    kind = ("PNG", "JPEG", "WEBP")[number]
    assert kind_of(encoded(PIXELS, kind)) == kind.lower()
