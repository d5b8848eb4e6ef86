"""Content hashes of model files. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kinema.core.errors import WeightsError

# (path, size, time of change) -> sha256: a server asks for the same model's hash with every clip
_KNOWN: dict[tuple[str, int, int], str] = {}


def digest_files(root: Path, files: Sequence[Path]) -> str:
    """``sha256:`` and one hash over ``files``: their paths below ``root`` and their bytes. Raises: WeightsError."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(root).as_posix()}\0{digest_file(path)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def digest_file(path: Path) -> str:
    """The sha256 of a file in hex, kept in memory until the file's size or time changes. Raises: WeightsError."""
    try:
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
