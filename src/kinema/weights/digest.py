"""Content hashes of model files. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kinema.core.errors import WeightsError

# (path, size, time of change) -> sha256: a server asks for the same model's hash with every clip
_KNOWN: dict[tuple[str, int, int], str] = {}


# The hub's cache names a large file by its sha256, and links to it.
_BLOB = re.compile(r".*[\\/]blobs[\\/]([0-9a-f]{64})")


def digest_files(root: Path, files: Sequence[Path], others: Mapping[str, Path]) -> str:
    """``sha256:`` and one hash over ``files`` and ``others``: their paths below ``root``, or names, and their bytes.

    Raises: WeightsError.
    """
    whole = hashlib.sha256()
    named = [(path.relative_to(root).as_posix(), path) for path in sorted(files)]
    for name, path in [*named, *sorted(others.items())]:
        whole.update(f"{name}\0{digest_file(path)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def digest_file(path: Path) -> str:
    """The sha256 of a file in hex, kept in memory until the file's size or time changes. Raises: WeightsError.

    A file of the hub's cache has it in its name: to read tens of gigabytes before every run would take longer than some runs.
    """
    try:
        if path.is_symlink() and (blob := _BLOB.fullmatch(os.readlink(path))):
            return blob[1]
        stat = path.stat()
        key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        if key not in _KNOWN:
            sha = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    sha.update(piece)
            _KNOWN[key] = sha.hexdigest()
        return _KNOWN[key]
    except OSError as e:
        raise WeightsError("model", path, f"can't be read: {e.strerror}") from e
