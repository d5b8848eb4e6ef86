"""Which URLs and addresses a server may reach for a user: schemes, ports, names in every spelling, addresses. Pure: asks no resolver."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from kinema.core.errors import FetchError, InvalidInput, choices

Address = IPv4Address | IPv6Address
MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}
_PATH = "/%:@!$&'()*+,;=~-._"
_AUTHORITY = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]{1,5})?)?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")

# What isn't the public internet. Source: IANA's special-purpose registries for IPv4 and IPv6. Own lists, since `ipaddress.is_global`
# differs between versions of Python.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
# the one block that is given out; loopback, mapped, NAT64, unique local, link-local and multicast are outside it
_PUBLIC_6 = IPv6Network("2000::/3")
# Teredo, ORCHID and benchmarks; documentation; 6to4, which leads to any IPv4 address
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def is_public(address: Address) -> bool:
    """Whether ``address`` is one of the public internet; tunnels and translations to IPv4 are not."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a URL leads. ``host`` is a name in ASCII, or an address; ``path`` what the server is asked for, query included."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> Address | None:
        """The address, if the URL names one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """The host as the ``Host`` header gives it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, in its plainest spelling."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """A private target that the operator names: a host's name or a network; ``port`` None: those of `Rules`."""

    host: str | None = None
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """From ``NAME``, ``NAME:PORT``, ``ADDRESS``, ``ADDRESS:PORT``, ``[IPV6]:PORT``, ``NETWORK/BITS``. Raises: InvalidInput."""
        found = re.fullmatch(
            r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d{1,5}))?|(?P<bare>[0-9a-fA-F:/]+)", text
        )
        rule = "must be a name, an address or a network such as 10.0.0.0/8, a port behind it if wanted"
        if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
            raise InvalidInput("allow", text, rule)
        host, port = found["six"] or found["host"] or found["bare"], int(found["port"]) if found["port"] else None
        try:
            return cls(network=ip_network(host), port=port)
        except ValueError as e:
            if "/" in host or found["host"] is None or not _is_name(host.lower()):
                raise InvalidInput("allow", text, rule) from e
        return cls(host=host.lower().rstrip("."), port=port)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What may be reached: https and http, ``ports``, and the public internet; and what ``allow`` names, be it private (see `Allowed`).

    Raises: InvalidInput.
    """

    schemes: tuple[str, ...] = ("https", "http")
    ports: tuple[int, ...] = (443, 80)
    allow: tuple[str, ...] = ()
    max_redirects: int = 3
    _allowed: tuple[Allowed, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            if scheme not in _PORTS:
                raise InvalidInput("schemes", scheme, f"must be {choices(_PORTS)}")
        object.__setattr__(self, "_allowed", tuple(map(Allowed.parse, self.allow)))

    def target(self, url: object, *, field: str = "url") -> Target:
        """Where ``url`` leads, if its spelling, scheme and port are allowed. Raises: FetchError that names ``field``."""
        target = parse(url, field=field)
        if target.scheme not in self.schemes:
            raise FetchError(field, url, f"must begin with {' or '.join(f'{s}://' for s in self.schemes)}")
        ports = {*self.ports, *(a.port for a in self._allowed if a.port)}
        if target.port not in ports:
            raise FetchError(field, url, f"port {target.port} is not allowed; {choices(sorted(self.ports))} are")
        if (address := target.address) is not None and not self.permits(target, address):
            raise FetchError(field, url, "leads to an address that is not public")
        return target

    def permits(self, target: Target, address: Address) -> bool:
        """Whether ``target`` may be reached at ``address``."""
        for a in self._allowed:
            is_port = target.port == a.port if a.port else target.port in self.ports
            if is_port and (target.host == a.host or (a.network is not None and address in a.network)):
                return True
        return target.port in self.ports and is_public(address)


def parse(url: object, *, field: str = "url") -> Target:
    """Where an http or https URL leads; only spellings that all programs read alike are taken. Raises: FetchError naming ``field``."""

    def refuse(rule: str) -> FetchError:
        return FetchError(field, url, rule)

    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL:
        raise refuse(f"must be a URL of at most {MAX_URL} characters")
    # where programs disagree: white space, control characters, backslashes
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise refuse("must not contain white space, control characters or backslashes")
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise refuse("is not a URL") from e
    if parts.scheme not in _PORTS or not parts.netloc:
        raise refuse("must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise refuse("must not carry a user name or password")
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None:
        raise refuse("has a host or port that is none")
    port = int(found["port"]) if found["port"] else _PORTS[parts.scheme]
    if not 0 < port < 65536:
        raise refuse("has a port that is none")
    host = _four_or_name(found["host"], refuse) if found["six"] is None else _six(found["six"], refuse)
    path = quote(parts.path or "/", safe=_PATH) + (f"?{quote(parts.query, safe=_PATH + '?')}" if parts.query else "")
    return Target(scheme=parts.scheme, host=host, port=port, path=path)


def _six(host: str, refuse: Callable[[str], FetchError]) -> str:
    try:
        address = IPv6Address(host)
    except ValueError as e:
        raise refuse("has an address in brackets that is none") from e
    if address.scope_id is not None:
        raise refuse("must not name a network interface (zone)")
    return str(address)


def _four_or_name(host: str, refuse: Callable[[str], FetchError]) -> str:
    host = host.lower()
    if not host.isascii():
        try:
            # full-width digits, other dots and the like become what they stand for
            host = host.encode("idna").decode("ascii")
        except UnicodeError as e:
            raise refuse("has a host name that can't be written in ASCII") from e
    host = host[:-1] if host.endswith(".") else host
    # 127.1, 0x7f000001, 017700000001: addresses to some programs and names to others
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(host))
        except ValueError as e:
            raise refuse("must write an address as four decimal numbers without leading zeros") from e
    if not _is_name(host):
        raise refuse("has a host that is no name and no address")
    return host


def _is_name(host: str) -> bool:
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))
