"""API keys: who asks, what they may do, and how much. In the database, so that every replica knows of a revocation at once.

A key reads ``kin_ID_SECRET``. Its secret has 256 random bits, and SHA-256 of it is what is stored: no list of likely secrets can be
tried, so a slow hash would protect nothing and cost every request. Quotas (jobs and seconds of video a day, jobs that wait) are counted in
the transaction that makes the job and are exact over replicas. The rate of requests is counted in each process: with n replicas behind a
balancer up to n times as many pass.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from kinema.core.checks import check_number, check_whole
from kinema.core.errors import AccessError, InvalidInput, choices
from kinema.core.jobs import JobState
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.job import Job, check_text
from kinema.serve.jobs.reading import retry_after_s
from kinema.serve.jobs.schema import api_keys, jobs, key_usage

SCOPES = ("submit", "read", "cancel", "admin")
LOCAL_OWNER = "local"
_TOKEN = re.compile(r"kin_([0-9a-f]{12})_([0-9a-f]{64})")
_DAY_S = 86400


@dataclass(frozen=True, kw_only=True)
class KeyLimits:
    """What a key may use: requests a second on average and at once, jobs and seconds of video a day (UTC), jobs of its owner that wait.

    None: as much as the server has. Jobs of higher priority go before everybody's, so that a key may ask for ``max_priority`` at most.
    Raises: InvalidInput.
    """

    requests_per_s: float | None = 50.0
    burst: int = 100
    jobs_per_day: int | None = None
    seconds_per_day: float | None = None
    queued: int | None = None
    max_priority: int = 0

    def __post_init__(self) -> None:
        check_whole("burst", self.burst, least=1, most=10**6)
        check_whole("max_priority", self.max_priority, least=-100, most=100)
        for name in ("jobs_per_day", "queued"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=0, most=10**9)
        if self.requests_per_s is not None:
            check_number("requests_per_s", self.requests_per_s, above=0, most=1e6)
        if self.seconds_per_day is not None:
            check_number("seconds_per_day", self.seconds_per_day, least=0, most=1e9)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever asks: whose jobs these are, and what is allowed. ``key_id`` is None for the local user of a server without keys."""

    owner: str
    scopes: frozenset[str]
    key_id: str | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it may be shown. Times are seconds since 1970."""

    id: str
    owner: str
    name: str
    scopes: tuple[str, ...]
    limits: KeyLimits
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def to_dict(self) -> dict[str, Any]:
        """It, JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Jobs and seconds of video that count for a day."""

    jobs: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """It, JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key and, this once, the token that its holder sends."""

    key: ApiKey
    token: str


def create_key(
    database: Database,
    *,
    owner: str,
    name: str = "",
    scopes: Collection[str] = ("submit", "read", "cancel"),
    limits: KeyLimits | None = None,
    valid_s: float | None = None,
) -> NewKey:
    """A new key of ``owner``, good for ``valid_s`` seconds or until it is revoked. Raises: InvalidInput."""
    check_text("owner", owner)
    check_text("name", name, least=0)
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidInput("scopes", scope, f"must be {choices(SCOPES)}")
    if not scopes:
        raise InvalidInput("scopes", "", f"must name at least {choices(SCOPES)}")
    if valid_s is not None:
        check_number("valid_s", valid_s, above=0, most=1e10)
    secret = secrets.token_hex(32)
    with database.write() as (connection, now):
        row = {
            "id": secrets.token_hex(6),
            "owner": owner,
            "name": name,
            "secret_sha256": _hash(secret),
            "scopes": [s for s in SCOPES if s in scopes],
            "limits": asdict(limits or KeyLimits()),
            "created_at": now,
            "expires_at": None if valid_s is None else now + valid_s,
            "revoked_at": None,
        }
        connection.execute(insert(api_keys).values(row))
    return NewKey(key=_key(row), token=f"kin_{row['id']}_{secret}")


def list_keys(database: Database, *, owner: str | None = None) -> list[ApiKey]:
    """All keys, or ``owner``'s, oldest first; those that are over too."""
    query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
    with database.read() as (connection, _):
        rows = connection.execute(query if owner is None else query.where(api_keys.c.owner == owner)).mappings()
        return [_key(row) for row in rows]


def revoke_key(database: Database, key_id: str) -> ApiKey:
    """The key, which opens nothing from now on. Asked twice it is the same. Raises: InvalidInput if there is none."""
    with database.write() as (connection, now):
        is_it = api_keys.c.id == key_id
        connection.execute(update(api_keys).where(is_it, api_keys.c.revoked_at.is_(None)).values(revoked_at=now))
        row = connection.execute(select(api_keys).where(is_it)).mappings().one_or_none()
    if row is None:
        raise InvalidInput("key", key_id, "is no key's id; `kinema keys list` shows them")
    return _key(row)


def check_bind(database: Database, opened_by: tuple[str, str] | None) -> None:
    """Raises: InvalidInput where a server that others can reach (``opened_by``: the setting and its value) has no key that opens it."""
    if opened_by is None:
        return
    with database.read() as (connection, now):
        is_good = api_keys.c.revoked_at.is_(None) & (api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now))
        if connection.execute(select(api_keys.c.id).where(is_good).limit(1)).first() is None:
            rule = "lets other machines in, and there is no API key; `kinema keys create OWNER` makes one, or serve 127.0.0.1 alone"
            raise InvalidInput(*opened_by, rule)


class Authenticator:
    """The header ``Authorization`` -> `Caller`; safe among threads. Raises: AccessError.

    A server that only this machine can reach (``is_loopback``) asks for no key before the first was made; revoked ones count.
    ``clock`` (seconds) is that of the rate of requests.
    """

    def __init__(self, database: Database, *, is_loopback: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._is_loopback, self._clock = database, is_loopback, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, authorization: str | None) -> Caller:
        """Who asks. Raises: AccessError."""
        kind, _, token = (authorization or "").strip().partition(" ")
        found = _TOKEN.fullmatch(token.strip()) if kind.lower() == "bearer" else None
        with self._database.read() as (connection, now):
            row = None
            if found is not None:
                row = connection.execute(select(api_keys).where(api_keys.c.id == found[1])).mappings().one_or_none()
            # one comparison whether or not there is such a key
            secret, stored = found[2] if found is not None else "", row["secret_sha256"] if row is not None else ""
            if not hmac.compare_digest(_hash(secret), stored) or row is None:
                self._check_none_needed(connection, authorization)
                return Caller(owner=LOCAL_OWNER, scopes=frozenset(SCOPES))
        if row["revoked_at"] is not None:
            raise AccessError("this API key was revoked")
        if row["expires_at"] is not None and row["expires_at"] <= now:
            raise AccessError("this API key has expired")
        key = _key(row)
        self._take(key)
        return Caller(owner=key.owner, scopes=frozenset(key.scopes), key_id=key.id, limits=key.limits)

    def _check_none_needed(self, connection: Connection, authorization: str | None) -> None:
        # some clients always send something
        if self._is_loopback and connection.execute(select(api_keys.c.id).limit(1)).first() is None:
            return
        if not authorization:
            raise AccessError("send an API key: Authorization: Bearer kin_...", code="auth.missing")
        raise AccessError("this is no API key of this server")

    def _take(self, key: ApiKey) -> None:
        """A token out of the key's bucket, which fills at ``requests_per_s`` up to ``burst``. Raises: AccessError."""
        rate = key.limits.requests_per_s
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            left, at = self._buckets.get(key.id, (float(key.limits.burst), now))
            left = min(float(key.limits.burst), left + (now - at) * rate)
            self._buckets[key.id] = (max(0.0, left - 1) if left >= 1 else left, now)
        if left < 1:
            message = f"more than {rate:g} requests a second and {key.limits.burst} at once"
            raise AccessError(message, code="rate.requests", retry_after_s=(1 - left) / rate)


def charge(caller: Caller, *, seconds: float) -> Callable[[Connection, Job, float], None]:
    """What ``JobStore.submit`` runs with the new job of ``seconds`` of video: counts it, or raises AccessError and there is no job."""

    def within(connection: Connection, job: Job, now: float) -> None:
        limits = caller.limits
        if limits.queued is not None:
            mine = (jobs.c.owner == job.order.owner, jobs.c.status == JobState.QUEUED.value)
            waiting = connection.scalar(select(func.count()).select_from(jobs).where(*mine)) or 0
            if waiting > limits.queued:
                message = f"{waiting - 1} jobs of this owner are waiting, and {limits.queued} may"
                raise AccessError(message, code="quota.queued", retry_after_s=retry_after_s(connection))
        if caller.key_id is not None:
            _count(connection, caller.key_id, limits, seconds, now)

    return within


def recharge(caller: Caller, seconds: Callable[[Job], float]) -> Callable[[Connection, Job, Job, float], None]:
    """What ``JobStore.apply`` runs with a job that ``caller`` changes: counts by how much more or fewer ``seconds`` it has now.

    Raises AccessError, and nothing is changed, where they don't fit.
    """

    def within(connection: Connection, before: Job, after: Job, now: float) -> None:
        if caller.key_id is not None:
            _count(connection, caller.key_id, caller.limits, seconds(after) - seconds(before), now, num_jobs=0)

    return within


def usage(database: Database) -> dict[str, Usage]:
    """What each key, by its id, has had today (UTC); those that had nothing are left out."""
    with database.read() as (connection, now):
        rows = connection.execute(select(key_usage).where(key_usage.c.day == int(now // _DAY_S))).mappings()
        return {row["key_id"]: Usage(jobs=row["jobs"], seconds=row["seconds"]) for row in rows}


def _count(
    connection: Connection, key_id: str, limits: KeyLimits, seconds: float, now: float, *, num_jobs: int = 1
) -> None:
    day, left_s = int(now // _DAY_S), _DAY_S - now % _DAY_S
    is_it = (key_usage.c.key_id == key_id, key_usage.c.day == day)
    row = connection.execute(select(key_usage).where(*is_it)).mappings().one_or_none()
    had_jobs, had_seconds = (row["jobs"], row["seconds"]) if row is not None else (0, 0.0)
    if limits.jobs_per_day is not None and had_jobs + num_jobs > limits.jobs_per_day:
        message = f"this key had its {limits.jobs_per_day} jobs of the day"
        raise AccessError(message, code="quota.jobs", retry_after_s=left_s)
    # fewer always fit
    if limits.seconds_per_day is not None and seconds > 0 and had_seconds + seconds > limits.seconds_per_day:
        message = f"this key had {had_seconds:g} of its {limits.seconds_per_day:g} seconds of video a day; {seconds:g} more don't fit"
        raise AccessError(message, code="quota.seconds", retry_after_s=left_s)
    # a job of yesterday that is shorter today gives today nothing below none
    values = {"jobs": had_jobs + num_jobs, "seconds": max(0.0, had_seconds + seconds)}
    # nobody else counts meanwhile: jobs are made, and changed, one at a time
    if row is None:
        connection.execute(insert(key_usage).values(key_id=key_id, day=day, **values))
    else:
        connection.execute(update(key_usage).where(*is_it).values(values))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: RowMapping | dict[str, Any]) -> ApiKey:
    names = ("id", "owner", "name", "created_at", "expires_at", "revoked_at")
    return ApiKey(**{n: row[n] for n in names}, scopes=tuple(row["scopes"]), limits=KeyLimits(**row["limits"]))
