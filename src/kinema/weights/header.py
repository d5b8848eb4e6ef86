"""Where tensors lie in files; what a safetensors file holds, read from its header alone. Standard library only."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from kinema.core.errors import WeightsError

# bytes of a number; names are the format's own
DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip

# Quantised kinds of GGUF: (numbers of a block, bytes of it).
BLOCKS = {
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
}  # fmt: skip

# The format's own limit: a larger header is a file of another kind, and must not be read into memory.
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a file: bytes ``start`` to ``end``, the last axis innermost.

    ``dtype`` is safetensors' name of it, or that of a quantised kind.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def numel(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A tensor as a network wants it: some rows of one in a file, or all of it.

    ``rows`` are ranges along the first axis, one after another; () means all. ``scale`` is what the numbers are to be
    multiplied by: one number, or one for each row of ``info``.
    """

    info: TensorInfo
    rows: tuple[tuple[int, int], ...] = ()
    scale: TensorInfo | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        if not self.rows:
            return self.info.shape
        return (sum(stop - start for start, stop in self.rows), *self.info.shape[1:])

    @property
    def numel(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def read_header(file: Path) -> tuple[TensorInfo, ...]:
    """The tensors of ``file`` in the order of their bytes.

    Raises: WeightsError for a file that is no safetensors, is truncated, or whose header contradicts itself.
    """
    entries, first, size = _read_entries(file)
    entries.pop("__metadata__", None)
    infos = sorted((_info(file, name, entry, first) for name, entry in entries.items()), key=lambda i: (i.start, i.end))
    place = first
    for info in infos:
        if info.start != place:
            raise unreadable(file, f"{info.name} starts at byte {info.start}, where {place} was due")
        place = info.end
    if place != size:
        raise unreadable(file, f"its tensors end at byte {place}, the file at {size}")
    return tuple(infos)


def read_metadata(file: Path) -> dict[str, str]:
    """What ``file`` says of itself, name -> text. Raises: WeightsError as `read_header`."""
    metadata = _read_entries(file)[0].get("__metadata__") or {}
    if not isinstance(metadata, dict):
        raise unreadable(file, "its metadata is no JSON object")
    return {name: value for name, value in metadata.items() if isinstance(value, str)}


def unreadable(file: Path, why: str) -> WeightsError:
    """The error for a file that can't be what it is called."""
    rule = f"is no readable {file.suffix[1:] or 'tensor'} file (truncated, or of another kind): {why}"
    return WeightsError(file.parent.name, file, rule)


def _read_entries(file: Path) -> tuple[dict[str, Any], int, int]:
    """(the header, where the tensors' bytes begin, bytes of the file)."""
    try:
        with file.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
                raise unreadable(file, f"its header would take {length} of {size} bytes")
            entries = json.loads(handle.read(length), object_pairs_hook=_without_repeats)
    except OSError as e:
        raise unreadable(file, str(e.strerror)) from e
    except (ValueError, RecursionError) as e:
        raise unreadable(file, f"its header is no JSON object of tensors: {e}") from e
    if not isinstance(entries, dict):
        raise unreadable(file, "its header is no JSON object of tensors")
    return entries, 8 + length, size


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _info(file: Path, name: str, entry: object, first: int) -> TensorInfo:
    fields: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise unreadable(file, f"{name} is of the unknown type {dtype}")
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2):
        raise unreadable(file, f"{name} has no proper shape and offsets")
    start, end = offsets
    if end - start != math.prod(shape) * DTYPE_BYTES[dtype]:
        raise unreadable(file, f"{name} has {end - start} bytes, which its shape doesn't fill")
    return TensorInfo(name, dtype, tuple(shape), file, first + start, first + end)


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
