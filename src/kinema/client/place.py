"""Where the server is, and the key for it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from kinema.core.errors import InvalidInput

C = TypeVar("C")
DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server's address, without ``/v1``, and the API key that is sent to it, if any."""

    url: str
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request. Encoded answers can't be gone on with at a byte, nor followed as they come."""
        key = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return {"kinema-dialect": "native", "accept-encoding": "identity", **key}

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, to which no proxy leads."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


def find_place(url: str | None, key: str | None) -> Place:
    """What is named, or else what KINEMA_URL and KINEMA_API_KEY name, or `DEFAULT_URL`. Raises: InvalidInput."""
    url = url or os.environ.get("KINEMA_URL") or DEFAULT_URL
    key = key or os.environ.get("KINEMA_API_KEY") or None
    rule = "must be the address of a server, such as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # as a resolver will have it: labels of 1 to 63 characters
        (parts.hostname or "").encode("idna")
    except ValueError as e:
        raise InvalidInput("url", url, rule) from e
    if not is_fine or parts.query or parts.fragment or "@" in parts.netloc or not (url.isascii() and url.isprintable()):
        raise InvalidInput("url", url, rule)
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidInput("api_key", "...", "must be a key as `kinema keys create` shows it")
    # as clients of OpenAI's have it
    return Place(url=url.rstrip("/").removesuffix("/v1"), key=key)


def open_http(make: Callable[..., C], place: Place, *, timeout_s: float, transport: object) -> C:
    """A client of httpx for ``place``, which ``make`` makes. Raises: InvalidInput for a proxy of the environment that can't be one."""
    # reading the system's certificates takes a tenth of a second, and http has no use for them
    plain = {} if place.url.startswith("https:") else {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    try:
        return make(
            base_url=place.url,
            headers=place.headers,
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            trust_env=not place.is_loopback,
            transport=transport,
            **plain,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as e:
        names = [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")]
        if not names:
            raise
        raise InvalidInput("proxy", ", ".join(names), f"can't be used ({e}); unset it, or name an http:// proxy") from e
