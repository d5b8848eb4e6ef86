"""What the service can be told; every field has a default that needs no configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import InvalidInput, StorageError, choices, storage_errors
from kinema.serve.jobs.commands import Limits

# one of them is in every folder that a server was given
_OURS = {"blobs", "jobs.db"}
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
        batch: the most jobs of one plan that a worker denoises together.
        limits: of the queue.
        lease_s: how long a worker's word holds that it lives.
        checkpoint_every: denoising steps between two checkpoints.
        keep_outputs_s, keep_jobs_s, keep_events_s: how long files, finished jobs and their events stay.
        max_body_bytes: of one request, uploads included, which have to be here within ``max_body_s``; ``max_headers`` counts its headers.
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
    batch: int = 1
    limits: Limits = field(default_factory=Limits)
    lease_s: float = 10.0
    checkpoint_every: int = 5
    keep_outputs_s: float = 7 * 86400.0
    keep_jobs_s: float = 30 * 86400.0
    keep_events_s: float = 7 * 86400.0
    max_body_bytes: int = 32 * 1024 * 1024
    max_body_s: float = 60.0
    max_headers: int = 100
    max_streams: int = 2000
    content_checks: str = "block"
    fetch_allow: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_whole("port", self.port, least=0, most=65535)
        for name in ("workers", "batch", "checkpoint_every", "max_body_bytes", "max_headers", "max_streams"):
            check_whole(name, getattr(self, name), least=1)
        for name in ("lease_s", "keep_outputs_s", "keep_jobs_s", "keep_events_s", "max_body_s"):
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
        return _is_loopback(self.host)

    @property
    def opened_by(self) -> tuple[str, str] | None:
        """The setting and its value that let others than this machine's users ask, a proxy's clients too; None: nothing does."""
        names = [("host", self.host), *(("hosts", name) for name in self.hosts)]
        if self.public_url:
            names.append(("public_url", urlsplit(self.public_url).hostname or self.public_url))
        return next(((field, name) for field, name in names if not _is_loopback(name)), None)

    @property
    def known_hosts(self) -> frozenset[str] | None:
        """The names that a request may be addressed to; None: any."""
        if not self.hosts and not self.is_loopback:
            return None
        public = urlsplit(self.public_url).hostname
        names = {"localhost", "127.0.0.1", "::1", self.host, *([public] if public else [])}
        return frozenset(name.lower().strip("[]") for name in {*names, *self.hosts})


@contextmanager
def private_folder(folder: Path) -> Iterator[None]:
    """Makes ``folder``, this user's alone; what the process makes meanwhile, there and elsewhere, is so too.

    One that there is loses others' rights if it is this user's and has nothing in it, or a server's data.

    Raises: StorageError where files can't be made in it, or where others may look at what else it has.
    """
    before = os.umask(0o077)
    try:
        with storage_errors(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except FileExistsError as e:
                raise StorageError(f"{folder}: is a file; --data names a folder") from e
            found = folder.stat()
            if found.st_mode & 0o077 and found.st_uid == os.geteuid():
                names = {path.name for path in folder.iterdir()} - {"lost+found"}
                if names and not names & _OURS:
                    rule = (
                        "is open to others and has other things in it; name a folder of its own, or chmod 700 this one"
                    )
                    raise StorageError(f"{folder}: {rule}")
                folder.chmod(0o700)
            probe = folder / f".{os.getpid()}.probe"
            probe.touch()
            probe.unlink()
        yield
    finally:
        os.umask(before)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"
