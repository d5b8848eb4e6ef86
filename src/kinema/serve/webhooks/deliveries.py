"""What was sent, is to be sent, and how that went: in the database, so that any replica may send, and none of them twice at a time.

Events become deliveries once for each endpoint (a unique constraint sees to it). A delivery is claimed with a lease, and ``tries`` is its
fence. Whoever locks an endpoint and its deliveries locks the endpoint first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, or_, select, update

from kinema.core.errors import InvalidInput
from kinema.serve.jobs.database import Database
from kinema.serve.jobs.ids import new_id
from kinema.serve.jobs.job import Job
from kinema.serve.jobs.reading import StoredEvent
from kinema.serve.jobs.rows import job_of
from kinema.serve.jobs.schema import (
    events,
    jobs,
    webhook_cursors,
    webhook_deliveries,
    webhook_endpoints,
    webhook_secrets,
    webhook_tries,
)
from kinema.serve.webhooks.endpoints import owner_holder, secrets_in
from kinema.serve.webhooks.messages import FINAL_EVENTS, Message, envelope, messages_of, payload

PREFIX = "msg_"
# after each failed try; ten tries in 24 hours
DELAYS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18000.0, 28800.0, 30600.0)
# of a delay, at random, so that what failed together doesn't come back together
JITTER = 0.1
# deliveries to one endpoint at a time; one that has failed so often in a row gets one
PER_ENDPOINT, FAILING = 4, 3
_NO_RESULT = "the process that sent it ended before it said how it went"


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A delivery that is this process's to send: try number ``tries``, signed with ``secrets`` at ``at``."""

    id: str
    endpoint_id: str
    url: str
    payload: str
    tries: int
    secrets: tuple[str, ...]
    at: float
    is_failing: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a try went: the answer's status, or an error. ``retry_after_s``: when the receiver wants the next."""

    duration_s: float
    status_code: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try. Times are seconds since 1970."""

    number: int
    at: float
    duration_s: float
    status_code: int | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message to an endpoint. ``status``: waiting, delivered, failed (given up) or dropped (its endpoint is gone for good)."""

    id: str
    endpoint_id: str
    job_id: str | None
    number: int | None
    kind: str
    payload: str
    status: str
    tries: int
    next_at: float | None
    created_at: float
    finished_at: float | None
    log: tuple[Try, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """It, JSON-ready."""
        return asdict(self)


def derive(database: Database, *, base_url: str = "", most: int = 100) -> int:
    """How many deliveries were made out of the events that came since the last call, of at most ``most`` jobs."""
    news = (
        select(webhook_cursors.c.job_id)
        .join(jobs, jobs.c.id == webhook_cursors.c.job_id)
        .where(jobs.c.last_event > webhook_cursors.c.number)
        .limit(most)
    )
    with database.read() as (connection, _):
        ids = connection.scalars(news).all()
    made = 0
    for job_id in ids:
        with database.write() as (connection, now):
            made += _derive_job(connection, job_id, now, base_url)
    return made


def _derive_job(connection: Connection, job_id: str, now: float, base_url: str) -> int:
    is_it = webhook_cursors.c.job_id == job_id
    query = select(webhook_cursors.c.number).where(is_it).with_for_update(skip_locked=True)
    number = connection.scalar(query)
    if number is None:
        return 0
    columns = events.c["number", "at", "kind", "data"]
    new = select(*columns).where(events.c.job_id == job_id, events.c.number > number).order_by(events.c.number)
    found = [StoredEvent(**e) for e in connection.execute(new).mappings()]
    # the job after its events: a row from before them would not know what they tell of
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
    if not found or row is None:
        return 0
    job = job_of(row)
    hears = or_(webhook_endpoints.c.job_id == job_id, webhook_endpoints.c.job_id.is_(None))
    of_owner = (webhook_endpoints.c.owner == job.order.owner, webhook_endpoints.c.enabled, hears)
    endpoints = connection.execute(select(webhook_endpoints.c.id, webhook_endpoints.c.events).where(*of_owner)).all()
    rows = [
        _row(endpoint_id, message, job, now, base_url)
        for endpoint_id, kinds in endpoints
        for message in messages_of(job, found)
        if message.kind in kinds
    ]
    if rows:
        connection.execute(insert(webhook_deliveries), rows)
    if found[-1].kind in FINAL_EVENTS:
        connection.execute(delete(webhook_cursors).where(is_it))
    else:
        connection.execute(update(webhook_cursors).where(is_it).values(number=found[-1].number))
    return len(rows)


def _row(endpoint_id: str, message: Message, job: Job, now: float, base_url: str) -> dict[str, Any]:
    message_id = new_id(now, PREFIX)
    body = payload(message, job, message_id=message_id, base_url=base_url)
    of_job = {"job_id": job.id, "number": message.event.number, "kind": message.kind}
    return {"id": message_id, "endpoint_id": endpoint_id, "payload": body, **of_job, **_fresh(now)}


def _fresh(now: float) -> dict[str, Any]:
    return {"status": "waiting", "tries": 0, "last_try": len(DELAYS_S) + 1, "next_at": now, "created_at": now}


def claim(database: Database, *, lease_s: float, most: int, most_failing: int) -> list[Claimed]:
    """Up to ``most`` deliveries that are due, now this process's for ``lease_s``; of endpoints that fail, up to ``most_failing``.

    Endpoints that work come first, then whoever has waited longest.
    """
    first = func.min(webhook_deliveries.c.next_at)
    waiting = (
        select(webhook_endpoints.c.id, webhook_endpoints.c.failures)
        .join(webhook_deliveries, webhook_deliveries.c.endpoint_id == webhook_endpoints.c.id)
        .where(webhook_endpoints.c.enabled)
        .group_by(webhook_endpoints.c.id, webhook_endpoints.c.failures)
        .order_by(webhook_endpoints.c.failures >= FAILING, first)
        .limit(4 * max(1, most))
    )
    with database.read() as (connection, now):
        endpoints = connection.execute(waiting.where(*_due(now))).all()
    claimed: list[Claimed] = []
    for endpoint_id, failures in endpoints:
        left = most - len(claimed)
        if failures >= FAILING:
            left = min(left, most_failing - sum(c.is_failing for c in claimed))
        if left > 0:
            with database.write() as (connection, now):
                claimed += _claim_of(connection, endpoint_id, now, lease_s, left)
    return claimed


def _claim_of(connection: Connection, endpoint_id: str, now: float, lease_s: float, left: int) -> list[Claimed]:
    query = select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id, webhook_endpoints.c.enabled)
    endpoint = connection.execute(query.with_for_update(skip_locked=True)).mappings().one_or_none()
    # another replica is at it
    if endpoint is None:
        return []
    is_failing = endpoint["failures"] >= FAILING
    mine = webhook_deliveries.c.endpoint_id == endpoint_id
    is_live = (webhook_deliveries.c.status == "waiting", webhook_deliveries.c.lease_until > now)
    live = connection.scalar(select(func.count()).select_from(webhook_deliveries).where(mine, *is_live)) or 0
    room = min(left, (1 if is_failing else PER_ENDPOINT) - live)
    if room < 1:
        return []
    holder = endpoint_id if endpoint["job_id"] is None else owner_holder(endpoint["owner"])
    kept = connection.execute(select(webhook_secrets).where(webhook_secrets.c.holder == holder)).mappings().one()
    due = (
        select(webhook_deliveries)
        .where(mine, *_due(now))
        .order_by(webhook_deliveries.c.next_at, webhook_deliveries.c.id)
    )
    claimed = []
    for row in connection.execute(due.limit(room).with_for_update()).mappings():
        # its last holder said nothing
        if row["lease_until"] is not None:
            lost = {"number": row["tries"], "at": row["lease_until"], "duration_s": 0.0, "error": _NO_RESULT}
            connection.execute(insert(webhook_tries).values(delivery_id=row["id"], **lost))
        values = {"tries": row["tries"] + 1, "lease_until": now + lease_s}
        connection.execute(update(webhook_deliveries).where(webhook_deliveries.c.id == row["id"]).values(values))
        claimed.append(
            Claimed(
                **{name: row[name] for name in ("id", "endpoint_id", "payload")},
                url=endpoint["url"],
                tries=row["tries"] + 1,
                secrets=secrets_in(kept).live(now),
                at=now,
                is_failing=is_failing,
            )
        )
    return claimed


def finish(database: Database, claimed: Claimed, outcome: Outcome, *, delays_s: Sequence[float] = DELAYS_S) -> None:
    """Notes how a try went: done, again later, given up, or (410) the end of its endpoint. Nothing if its lease went to another."""
    is_it = webhook_deliveries.c.id == claimed.id
    with database.write() as (connection, now):
        query = select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == claimed.endpoint_id)
        connection.execute(query.with_for_update())
        row = connection.execute(select(webhook_deliveries).where(is_it).with_for_update()).mappings().one_or_none()
        if row is None or row["tries"] != claimed.tries or row["status"] != "waiting":
            return
        log = {"duration_s": outcome.duration_s, "status_code": outcome.status_code, "error": outcome.error}
        connection.execute(insert(webhook_tries).values(delivery_id=claimed.id, number=claimed.tries, at=now, **log))
        over = {"lease_until": None, "finished_at": now}
        endpoint: dict[str, Any] = {"failures": webhook_endpoints.c.failures + 1}
        if outcome.is_delivered:
            values, endpoint = {"status": "delivered", **over}, {"failures": 0}
        elif outcome.status_code == 410:
            values = {"status": "dropped", **over}
            endpoint |= {"enabled": False, "disabled_reason": "the receiver answered 410 Gone"}
            others = (webhook_deliveries.c.endpoint_id == claimed.endpoint_id, webhook_deliveries.c.status == "waiting")
            connection.execute(update(webhook_deliveries).where(*others).values(values))
        elif claimed.tries >= row["last_try"]:
            values = {"status": "failed", **over}
        else:
            # of the latest round of tries: a redelivery begins another
            nth = len(DELAYS_S) - (row["last_try"] - claimed.tries)
            delay = delays_s[min(nth, len(delays_s) - 1)] * (1 + JITTER * random.random())
            wanted = min(outcome.retry_after_s or 0.0, max(delays_s))
            values = {"next_at": now + max(delay, wanted), "lease_until": None}
        connection.execute(update(webhook_deliveries).where(is_it).values(values))
        this = webhook_endpoints.c.id == claimed.endpoint_id
        connection.execute(update(webhook_endpoints).where(this).values(endpoint))


def list_deliveries(
    database: Database,
    *,
    owner: str,
    endpoint_id: str | None = None,
    job_id: str | None = None,
    status: str | None = None,
    after: str | None = None,
    limit: int = 20,
) -> list[Delivery]:
    """The owner's deliveries, newest first, from the one after ``after``; without their logs."""
    query = _of(owner).order_by(webhook_deliveries.c.id.desc()).limit(limit)
    for column, value in (("endpoint_id", endpoint_id), ("job_id", job_id), ("status", status)):
        query = query if value is None else query.where(webhook_deliveries.c[column] == value)
    query = query if after is None else query.where(webhook_deliveries.c.id < after)
    with database.read() as (connection, _):
        return [_delivery(row) for row in connection.execute(query).mappings()]


def get_delivery(database: Database, delivery_id: str, *, owner: str) -> Delivery | None:
    """The owner's delivery, with its log; None if there is none such."""
    with database.read() as (connection, _):
        row = connection.execute(_of(owner).where(webhook_deliveries.c.id == delivery_id)).mappings().one_or_none()
        columns = webhook_tries.c["number", "at", "duration_s", "status_code", "error"]
        tries = select(*columns).where(webhook_tries.c.delivery_id == delivery_id).order_by(webhook_tries.c.number)
        log = tuple(Try(**t) for t in connection.execute(tries).mappings())
    return None if row is None else _delivery(row, log)


def redeliver(database: Database, delivery_id: str, *, owner: str) -> Delivery | None:
    """The delivery, due at once and with all its tries anew, under the same webhook-id; None if there is none such.

    Raises: InvalidInput while it is being sent, and where its endpoint is off.
    """
    with database.write() as (connection, now):
        row = connection.execute(_of(owner).where(webhook_deliveries.c.id == delivery_id)).mappings().one_or_none()
        if row is None:
            return None
        query = select(webhook_endpoints.c.enabled).where(webhook_endpoints.c.id == row["endpoint_id"])
        is_on = connection.scalar(query.with_for_update())
        if is_on is None:
            return None
        is_it = webhook_deliveries.c.id == delivery_id
        row = connection.execute(select(webhook_deliveries).where(is_it).with_for_update()).mappings().one()
        if not is_on:
            raise InvalidInput("delivery", delivery_id, "its endpoint is off; enable it first")
        if row["lease_until"] is not None and row["lease_until"] > now:
            raise InvalidInput("delivery", delivery_id, "is being sent at this moment")
        again = {**_fresh(now), "lease_until": None, "finished_at": None}
        again |= {"tries": row["tries"], "created_at": row["created_at"], "last_try": row["tries"] + len(DELAYS_S) + 1}
        connection.execute(update(webhook_deliveries).where(is_it).values(again))
    return get_delivery(database, delivery_id, owner=owner)


def send_test(database: Database, endpoint_id: str, *, owner: str) -> Delivery | None:
    """A delivery of type ``webhook.test``, sent as all others are; None if there is no such endpoint. Raises: InvalidInput if it is off."""
    with database.write() as (connection, now):
        named = (webhook_endpoints.c.id == endpoint_id, webhook_endpoints.c.owner == owner)
        is_on = connection.scalar(select(webhook_endpoints.c.enabled).where(*named))
        if is_on is None:
            return None
        if not is_on:
            raise InvalidInput("webhook", endpoint_id, "is off; enable it first")
        message_id = new_id(now, PREFIX)
        body = envelope("webhook.test", {"webhook": endpoint_id}, message_id=message_id, at=now)
        row = {"id": message_id, "endpoint_id": endpoint_id, "kind": "test", "payload": body, **_fresh(now)}
        connection.execute(insert(webhook_deliveries).values(row))
    return get_delivery(database, message_id, owner=owner)


def forget(database: Database, *, keep_s: float = 30 * 86400.0) -> int:
    """How many deliveries that ended longer ago than ``keep_s`` were deleted, with their logs."""
    with database.write() as (connection, now):
        return connection.execute(
            delete(webhook_deliveries).where(webhook_deliveries.c.finished_at <= now - keep_s)
        ).rowcount


def _due(now: float) -> tuple[Any, ...]:
    is_free = or_(webhook_deliveries.c.lease_until.is_(None), webhook_deliveries.c.lease_until <= now)
    return webhook_deliveries.c.status == "waiting", webhook_deliveries.c.next_at <= now, is_free


def _of(owner: str) -> Select[Any]:
    of_endpoint = webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id
    return select(webhook_deliveries).join(webhook_endpoints, of_endpoint).where(webhook_endpoints.c.owner == owner)


def _delivery(row: RowMapping, log: tuple[Try, ...] = ()) -> Delivery:
    names = ("id", "endpoint_id", "job_id", "number", "kind", "payload", "status", "tries", "created_at", "finished_at")
    next_at = row["next_at"] if row["status"] == "waiting" else None
    return Delivery(**{name: row[name] for name in names}, next_at=next_at, log=log)
