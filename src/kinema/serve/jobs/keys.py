"""Idempotency-Keys: the same request twice makes one job, for a day, over restarts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from kinema.serve.jobs.database import Database
from kinema.serve.jobs.job import check_text
from kinema.serve.jobs.schema import idempotency_keys as keys

KEEP_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The key is new: go on, and hand this to ``submit``, or to `abandon` if there will be no job."""

    owner: str
    key: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The same was asked before, and made this job."""

    job_id: str


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """The key was used for something else (HTTP 422)."""


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """The same is being asked at this moment (HTTP 409)."""

    retry_after_s: float


def reserve(
    database: Database, owner: str, key: str, *, fingerprint: str, hold_s: float = 60
) -> Reservation | Replay | Conflict | InFlight:
    """What ``key`` means now. ``fingerprint`` is a hash of what is asked for; a reservation that is left alone ends after ``hold_s``.

    Raises: InvalidInput for a key that is empty, too long or not printable.
    """
    check_text("Idempotency-Key", key)
    with database.write(alone=True) as (connection, now):
        old = connection.execute(select(keys).where(keys.c.owner == owner, keys.c.key == key)).mappings().one_or_none()
        if old is not None and old["expires_at"] > now:
            if old["fingerprint"] != fingerprint:
                return Conflict()
            if old["job_id"] is not None:
                return Replay(job_id=old["job_id"])
            if old["reserved_until"] > now:
                return InFlight(retry_after_s=old["reserved_until"] - now)
        new = Reservation(owner=owner, key=key, token=secrets.token_hex(8))
        connection.execute(delete(keys).where(keys.c.owner == owner, keys.c.key == key))
        row = {"owner": owner, "key": key, "token": new.token, "fingerprint": fingerprint}
        connection.execute(insert(keys).values(**row, reserved_until=now + hold_s, expires_at=now + KEEP_S))
        return new


def abandon(database: Database, reservation: Reservation) -> None:
    """The request came to nothing; the key is free again."""
    with database.write() as (connection, _):
        connection.execute(delete(keys).where(_held(reservation)))


def is_held(connection: Connection, reservation: Reservation) -> bool:
    """Whether the key is still reserved; until the transaction's end nobody else can change that."""
    return connection.execute(select(keys.c.key).where(_held(reservation)).with_for_update()).first() is not None


def fulfil(connection: Connection, reservation: Reservation, job_id: str, now: float) -> None:
    """From now, and for `KEEP_S`, the key stands for ``job_id``."""
    connection.execute(update(keys).where(_held(reservation)).values(job_id=job_id, expires_at=now + KEEP_S))


def _held(reservation: Reservation) -> ColumnElement[bool]:
    return and_(
        keys.c.owner == reservation.owner,
        keys.c.key == reservation.key,
        keys.c.token == reservation.token,
        keys.c.job_id.is_(None),
    )
