"""HTTP servers of tests that answer with whatever bytes a test wants, on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

Reply = Callable[[socket.socket, bytes], None]


class Listener:
    """Listens on a free port of ``host`` and answers each connection by ``reply(connection, request)``, in a thread of its own.

    ``requests`` are the heads and bodies that came, ``connections`` counts, ``names`` are those that TLS clients asked for.
    """

    def __init__(self, reply: Reply, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.names: list[str | None] = []
        self.connections = 0
        self._reply, self._tls = reply, tls
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._socket = socket.create_server((host, 0))
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        # wakes the thread that accepts
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with stream:
                request = read_request(stream)
                self.requests.append(request)
                self._reply(stream, request)


def read_request(connection: socket.socket) -> bytes:
    """The head of a request, and its body."""
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", 0)) and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


def response(body: bytes = b"picture", *, status: str = "200 OK", **headers: str) -> bytes:
    """The bytes of an answer; ``content_type=`` stands for the header Content-Type."""
    fields = {"content_type": "image/png", "content_length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def always(answer: bytes) -> Reply:
    """Answers everything with these bytes."""
    return lambda connection, _: connection.sendall(answer)
