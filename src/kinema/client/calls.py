"""What is asked of a server, as values: paths, bodies, and what may be asked twice. Reads pictures, says nothing to anybody."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

import httpx

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe
from kinema.wire.answers import NativeVideo, Variant
from kinema.wire.fields import JOB_ID

# a file, an http(s) or data: URL that the server fetches, or the bytes of a file
Picture = str | os.PathLike[str] | bytes
# what a server says in its own words -> what it is called here
_NAMES = {"input_reference": "image"}
_HEARTBEATS = httpx.Timeout(30.0, read=45.0)


class Fields(TypedDict, total=False):
    """What can be said of a job besides its prompt; `kinema.wire.requests.VideoCreate` tells of each.

    ``image`` is what the clip begins with, ``keyframes`` are pictures and the seconds at which it shows them (-1: at its end).
    """

    model: str | None
    negative_prompt: str
    seconds: float | None
    frames: int | None
    size: str | None
    aspect_ratio: str | None
    fps: float | None
    seed: int | None
    steps: int | None
    guidance: float | None
    guidance_2: float | None
    motion: int | None
    camera: str | None
    style: str | None
    rewrite: bool
    image: Picture | None
    keyframes: Sequence[Keyframe | tuple[Picture, float]]
    priority: int
    wait_s: float | None
    webhook_url: str | None


class Continuation(TypedDict, total=False):
    """What can be said of a clip that goes on from another."""

    model: str | None
    seconds: float | None
    seed: int | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that, carried out twice, does no more than once: so it may be sent again whenever its answer was lost.

    ``names`` are the wire's names of fields in the caller's words.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    timeout: httpx.Timeout | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """As ``http`` sends it."""
        # ASCII: half a character, which is no UTF-8, is for the server to refuse by name
        content = None if self.body is None else json.dumps(self.body).encode()
        return http.build_request(
            self.method,
            self.path,
            params=self.params or None,
            headers={**self.headers, **({} if content is None else {"content-type": "application/json"})},
            content=content,
            timeout=self.timeout or httpx.USE_CLIENT_DEFAULT,
        )


def submit(prompt: str, fields: Fields, key: str | None) -> Call:
    """A new job. Raises: InvalidInput for a picture that can't be read."""
    return _making("/v1/videos", _body(prompt, fields), key)


def dry_run(prompt: str, fields: Fields) -> Call:
    """What it would take."""
    params = {"dry_run": "true"}
    return Call(method="POST", path="/v1/videos", params=params, body=_body(prompt, fields), names=_NAMES)


def remix(job_id: str, prompt: str, key: str | None) -> Call:
    """The same with another prompt."""
    return _making(f"{path_of(job_id)}/remix", {"prompt": prompt}, key)


def extend(job_id: str, prompt: str, fields: Continuation, key: str | None) -> Call:
    """A clip that begins where the job's ends."""
    return _making("/v1/videos/extensions", {"prompt": prompt, "video": {"id": job_id}, **_given(fields)}, key)


def edit(job_id: str, prompt: str, model: str | None, key: str | None) -> Call:
    """The job's clip, changed by words."""
    fields = _given({"model": model})
    return _making("/v1/videos/edits", {"prompt": prompt, "video": {"id": job_id}, **fields}, key)


def look(job_id: str, *, timeout: httpx.Timeout | None = None) -> Call:
    """How a job stands."""
    return Call(method="GET", path=path_of(job_id), timeout=timeout)


def act(job_id: str, verb: Literal["cancel", "pause", "resume"]) -> Call:
    """Each leads to a state, in which it changes nothing."""
    return Call(method="POST", path=f"{path_of(job_id)}/{verb}")


def delete(job_id: str) -> Call:
    """Gone is gone."""
    return Call(method="DELETE", path=path_of(job_id))


def page(statuses: Sequence[str], after: str | None, limit: int, order: str) -> Call:
    """A page of jobs."""
    params = {"limit": limit, "order": order, **({"after": after} if after else {}), "status": list(statuses)}
    return Call(method="GET", path="/v1/videos", params=params)


def models() -> Call:
    """What the server can do."""
    return Call(method="GET", path="/v1/models")


def events(job_id: str, after: int) -> Call:
    """The stream; a server shows signs of life three times as often as the wait for one lasts."""
    headers = {"accept": "text/event-stream", "last-event-id": str(after)}
    return Call(method="GET", path=f"{path_of(job_id)}/events", headers=headers, timeout=_HEARTBEATS)


def log(job_id: str, after: int) -> Call:
    """The same events as a list."""
    return Call(method="GET", path=f"{path_of(job_id)}/log", params={"after": after})


def content(job_id: str, variant: Variant, headers: Mapping[str, str]) -> Call:
    """A file."""
    return Call(method="GET", path=f"{path_of(job_id)}/content", params={"variant": variant}, headers=headers)


def path_of(job_id: str) -> str:
    """Where a job is. Raises: InvalidInput."""
    if not isinstance(job_id, str) or not re.fullmatch(JOB_ID, job_id):
        raise InvalidInput("id", job_id, "is no job's id: vid_ and 26 letters and digits")
    return f"/v1/videos/{job_id}"


class JobView:
    """A job as it stood when the server last told of it: ``info`` is all of that."""

    def __init__(self, info: NativeVideo) -> None:
        self.info = info

    @property
    def id(self) -> str:
        """``vid_`` and a ULID."""
        return self.info.id

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed``, ``canceling``, ``canceled`` or ``expired``."""
        return self.info.status

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return is_over(self.info)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"


def is_over(video: NativeVideo) -> bool:
    """Whether nothing more happens to the job."""
    return video.status not in ("queued", "running", "canceling")


def _making(path: str, body: Mapping[str, Any], key: str | None) -> Call:
    # with a key of its own the job is made once, however often it is asked for
    key = secrets.token_hex(16) if key is None else key
    if not (1 <= len(key) <= 200 and key.isascii() and key.isprintable()):
        raise InvalidInput("idempotency_key", key, "must be 1 to 200 printable ASCII characters")
    headers = {"idempotency-key": key}
    return Call(method="POST", path=path, headers=headers, body=body, names=_NAMES)


def _body(prompt: str, fields: Fields) -> dict[str, Any]:
    rest = {k: v for k, v in fields.items() if k not in ("image", "keyframes")}
    body = {"prompt": prompt, **_given(rest)}
    image = fields.get("image")
    if image is not None:
        body["input_reference"] = _picture(image, "image")
    if frames := fields.get("keyframes"):
        pairs = [(k.media.ref, k.at_s) if isinstance(k, Keyframe) else k for k in frames]
        body["keyframes"] = [
            {"image": _picture(image, f"keyframes.{i}.image"), "at_s": at_s} for i, (image, at_s) in enumerate(pairs)
        ]
    return body


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _picture(picture: Picture, name: str) -> str:
    """A URL for the server, or the picture itself as one."""
    if isinstance(picture, str) and picture.lower().startswith(("http://", "https://", "data:")):
        return picture
    if not isinstance(picture, bytes):
        try:
            picture = Path(picture).read_bytes()
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) else str(e)
            raise InvalidInput(name, picture, f"can't be read ({why}); give a picture's file, URL or bytes") from e
    # what kind of picture it is the server sees for itself
    return f"data:application/octet-stream;base64,{base64.b64encode(picture).decode()}"
