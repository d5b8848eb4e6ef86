"""Pictures as users send them become clean blobs: fetched within bounds, decoded apart from the server, encoded anew."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from typing import BinaryIO, Protocol
from urllib.parse import unquote_to_bytes

from kinema.core.errors import FetchError
from kinema.serve.api.problems import ApiError
from kinema.serve.blobs import BlobStore
from kinema.wire.fields import Picture

# (bytes of a stranger, the field they came in) -> PNG bytes. Raises: InvalidInput
Clean = Callable[[bytes, str], bytes]


class Fetch(Protocol):
    """`kinema.serve.fetch.Guard.get`."""

    def __call__(self, url: object, into: BinaryIO, *, max_bytes: int, field: str) -> object:
        """Writes what ``url`` gives to ``into``. Raises: FetchError."""
        ...


class Intake:
    """Keeps pictures in ``blobs``; at most ``max_bytes`` of one are read."""

    def __init__(self, blobs: BlobStore, *, fetch: Fetch, clean: Clean, max_bytes: int) -> None:
        self._blobs, self._fetch, self._clean, self._max_bytes = blobs, fetch, clean, max_bytes

    def keep(self, picture: Picture, field: str) -> str:
        """The blob of ``picture``, a PNG. Raises: ApiError and InvalidInput that name ``field``."""
        return self._blobs.put(self._clean(self._read(picture, field), field))

    def _read(self, picture: Picture, field: str) -> bytes:
        if picture.upload is not None:
            return picture.upload.data
        if picture.url[:5].lower() == "data:":
            return _data_url(picture.url, field)
        into = io.BytesIO()
        try:
            self._fetch(picture.url, into, max_bytes=self._max_bytes, field=field)
        except FetchError as e:
            retryable = e.code in ("unreachable", "timeout", "status")
            raise ApiError(400, f"input.image.{e.code}", str(e), field=field, retryable=retryable) from e
        return into.getvalue()


def _data_url(url: str, field: str) -> bytes:
    head, comma, data = url[5:].partition(",")
    try:
        if not comma:
            raise ValueError("there is no comma")
        if head.lower().endswith(";base64"):
            return base64.b64decode(data, validate=True)
        return unquote_to_bytes(data)
    except (ValueError, binascii.Error) as e:
        raise ApiError(400, "input.image.data_url", f"{field}: is no data URL: {e}", field=field) from e
