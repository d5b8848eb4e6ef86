"""`FileShelf`: what a decode keeps between two passes over a clip, in files."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from kinema.core.errors import OutOfMemory, StorageError, storage_errors
from kinema.core.memory import SCRATCH_FILE_BYTES
from kinema.models.autoencoders.chunked import State
from kinema.models.layers.causal_conv import Video

# Of a video in a file: shape, strides (kernels and sums follow them), dtype and device.
_Header = tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device]


class FileShelf:
    """A `kinema.models.autoencoders.chunked.Shelf` of ``memory_bytes`` in memory, and files for all states beyond.

    The files have no names and are gone with the process, however that ends; of about ``file_bytes`` each, they go one by one as states
    leave. They lie in the folder of temporary files (``TMPDIR``), or in ``/var/tmp`` where that would be ``/tmp``, which may be memory.

    Raises: OutOfMemory, whose cause is a StorageError, where the disk is full.
    """

    def __init__(self, memory_bytes: float, *, file_bytes: int = SCRATCH_FILE_BYTES) -> None:
        self._room, self._file_bytes = memory_bytes, file_bytes
        self._here = deque[State]()
        self._files = deque[_File]()

    def put(self, state: State) -> None:
        """Adds ``state`` at the end."""
        self._room -= sum(x.numel() * x.element_size() for x in state if x is not None)
        if self._room >= 0:
            self._here.append(state)
            return
        with _room():
            if not self._files or self._files[-1].num_bytes >= self._file_bytes:
                self._files.append(_File())
            self._files[-1].put(state)

    def drained(self) -> Iterator[State]:
        """All states from the first; each leaves the shelf."""
        while self._here:
            yield self._here.popleft()
        while self._files:
            yield from self._files.popleft().drained()


class _File:
    """States in one file."""

    def __init__(self) -> None:
        self._headers = deque[tuple[_Header, _Header | None]]()
        # what were left in a buffer would be written once more when a full disk's file is closed
        self._file = tempfile.TemporaryFile(dir=scratch_folder(), buffering=0)  # noqa: SIM115 - it outlives this
        weakref.finalize(self, self._file.close)
        self.num_bytes = 0

    def put(self, state: State) -> None:
        video, shortcut = state
        self._headers.append((_write(self._file, video), None if shortcut is None else _write(self._file, shortcut)))
        self.num_bytes = self._file.tell()

    def drained(self) -> Iterator[State]:
        with io.BufferedReader(self._file) as file, _room():
            file.seek(0)
            while self._headers:
                video, shortcut = self._headers.popleft()
                # no name: this waits here for the next, and would hold it
                yield _read(file, video), None if shortcut is None else _read(file, shortcut)


@contextmanager
def _room() -> Iterator[None]:
    """Has a folder of temporary files without room end as memory that runs out does."""
    try:
        with storage_errors(scratch_folder()):
            yield
    except StorageError as e:
        raise OutOfMemory(f"no room for the decode: {e}") from e


def check_room(needed_bytes: int) -> None:
    """Raises: OutOfMemory, whose cause is a StorageError, unless the folder of the files has room for so many bytes."""
    with _room():
        folder = scratch_folder()
        if needed_bytes > (free := shutil.disk_usage(folder).free):
            rule = f"{needed_bytes / 1e9:.3g} GB of temporary files, and {free / 1e9:.3g} GB are free"
            raise StorageError(f"{folder}: takes {rule}; free some, name another folder in TMPDIR, or decode otherwise")


def scratch_folder() -> str:
    """Where the files lie. Raises: StorageError."""
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
