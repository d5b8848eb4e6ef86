"""A file on its way from a server."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from pathlib import Path

import httpx

from kinema.core.errors import InvalidInput, storage_errors

_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19})")
_SHA = re.compile(r'"sha256:([0-9a-f]{64})"')


class Part:
    """Bytes that come for ``path`` go to a hidden file beside it, which takes its place when all are there; `close` removes it.

    ``size`` bytes are here of ``total``, if the server tells that; ``is_whole``: all of them, and they are what its ETag says.

    Raises: InvalidInput for a folder, StorageError for what can't be written.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise InvalidInput("path", path, "is a folder; name a file")
        self.path, self.size, self.is_whole = path, 0, False
        self.total: int | None = None
        self._etag: str | None = None
        self._temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        with storage_errors(path):
            self._file = self._temporary.open("xb")
        self._sha = hashlib.sha256()

    @property
    def headers(self) -> dict[str, str]:
        """What asks for the rest, if it is still the same file; without an ETag nobody knows, and all is asked for."""
        if not self.size or self._etag is None:
            return {}
        return {"range": f"bytes={self.size}-", "if-range": self._etag}

    def begin(self, response: httpx.Response) -> None:
        """Takes note of what comes, and lets go of what is here unless ``response`` goes on from its end."""
        length, etag = response.headers.get("content-length", ""), response.headers.get("etag")
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if found and int(found[1]) == self.size and etag in (None, self._etag):
                self.total = int(found[2])
                return
            self._restart()
            raise httpx.RemoteProtocolError("not the range that was asked for", request=response.request)
        self._restart()
        self.total = int(length) if length.isdecimal() else None
        self._etag = etag if etag and not etag.startswith("W/") else None

    def write(self, piece: bytes) -> None:
        """Adds ``piece``."""
        with storage_errors(self.path):
            self._file.write(piece)
        self._sha.update(piece)
        self.size += len(piece)

    def check(self) -> None:
        """Sees whether all is here; what is here and wrong is let go of."""
        if self.total is not None and self.size < self.total:
            return
        named = _SHA.fullmatch(self._etag or "")
        is_right = self.total in (None, self.size) and (named is None or named[1] == self._sha.hexdigest())
        if is_right:
            self.is_whole = True
        else:
            self._restart()

    def keep(self) -> None:
        """Gives the file its name, in place of one that has it."""
        with storage_errors(self.path):
            self._file.close()
            self._temporary.replace(self.path)

    def close(self) -> None:
        """Removes what was not kept."""
        # what can't be written any more is not wanted any more
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _restart(self) -> None:
        # what is in the buffer is written first
        with storage_errors(self.path):
            self._file.seek(0)
            self._file.truncate()
        self._sha, self.size, self._etag = hashlib.sha256(), 0, None
