"""Where events go: endpoints of an owner, and of single jobs; their secrets, of which two may live at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from kinema.core.checks import check_number
from kinema.core.errors import InvalidInput, KinemaError
from kinema.core.jobs import JobState
from kinema.serve.fetch import Guard
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.ids import new_id
from kinema.serve.jobs.job import Job, check_text
from kinema.serve.jobs.schema import jobs, webhook_cursors, webhook_endpoints, webhook_secrets
from kinema.serve.webhooks.messages import DEFAULT_KINDS, check_kinds
from kinema.serve.webhooks.signing import new_secret

PREFIX = "whe_"
MAX_ENDPOINTS = 20
KEEP_OLD_SECRET_S = 86400.0
_UNFINISHED = [state.value for state in (JobState.QUEUED, JobState.RUNNING, JobState.CANCELING)]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A receiver. ``failures``: tries in a row that failed; ``disabled_reason``: why it is off, if it is."""

    id: str
    owner: str
    url: str
    description: str
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: str | None
    failures: int
    created_at: float


class OldSecretLive(KinemaError):
    """A secret can't be changed again yet; it can in ``retry_after_s``."""

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__("the secret before this one still signs; keep_old_seconds: 0 ends it, and this one, at once")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What messages are signed with; ``old`` too until ``old_until``."""

    current: str
    old: str | None = None
    old_until: float | None = None

    def live(self, now: float) -> tuple[str, ...]:
        """Those that sign at ``now``."""
        is_old_live = self.old is not None and self.old_until is not None and now < self.old_until
        return (self.current, self.old) if is_old_live and self.old is not None else (self.current,)


def create_endpoint(
    database: Database,
    guard: Guard,
    *,
    owner: str,
    url: str,
    events: Collection[str] = DEFAULT_KINDS,
    description: str = "",
) -> Endpoint:
    """A new endpoint, which hears of ``owner``'s jobs from now on, those under way included. Raises: InvalidInput, FetchError."""
    check_text("description", description, least=0)
    fields = {"url": guard.check(url), "events": list(check_kinds(events)), "description": description}
    # alone: no job slips in between its two halves
    with database.write(alone=True) as (connection, now):
        of_owner = (webhook_endpoints.c.owner == owner, webhook_endpoints.c.job_id.is_(None))
        count = connection.scalar(select(func.count()).select_from(webhook_endpoints).where(*of_owner))
        if (count or 0) >= MAX_ENDPOINTS:
            raise InvalidInput("webhooks", count, f"an owner has at most {MAX_ENDPOINTS} endpoints; delete one")
        row = _insert(connection, now, owner=owner, job_id=None, **fields)
        connection.execute(insert(webhook_secrets).values(holder=row["id"], secret=new_secret()))
        heard = select(webhook_cursors.c.job_id)
        unheard = (jobs.c.owner == owner, jobs.c.status.in_(_UNFINISHED), jobs.c.id.not_in(heard))
        query = select(jobs.c.id, jobs.c.last_event).where(*unheard)
        cursors = [{"job_id": job_id, "number": last} for job_id, last in connection.execute(query)]
        if cursors:
            connection.execute(insert(webhook_cursors), cursors)
    return _endpoint(row)


def watch(
    guard: Guard, *, url: str | None = None, events: Collection[str] = DEFAULT_KINDS
) -> Callable[[Connection, Job, float], None]:
    """What ``JobStore.submit`` runs with a new job, so that its owner's endpoints hear of it, and ``url``, the job's own.

    Raises: InvalidInput for ``webhook_url`` and ``webhook_events``.
    """
    checked = None if url is None else guard.check(url, field="webhook_url")
    kinds = list(check_kinds(events, field="webhook_events"))

    def within(connection: Connection, job: Job, now: float) -> None:
        owner = job.order.owner
        if checked is not None:
            _insert(connection, now, owner=owner, job_id=job.id, url=checked, events=kinds, description="")
            _secrets(connection, owner_holder(owner))
        hears = (webhook_endpoints.c.owner == owner, webhook_endpoints.c.job_id.is_(None), webhook_endpoints.c.enabled)
        if checked is not None or connection.execute(select(webhook_endpoints.c.id).where(*hears).limit(1)).first():
            connection.execute(insert(webhook_cursors).values(job_id=job.id, number=0))

    return within


def list_endpoints(database: Database, *, owner: str) -> list[Endpoint]:
    """The owner's endpoints, oldest first; those of single jobs are not among them."""
    with database.read() as (connection, _):
        query = select(webhook_endpoints).where(*_of(owner)).order_by(webhook_endpoints.c.id)
        return [_endpoint(row) for row in connection.execute(query).mappings()]


def get_endpoint(database: Database, endpoint_id: str, *, owner: str) -> Endpoint | None:
    """The owner's endpoint; None if there is none such."""
    with database.read() as (connection, _):
        query = select(webhook_endpoints).where(*_of(owner, endpoint_id))
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _endpoint(row)


def change_endpoint(
    database: Database,
    guard: Guard,
    endpoint_id: str,
    *,
    owner: str,
    url: str | None = None,
    events: Collection[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> Endpoint | None:
    """The endpoint with what isn't None changed; None if there is none such. Raises: InvalidInput, FetchError."""
    changes: dict[str, Any] = {}
    if url is not None:
        changes["url"] = guard.check(url)
    if events is not None:
        changes["events"] = list(check_kinds(events))
    if description is not None:
        check_text("description", description, least=0)
        changes["description"] = description
    if enabled is not None:
        # a fresh start
        reason = None if enabled else "switched off by its owner"
        changes |= {"enabled": enabled, "disabled_reason": reason, "failures": 0}
    with database.write() as (connection, _):
        if changes:
            connection.execute(update(webhook_endpoints).where(*_of(owner, endpoint_id)).values(changes))
        query = select(webhook_endpoints).where(*_of(owner, endpoint_id))
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _endpoint(row)


def delete_endpoint(database: Database, endpoint_id: str, *, owner: str) -> bool:
    """Whether there was such an endpoint; it, its secrets and its deliveries are gone."""
    with database.write() as (connection, _):
        if not connection.execute(delete(webhook_endpoints).where(*_of(owner, endpoint_id))).rowcount:
            return False
        connection.execute(delete(webhook_secrets).where(webhook_secrets.c.holder == endpoint_id))
        return True


def secrets_of(database: Database, *, owner: str, endpoint_id: str | None = None) -> Secrets | None:
    """The endpoint's secrets, or the owner's, which sign for single jobs; None if there is no such endpoint."""
    # alone: nobody else makes the first one meanwhile
    with database.write(alone=True) as (connection, _):
        if endpoint_id is not None and not _exists(connection, owner, endpoint_id):
            return None
        return _secrets(connection, endpoint_id or owner_holder(owner))


def rotate_secret(
    database: Database, *, owner: str, endpoint_id: str | None = None, keep_old_s: float = KEEP_OLD_SECRET_S
) -> Secrets | None:
    """The secrets with a new one, where the one before signs too for ``keep_old_s`` more; None if there is no such endpoint.

    Raises: OldSecretLive while an older one still signs, which would end at once; with 0 that is asked for.
    """
    check_number("keep_old_s", keep_old_s, least=0, most=30 * 86400)
    # alone: nobody else makes the first one meanwhile
    with database.write(alone=True) as (connection, now):
        if endpoint_id is not None and not _exists(connection, owner, endpoint_id):
            return None
        holder = endpoint_id or owner_holder(owner)
        known = _secrets(connection, holder)
        if keep_old_s and known.old_until is not None and known.old_until > now:
            raise OldSecretLive(retry_after_s=known.old_until - now)
        new = Secrets(current=new_secret(), old=known.current, old_until=now + keep_old_s)
        values = {"secret": new.current, "old_secret": new.old, "old_until": new.old_until}
        connection.execute(update(webhook_secrets).where(webhook_secrets.c.holder == holder).values(values))
    return new


def owner_holder(owner: str) -> str:
    """Who holds the secrets of ``owner``'s webhooks of single jobs."""
    return f"owner:{owner}"


def _secrets(connection: Connection, holder: str) -> Secrets:
    """The holder's secrets, made if there are none. In a transaction that writes."""
    query = select(webhook_secrets).where(webhook_secrets.c.holder == holder).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        new = new_secret()
        connection.execute(insert(webhook_secrets).values(holder=holder, secret=new))
        return Secrets(current=new)
    return secrets_in(row)


def secrets_in(row: RowMapping) -> Secrets:
    """The secrets of a row."""
    return Secrets(current=row["secret"], old=row["old_secret"], old_until=row["old_until"])


def _insert(connection: Connection, now: float, **fields: Any) -> dict[str, Any]:
    state = {"enabled": True, "disabled_reason": None, "failures": 0, "created_at": now}
    row = {"id": new_id(now, PREFIX), **fields, **state}
    connection.execute(insert(webhook_endpoints).values(row))
    return row


def _of(owner: str, endpoint_id: str | None = None) -> tuple[Any, ...]:
    named = (webhook_endpoints.c.owner == owner, webhook_endpoints.c.job_id.is_(None))
    return named if endpoint_id is None else (*named, webhook_endpoints.c.id == endpoint_id)


def _exists(connection: Connection, owner: str, endpoint_id: str) -> bool:
    return connection.execute(select(webhook_endpoints.c.id).where(*_of(owner, endpoint_id))).first() is not None


def _endpoint(row: RowMapping | dict[str, Any]) -> Endpoint:
    names = ("id", "owner", "url", "description", "enabled", "disabled_reason", "failures", "created_at")
    return Endpoint(**{name: row[name] for name in names}, events=tuple(row["events"]))
