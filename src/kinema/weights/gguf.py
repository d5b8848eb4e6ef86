"""GGUF containers: header, metadata and where every tensor lies. Standard library only.

A file from anywhere may claim any count and any size; nothing is allocated or looped over that the file's own length, and a
limit on headers, don't allow.
Source: the format's specification, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from kinema.core.errors import WeightsError
from kinema.weights.header import BLOCKS, DTYPE_BYTES, TensorInfo, unreadable

_KINDS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
    13: "Q5_K", 14: "Q6_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16",
}  # fmt: skip

# type of a value in the metadata -> its form for `struct`
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY, _INT32 = 8, 9, 5

_MAX_HEADER_BYTES = 100_000_000
_MAX_DIMS = 8
# Converters write tensors of more than four axes flattened, and their shape under this name.
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."


@dataclass(frozen=True, kw_only=True)
class Gguf:
    """Its metadata (numbers and texts; of lists only shapes) and its tensors, in the order of their bytes."""

    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]


def read_gguf(file: Path) -> Gguf:
    """What ``file`` holds. Raises: WeightsError for one that is no GGUF, is truncated, contradicts itself, or has an unsupported kind."""
    try:
        with file.open("rb") as handle:
            return _Header(file, handle).read()
    except OSError as e:
        raise unreadable(file, str(e.strerror)) from e
    except (struct.error, UnicodeDecodeError) as e:
        raise unreadable(file, f"its header is broken: {e}") from e


class _Header:
    """Reads a header from front to back."""

    def __init__(self, file: Path, handle: BinaryIO) -> None:
        self.file, self.handle = file, handle
        self.size = os.fstat(handle.fileno()).st_size
        self.place = 0

    def read(self) -> Gguf:
        if self.take(4) != b"GGUF":
            raise unreadable(self.file, "it doesn't begin with GGUF")
        version = self.number("I")
        if version not in (2, 3):
            raise unreadable(self.file, f"its version is {version}, and 2 and 3 are read")
        num_tensors, num_values = self.number("Q"), self.number("Q")
        metadata: dict[str, Any] = {}
        for _ in range(self.bounded(num_values, 12)):
            key = self.text()
            metadata[key] = self.value(self.number("I"))
        entries = [self.entry() for _ in range(self.bounded(num_tensors, 24))]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
            raise unreadable(self.file, f"its alignment is {alignment}")
        first = -(-self.place // alignment) * alignment
        infos = [self.info(*entry, first, metadata) for entry in entries]
        infos.sort(key=lambda i: (i.start, i.end))
        for before, after in pairwise(infos):
            if after.start < before.end:
                raise unreadable(self.file, f"{before.name} and {after.name} overlap")
        if len({i.name for i in infos}) != len(infos):
            raise unreadable(self.file, "a name occurs twice")
        return Gguf(metadata=metadata, tensors=tuple(infos))

    def entry(self) -> tuple[str, tuple[int, ...], int, int]:
        """(name, shape, kind, offset) of the next tensor."""
        name = self.text()
        num_dims = self.number("I")
        if num_dims > _MAX_DIMS:
            raise unreadable(self.file, f"{name} has {num_dims} axes")
        dims = tuple(self.number("Q") for _ in range(num_dims))
        return name, dims[::-1], self.number("I"), self.number("Q")

    def info(
        self, name: str, shape: tuple[int, ...], kind: int, offset: int, first: int, metadata: Mapping[str, Any]
    ) -> TensorInfo:
        dtype = _KINDS.get(kind)
        if dtype is None:
            rule = f"{name} is of GGUF's kind {kind}, which this version doesn't read; it reads {', '.join(BLOCKS)}, F32, F16, BF16"
            raise WeightsError(self.file.parent.name, self.file, rule)
        numbers, num_bytes = BLOCKS.get(dtype) or (1, DTYPE_BYTES[dtype])
        count, row = math.prod(shape), shape[-1] if shape else 1
        if row % numbers:
            raise unreadable(self.file, f"{name} has rows of {row} numbers, where {dtype} has blocks of {numbers}")
        start, end = first + offset, first + offset + count // numbers * num_bytes
        if end > self.size:
            raise unreadable(self.file, f"it ends at byte {self.size}, before {name} at {end}")
        original = metadata.get(_ORIGINAL_SHAPE + name, shape)
        if not isinstance(original, tuple) or math.prod(original) != count or min(original, default=0) < 0:
            raise unreadable(self.file, f"{name} has the original shape {original}, which its numbers don't fill")
        return TensorInfo(name, dtype, original, self.file, start, end)

    def value(self, kind: int) -> Any:
        """The next value of the metadata; None for a list that nobody reads."""
        if kind == _STRING:
            return self.text()
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind != _ARRAY:
            raise unreadable(self.file, f"its metadata has a value of the unknown type {kind}")
        of, count = self.number("I"), self.number("Q")
        if of == _STRING:
            for _ in range(self.bounded(count, 8)):
                self.take(self.number("Q"))
            return None
        if of not in _NUMBERS:
            raise unreadable(self.file, f"its metadata has a list of the type {of}")
        form = _NUMBERS[of]
        raw = self.take(self.bounded(count, struct.calcsize(f"<{form}")) * struct.calcsize(f"<{form}"))
        return struct.unpack(f"<{count}{form}", raw) if of == _INT32 and count <= _MAX_DIMS else None

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8")

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def bounded(self, count: int, least_bytes: int) -> int:
        """``count``, unless so many things of at least ``least_bytes`` can't be in a header that is left."""
        if count * least_bytes > min(self.size, _MAX_HEADER_BYTES) - self.place:
            raise unreadable(self.file, f"its header claims {count} entries at byte {self.place} of {self.size}")
        return count

    def take(self, count: int) -> bytes:
        self.bounded(count, 1)
        self.place += count
        return self.handle.read(count)
