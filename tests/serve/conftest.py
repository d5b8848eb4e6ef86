"""Databases: SQLite in a temporary file, and PostgreSQL from the system's packages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from kinema.serve.jobs.store import JobStore, open_store
from tests.serve.cluster import MISSING, find_programs, throwaway_cluster
from tests.serve.shared import Clock

_NUMBERS = count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The socket's folder of a throwaway cluster."""
    programs = find_programs()
    if programs is None:
        pytest.skip(MISSING)
    with throwaway_cluster(programs) as folder:
        yield folder


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of the kind that the parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    socket, name = request.getfixturevalue("postgresql"), f"test{next(_NUMBERS)}"
    with psycopg.connect(host=socket, user="kinema", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # pyright: ignore[reportArgumentType, reportCallIssue]
    # a schema is made at once, and a database takes eight megabytes
    return f"postgresql://kinema@/postgres?host={socket}&options=-csearch_path%3D{name}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    """A store on that database and clock."""
    store = open_store(url, clock=clock)
    yield store
    store.close()
