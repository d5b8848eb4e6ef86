"""Pictures as users send them become clean blobs: fetched within bounds, decoded apart from the server, encoded anew."""

from __future__ import annotations

import base64
import binascii
import io
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol
from urllib.parse import unquote_to_bytes

from kinema.core.errors import FetchError
from kinema.serve.api.problems import ApiError
from kinema.serve.blobs import BlobStore
from kinema.wire.fields import Picture

# (bytes of a stranger, the field they came in) -> PNG bytes. Raises: InvalidInput
Clean = Callable[[bytes, str], bytes]

# what one picture may take to come
_FETCH_S = 20.0


class Fetch(Protocol):
    """`kinema.serve.fetch.Guard`."""

    def check(self, url: object, *, field: str) -> object:
        """Raises: FetchError where `get` would refuse ``url`` without asking anybody."""
        ...

    def get(self, url: object, into: BinaryIO, *, max_bytes: int, timeout_s: float, field: str) -> object:
        """Writes what ``url`` gives within ``timeout_s`` to ``into``. Raises: FetchError."""
        ...


class Intake:
    """Keeps pictures in ``blobs``; at most ``max_bytes`` of one are read.

    They wait for strangers: at most ``at_once`` requests are in here, a part of the server's threads, and each begins nothing that would
    come after ``timeout_s``.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        fetch: Fetch,
        clean: Clean,
        max_bytes: int,
        at_once: int = 12,
        timeout_s: float = 30.0,
    ) -> None:
        self._blobs, self._fetch, self._clean, self._max_bytes = blobs, fetch, clean, max_bytes
        self._turns, self._timeout_s = threading.BoundedSemaphore(at_once), timeout_s

    def keep(self, pictures: Sequence[tuple[int, str, Picture]]) -> dict[int, str]:
        """The blobs, PNGs, of one request's pictures: (number, field, picture) -> number: blob.

        Raises: ApiError and InvalidInput that name the field.
        """
        if not pictures:
            return {}
        if not self._turns.acquire(blocking=False):
            message = "as many requests with pictures as may are being taken in"
            raise ApiError(503, "capacity.pictures", message, retry_after_s=2)
        try:
            end, kept = time.monotonic() + self._timeout_s, {}
            for number, field, picture in pictures:
                data = self._read(picture, field, end)
                if time.monotonic() >= end:
                    raise self._late(field)
                kept[number] = self._blobs.put(self._clean(data, field))
            return kept
        finally:
            self._turns.release()

    def check(self, picture: Picture, field: str) -> None:
        """Looks at a picture's URL without fetching it. Raises: ApiError that names ``field``, where `keep` would refuse it."""
        if picture.upload is not None:
            return
        if picture.url[:5].lower() == "data:":
            _data_url(picture.url, field)
            return
        try:
            self._fetch.check(picture.url, field=field)
        except FetchError as e:
            raise _unfetched(e, field) from e

    def _late(self, field: str) -> ApiError:
        message = f"{field}: the pictures of one request have {self._timeout_s:g} s in all"
        return ApiError(400, "input.image.timeout", message, field=field, retryable=True)

    def _read(self, picture: Picture, field: str, end: float) -> bytes:
        if picture.upload is not None:
            return picture.upload.data
        if picture.url[:5].lower() == "data:":
            return _data_url(picture.url, field)
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise self._late(field)
        into = io.BytesIO()
        try:
            self._fetch.get(picture.url, into, max_bytes=self._max_bytes, timeout_s=min(_FETCH_S, left_s), field=field)
        except FetchError as e:
            raise _unfetched(e, field) from e
        return into.getvalue()


def _unfetched(error: FetchError, field: str) -> ApiError:
    retryable = error.code in ("unreachable", "timeout", "status")
    return ApiError(400, f"input.image.{error.code}", str(error), field=field, retryable=retryable)


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
