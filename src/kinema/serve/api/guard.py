"""What stands before every route: limits, who may address this server, and what is measured of each request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kinema.serve.api.metrics import Meters
from kinema.serve.api.problems import ApiError
from kinema.serve.settings import Settings

try:
    from opentelemetry import propagate, trace
except ImportError:
    trace = propagate = None

_MAX_PATH = 2048


class Guard:
    """Refuses what no route shall see, and counts, times and traces the rest."""

    def __init__(self, app: ASGIApp, *, settings: Settings, meters: Meters) -> None:
        self.app, self.settings, self.meters = app, settings, meters
        self._hosts = settings.known_hosts
        public = urlsplit(settings.public_url)
        self._public_origin = f"{public.scheme}://{public.netloc}".lower() if settings.public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # a file of ours is never another site's page
                message.setdefault("headers", []).append((b"x-content-type-options", b"nosniff"))
            await send(message)

        with _span(scope) as span:
            try:
                headers = Headers(scope=scope)
                self._check(scope, headers)
                await self.app(scope, self._bounded(receive), told)
            except ApiError as e:
                await e.response()(scope, receive, told)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                # event streams last as long as their readers like
                if not route.endswith("/events"):
                    self.meters.seconds.labels(scope["method"][:8], route, str(status)).observe(
                        time.perf_counter() - start
                    )
                if span is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attributes({"http.route": route, "http.response.status_code": status})

    def _check(self, scope: Scope, headers: Headers) -> None:
        if len(scope["headers"]) > self.settings.max_headers:
            message = f"{len(scope['headers'])} headers; at most {self.settings.max_headers} are read"
            raise ApiError(431, "request.too_many_headers", message)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_PATH:
            raise ApiError(414, "request.too_long", f"the path has more than {_MAX_PATH} characters")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self.settings.max_body_bytes:
            raise self._too_large()
        host, port = _place(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            # a page of another site whose name was made to point here
            message = (
                f"this server does not answer to {host[:100]!r}; it is set up for {', '.join(sorted(self._hosts))}"
            )
            raise ApiError(421, "request.unknown_host", message, field="Host")
        origin = headers.get("origin")
        if (
            origin is not None
            and scope["method"] not in ("GET", "HEAD", "OPTIONS")
            and not self._is_ours(origin, host, port)
        ):
            message = "pages of other sites may not change anything here"
            raise ApiError(403, "request.foreign_origin", message, field="Origin")

    def _is_ours(self, origin: str, host: str, port: int | None) -> bool:
        if origin == self._public_origin:
            return True
        scheme, _, rest = origin.partition("://")
        name, own_port = _place(rest)
        usual = {"http": 80, "https": 443}.get(scheme)
        # two names of a loopback address are two origins to a browser, and one server; another port is another server
        is_name = bool(name) and (name == host or name in (self._hosts or ()))
        return is_name and (own_port or usual) == (port or usual)

    def _too_large(self) -> ApiError:
        return ApiError(413, "body.too_large", f"the body has more than {self.settings.max_body_bytes} bytes")

    def _bounded(self, receive: Receive) -> Receive:
        read, is_whole, end = 0, False, anyio.current_time() + self.settings.max_body_s

        async def bounded() -> Message:
            nonlocal read, is_whole
            if is_whole:
                # what is waited for is that the client hangs up
                return await receive()
            try:
                with anyio.fail_after(end - anyio.current_time()):
                    message = await receive()
            except TimeoutError:
                message = f"the body was not here within {self.settings.max_body_s:g} s"
                raise ApiError(408, "body.too_slow", message, retryable=True) from None
            read += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if read > self.settings.max_body_bytes:
                raise self._too_large()
            return message

        return bounded


def _place(netloc: str) -> tuple[str, int | None]:
    """Host and port; an empty host where they are none."""
    try:
        parts = urlsplit(f"//{netloc}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def _span(scope: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """A span of the request, under its caller's; without the library, or one that isn't set up, it costs next to nothing."""
    if trace is None or propagate is None:
        return nullcontext()
    carrier = {
        k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k in (b"traceparent", b"tracestate")
    }
    tracer = trace.get_tracer("kinema.serve")
    attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
    return tracer.start_as_current_span(
        scope["method"], context=propagate.extract(carrier), kind=trace.SpanKind.SERVER, attributes=attributes
    )
