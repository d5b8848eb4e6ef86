"""Downloads: whole, in ranges, only if changed."""

from __future__ import annotations

import httpx
import pytest

from tests.serve.api.conftest import Make, Server


@pytest.fixture
def url(make: Make, server: Server) -> str:
    job = make(steps=1)["id"]
    server.worker.work(until=job)
    return f"/v1/videos/{job}/content"


@pytest.fixture
def whole(server: Server) -> bytes:
    return server.worker.files["video"][0].read_bytes()


def test_whole(client: httpx.Client, url: str, whole: bytes, server: Server):
    answer = client.get(url)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{server.blobs.put(whole)}"'
    head = client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "content-type", "accept-ranges"):
        assert head.headers[name] == answer.headers[name]


@pytest.mark.parametrize(
    "asked, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999", 0, None),
        ("bytes=-99999999", 0, None),
    ],
)
def test_ranges(client: httpx.Client, url: str, whole: bytes, asked: str, start: int, end: int | None):
    answer = client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, whole[start:end])
    first = start if start >= 0 else len(whole) + start
    last = (len(whole) if end is None else end) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    assert answer.headers["content-length"] == str(len(answer.content))
    head = client.head(url, headers={"range": asked})
    assert (head.status_code, head.headers["content-range"]) == (206, answer.headers["content-range"])


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-100000000", "bytes=-0"])
def test_no_such_range(client: httpx.Client, url: str, whole: bytes, asked: str):
    answer = client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range.not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-", "", "bytes=" + "9" * 40]
)
def test_what_is_no_single_range_gives_all(client: httpx.Client, url: str, whole: bytes, asked: str):
    answer = client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, whole)


def test_conditions(client: httpx.Client, url: str, whole: bytes):
    etag = client.get(url).headers["etag"]
    for value in (etag, f'W/{etag}, "other"', "*"):
        same = client.get(url, headers={"if-none-match": value})
        assert (same.status_code, same.content) == (304, b"")
    assert client.get(url, headers={"if-none-match": '"other"'}).status_code == 200
    assert client.get(url, headers={"range": "bytes=0-3", "if-range": etag}).status_code == 206
    changed = client.get(url, headers={"range": "bytes=0-3", "if-range": '"other"'})
    assert (changed.status_code, changed.content) == (200, whole)


def test_what_is_not_there(client: httpx.Client, server: Server, make: Make, url: str):
    assert client.get(url, params={"variant": "sound"}).json()["field"] == "variant"
    waiting = make()["id"]
    answer = client.get(f"/v1/videos/{waiting}/content")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (409, "job.not_finished", True)
    client.post(f"/v1/videos/{waiting}/cancel")
    assert client.get(f"/v1/videos/{waiting}/content").status_code == 404


def test_files_that_are_gone(client: httpx.Client, server: Server, url: str, make: Make):
    recipe = client.get(f"{url}?variant=recipe").headers["etag"].strip('"')
    server.blobs.delete(recipe)
    answer = client.get(f"{url}?variant=recipe")
    assert (answer.status_code, answer.json()["code"]) == (410, "output.expired")
