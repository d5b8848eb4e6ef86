from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from kinema.core.errors import InvalidInput, StorageError
from kinema.serve.jobs.database import HEAD, MIGRATIONS, Database
from kinema.serve.jobs.schema import jobs, metadata
from kinema.serve.jobs.store import open_store
from tests.serve.shared import BOTH, submit

ROOT = Path(__file__).resolve().parents[3]


def test_the_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@BOTH
def test_migrations_make_the_tables_of_the_schema(url: str) -> None:
    database = Database(url)
    with database.read() as (connection, _):
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


@BOTH
def test_opening_again_changes_nothing(url: str) -> None:
    store = open_store(url)
    job = submit(store)
    store.close()
    again = open_store(url)
    assert again.get(job.id) == job
    again.close()


@BOTH
def test_processes_that_open_an_empty_database_at_once(url: str) -> None:
    code = """if True:
        import sys
        from kinema.serve.jobs.store import open_store
        print(flush=True)
        sys.stdin.read(1)
        open_store(sys.argv[1]).close()
    """
    environment = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, url]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    # all are up before the first may begin
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [p.returncode for p in processes] == [0] * 3, errors
    store = open_store(url)
    with store.database.read() as (connection, _):
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == [HEAD]
    submit(store)
    store.close()


@BOTH
def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    database = Database(url)
    with database.write() as (connection, _):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    database.close()
    with pytest.raises(InvalidInput, match="revision later"):
        open_store(url)


@BOTH
def test_a_transaction_that_fails_leaves_nothing(url: str) -> None:
    store = open_store(url)
    job = submit(store)

    def fail() -> None:
        with store.database.write() as (connection, _):
            connection.execute(jobs.delete())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.get(job.id) == job
    store.close()


@BOTH
def test_writers_wait_for_each_other(url: str) -> None:
    """Every one of many increments counts: none reads before another, which it then overwrites, has written."""
    store = open_store(url)
    job = submit(store)

    def increment() -> None:
        for _ in range(10):
            with store.database.write() as (connection, _):
                query = sa.select(jobs.c.passed).where(jobs.c.id == job.id).with_for_update()
                number = connection.scalar(query) or 0
                connection.execute(jobs.update().values(passed=number + 1))

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = store.get(job.id)
    assert after is not None
    assert after.passed == 40
    store.close()


def test_readers_do_not_wait_for_writers_that_wait(tmp_path: Path) -> None:
    """However many there are: a server reads in the thread that serves everybody."""
    database = Database(f"sqlite:///{tmp_path}/jobs.db")

    def write() -> None:
        with database.write():
            pass

    threads = [threading.Thread(target=write) for _ in range(20)]
    with database.write():
        for thread in threads:
            thread.start()
        # all but one connection of the pool wait for the lock, and the rest of the threads for a connection
        end = time.monotonic() + 60
        while database._writing.pool.checkedout() < 15:  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            assert time.monotonic() < end
            time.sleep(0.01)
        begin = time.monotonic()
        with database.read():
            assert time.monotonic() - begin < 10
    for thread in threads:
        thread.join()
    database.close()


@BOTH
def test_when_every_connection_is_taken_it_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.serve.jobs.database.BUSY_S", 0.05)
    database = Database(url)
    with ExitStack() as taken:
        for _ in range(15):
            taken.enter_context(database.read())
        with pytest.raises(StorageError, match="every connection to it is taken"):
            taken.enter_context(database.read())
    database.close()


@BOTH
def test_the_database_s_clock_is_the_time(url: str) -> None:
    database = Database(url)
    before = time.time()
    with database.read() as (_, now):
        assert before - 1 < now < time.time() + 1
    database.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "http://x:port/y", ""]
)
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:///FILE or postgresql://"):
        open_store(url)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be used") as caught:
        open_store(f"postgresql://ann:secret@/x?host={tmp_path}")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput) as refused:
        open_store("mysql://ann:secret@localhost/x")
    assert "secret" not in str(refused.value)


def test_a_place_without_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path}/no/jobs.db")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"not a database, but long enough to be taken for one " * 99)
    with pytest.raises(StorageError, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/jobs.db")


def test_the_service_s_jobs_load_no_torch() -> None:
    code = (
        "import sys; from kinema.serve.jobs import store, reading, retention, keys;"
        "print([m for m in ('torch', 'numpy', 'alembic', 'psycopg') if m in sys.modules])"
    )
    environment = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@BOTH
def test_tables_of_the_first_revision_are_brought_up_to_date(url: str) -> None:
    """What is in them stays."""
    first = open_store(url)
    job = submit(first)
    with first.database.write() as (connection, _):
        later = [t for t in reversed(metadata.sorted_tables) if t.name.startswith(("webhook_", "api_", "key_"))]
        for table in later:
            table.drop(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    first.close()
    again = open_store(url)
    assert again.get(job.id) == job
    with again.database.read() as (connection, _):
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == HEAD
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    again.close()
