"""What the service can be told; every field has a default that needs no configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput, choices
from kinema.serve.jobs.commands import Limits

_CHECKS = ("block", "warn", "off")


def _home() -> Path:
    return Path.home() / ".local" / "share" / "kinema"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one server is set up.

    Args:
        data: folder of the database and the files.
        database: ``postgresql://...``; empty: SQLite in ``data``.
        host, port: what is listened to; ``public_url`` is how clients reach it, if that is another address.
        hosts: names that clients may use for this server; empty: those of a loopback address, or any where it listens elsewhere.
            A page of another site can't pretend to be one of them.
        models: shipped names, model folders or downloaded hub ids; the first is the default.
        device, workers: what carries out jobs, for estimates before any was.
        limits: of the queue.
        lease_s: how long a worker's word holds that it lives.
        checkpoint_every: denoising steps between two checkpoints.
        keep_outputs_s, keep_jobs_s, keep_events_s: how long files, finished jobs and their events stay.
        max_body_bytes: of one request, uploads included; ``max_headers`` counts its headers.
        max_streams: event streams that may be open at once.
        content_checks: what happens to a prompt that asks for what the checks object to: block, warn or off.
        fetch_allow: hosts (``name`` or ``name:port``) that may be fetched from although their addresses are private.

    Raises: InvalidInput.
    """

    data: Path = field(default_factory=_home)
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    hosts: Sequence[str] = ()
    models: Sequence[str] = ("kinema-mini",)
    device: str = "cpu"
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    lease_s: float = 10.0
    checkpoint_every: int = 5
    keep_outputs_s: float = 7 * 86400.0
    keep_jobs_s: float = 30 * 86400.0
    keep_events_s: float = 7 * 86400.0
    max_body_bytes: int = 32 * 1024 * 1024
    max_headers: int = 100
    max_streams: int = 2000
    content_checks: str = "block"
    fetch_allow: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_whole("port", self.port, least=0, most=65535)
        for name in ("workers", "checkpoint_every", "max_body_bytes", "max_headers", "max_streams"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("lease_s", "keep_outputs_s", "keep_jobs_s", "keep_events_s"):
            check_number(name, getattr(self, name), above=0)
        if not self.models:
            raise InvalidInput("models", (), "must name at least one")
        if self.content_checks not in _CHECKS:
            raise InvalidInput("content_checks", self.content_checks, f"must be {choices(_CHECKS)}")
        if self.public_url and urlsplit(self.public_url).scheme not in ("http", "https"):
            raise InvalidInput("public_url", self.public_url, "must begin with http:// or https://")

    @property
    def database_url(self) -> str:
        """Where jobs are kept."""
        return self.database or f"sqlite:///{self.data / 'jobs.db'}"

    @property
    def blobs(self) -> Path:
        """The folder of the files."""
        return self.data / "blobs"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def known_hosts(self) -> frozenset[str] | None:
        """The names that a request may be addressed to; None: any."""
        if not self.hosts and not self.is_loopback:
            return None
        public = urlsplit(self.public_url).hostname
        names = {"localhost", "127.0.0.1", "::1", self.host, *([public] if public else [])}
        return frozenset(name.lower().strip("[]") for name in {*names, *self.hosts})
