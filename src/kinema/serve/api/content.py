"""Files of finished jobs, whole or a range of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from kinema.core.errors import StorageError
from kinema.core.jobs import JobState
from kinema.serve.api.problems import ApiError
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.job import Job, Succeeded
from kinema.wire.answers import Variant

_NAMES: Mapping[str, str] = {"thumbnail": "cover"}
_PIECE = 1 << 16
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def content(job: Job, variant: Variant, request: Request, blobs: BlobStore) -> Response:
    """The file, or the range of it that ``request`` asks for. Raises: ApiError."""
    if not isinstance(job.state, Succeeded):
        raise _nothing(job)
    output = job.state.result.get("outputs", {}).get(_NAMES.get(variant, variant))
    if output is None:
        raise ApiError(404, "output.none", f"this job has no {variant}", field="variant")
    try:
        path = blobs.path(output["blob"])
    except StorageError as e:
        raise ApiError(410, "output.expired", "this file is gone") from e
    size, etag = path.stat().st_size, f'"{output["blob"]}"'
    headers = {
        "accept-ranges": "bytes",
        "etag": etag,
        # content never changes, but who may read it can
        "cache-control": "private, no-cache",
        "content-disposition": f'inline; filename="{output["name"]}"',
    }
    asked = request.headers
    if _has(asked.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, end, status = 0, size, 200
    if asked.get("if-range", etag) == etag and (ends := _ends(asked.get("range", ""), size)) is not None:
        start, end, status = *ends, 206
        if start >= end:
            error = ApiError(416, "range.not_satisfiable", f"the file has {size} bytes", field="Range")
            return error.response({"content-range": f"bytes */{size}"})
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=output["media_type"])
    return StreamingResponse(_pieces(path, start, end), status, headers, media_type=output["media_type"])


def _nothing(job: Job) -> ApiError:
    if not job.status.is_final:
        message = f"the job is {job.status.value}; its files come when it has succeeded"
        return ApiError(409, "job.not_finished", message, retry_after_s=1)
    if job.status is JobState.EXPIRED:
        return ApiError(410, "output.expired", "the time of these files is over")
    return ApiError(404, "output.none", f"the job is {job.status.value} and has no files")


def _has(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags


def _ends(header: str, size: int) -> tuple[int, int] | None:
    """(start, end) of the one range asked for, empty if there is none of it; None: the whole file, as for what can't be understood."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (piece := file.read(min(_PIECE, end - start))):
            start += len(piece)
            yield piece
