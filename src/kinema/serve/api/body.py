"""Bodies, bounded in every way before they are looked at: JSON and multipart become one tree of plain values and uploads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from kinema.serve.api.problems import ApiError
from kinema.wire.fields import Upload

# brackets, braces and commas: what a JSON text can make many objects of; a request has a few dozen
MAX_MARKS = 20_000
MAX_DEPTH = 16
MAX_FILES = 16
MAX_PARTS = 128
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}(\[[A-Za-z0-9_]{1,64}\]){0,4}")


@dataclass(frozen=True)
class Body:
    """The fields of a request; ``is_form``: their values came as text."""

    fields: dict[str, Any]
    is_form: bool = False


async def read_body(request: Request) -> Body:
    """The body of ``request``. Raises: ApiError."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "body.encoding", "send the body uncompressed", field="Content-Encoding")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Body(parse_json(await request.body()))
    if kind == "multipart/form-data":
        return Body(await _read_form(request), is_form=True)
    message = "must be application/json or multipart/form-data"
    raise ApiError(415, "body.media_type", message, field="Content-Type")


async def read_json(request: Request) -> Body:
    """The body of ``request`` where no route takes files: a page of another site can send forms unasked. Raises: ApiError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "body.media_type", "must be application/json", field="Content-Type")
    return await read_body(request)


def parse_json(data: bytes) -> dict[str, Any]:
    """The object that ``data`` holds. Raises: ApiError."""
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > MAX_MARKS:
        raise ApiError(400, "body.too_complex", f"the JSON has more than {MAX_MARKS} brackets and commas")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError as e:
        raise ApiError(400, "body.invalid_json", f"the body is not UTF-8 text (byte {e.start})") from e
    except RecursionError as e:
        raise ApiError(400, "body.too_complex", "the JSON is nested too deeply") from e
    except ValueError as e:
        raise ApiError(400, "body.invalid_json", f"the body is not JSON: {str(e)[:200]}") from e
    if not isinstance(value, dict):
        raise ApiError(400, "body.invalid_json", "the body must be a JSON object")
    if _depth(value) > MAX_DEPTH:
        raise ApiError(400, "body.too_complex", f"the JSON is nested more than {MAX_DEPTH} deep")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"the field {twice[:64]!r} stands there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _depth(value: Any) -> int:
    deepest, rest = 0, [(value, 1)]
    while rest:
        item, depth = rest.pop()
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        deepest = max(deepest, depth)
        rest += [(child, depth + 1) for child in children if isinstance(child, (dict, list))]
    return deepest


async def _read_form(request: Request) -> dict[str, Any]:
    """``a[b]=1`` becomes ``{"a": {"b": "1"}}``; numbers for keys make a list."""
    size = int(request.app.state.settings.max_body_bytes)
    try:
        async with request.form(max_files=MAX_FILES, max_fields=MAX_PARTS, max_part_size=size) as form:
            tree: dict[str, Any] = {}
            for key, value in form.multi_items():
                leaf = value
                if isinstance(value, UploadFile):
                    leaf = Upload(await value.read())
                _put(tree, key, leaf)
    except HTTPException as e:
        raise ApiError(400, "body.invalid_form", str(e.detail)[:200]) from e
    except (ValueError, KeyError, AssertionError) as e:
        raise ApiError(400, "body.invalid_form", "the multipart body is malformed") from e
    return {name: _with_lists(value) for name, value in tree.items()}


def _put(tree: dict[str, Any], key: str, leaf: Any) -> None:
    if not _KEY.fullmatch(key):
        shown = ascii(key[:64])
        raise ApiError(400, "input.unknown_field", f"{shown} is not the name of a field", field=shown)
    *path, last = re.findall(r"[A-Za-z0-9_]+", key)
    for name in path:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ApiError(400, "input.invalid", f"{key}: {name} has a value of its own", field=key)
    if last in tree:
        raise ApiError(400, "input.invalid", f"{key}: is given twice", field=key)
    tree[last] = leaf


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {name: _with_lists(item) for name, item in value.items()}
    if items and list(items) == [str(i) for i in range(len(items))]:
        return list(items.values())
    return items
