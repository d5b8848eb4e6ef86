"""A real server with a fake worker, a line to it that can be cut, and both clients behind one face."""

from __future__ import annotations

import inspect
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from kinema.client import AsyncClient, Client, talk
from tests.serve.api.conftest import Server, running

_OWNERS = iter(range(10**6))


class Line:
    """A way to a server on which answers break off: ``cuts[WORDS]`` are how many bytes of the answers to requests with these words come
    through, one by one; whatever is left is whole. A negative number holds the answer back for ever. ``heads`` are what was asked.
    """

    def __init__(self, url: str) -> None:
        self._to = int(url.rpartition(":")[2])
        self.cuts: dict[str, list[int]] = defaultdict(list)
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def asked(self, words: str) -> list[str]:
        """The heads of requests with ``words`` in their first line."""
        return [head for head in self.heads if words in head.partition("\r\n")[0]]

    def close(self) -> None:
        for end in self._open:
            # a thread that waits in it is woken by this alone
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                left: list[int | None] = [None]
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(near, far, left), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket, left: list[int | None]) -> None:
        with suppress(OSError):
            while data := near.recv(1 << 20):
                if data.startswith((b"GET ", b"POST ", b"DELETE ")):
                    self.heads.append(data.partition(b"\r\n\r\n")[0].decode())
                    line = self.heads[-1].partition("\r\n")[0]
                    left[0] = next((cuts.pop(0) for words, cuts in self.cuts.items() if words in line and cuts), None)
                far.sendall(data)
        with suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)

    def _down(self, near: socket.socket, far: socket.socket, left: list[int | None]) -> None:
        with suppress(OSError):
            while data := far.recv(1 << 12):
                if left[0] is not None:
                    data = data[: max(0, left[0])]
                    near.sendall(data)
                    left[0] -= len(data)
                    if left[0] == 0:
                        break
                else:
                    near.sendall(data)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


class Awaited:
    """An `AsyncClient` or `AsyncJob` whose methods can be called from here."""

    def __init__(self, thing: Any, portal: BlockingPortal) -> None:
        self._thing, self._portal = thing, portal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if not inspect.iscoroutinefunction(value) and not inspect.isasyncgenfunction(value):
            return value

        def call(*args: Any, **more: Any) -> Any:
            found = value(*args, **more)
            if inspect.isasyncgen(found):
                return self._each(found)
            return self._wrapped(self._portal.call(_awaited, found))

        return call

    def _each(self, found: Any) -> Iterator[Any]:
        with suppress(StopAsyncIteration):
            while True:
                yield self._wrapped(self._portal.call(_awaited, anext(found)))

    def _wrapped(self, value: Any) -> Any:
        # jobs come back as themselves, or as others of their kind
        return Awaited(value, self._portal) if type(value).__name__ == "AsyncJob" else value


async def _awaited(found: Any) -> Any:
    return await found


Connect = Callable[..., Any]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of clients."""
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    found = Line(server.url)
    yield found
    found.close()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: Server) -> Iterator[Connect]:
    """Makes a client of a new owner's, of the kind that the test runs for."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal()) if request.param == "async" else None

        def made(url: str = server.url, key: str | None = None, **more: Any) -> Any:
            key = key or f"client{next(_OWNERS)}"
            if portal is None:
                return stack.enter_context(Client(url, key, **more))
            client = portal.call(lambda: AsyncClient(url, key, **more))
            stack.callback(portal.call, client.close)
            return Awaited(client, portal)

        yield made


@pytest.fixture
def client(connect: Connect) -> Any:
    return connect()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits does so for a hundredth of the time."""
    real = talk.Sleep
    monkeypatch.setattr(talk, "Sleep", lambda seconds: real(seconds / 100))


@pytest.fixture
def whole(server: Server) -> bytes:
    """What every clip is."""
    return Path(server.worker.files["video"][0]).read_bytes()
