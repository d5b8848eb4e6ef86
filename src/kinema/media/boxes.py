"""The boxes of mp4 and mov files: index before the data, a comment added, and whether a file was cut off.

The muxer writes its index (moov) last and can't take metadata once it has started. A recipe is only complete after the last
frame, so the index is moved to the front here, together with the recipe, in one copy of the file.

Source: ISO/IEC 14496-12 (box structure, stco and co64), QuickTime File Format (udta, meta, ilst).
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


class Box(NamedTuple):
    """One box: its four letters, where it starts, and the bytes of its header and of all of it."""

    kind: bytes
    start: int
    header: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.size


def file_boxes(file: BinaryIO) -> Iterator[Box]:
    """The boxes at the top of a file, as their headers state them: the last may reach past the end."""
    end = file.seek(0, os.SEEK_END)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        box = _box(file.read(16), start, end)
        if box is None:
            return
        yield box
        start = box.end


def add_index_first(source: Path, target: Path, comment: str | None) -> None:
    """Copies the mp4 ``source`` to ``target`` with its index before its data and ``comment`` in it."""
    with source.open("rb") as file, target.open("wb") as out:
        boxes = {box.kind: box for box in file_boxes(file)}
        ftyp, mdat = (boxes[kind] for kind in (b"ftyp", b"mdat"))
        moov = _with_comment(_read(file, boxes[b"moov"]), comment)
        _shift_offsets(moov, ftyp.size + len(moov) - mdat.start)
        out.write(_read(file, ftyp))
        out.write(moov)
        file.seek(mdat.start)
        assert mdat.end <= boxes[b"moov"].start, "our muxer writes its index last"
        _copy(file, out, mdat.size)


def is_cut_off(path: Path) -> bool:
    """Whether the file ends before its own headers say: mp4, mov, avi, webp and Matroska; False for other kinds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return any(box.end > size for box in file_boxes(file))
    if head[:4] == b"RIFF":
        return struct.unpack("<I", head[4:8])[0] + 8 > size
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska_end(head) > size
    return False


def _box(head: bytes, start: int, end: int) -> Box | None:
    size, kind = struct.unpack(">I4s", head[:8])
    header = 8
    if size == 1 and len(head) >= 16:
        size, header = struct.unpack(">Q", head[8:16])[0], 16
    elif size == 0:  # "to the end of the file"
        size = end - start
    return Box(kind, start, header, size) if size >= header else None


def _children(data: bytes | bytearray, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        box = _box(bytes(data[start : start + 16]), start, end)
        if box is None:
            return
        yield box
        start = box.end


def _with_comment(moov: bytes, comment: str | None) -> bytearray:
    """The index without the muxer's user data, with ours."""
    body = b"".join(moov[b.start : b.end] for b in _children(moov, 8, len(moov)) if b.kind != b"udta")
    if comment is not None:
        text = _make(b"data", struct.pack(">II", 1, 0), comment.encode())  # 1: UTF-8
        handler = _make(b"hdlr", bytes(8), b"mdirappl", bytes(9))
        tags = _make(b"meta", bytes(4), handler, _make(b"ilst", _make(b"\xa9cmt", text)))
        body += _make(b"udta", tags)
    return bytearray(_make(b"moov", body))


def _shift_offsets(moov: bytearray, by: int) -> None:
    """Adds ``by`` to every chunk offset of the index."""
    stack = [Box(b"moov", 0, 8, len(moov))]
    while stack:
        parent = stack.pop()
        for box in _children(moov, parent.start + parent.header, parent.end):
            if box.kind in _PARENTS:
                stack.append(box)
            elif box.kind in (b"stco", b"co64"):
                at = box.start + box.header + 8
                code = f">{struct.unpack_from('>I', moov, at - 4)[0]}{'I' if box.kind == b'stco' else 'Q'}"
                offsets = [offset + by for offset in struct.unpack_from(code, moov, at)]
                struct.pack_into(code, moov, at, *offsets)


def _make(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _read(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start)
    return file.read(box.size)


def _copy(file: BinaryIO, out: BinaryIO, size: int) -> None:
    """Copies ``size`` bytes; what follows them is the old index, which is cut off again."""
    start = out.tell()
    shutil.copyfileobj(file, out, 1 << 20)
    out.truncate(start + size)


def _matroska_end(head: bytes) -> int:
    """Where the Segment ends by its own statement; 0 if it states no length (live recordings)."""
    at = 4
    length, width = _vint(head, at)
    at += width + length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, width = _vint(head, at + 4)
    is_unknown = length == (1 << 7 * width) - 1
    return 0 if is_unknown else at + 4 + width + length


def _vint(head: bytes, at: int) -> tuple[int, int]:
    """(value, bytes) of a Matroska number; (0, 1) past the end."""
    if at >= len(head) or not head[at]:
        return 0, 1
    width = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return value, width
