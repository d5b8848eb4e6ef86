"""Files that appear whole or not at all, and errors of the disk in a user's words."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from av.error import FFmpegError

from kinema.core.errors import InvalidInput, MediaError, StorageError, storage_errors
from kinema.core.media_ref import MediaRef
from kinema.media.arrays import PathLike


class AtomicFile:
    """A file being written beside its final place: `commit` puts it there at once, `discard` leaves nothing.

    Creating it fails early where the folder is missing or can't be written. Raises: StorageError.
    """

    def __init__(self, target: Path) -> None:
        self.target, self.is_committed = target, False
        self.path = target.with_name(f".{target.name[:80]}.{uuid.uuid4().hex[:12]}.part")
        with writing(target):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            # "x": never through a link that somebody else put there; the mode follows the umask, unlike mkstemp's
            self.path.open("xb").close()

    def commit(self) -> None:
        """Moves the file to its place, its bytes on the disk first. Raises: StorageError."""
        with writing(self.target):
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(self.path, self.target)
        self.is_committed = True

    def discard(self) -> None:
        """Removes what was written so far; harmless after `commit`."""
        self.path.unlink(missing_ok=True)


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Turns every error of disk or encoder while ``path`` is written into a `StorageError` or `MediaError`."""
    try:
        with storage_errors(path):
            yield
    except OSError as e:
        raise StorageError(f"{path}: could not be written ({e.strerror or e}); choose another place") from e
    except (FFmpegError, ValueError) as e:  # FFmpeg's and Pillow's encoders
        reason = e.strerror if isinstance(e, FFmpegError) else " ".join(str(e).split())[:80]
        rule = f"could not be encoded ({reason}); try another size or kind of file, or leave it more memory"
        raise MediaError("path", path, rule) from e


def output_path(path: PathLike, *, field: str = "path") -> Path:
    """Where to write. Raises: InvalidInput for what is no local path, about ``field``."""
    text = os.fspath(path) if not isinstance(path, MediaRef) else path.ref
    if not text.strip() or "\0" in text:
        raise InvalidInput(field, text, "must name a file")
    if isinstance(path, MediaRef) and path.kind != "path":
        raise InvalidInput(field, text, "must be a local file")
    return Path(text)


def input_path(media: PathLike) -> Path:
    """The local, readable, non-empty file that ``media`` names. Raises: MediaError."""
    ref = media if isinstance(media, MediaRef) else MediaRef(os.fspath(media))
    if ref.kind != "path":
        raise MediaError("file", ref.ref, f"is a {ref.kind}; fetch it first and name the local file")
    path = Path(ref.ref)
    try:
        if path.is_dir():
            raise MediaError("file", path, "is a folder; name a picture, video or sound file")
        if path.exists() and not path.is_file():  # opening a pipe would wait for somebody to write into it
            raise MediaError("file", path, "is a pipe or device; name a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError("file", path, "is empty (0 bytes); export or copy it again")
    except FileNotFoundError as e:
        raise MediaError("file", path, "does not exist; check the name") from e
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise MediaError("file", path, f"can't be read ({reason}); check its name and permissions") from e
    return path
