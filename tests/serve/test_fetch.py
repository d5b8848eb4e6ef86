from __future__ import annotations

import gzip
import io
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from kinema.core.errors import FetchError
from kinema.serve.addresses import Rules
from kinema.serve.fetch import Fetched, Guard
from tests.serve.listeners import Listener, always, response

MAX = 1000


@pytest.fixture
def trap() -> Iterator[Listener]:
    """A private server that nobody may reach."""
    with Listener(always(response(b"secret")), host="127.0.0.2") as listener:
        yield listener
    assert listener.connections == 0


def guard(*listeners: Listener, names: dict[str, list[str]] | None = None, **rules: object) -> Guard:
    """A guard that allows ``listeners``' addresses; ``names`` -> their addresses, one answer after the other, the last for good."""
    answers = {name: [a.split() for a in found] for name, found in (names or {}).items()}

    def resolve(name: str, port: int) -> Sequence[str]:
        found = answers[name]
        return found.pop(0) if len(found) > 1 else found[0]

    allow = tuple(f"127.0.0.1:{listener.port}" for listener in listeners)
    return Guard(Rules(allow=allow, **rules), resolve=resolve)  # pyright: ignore[reportArgumentType]


def get(guard: Guard, url: str, *, timeout_s: float = 60, max_bytes: int = MAX) -> tuple[bytes, Fetched]:
    into = io.BytesIO()
    fetched = guard.get(url, into, max_bytes=max_bytes, timeout_s=timeout_s, field="image")
    assert fetched.num_bytes == len(into.getvalue())
    return into.getvalue(), fetched


def refused(guard: Guard, url: str, code: str = "refused", *, timeout_s: float = 60) -> str:
    with pytest.raises(FetchError) as error:
        get(guard, url, timeout_s=timeout_s)
    assert (error.value.field, error.value.value, error.value.code) == ("image", url, code)
    return error.value.rule


def test_a_picture_is_fetched_and_the_host_stays_the_name() -> None:
    with Listener(always(response(b"12345", content_type="Image/PNG; q=1"))) as listener:
        url = f"http://site.test:{listener.port}/a?b=c#d"
        body, fetched = get(guard(listener, names={"site.test": ["127.0.0.1"]}), url)
    assert (body, fetched.media_type, fetched.url) == (b"12345", "image/png", url.partition("#")[0])
    assert listener.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert f"Host: site.test:{listener.port}\r\n".encode() in listener.requests[0]
    assert b"Accept-Encoding: identity\r\n" in listener.requests[0]


@pytest.mark.parametrize(
    "addresses",
    [
        "127.0.0.2", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.2", "64:ff9b::7f00:2", "2002:7f00:2::",
        "fe80::1%lo", "fd00::1", "127.0.0.1 127.0.0.2", "127.0.0.2 127.0.0.1", "1.1.1.1 10.0.0.1",
    ],
)  # fmt: skip
def test_a_name_with_any_private_address_is_refused(trap: Listener, addresses: str) -> None:
    with Listener(always(response())) as listener:
        guarded = guard(listener, names={"site.test": [addresses]}, ports=(80, trap.port, listener.port))
        assert "not public" in refused(guarded, f"http://site.test:{trap.port}/")
        if "127.0.0.1" in addresses:
            assert "not public" in refused(guarded, f"http://site.test:{listener.port}/")
    assert listener.connections == 0


@pytest.mark.parametrize("name", ["localhost", "localhost.", "LOCALHOST"])
def test_the_machine_s_own_names_are_refused(name: str) -> None:
    with Listener(always(response())) as listener, pytest.raises(FetchError, match="not public"):
        Guard(Rules(ports=(listener.port,))).get(f"http://{name}:{listener.port}/", io.BytesIO(), max_bytes=MAX)
    assert listener.connections == 0


def test_a_name_that_answers_otherwise_the_second_time_changes_nothing(trap: Listener) -> None:
    with Listener(always(response(b"right"))) as listener:
        guarded = guard(listener, names={"site.test": ["127.0.0.1", "127.0.0.2"]})
        assert get(guarded, f"http://site.test:{listener.port}/")[0] == b"right"
        # the next call asks anew
        assert "not public" in refused(guarded, f"http://site.test:{listener.port}/")


def test_a_redirect_to_the_same_name_asks_anew(trap: Listener) -> None:
    with Listener(always(response(status="302 Found", location="/again"))) as listener:
        guarded = guard(listener, names={"site.test": ["127.0.0.1", "127.0.0.2"]}, ports=(80, listener.port))
        assert "not public" in refused(guarded, f"http://site.test:{listener.port}/")
    assert listener.connections == 1


LOCATIONS = (
        "http://127.0.0.2:{port}/", "//127.0.0.2:{port}/", "http://127.2:{port}/", "http://0x7f000002:{port}/", "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.2]:{port}/", "http://inside.test:{port}/", "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd", "gopher://127.0.0.2:{port}/", "http://u:p@inside.test/", "http://127.0.0.2\\@site.test/", "http://[bad",
        "ftp://site.test/x", "http://site.test:22/", "http://site.test:{port}/",
)  # fmt: skip


@pytest.mark.parametrize(
    "status,location",
    [
        *(("302 Found", location) for location in LOCATIONS),
        *((f"{status} X", "http://inside.test:{port}/") for status in (301, 303, 307, 308)),
    ],
)
def test_redirects_to_private_places_are_refused(trap: Listener, location: str, status: str) -> None:
    there = location.format(port=trap.port)
    with Listener(always(response(status=status, location=there))) as listener:
        names = {"site.test": ["127.0.0.1"], "inside.test": ["127.0.0.2"]}
        guarded = guard(listener, names=names, ports=(80, trap.port))
        rule = refused(guarded, f"http://site.test:{listener.port}/")
    assert "redirects to" in rule or "not public" in rule
    assert listener.connections == 1


def test_redirects_are_followed_so_far_and_no_further() -> None:
    def reply(connection: socket.socket, request: bytes) -> None:
        left = int(request.split(b" ")[1][1:])
        connection.sendall(response(b"end") if left == 0 else response(status="302 F", location=f"/{left - 1}"))

    with Listener(reply) as listener:
        base = f"http://127.0.0.1:{listener.port}"
        assert get(guard(listener), f"{base}/3")[1].url == f"{base}/0"
        assert "more than 3" in refused(guard(listener), f"{base}/4")
        assert "more than 0" in refused(guard(listener, max_redirects=0), f"{base}/1")


def drip(first: bytes, each: bytes) -> Callable[[socket.socket, bytes], None]:
    def reply(connection: socket.socket, _: bytes) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(each)
            time.sleep(0.02)

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        lambda connection, _: connection.recv(1) and None,
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(response(content_length=str(MAX)), b"x"),
        drip(response(b"", content_length="", transfer_encoding="chunked"), b"1\r\nx\r\n"),
    ],
    ids=["silence", "status line", "headers", "continue", "body", "chunks"],
)
def test_who_drips_doesn_t_outlast_the_time(reply: Callable[[socket.socket, bytes], None]) -> None:
    with Listener(reply) as listener:
        begin = time.monotonic()
        # a head of one hundred kilobytes takes longer than this
        refused(guard(listener), f"http://127.0.0.1:{listener.port}/", "timeout", timeout_s=0.4)
        assert time.monotonic() - begin < 10


def test_a_resolver_that_hangs_is_left_behind() -> None:
    stop = threading.Event()

    def resolve(name: str, port: int) -> Sequence[str]:
        stop.wait(10)
        return ["1.1.1.1"]

    begin = time.monotonic()
    refused(Guard(resolve=resolve), "http://site.test/", "timeout", timeout_s=0.2)
    assert time.monotonic() - begin < 5
    stop.set()


@pytest.mark.parametrize(
    "answer,code,words",
    [
        (response(b"x" * (MAX + 1)), "too_large", "larger than 1,000 bytes"),
        (response(b"", content_length="99999999999999"), "too_large", "larger"),
        (response(b"x" * (MAX + 1), content_length=""), "too_large", "larger"),
        (response(b"%x\r\n%s\r\n0\r\n\r\n" % (MAX + 1, b"x" * (MAX + 1)), content_length="", transfer_encoding="chunked"),
         "too_large", "larger"),
        (response(gzip.compress(bytes(10**6)), content_encoding="gzip"), "wrong_type", "compressed"),
        (response(b"x", content_encoding="br, gzip"), "wrong_type", "compressed"),
        (response(b"x", content_type="text/html"), "wrong_type", "text/html"),
        (response(b"x", content_type=""), "wrong_type", "unknown"),
        (response(b"x", content_type="application/octet-stream"), "wrong_type", "octet"),
        (response(b"x", content_type="imagepng"), "wrong_type", "imagepng"),
        (response(b"x", status="404 N"), "status", "404"),
        (response(b"x", status="500 E"), "status", "500"),
        (response(b"x", status="206 P"), "status", "206"),
        (response(b"", status="304 N"), "status", "304"),
        (response(b"x", status="302 F"), "status", "302"),
        (b"hello\r\n\r\n", "unreachable", "HTTP"),
        (b"", "unreachable", "HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-type: image/png\r\n\r\nshort", "unreachable", "HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\ncontent-type: image/png\r\n\r\nshort", "unreachable", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 30000 + b"\r\n", "unreachable", "HTTP"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 200_000 + b"\r\n\r\n", "unreachable", "HTTP"),
    ],
)  # fmt: skip
def test_bad_answers(answer: bytes, code: str, words: str) -> None:
    with Listener(always(answer)) as listener:
        assert words in refused(guard(listener), f"http://127.0.0.1:{listener.port}/", code)


def test_a_body_of_the_largest_size_is_whole() -> None:
    with Listener(always(response(b"x" * MAX))) as listener:
        assert get(guard(listener), f"http://127.0.0.1:{listener.port}/")[0] == b"x" * MAX


def test_names_without_addresses_and_closed_ports() -> None:
    def fails(name: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    assert "reached" in refused(Guard(resolve=fails), "http://site.test/", "unreachable")
    assert "reached" in refused(guard(names={"site.test": [""]}), "http://site.test/", "unreachable")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    rules = Rules(allow=(f"127.0.0.1:{port}",))
    assert "reached" in refused(Guard(rules), f"http://127.0.0.1:{port}/", "unreachable")


def test_the_next_address_is_tried() -> None:
    with Listener(always(response(b"right"))) as listener:
        guarded = Guard(
            Rules(allow=(f"site.test:{listener.port}",)), resolve=lambda name, port: ["127.0.0.3", "127.0.0.1"]
        )
        assert get(guarded, f"http://site.test:{listener.port}/")[0] == b"right"


def test_posts_follow_no_redirect_and_read_no_body(trap: Listener) -> None:
    with Listener(
        always(response(b"x" * 10**6, status="302 F", location=f"http://127.0.0.2:{trap.port}/"))
    ) as listener:
        url = f"http://127.0.0.1:{listener.port}/hook"
        answer = guard(listener).post(url, content=b'{"a": 1}', headers={"Content-Type": "application/json"})
    assert answer.status == 302
    assert listener.requests[0].startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"Content-Length: 8\r\n" in listener.requests[0]
    assert listener.requests[0].endswith(b'\r\n\r\n{"a": 1}')


def test_check_asks_no_resolver() -> None:
    def never(name: str, port: int) -> Sequence[str]:
        raise AssertionError

    guarded = Guard(resolve=never)
    assert guarded.check("HTTPS://Example.com") == "https://example.com/"
    with pytest.raises(FetchError, match="^webhook_url: "):
        guarded.check("https://10.0.0.1/", field="webhook_url")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of site.test's own, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=site.test"
    names = ["-addext", "subjectAltName=DNS:site.test", "-keyout", f"{folder}/key", "-out", f"{folder}/cert"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return folder


def test_certificate_and_sni_are_the_name_s(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert", certificate / "key")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert"))
    with Listener(always(response(b"right")), tls=server) as listener:
        rules = Rules(allow=(f"127.0.0.1:{listener.port}",))

        def https(name: str, tls: ssl.SSLContext | None) -> str:
            return refused(
                Guard(rules, resolve=lambda name, port: ["127.0.0.1"], tls=tls),
                f"https://{name}:{listener.port}/",
                "unreachable",
            )

        guarded = Guard(rules, resolve=lambda name, port: ["127.0.0.1"], tls=trusting)
        assert get(guarded, f"https://site.test:{listener.port}/")[0] == b"right"
        assert listener.names == ["site.test"]
        assert "certificate" in https("other.test", trusting)
        assert "certificate" in https("site.test", None)


def test_https_doesn_t_become_http(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert", certificate / "key")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert"))
    with Listener(always(response())) as plain:
        answer = response(status="302 F", location=f"http://127.0.0.1:{plain.port}/")
        with Listener(always(answer), tls=server) as listener:
            rules = Rules(allow=(f"127.0.0.1:{listener.port}", f"127.0.0.1:{plain.port}"))
            guarded = Guard(rules, resolve=lambda name, port: ["127.0.0.1"], tls=trusting)
            assert "https to http" in refused(guarded, f"https://site.test:{listener.port}/")
    assert plain.connections == 0


def test_no_proxy_of_the_process_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(always(response(b"proxy"))) as proxy, Listener(always(response(b"right"))) as listener:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert get(guard(listener), f"http://127.0.0.1:{listener.port}/")[0] == b"right"
    assert proxy.connections == 0
