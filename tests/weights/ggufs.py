"""Writes GGUF files of any content, proper or not."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.weights.header import BLOCKS

KIND_NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14, "BF16": 30}
# where the scales of a block lie, which must be small for the numbers to be of any use
_HALVES = {"Q4_0": (0,), "Q8_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,)}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind: int, data: bytes) -> bytes:
    return struct.pack("<I", kind) + data


def entry(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    dims = struct.pack(f"<{len(shape)}Q", *reversed(shape))
    return text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", kind, offset)


def write(
    path: Path,
    tensors: Mapping[str, tuple[Sequence[int], str, bytes]],
    metadata: Mapping[str, bytes] | None = None,
    *,
    version: int = 3,
) -> Path:
    """``tensors``: name -> (shape, kind, bytes); ``metadata``: name -> what `value` gives."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata or {}))
    head += b"".join(text(name) + data for name, data in (metadata or {}).items())
    body = b""
    for name, (shape, kind, data) in tensors.items():
        body += b"\0" * (-len(body) % 32)
        head += entry(name, shape, KIND_NUMBERS[kind], len(body))
        body += data
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


def blocks(shape: Sequence[int], kind: str, seed: int) -> bytes:
    """Random blocks of ``kind`` for a tensor of ``shape``."""
    rng = np.random.default_rng(seed)
    count, size = int(np.prod(shape)) // BLOCKS[kind][0], BLOCKS[kind][1]
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in _HALVES[kind]:
        raw[:, place : place + 2] = (
            (0.01 * rng.standard_normal(count)).astype(np.float16).view(np.uint8).reshape(count, 2)
        )
    return raw.tobytes()


def plain(tensor: Tensor) -> tuple[Any, str, bytes]:
    """``tensor`` as it is, in fp32."""
    return tuple(tensor.shape), "F32", tensor.float().contiguous().numpy().tobytes()


def as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
