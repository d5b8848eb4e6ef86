"""Files by their content: inputs, checkpoints and outputs of jobs, on the local disk. Standard library only."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kinema.core.errors import InvalidInput, StorageError, storage_errors

_REF = re.compile(r"sha256:([0-9a-f]{64})")
_HEX = re.compile(r"[0-9a-f]{64}")
_PART = ".part"
_PIECE = 1 << 20


class BlobStore:
    """Blobs below ``root``, each named ``sha256:HEX`` by its bytes: put twice it is one file, and what is there is whole.

    Safe among threads and processes. Raises: StorageError where the disk is full, gone or can't be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with _storage_errors(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, data: bytes) -> str:
        """The name of ``data``, which is on the disk now."""
        with self._part() as (path, file):
            file.write(data)
            return self._keep(path, file, hashlib.sha256(data).hexdigest())

    def put_file(self, path: Path) -> str:
        """The name of a copy of the file at ``path``, which is on the disk now."""
        sha = hashlib.sha256()
        with _storage_errors(path), path.open("rb") as source, self._part() as (part, file):
            while piece := source.read(_PIECE):
                sha.update(piece)
                file.write(piece)
            return self._keep(part, file, sha.hexdigest())

    def path(self, ref: str) -> Path:
        """Where ``ref`` is, to be read only. Raises: InvalidInput for what is no blob's name, StorageError if it isn't there."""
        path = self._path(ref)
        if not path.is_file():
            raise StorageError(f"{ref}: there is no such file, or no longer")
        return path

    def exists(self, ref: str) -> bool:
        """Whether ``ref`` is there. Raises: InvalidInput for what is no blob's name."""
        return self._path(ref).is_file()

    def refs(self) -> Iterator[tuple[str, float]]:
        """Every blob with the seconds since it was last put."""
        for path in self.root.glob("??/*"):
            # another process may delete it meanwhile
            if _HEX.fullmatch(path.name) and (age_s := _age_s(path)) is not None:
                yield f"sha256:{path.name}", age_s

    def delete(self, ref: str, *, min_age_s: float = 0.0) -> bool:
        """Whether ``ref`` was there and is gone now. One that was put within ``min_age_s`` stays: somebody is about to name it."""
        path = self._path(ref)
        with _storage_errors(path), self._lock(fcntl.LOCK_EX):
            age_s = _age_s(path)
            if age_s is None or age_s < min_age_s:
                return False
            path.unlink()
            return True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for files that are still being written, on the same disk; gone afterwards."""
        with _storage_errors(self.root), tempfile.TemporaryDirectory(suffix=_PART, dir=self.root) as folder:
            yield Path(folder)

    def delete_parts(self, *, min_age_s: float) -> int:
        """How many files and folders were deleted that a killed process left unfinished, all untouched for ``min_age_s``."""
        old = [p for p in self.root.glob(f"*{_PART}") if (age_s := _age_s(p)) is not None and age_s >= min_age_s]
        with _storage_errors(self.root):
            for path in old:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        return len(old)

    def _path(self, ref: str) -> Path:
        match = _REF.fullmatch(ref) if isinstance(ref, str) else None
        if match is None:
            raise InvalidInput("blob", ref, "must be sha256: and 64 hex digits")
        return self.root / match[1][:2] / match[1]

    @contextmanager
    def _part(self) -> Iterator[tuple[Path, IO[bytes]]]:
        path = self.root / f"{uuid.uuid4().hex}{_PART}"
        with _storage_errors(self.root):
            try:
                with path.open("xb") as file:
                    yield path, file
            finally:
                path.unlink(missing_ok=True)

    def _keep(self, part: Path, file: IO[bytes], digest: str) -> str:
        """Puts the finished part in its place: bytes first, then the name, both on the disk."""
        file.flush()
        os.fsync(file.fileno())
        path = self.root / digest[:2] / digest
        path.parent.mkdir(exist_ok=True, mode=0o700)
        # shared: `delete` can't look at an old copy's age, and then take away the new one
        with self._lock(fcntl.LOCK_SH):
            os.replace(part, path)
        for folder in (path.parent, self.root):
            _sync_folder(folder)
        return f"sha256:{digest}"

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        with (self.root / ".lock").open("ab") as file:
            fcntl.flock(file, kind)
            yield


def _age_s(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        with storage_errors(path):
            yield
    except OSError as e:
        raise StorageError(f"{path}: could not be written ({e.strerror or e})") from e
