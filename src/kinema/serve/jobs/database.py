"""Transactions on SQLite or PostgreSQL: all that differs between the two stands here. Opening brings the tables up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from kinema.core.errors import InvalidInput, StorageError

# the newest file in migrations/versions
HEAD = "0002"
MIGRATIONS = Path(__file__).parent / "migrations"
# how long a writer waits for the others on SQLite, which lets in one at a time, and anybody for a connection
BUSY_S = 30
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_SERVER_TIME = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
# any number that no other program takes for the same database
_ADVISORY_LOCK = 0x6B696E656D61


class Database:
    """Connections to ``url``, and a clock: the database's own, which all machines share, unless one is given.

    Raises: InvalidInput for another kind of URL or a database of a newer Kinema; StorageError where it can't be reached.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        parsed = _parse(url)
        self.name = parsed.render_as_string(hide_password=True)
        self._clock = clock
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        try:
            # writers that wait for each other keep their connections: readers have their own, and wait for none of them
            self._reading, self._writing = (_engine(parsed, writes=writes) for writes in (False, True))
        except ImportError as e:
            raise InvalidInput("database", self.name, "needs psycopg: pip install 'kinema[postgres]'") from e
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes every connection."""
        self._reading.dispose()
        self._writing.dispose()

    @contextmanager
    def read(self) -> Iterator[tuple[sa.Connection, float]]:
        """A connection that only reads, and the time."""
        with self._errors(), self._reading.connect() as connection:
            yield connection, self._now(connection)

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[tuple[sa.Connection, float]]:
        """A transaction and the time: all of it happens at the end, or nothing if an error leaves it.

        ``alone``: no other such transaction runs meanwhile, in any process.
        """
        with self._errors(), self._writing.begin() as connection:
            if alone and not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            yield connection, self._now(connection)

    def _now(self, connection: sa.Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            # no server: its library has this clock, and asking it is a third of the statements of a look
            return time.time()
        return float(connection.exec_driver_sql(_SERVER_TIME).scalar_one())

    def _migrate(self) -> None:
        with self.write(alone=True) as (connection, _):
            has_any = sa.inspect(connection).has_table("alembic_version")
            old = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if has_any else None
            if old == HEAD:
                return
            # half a second to import, and of use once
            from alembic import command
            from alembic.config import Config
            from alembic.util import CommandError

            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            try:
                command.upgrade(config, "head")
            except CommandError as e:
                rule = f"was written by another version of Kinema (its tables are of revision {old}; this one knows {HEAD})"
                raise InvalidInput("database", self.name, rule) from e

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as e:
            # its other kinds are mistakes of ours
            if type(e) in (OperationalError, InterfaceError, DatabaseError):
                reason = " ".join(str(e.orig).split())
                raise StorageError(f"{self.name}: the database can't be used: {reason}") from e
            raise
        except PoolTimeoutError as e:
            raise StorageError(f"{self.name}: the database can't be used: every connection to it is taken") from e


def _parse(url: str) -> sa.URL:
    rule = "must be sqlite:///FILE or postgresql://USER@HOST/NAME"
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as e:
        raise InvalidInput("database", url, rule) from e
    kind = parsed.drivername.partition("+")[0]
    if kind not in _DRIVERS or (kind == "sqlite" and parsed.database in (None, "", ":memory:")):
        raise InvalidInput("database", parsed.render_as_string(hide_password=True), rule)
    return parsed.set(drivername=_DRIVERS[kind])


def _engine(url: sa.URL, *, writes: bool) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, pool_timeout=BUSY_S)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S}, pool_timeout=BUSY_S)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        # the driver's own BEGIN is deferred: two readers that both turn writer would lock each other out
        connection.isolation_level = None
        # FULL: a job that was accepted outlives a power failure (half a millisecond a commit on an SSD)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
