"""`kinema keys create|list|revoke`: who may use the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinema.cli.files import JsonOption
from kinema.cli.report import make_reporter

if TYPE_CHECKING:
    from kinema.serve.jobs.database import Database
    from kinema.serve.keys import ApiKey

DataOption = Annotated[str | None, typer.Option(metavar="FOLDER", help="Where the server keeps its jobs and files.")]
DatabaseOption = Annotated[
    str, typer.Option(metavar="URL", help="postgresql://USER@HOST/NAME instead of SQLite in the folder.")
]


# typer reads a verb's flags from its parameters
def create(  # noqa: PLR0913
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="Whose jobs the key makes and sees.")],
    name: Annotated[str, typer.Option(help="To tell keys apart.")] = "",
    scope: Annotated[list[str] | None, typer.Option(metavar="SCOPE", help="submit, read, cancel or admin; may be repeated.")] = None,
    days: Annotated[float | None, typer.Option(help="The key expires after so many days.")] = None,
    requests_per_s: Annotated[float, typer.Option(help="Requests a second on average, for each server process.")] = 50.0,
    jobs_per_day: Annotated[int | None, typer.Option(help="Jobs a day (UTC).")] = None,
    seconds_per_day: Annotated[float | None, typer.Option(help="Seconds of video a day (UTC).")] = None,
    queued: Annotated[int | None, typer.Option(help="Jobs of the owner that may wait.")] = None,
    max_priority: Annotated[int, typer.Option(help="The highest priority that its jobs may be given.")] = 0,
    data: DataOption = None,
    database: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Make an API key and show it, this once. With the first key every request needs one."""
    from kinema.serve.keys import KeyLimits, create_key

    limits = KeyLimits(
        requests_per_s=requests_per_s,
        jobs_per_day=jobs_per_day,
        seconds_per_day=seconds_per_day,
        queued=queued,
        max_priority=max_priority,
    )
    scopes = {} if not scope else {"scopes": scope}
    valid_s = None if days is None else days * 86400
    with make_reporter(as_json=as_json) as reporter, _open(data, database) as db:
        new = create_key(db, owner=owner, name=name, limits=limits, valid_s=valid_s, **scopes)
        reporter.note("keep it: only a hash of it is stored, and it is not shown again")
        reporter.result("key", {**new.key.to_dict(), "token": new.token}, new.token)


def list_(
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="Only this owner's.")] = None,
    data: DataOption = None,
    database: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the API keys and what each had today (UTC), those that are over too; their secrets are nowhere."""
    from kinema.serve.keys import Usage, list_keys, usage

    with make_reporter(as_json=as_json) as reporter, _open(data, database) as db:
        found, had = list_keys(db, owner=owner), usage(db)
        for key in found:
            today = had.get(key.id, Usage())
            line = f"{_line(key)}  today: {today.jobs} jobs, {today.seconds:g} s of video"
            reporter.result("key", {**key.to_dict(), "today": today.to_dict()}, line)
        if not found:
            reporter.note("no keys: a server that only this machine can reach needs none")


def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `kinema keys list` shows it.")],
    data: DataOption = None,
    database: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key: at once, on every server of the database, and for good."""
    from kinema.serve.keys import revoke_key

    with make_reporter(as_json=as_json) as reporter, _open(data, database) as db:
        found = revoke_key(db, key)
        reporter.result("key", found.to_dict(), _line(found))


@contextmanager
def _open(data: str | None, database: str) -> Iterator[Database]:
    from kinema.serve.jobs.database import Database
    from kinema.serve.settings import Settings, private_folder

    settings = Settings(database=database, **({"data": Path(data)} if data else {}))  # pyright: ignore[reportArgumentType]
    # another database needs no folder
    with (
        nullcontext() if database else private_folder(settings.data),
        closing(Database(settings.database_url)) as opened,
    ):
        yield opened


def _line(key: ApiKey) -> str:
    state = "revoked" if key.revoked_at is not None else "good"
    if key.revoked_at is None and key.expires_at is not None:
        state += f" until {datetime.fromtimestamp(key.expires_at, timezone.utc):%Y-%m-%d %H:%M} UTC"
    return f"{key.id}  {key.owner}  {key.name or '-'}  {','.join(key.scopes)}  {state}"
