"""Tensors out of files, one at a time: mapped where nothing has to be converted, read and converted where it has."""

from __future__ import annotations

import errno
import math
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from kinema.weights.dequantise import dequantise
from kinema.weights.header import BLOCKS, Piece, TensorInfo, unreadable

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

# Converted at once: enough to be quick, and a buffer that fits the processor's cache. Quantised bytes become many more.
_CHUNK_BYTES = 4 << 20
_QUANTISED_CHUNK_BYTES = _CHUNK_BYTES // 8
# one alone reads and looks through by turns
_CHECK_THREADS = 2


class TensorReader:
    """Reads pieces; files stay open until the reader is left, a mapping as long as a tensor of it lives.

    What is converted goes through a small buffer, so that a mapping's pages never come on top of what is made from them:
    300 MB of bf16 loaded as fp32 peak at the 600 MB that they become, and not at 900.

    ``mapping`` is what one mapping holds: a whole file, which lives as long as any tensor of it and takes one open file, or
    the pages of one tensor, which go with it. "none": every tensor has memory of its own.
    """

    def __init__(self, mapping: Literal["file", "tensor", "none"] = "file") -> None:
        self._mapping = mapping
        self._stack = ExitStack()
        self._files: dict[Path, BinaryIO] = {}
        self._maps: dict[Path, mmap.mmap] = {}
        self._buffer = bytearray()

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(
        self,
        piece: Piece,
        *,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
        checked: bool = True,
    ) -> tuple[Tensor, bool]:
        """(tensor of ``piece`` on ``device``, whether all of its numbers are finite).

        Floating point ones come as ``dtype``; None: as they are stored. What is mapped need not be ``checked`` again when it was
        before, and is called finite then. Raises: WeightsError for a file that ends too early.
        """
        stored = stored_dtype(piece)
        wanted = dtype if dtype is not None and stored.is_floating_point else stored
        if 0 in piece.shape:
            return torch.empty(piece.shape, dtype=wanted, device=device), True
        mapped = self._mapped(piece) if self.maps(piece, dtype=dtype, device=device) else None
        if mapped is None:
            return self._converted(piece, torch.empty(piece.shape, dtype=wanted, device=device))
        if not (checked and wanted.is_floating_point):
            return mapped, True
        return mapped, self.is_finite(piece)

    def is_finite(self, piece: Piece) -> bool:
        """Whether all numbers of ``piece`` are finite.

        Looked through in the buffer: to touch a mapping's pages takes ten times as long, and can wait until they are used.
        """
        return all(is_finite(numbers) for _, _, numbers in self._chunks(piece))

    def maps(self, piece: Piece, *, dtype: torch.dtype | None, device: str | torch.device) -> bool:
        """Whether `read` would map ``piece`` rather than read it, but for bytes that lie across the borders of its numbers."""
        is_plain = piece.info.dtype in DTYPES and piece.scale is None and not piece.rows[1:]
        is_stored = dtype is None or dtype == stored_dtype(piece) or not stored_dtype(piece).is_floating_point
        return is_plain and is_stored and torch.device(device).type == "cpu" and self._mapping != "none"

    def _converted(self, piece: Piece, out: Tensor) -> tuple[Tensor, bool]:
        scale = None if piece.scale is None else self.read(Piece(info=piece.scale), dtype=torch.float32)[0].flatten()
        flat = out.view(piece.shape[0] if piece.rows else _grid(piece.info)[0], -1)
        place, finite = 0, True
        for start, stop, numbers in self._chunks(piece):
            if scale is not None:
                numbers = numbers.float() * (scale if scale.numel() == 1 else scale[start:stop, None])
            target = flat[place : place + stop - start]
            if not target.is_cpu:
                numbers = numbers.to(target.dtype)
            target.copy_(numbers)
            finite = finite and is_finite(target if target.is_cpu else numbers)
            place += stop - start
        return out, finite

    def _chunks(self, piece: Piece) -> Iterator[tuple[int, int, Tensor]]:
        """(first row, end, the rows between as a matrix that is valid until the next one) of all that ``piece`` takes."""
        info = piece.info
        num_rows, row_bytes = _grid(info)
        step = max(1, (_QUANTISED_CHUNK_BYTES if info.dtype in BLOCKS else _CHUNK_BYTES) // row_bytes)
        for first, last in piece.rows or ((0, num_rows),):
            for start in range(first, last, step):
                stop = min(start + step, last)
                raw = self._bytes(info, start * row_bytes, (stop - start) * row_bytes)
                numbers = dequantise(raw, info.dtype) if info.dtype in BLOCKS else raw.view(DTYPES[info.dtype])
                yield start, stop, numbers.view(stop - start, -1)

    def _mapped(self, piece: Piece) -> Tensor | None:
        """``piece`` without a copy; None where its bytes lie across the borders of its numbers."""
        info, dtype = piece.info, stored_dtype(piece)
        first = info.start + (piece.rows[0][0] * _grid(info)[1] if piece.rows else 0)
        if first % dtype.itemsize:
            return None
        count = torch.Size(piece.shape).numel()
        base, whole = self._map(info, first, first + count * dtype.itemsize)
        if info.end > base + len(whole) and self._mapping == "file":
            raise unreadable(info.file, f"it ends before {info.name}")
        return torch.frombuffer(whole, dtype=dtype, count=count, offset=first - base).reshape(piece.shape)

    def _map(self, info: TensorInfo, first: int, end: int) -> tuple[int, mmap.mmap]:
        """(where it begins in the file, a mapping of at least bytes ``first`` to ``end``)."""
        if self._mapping == "file":
            if info.file not in self._maps:
                self._maps[info.file] = self._map_bytes(info, 0, 0)
            return 0, self._maps[info.file]
        base = first - first % mmap.ALLOCATIONGRANULARITY
        pages = self._map_bytes(info, base, end - base)
        if hasattr(mmap, "MADV_WILLNEED"):
            pages.madvise(mmap.MADV_WILLNEED)  # the disk begins to read before the first page is touched
        return base, pages

    def _map_bytes(self, info: TensorInfo, base: int, length: int) -> mmap.mmap:
        """``length`` bytes of the file from ``base`` on, all of it for 0."""
        try:
            # private: whoever writes into a weight changes a copy of its page, and not the file
            return mmap.mmap(self._open(info.file).fileno(), length, access=mmap.ACCESS_COPY, offset=base)
        except ValueError as e:
            raise unreadable(info.file, f"it ends before {info.name}") from e
        except OSError as e:
            if e.errno == errno.ENOMEM:
                raise MemoryError(f"no memory to map {info.name}") from e
            raise

    def _bytes(self, info: TensorInfo, first: int, count: int) -> UInt8[Tensor, " n"]:
        """``count`` bytes of ``info`` from its ``first`` on, valid until the next call."""
        if len(self._buffer) < count:
            self._buffer = bytearray(count)
        view, filled = memoryview(self._buffer)[:count], 0
        handle = self._open(info.file)
        handle.seek(info.start + first)
        while filled < count:
            got = handle.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise unreadable(info.file, f"it ends before {info.name}")
            filled += got
        return torch.frombuffer(self._buffer, dtype=torch.uint8, count=count)

    def _open(self, file: Path) -> BinaryIO:
        if file not in self._files:
            try:
                self._files[file] = self._stack.enter_context(file.open("rb", buffering=0))  # type: ignore[arg-type]
            except OSError as e:
                raise unreadable(file, str(e.strerror)) from e
        return self._files[file]


class Checks:
    """Looks through pieces for NaN and infinity on threads of its own, while whoever maps them goes on; a context."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(_CHECK_THREADS, os.cpu_count() or 1), thread_name_prefix="check")
        self._found: dict[str, Future[bool]] = {}
        self._own = threading.local()
        self._stack = ExitStack()

    def __enter__(self) -> Checks:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def add(self, name: str, piece: Piece) -> None:
        """Begins with ``piece``."""
        self._found[name] = self._pool.submit(self._look, piece)

    def bad(self) -> list[str]:
        """The names of those that aren't finite, when all are looked through. Raises: WeightsError as `TensorReader.read`."""
        return [name for name, found in self._found.items() if not found.result()]

    def _look(self, piece: Piece) -> bool:
        if not hasattr(self._own, "reader"):
            self._own.reader = self._stack.enter_context(TensorReader())
        return self._own.reader.is_finite(piece)


def stored_dtype(piece: Piece) -> torch.dtype:
    """The dtype of ``piece`` in its file; float32 for what is quantised or scaled."""
    if piece.info.dtype in BLOCKS or piece.scale is not None:
        return torch.float32
    return DTYPES[piece.info.dtype]


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite.

    NaN takes over both extremes, so they tell all: 10 to 20 GB/s on one core, where `torch.isfinite` of every number took
    most of a load (0.7 GB/s).
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor if tensor.element_size() > 1 else tensor.float())
    return math.isfinite(low) and math.isfinite(high)


def _grid(info: TensorInfo) -> tuple[int, int]:
    """(rows, bytes of a row) of what can be read row by row: one row, where rows end within a block of numbers."""
    num_rows = info.shape[0] if info.shape else 1
    if info.dtype in BLOCKS and (info.numel // num_rows) % BLOCKS[info.dtype][0]:
        num_rows = 1
    return num_rows, info.nbytes // num_rows
