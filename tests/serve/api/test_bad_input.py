"""Every class of bad input gets a documented error with code and field; the server stays up, and nothing is made or written."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kinema.serve.api.body import MAX_MARKS
from tests.serve.api.conftest import Server, running

VIDEOS, GENERATIONS = "/v1/videos", "/v1/videos/generations"
JSON = {"content-type": "application/json"}
JOB = f"vid_{'0' * 26}"


@pytest.fixture(autouse=True)
def nothing_made(server: Server, client: httpx.Client) -> Iterator[None]:
    """No job, no file, and a server that answers."""
    before = sorted(p.name for p in server.blobs.root.rglob("*"))
    yield
    assert client.get(VIDEOS).json()["data"] == []
    assert sorted(p.name for p in server.blobs.root.rglob("*")) == before
    assert client.get("/healthz").status_code == 200


def check(answer: httpx.Response, status: int, code: str, field: str | None) -> None:
    """It is a whole problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["field"]) == (status, code, field)
    assert (problem["error"]["code"], problem["error"]["param"]) == (code, field)
    assert problem["detail"] == problem["error"]["message"]
    assert "\n" not in problem["detail"]
    assert len(answer.content) < 8000
    # of this machine nothing is told
    assert not re.search(r"/tmp|/work|/root|/home|Traceback|site-packages", answer.text)


DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]

# fields on top of a good prompt -> code, field
FIELDS: list[tuple[str, dict[str, Any], str, str | None]] = [
    (VIDEOS, {"prompt": 5}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": None}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": ["a"]}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": ""}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": "   "}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": "x" * 9000}, "input.invalid", "prompt"),
    (VIDEOS, {"prompt": "球" * 3000}, "input.invalid", "prompt"),
    (VIDEOS, {"seconds": 0}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": -4}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": "four"}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": "nan"}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": True}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": 1e300}, "input.invalid", "seconds"),
    (VIDEOS, {"seconds": 10**400}, "input.invalid", "seconds"),
    (VIDEOS, {"size": "big"}, "input.invalid", "size"),
    (VIDEOS, {"size": "0x0"}, "input.invalid", "size"),
    (VIDEOS, {"size": "99999999x1"}, "input.invalid", "size"),
    (VIDEOS, {"size": "1280x720", "aspect_ratio": "16:9"}, "input.invalid", "aspect_ratio"),
    (VIDEOS, {"aspect_ratio": "wide"}, "input.invalid", "aspect_ratio"),
    (VIDEOS, {"aspect_ratio": "16:0"}, "input.invalid", "aspect_ratio"),
    (VIDEOS, {"seconds": 2, "frames": 9}, "input.invalid", "frames"),
    (VIDEOS, {"frames": 0}, "input.invalid", "frames"),
    (VIDEOS, {"frames": 6}, "input.unsupported", "frames"),
    (VIDEOS, {"frames": 37}, "input.unsupported", "frames"),
    (VIDEOS, {"frames": 9.5}, "input.invalid", "frames"),
    (VIDEOS, {"fps": 30}, "input.unsupported", "fps"),
    (VIDEOS, {"seed": -1}, "input.invalid", "seed"),
    (VIDEOS, {"seed": 2**63}, "input.invalid", "seed"),
    (VIDEOS, {"seed": "7"}, "input.invalid", "seed"),
    (VIDEOS, {"seed": True}, "input.invalid", "seed"),
    (VIDEOS, {"steps": 0}, "input.invalid", "steps"),
    (VIDEOS, {"steps": 10**6}, "input.invalid", "steps"),
    (VIDEOS, {"guidance": -1}, "input.invalid", "guidance"),
    (VIDEOS, {"guidance_2": 2}, "input.unsupported", "guidance_2"),
    (VIDEOS, {"motion": 0}, "input.invalid", "motion"),
    (VIDEOS, {"motion": 256}, "input.invalid", "motion"),
    (VIDEOS, {"camera": "orbit"}, "input.unsupported", "camera"),
    (VIDEOS, {"style": "no such style"}, "input.invalid", "style"),
    (VIDEOS, {"model": "../../etc/passwd"}, "input.invalid", "model"),
    (VIDEOS, {"model": "someone/else"}, "input.invalid", "model"),
    (VIDEOS, {"model": ""}, "input.invalid", "model"),
    (VIDEOS, {"priority": 101}, "input.invalid", "priority"),
    (VIDEOS, {"wait_s": 0}, "input.invalid", "wait_s"),
    (VIDEOS, {"rewrite": "yes"}, "input.invalid", "rewrite"),
    (VIDEOS, {"negative_prompt": "x" * 9000}, "input.invalid", "negative_prompt"),
    (VIDEOS, {"promt": "a"}, "input.unknown_field", "promt"),
    (VIDEOS, {"__proto__": {}}, "input.unknown_field", "__proto__"),
    (VIDEOS, {"webhook_url": "https://a.example/"}, "input.unsupported", "webhook_url"),
    (VIDEOS, {"input_reference": 5}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": {}}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": {"file_id": "file-1"}}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": {"image_url": "a", "url": "b"}}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": "file:///etc/passwd"}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": "/etc/passwd"}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": f"sha256:{'0' * 64}"}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": "https://a.example/\r\nHost: b"}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": "https://" + "a" * 3000}, "input.invalid", "input_reference"),
    (VIDEOS, {"input_reference": "data:image/png;base64"}, "input.image.data_url", "input_reference"),
    (VIDEOS, {"input_reference": "data:image/png;base64,@@@@"}, "input.image.data_url", "input_reference"),
    (VIDEOS, {"input_reference": "data:,hello"}, "input.media", "input_reference"),
    (VIDEOS, {"input_reference": "https://unreachable.example/"}, "input.image.unreachable", "input_reference"),
    (VIDEOS, {"keyframes": "a"}, "input.invalid", "keyframes"),
    (VIDEOS, {"keyframes": [{}]}, "input.missing", "keyframes.0.image"),
    (VIDEOS, {"keyframes": [{"image": "data:,a", "at": 1}]}, "input.unknown_field", "keyframes.0.at"),
    (VIDEOS, {"keyframes": [{"image": "data:,a", "at_s": "1"}]}, "input.invalid", "keyframes.0.at_s"),
    (VIDEOS, {"keyframes": [{"image": "data:,a", "at_s": 100}]}, "input.unsupported", "keyframes"),
    (VIDEOS, {"keyframes": [{"image": "data:,a"}, {"image": "data:,a"}]}, "input.invalid", "keyframes"),
    (VIDEOS, {"keyframes": [{"image": "data:,a"}] * 17}, "input.invalid", "keyframes"),
    (VIDEOS, {"keyframes": [{"image": "data:,a"}]}, "input.media", "keyframes.0.image"),
    (VIDEOS, {"camera": DEEP}, "body.too_complex", None),
    (GENERATIONS, {"prompt": 5}, "input.invalid", "prompt"),
    (GENERATIONS, {"duration_seconds": "4"}, "input.invalid", "duration_seconds"),
    (GENERATIONS, {"duration_seconds": 0}, "input.invalid", "duration_seconds"),
    (GENERATIONS, {"duration_seconds": 60}, "input.unsupported", "duration_seconds"),
    (GENERATIONS, {"aspect_ratio": 1.77}, "input.invalid", "aspect_ratio"),
    (GENERATIONS, {"motion_bucket_id": 0}, "input.invalid", "motion_bucket_id"),
    (GENERATIONS, {"motion_bucket_id": 127.5}, "input.invalid", "motion_bucket_id"),
    (GENERATIONS, {"motion": 3}, "input.unknown_field", "motion"),
    (GENERATIONS, {"seed": 1.5}, "input.invalid", "seed"),
    (GENERATIONS, {"image_url": "ftp://a.example/x.png"}, "input.invalid", "image_url"),
    (GENERATIONS, {"image_url": "data:,no"}, "input.media", "image_url"),
    (GENERATIONS, {"duration": "4"}, "input.invalid", "duration"),
    (GENERATIONS, {"duration": -1}, "input.invalid", "duration"),
    (GENERATIONS, {"image": {"url": "gopher://a"}}, "input.invalid", "image"),
    (GENERATIONS, {"image": {"url": "data:,no"}}, "input.media", "image"),
    (GENERATIONS, {"resolution": "4k"}, "input.invalid", "resolution"),
    (GENERATIONS, {"input_reference": "data:,a"}, "input.unknown_field", "input_reference"),
    ("/v1/videos/edits", {"video": "x"}, "input.invalid", "video"),
    ("/v1/videos/edits", {"video": {"id": 3}}, "input.invalid", "video"),
    ("/v1/videos/edits", {}, "input.missing", "video"),
    ("/v1/videos/extensions", {}, "input.missing", "video"),
    ("/v1/videos/extensions", {"video": {"url": "https://a.example/v.mp4"}}, "input.unsupported", "video"),
    ("/v1/videos/extensions", {"video": {"id": JOB}, "seconds": 0}, "input.invalid", "seconds"),
    ("/v1/videos/extensions", {"video": {"id": JOB}, "size": "96x96"}, "input.unknown_field", "size"),
]


@pytest.mark.parametrize("path, fields, code, field", FIELDS, ids=lambda v: None)
def test_fields(client: httpx.Client, path: str, fields: dict[str, Any], code: str, field: str | None):
    body = json.dumps({"prompt": "a red ball", **fields}).encode()
    check(client.post(path, content=body, headers=JSON), 400, code, field)


@pytest.mark.parametrize("path", [VIDEOS, GENERATIONS, "/v1/videos/edits", "/v1/videos/extensions"])
def test_a_missing_prompt(client: httpx.Client, path: str):
    answer = client.post(path, json={"video": {"id": JOB}} if path.endswith("s") and path.count("/") == 3 else {})
    assert answer.json()["errors"][0] == {"field": "prompt", "code": "input.missing", "message": "is required"} or any(
        e["field"] == "prompt" for e in answer.json()["errors"]
    )


def test_everything_that_is_wrong_is_listed(client: httpx.Client):
    answer = client.post(VIDEOS, json={"prompt": "a", "seed": -1, "steps": "x", "unknown": 1})
    assert {e["field"] for e in answer.json()["errors"]} == {"seed", "steps", "unknown"}


@pytest.mark.parametrize(
    "content, code",
    [
        (b"", "body.invalid_json"),
        (b"{", "body.invalid_json"),
        (b"null", "body.invalid_json"),
        (b"[]", "body.invalid_json"),
        (b'"text"', "body.invalid_json"),
        (b"\xff\xfe{", "body.invalid_json"),
        (b'{"prompt": NaN}', "body.invalid_json"),
        (b'{"seconds": Infinity, "prompt": "a"}', "body.invalid_json"),
        (b'{"prompt": "a", "prompt": "b"}', "body.invalid_json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "body.invalid_json"),
        (b'{"prompt": "\\ud800"}', "input.invalid"),
        (b'{"\\ud800": 1, "prompt": "a"}', "input.invalid"),
        (b'{"a": ' * 3000 + b"1" + b"}" * 3000, "body.too_complex"),
        (b'{"a": ' + b"[" * 15000 + b"]" * 15000 + b"}", "body.too_complex"),
        (b'{"a": [' + b"[]," * MAX_MARKS + b"1]}", "body.too_complex"),
        (b"{" + b",".join(b'"f%d": 1' % n for n in range(5000)) + b"}", "input.missing"),
    ],
    ids=lambda v: None,
)
def test_bodies_that_are_no_json_or_bombs(client: httpx.Client, content: bytes, code: str):
    answer = client.post(VIDEOS, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert len(answer.content) < 8000


@pytest.mark.parametrize(
    "kind, content",
    [
        ("text/plain", b"{}"),
        ("application/x-www-form-urlencoded", b"prompt=a"),
        ("application/octet-stream", b""),
        ("", b"{}"),
        ("multipart/mixed; boundary=x", b"--x--"),
        ("é".encode("latin-1").decode("latin-1"), b"{}"),
    ],
)
def test_other_kinds_of_body(client: httpx.Client, kind: str, content: bytes):
    answer = client.post(VIDEOS, content=content, headers={b"content-type": kind.encode("latin-1")})
    check(answer, 415, "body.media_type", "Content-Type")


def test_compressed_bodies_are_not_taken(client: httpx.Client):
    answer = client.post(VIDEOS, content=b"\x1f\x8b", headers={**JSON, "content-encoding": "gzip"})
    check(answer, 415, "body.encoding", "Content-Encoding")


@pytest.mark.parametrize(
    "content, code",
    [
        (b"", None),
        (b"no parts", None),
        (b"--x\r\n\r\n", None),
        (b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na', None),
        (b'--x\r\nContent-Disposition: form-data; name="../x"\r\n\r\na\r\n--x--\r\n', "input.unknown_field"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a[b][c][d][e][f]"\r\n\r\na\r\n--x--\r\n',
            "input.unknown_field",
        ),
        (b'--x\r\nContent-Disposition: form-data; name="prompt[a]"\r\n\r\na\r\n--x--\r\n', "input.invalid"),
        (b'--x\r\nContent-Disposition: form-data; name="prompt"; filename="a"\r\n\r\na\r\n--x--\r\n', "input.invalid"),
        (
            b'--x\r\nContent-Disposition: form-data; name="input_reference"; filename="a"\r\n\r\na\r\n--x--\r\n',
            "input.missing",
        ),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", "body.invalid_form"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 200 + b"--x--\r\n", "body.invalid_form"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 2 + b"--x--\r\n", "input.invalid"),
        (
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nb\r\n' * 20 + b"--x--\r\n",
            "body.invalid_form",
        ),
    ],
    ids=lambda v: None,
)
def test_broken_forms(client: httpx.Client, content: bytes, code: str | None):
    answer = client.post(VIDEOS, content=content, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400, answer.text
    assert code in (None, answer.json()["code"])
    no_boundary = client.post(VIDEOS, content=content, headers={"content-type": "multipart/form-data"})
    assert no_boundary.status_code == 400


def test_text_in_forms_becomes_numbers_and_nothing_else(client: httpx.Client):
    for fields, field in (({"steps": "three"}, "steps"), ({"seed": "1e3"}, "seed"), ({"rewrite": "maybe"}, "rewrite")):
        files = {"input_reference": b"not a picture"}
        answer = client.post(VIDEOS, data={"prompt": "a", **fields}, files=files)
        check(answer, 400, "input.invalid", field)
    check(client.post(VIDEOS, data={"prompt": "a"}, files=files), 400, "input.media", "input_reference")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/v1/videos/nobody"),
        ("GET", f"/v1/videos/{JOB}"),
        ("GET", f"/v1/videos/{JOB.lower()}"),
        ("GET", "/v1/videos/%00"),
        ("GET", "/v1/videos/..%2fnothing"),
        ("GET", f"/v1/videos/{JOB}%0a"),
        ("GET", "/v1/videos/generations"),
        ("GET", "/v1/videos/generations/x"),
        ("GET", f"/v1/videos/{'é' * 50}"),
        ("GET", "/v1/videos/x/content"),
        ("GET", "/v1/videos/x/events"),
        ("DELETE", "/v1/videos/x"),
        ("POST", "/v1/videos/x/cancel"),
        ("GET", "/v1/nothing"),
        ("GET", "/../../etc/passwd"),
    ],
)
def test_paths_that_lead_nowhere(client: httpx.Client, method: str, path: str):
    check(client.request(method, path), 404, "not_found", None if "nothing" in path or "etc/passwd" in path else "id")


@pytest.mark.parametrize(
    "query, field",
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        (f"limit={'9' * 30}", "limit"),
        ("order=up", "order"),
        ("status=done", "status.0"),
        ("after=vid_nobody", "after"),
        ("after=%00", "after"),
    ],
)
def test_parameters(client: httpx.Client, query: str, field: str):
    check(client.get(f"{VIDEOS}?{query}"), 400, "input.invalid", field)


def test_other_methods_and_dialects(client: httpx.Client):
    check(client.put(VIDEOS, json={}), 405, "method.not_allowed", None)
    check(client.get(VIDEOS, headers={"kinema-dialect": "klingon"}), 400, "input.invalid", "Kinema-Dialect")
    check(client.post(f"{VIDEOS}?dry_run=perhaps", json={"prompt": "a"}), 400, "input.invalid", "dry_run")


def test_prompts_that_the_checks_refuse(client: httpx.Client):
    answer = client.post(VIDEOS, json={"prompt": "a naked child"})
    check(answer, 400, "content.refused", "prompt")
    assert "--no-check" not in answer.text


def test_too_much_and_too_many(tmp_path: Path):
    with running(tmp_path, max_body_bytes=20_000, max_headers=20) as server, server.client() as client:
        big = {"prompt": "a", "negative_prompt": "x" * 30_000}
        check(client.post(VIDEOS, json=big), 413, "body.too_large", None)
        # without a length it is found out on the way
        stream = client.post(VIDEOS, content=iter([b"{" + b" " * 9000] * 5), headers=JSON)
        check(stream, 413, "body.too_large", None)
        form = client.post(VIDEOS, data={"prompt": "a"}, files={"input_reference": b"x" * 30_000})
        check(form, 413, "body.too_large", None)
        many = client.get(VIDEOS, headers={f"x-{n}": "a" for n in range(30)})
        check(many, 431, "request.too_many_headers", None)
        long = client.get(VIDEOS, params={"after": "x" * 3000})
        check(long, 414, "request.too_long", None)
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ],
    ids=["version", "tls", "header", "negative", "twice", "huge"],
)
def test_what_is_hardly_http(server: Server, raw: bytes):
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        connection.sendall(raw)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 4")
