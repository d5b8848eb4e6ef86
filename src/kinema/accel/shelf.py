"""`FileShelf`: what a decode keeps between two passes over a clip, in a file."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from kinema.core.errors import OutOfMemory, StorageError, storage_errors
from kinema.models.autoencoders.chunked import State
from kinema.models.layers.causal_conv import Video

# Of a video in a file: shape, strides (kernels and sums follow them), dtype and device.
_Header = tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device]


class FileShelf:
    """A `kinema.models.autoencoders.chunked.Shelf` of ``memory_bytes`` in memory, and a file for all states beyond.

    The file has no name and is gone with the process, however that ends. It lies in the folder of temporary files (``TMPDIR``), or in
    ``/var/tmp`` where that would be ``/tmp``, which may be memory.

    Raises: OutOfMemory, whose cause is a StorageError, where the disk is full.
    """

    def __init__(self, memory_bytes: float) -> None:
        self._room = memory_bytes
        self._here = deque[State]()
        self._headers = deque[tuple[_Header, _Header | None]]()
        self._file: io.FileIO | None = None

    def put(self, state: State) -> None:
        """Adds ``state`` at the end."""
        video, shortcut = state
        self._room -= sum(x.numel() * x.element_size() for x in state if x is not None)
        if self._room >= 0:
            self._here.append(state)
            return
        with _room() as folder:
            if self._file is None:
                # what were left in a buffer would be written once more when a full disk's file is closed
                self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it outlives this
                weakref.finalize(self, self._file.close)
            self._headers.append(
                (_write(self._file, video), None if shortcut is None else _write(self._file, shortcut))
            )

    def drained(self) -> Iterator[State]:
        """All states from the first; each leaves the shelf."""
        while self._here:
            yield self._here.popleft()
        if self._file is None:
            return
        with io.BufferedReader(self._file) as file, _room():
            file.seek(0)
            while self._headers:
                video, shortcut = self._headers.popleft()
                # no name: this waits here for the next, and would hold it
                yield _read(file, video), None if shortcut is None else _read(file, shortcut)


@contextmanager
def _room() -> Iterator[str]:
    """The folder of temporary files; where it has no room, that is as where memory runs out."""
    try:
        folder = _folder()
        with storage_errors(folder):
            yield folder
    except StorageError as e:
        raise OutOfMemory(f"out of room during decode: {e}") from e


def _folder() -> str:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as e:  # it tries to write in each
        raise StorageError(
            "no folder for temporary files can be written; free some space, or name one in TMPDIR"
        ) from e
    return "/var/tmp" if folder == "/tmp" and os.access("/var/tmp", os.W_OK) else folder


def _write(file: io.FileIO, video: Video) -> _Header:
    dense = torch.empty_like(video, device="cpu").copy_(video)
    rest = _memory(dense.as_strided((dense.numel(),), (1,)))
    while rest:
        rest = rest[file.write(rest) :]
    return dense.shape, dense.stride(), dense.dtype, video.device


def _read(file: io.BufferedReader[io.FileIO], header: _Header) -> Video:
    shape, strides, dtype, device = header
    values = torch.empty(shape.numel(), dtype=dtype)
    file.readinto(_memory(values))
    return values.as_strided(shape, strides).to(device)


def _memory(values: Tensor) -> memoryview:
    return values.view(torch.uint8).numpy().data
