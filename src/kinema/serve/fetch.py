"""HTTP for users, guarded: whatever they name, only what `Rules` permit is reached, and never more than the bounds are read.

The name is resolved once, every address that it has must be permitted, and the connection goes to one of these addresses: a name that
resolves to something else a moment later changes nothing. Certificate, SNI and ``Host`` are the name's. Redirects are followed by hand,
each through the same checks. No proxy, cookie or credential of this process takes part.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, BinaryIO
from urllib.parse import urljoin

import httpcore

from kinema.core.errors import FetchError
from kinema.core.version import VERSION
from kinema.serve.addresses import Address, Rules, Target

# the addresses of a name; the port is a hint that resolvers take
Resolve = Callable[[str, int], Sequence[str]]
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came: ``url`` after redirects, the media type that the server states, and how many bytes."""

    url: str
    media_type: str
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The status of an answer and its headers (names in lower case); its body is not read."""

    status: int
    headers: Mapping[str, str]


def system_resolve(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver gives. Raises: OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Fetches and posts within ``rules``. Safe among threads; each call has connections of its own."""

    def __init__(
        self, rules: Rules | None = None, *, resolve: Resolve = system_resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self.rules, self._resolve = rules or Rules(), resolve
        self._tls = tls

    def check(self, url: object, *, field: str = "url") -> str:
        """``url`` in its plainest spelling, if its form is allowed; asks no resolver. Raises: FetchError."""
        return self.rules.target(url, field=field).url

    def get(
        self,
        url: object,
        into: BinaryIO,
        *,
        max_bytes: int,
        timeout_s: float = 20.0,
        types: Collection[str] = ("image/", "video/"),
        field: str = "url",
    ) -> Fetched:
        """Writes what ``url`` gives to ``into``: at most ``max_bytes``, within ``timeout_s`` in all, of ``types`` (beginnings).

        After an error ``into`` may hold a part. Raises: FetchError naming ``field`` and ``url``.
        """
        call = _Call(self, field=field, value=url, timeout_s=timeout_s)
        target = self.rules.target(url, field=field)
        for _ in range(self.rules.max_redirects + 1):
            with call.request("GET", target, headers=_GET_HEADERS) as response:
                headers = _headers(response)
                if response.status in _REDIRECTS and "location" in headers:
                    target = call.redirected(target, headers["location"])
                    continue
                if response.status != 200:
                    raise call.error(f"the server answered {response.status} instead of 200", "status")
                media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                if not media_type.startswith(tuple(types)):
                    shown = media_type[:40] if media_type.isprintable() else "unprintable"
                    raise call.error(f"is of type {shown or 'unknown'}, not of {', '.join(types)}", "wrong_type")
                num_bytes = call.copy(response, headers, into, max_bytes)
                return Fetched(url=target.url, media_type=media_type, num_bytes=num_bytes)
        raise call.error(f"redirects more than {self.rules.max_redirects} times")

    def post(
        self, url: object, *, content: bytes, headers: Mapping[str, str], timeout_s: float = 15.0, field: str = "url"
    ) -> Answer:
        """The answer's head; redirects are not followed. Raises: FetchError."""
        call = _Call(self, field=field, value=url, timeout_s=timeout_s)
        with call.request("POST", self.rules.target(url, field=field), headers=headers, content=content) as response:
            return Answer(status=response.status, headers=_headers(response))

    def addresses(self, target: Target, *, within_s: float) -> list[Address]:
        """The addresses of ``target``, all of which may be reached. Raises: FetchError without field; OSError."""
        literal = target.address
        found = [literal] if literal else [ip_address(a) for a in self._ask(target, within_s)]
        if not found:
            raise OSError("the name has no address")
        for address in found:
            if not self.rules.permits(target, address):
                raise FetchError("", target.host, "leads to an address that is not public")
        return found

    def tls(self) -> ssl.SSLContext:
        """The trust in servers, read from the system once."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _ask(self, target: Target, within_s: float) -> Sequence[str]:
        # resolvers take no time limit: one that hangs is left behind
        answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(target.host, target.port))
            except Exception as e:
                answers.put(e)

        threading.Thread(target=ask, daemon=True, name="resolve").start()
        try:
            answer = answers.get(timeout=max(0.0, within_s))
        except queue.Empty:
            raise TimeoutError("the name was not resolved in time") from None
        if isinstance(answer, Exception):
            raise OSError("the name can't be resolved") from answer
        return answer


class _Call:
    """One call of a user's: its time, and its errors, which say no more than what the user may know."""

    def __init__(self, guard: Guard, *, field: str, value: object, timeout_s: float) -> None:
        self._guard, self._field, self._value = guard, field, value
        self._timeout_s, self._end = timeout_s, time.monotonic() + timeout_s

    def error(self, rule: str, code: str = "refused") -> FetchError:
        return FetchError(self._field, self._value, rule, code=code)

    def left_s(self) -> float:
        """Raises: TimeoutError when there is none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def redirected(self, target: Target, location: str) -> Target:
        try:
            new = self._guard.rules.target(urljoin(target.url, location), field=self._field)
        except (FetchError, ValueError) as e:
            rule = e.rule if isinstance(e, FetchError) else "is not a URL"
            raise self.error(f"redirects to what may not be fetched: it {rule}") from e
        if target.scheme == "https" and new.scheme != "https":
            raise self.error("redirects from https to http")
        return new

    def request(
        self, method: str, target: Target, *, headers: Mapping[str, str], content: bytes | None = None
    ) -> _Response:
        return _Response(self, self._guard, method, target, headers, content)

    def copy(self, response: httpcore.Response, headers: Mapping[str, str], into: BinaryIO, max_bytes: int) -> int:
        """How many bytes were copied."""
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise self.error("is sent compressed, which was not asked for", "wrong_type")
        too_large = self.error(f"is larger than {max_bytes:,} bytes", "too_large")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > max_bytes:
            raise too_large
        num_bytes = 0
        for chunk in response.iter_stream():
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                raise too_large
            into.write(chunk)
        return num_bytes

    def late(self) -> FetchError:
        return self.error(f"gave no whole answer within {self._timeout_s:g} s", "timeout")


class _Response:
    """An open answer, as a context; what goes wrong in it becomes a `FetchError`."""

    def __init__(
        self, call: _Call, guard: Guard, method: str, target: Target, headers: Mapping[str, str], content: bytes | None
    ) -> None:
        self._call, self._guard, self._target = call, guard, target
        fields = {"Host": target.authority, "User-Agent": f"kinema/{VERSION}", "Connection": "close", **headers}
        if content is not None:
            fields["Content-Length"] = str(len(content))
        self._request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
            ),
            headers=list(fields.items()),
            content=content,
        )

    def __enter__(self) -> httpcore.Response:
        context = self._guard.tls() if self._target.scheme == "https" else None
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, network_backend=_Pinned(self._call, self._guard, self._target)
        )
        try:
            self._response = self._pool.handle_request(self._request)
        except BaseException as e:
            self._pool.close()
            self._tell(e)
            raise
        return self._response

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        del kind, trace
        self._response.close()
        self._pool.close()
        if error is not None:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Raises: FetchError in the place of the network's errors."""
        match error:
            case FetchError(field=""):
                raise self._call.error(error.rule, error.code) from error
            case TimeoutError() | httpcore.TimeoutException():
                raise self._call.late() from error
            case OSError() | httpcore.NetworkError() | httpcore.ProtocolError():
                rule = "the server can't be reached or speaks no HTTP"
                if any(isinstance(e, ssl.SSLError) for e in (error, *error.args)):
                    rule = "the server's certificate is not trusted, or it speaks no TLS"
                raise self._call.error(rule, "unreachable") from error
            case _:
                pass


class _Pinned(httpcore.NetworkBackend):
    """Connects to the checked addresses of one target, whatever its name says afterwards; every wait ends with the call's time."""

    def __init__(self, call: _Call, guard: Guard, target: Target) -> None:
        self._call, self._guard, self._target = call, guard, target
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address that takes it."""
        del timeout
        assert (host, port) == (self._target.host, self._target.port)
        failure: Exception = OSError("no address")
        for address in self._guard.addresses(self._target, within_s=self._call.left_s()):
            try:
                stream = self._plain.connect_tcp(str(address), port, self._call.left_s(), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as e:
                failure = e
                continue
            return _Timed(stream, self._call)
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Never."""
        raise AssertionError(path, timeout, socket_options)


class _Timed(httpcore.NetworkStream):
    """A stream whose every read and write ends with the call's time: one that drips doesn't outlast it."""

    def __init__(self, stream: httpcore.NetworkStream, call: _Call) -> None:
        self._stream, self._call = stream, call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        return self._stream.read(min(max_bytes, _CHUNK), self._call.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends all of it."""
        self._stream.write(buffer, self._call.left_s())

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same under TLS, with the name's certificate."""
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, self._call.left_s()), self._call)

    def get_extra_info(self, info: str) -> Any:
        """What the stream says of itself."""
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        """Ends it."""
        self._stream.close()


_GET_HEADERS = {"Accept": "image/*, video/*;q=0.9, */*;q=0.1", "Accept-Encoding": "identity"}


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
