"""Pictures of strangers, made harmless: decoded in a process of their own that may do little, and encoded anew out of the pixels.

That process (`kinema.serve.decoding`) has bounds on memory, processor time, files and threads, opens no sockets and starts no programs, and
is killed at the end of its time. Only pixels come back from it, so that whatever else was in the file (scripts behind a picture, odd
metadata, bytes that break decoders) stays there.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kinema.core.errors import MediaError

_AVIF_BRANDS = (b"avif", b"avis")
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from kinema.serve.decoding import main; main(*sys.argv[2:])"
_MAX_LINE = 4096


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """What a picture may cost.

    Args:
        max_bytes: of the file; ``max_px`` as stored in it; ``max_side_px``: a larger picture is made smaller.
        wall_s, cpu_s, memory_bytes: of the process that decodes it.
    """

    max_bytes: int = 32 << 20
    max_px: int = 50_000_000
    max_side_px: int = 4096
    wall_s: float = 30.0
    cpu_s: int = 20
    memory_bytes: int = 2 << 30


def kind_of(head: bytes) -> str | None:
    """png, jpeg, webp, gif or avif, by the first bytes of a file, whatever its name; None for another kind."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "avif" if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS else None


class Uploads:
    """Decodes at most ``at_once`` files at a time; others wait for their turn. Safe among threads."""

    def __init__(self, limits: UploadLimits | None = None, *, at_once: int = 2) -> None:
        self.limits = limits or UploadLimits()
        self._turns = threading.BoundedSemaphore(at_once)

    def picture(self, data: bytes, field: str = "image") -> bytes:
        """``data``, a picture of a kind that `kind_of` knows, as a PNG of RGB pixels: upright, sRGB, on white, an animation's first frame.

        Raises: MediaError naming ``field``.
        """
        if len(data) > self.limits.max_bytes:
            raise MediaError(field, f"{len(data):,} bytes", f"must have at most {self.limits.max_bytes:,} bytes")
        kind = kind_of(data[:16])
        if kind is None:
            what = f"a file that begins {data[:8].hex(' ')}" if data else "an empty file"
            raise MediaError(field, what, "must be PNG, JPEG, WebP, GIF or AVIF")
        with self._turns, tempfile.TemporaryDirectory(prefix="kinema-upload-") as folder:
            path = Path(folder, "upload")
            path.write_bytes(data)
            child = _Child(path, kind, self.limits, MediaError(field, f"{kind} of {len(data):,} bytes", ""))
            try:
                return child.picture()
            finally:
                child.close()


class _Child:
    """The process that decodes: its header, then its rows. Whatever it says is bounded and checked, for it may be an enemy's by now."""

    def __init__(self, path: Path, kind: str, limits: UploadLimits, error: MediaError) -> None:
        self._error, self._limits, self._is_late = error, limits, False
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-c",
                _START,
                json.dumps([os.path.abspath(p) for p in sys.path]),
                str(path.absolute()),
                kind,
                json.dumps(asdict(limits)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            cwd=path.absolute().parent,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pipe: BinaryIO = self._process.stdout  # pyright: ignore[reportAttributeAccessIssue]
        self._timer = threading.Timer(limits.wall_s, self._end)
        self._timer.daemon = True
        self._timer.start()
        try:
            self._tag(b"H")
            header = self._line()
            self._width_px, self._height_px = self._side(header, "width_px"), self._side(header, "height_px")
        except BaseException:
            self.close()
            raise

    def picture(self) -> bytes:
        """A PNG of its rows. Raises: MediaError."""
        self._tag(b"R")
        rows = self._pipe.read((1 + 3 * self._width_px) * self._height_px)
        self._tag(b"E")
        try:
            return png(rows, self._width_px, self._height_px)
        except ValueError as e:
            raise self._failure() from e

    def close(self) -> None:
        """Ends it, if it goes on."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        self._pipe.close()

    def _end(self) -> None:
        self._is_late = True
        self._process.kill()

    def _tag(self, wanted: bytes) -> None:
        tag = self._pipe.read(1)
        if tag == b"X":
            rule = self._line().get("rule")
            raise self._told(rule if isinstance(rule, str) and rule.isprintable() else "can't be decoded")
        if tag != wanted:
            raise self._failure()

    def _line(self) -> dict[str, Any]:
        line = self._pipe.readline(_MAX_LINE)
        with suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
        raise self._failure()

    def _side(self, header: dict[str, Any], name: str) -> int:
        value = header.get(name)
        if type(value) is not int or not 0 < value <= self._limits.max_side_px:
            raise self._failure()
        return value

    def _failure(self) -> MediaError:
        """Why it ended without a word."""
        if self._is_late:
            return self._told(f"took more than {self._limits.wall_s:g} s to decode; make it smaller")
        with suppress(subprocess.TimeoutExpired):
            # it was killed for its processor time, or died over the file
            if self._process.wait(timeout=1) in (-24, -9):
                return self._told(f"took more than {self._limits.cpu_s} s of processor time to decode; make it smaller")
        return self._told("can't be decoded within the bounds of uploads; it is damaged, or made to do harm")

    def _told(self, rule: str) -> MediaError:
        return MediaError(self._error.field, self._error.value, rule[:300])


def png(rows: bytes, width_px: int, height_px: int) -> bytes:
    """A PNG of ``rows``: for each a zero byte or another filter's number, and its pixels (RGB).

    Raises: ValueError unless they fit. Source: the PNG specification, third edition.
    """
    stride = 1 + 3 * width_px
    if len(rows) != stride * height_px or max(rows[::stride]) > 4:
        raise ValueError("rows don't fit the picture")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 4)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
