"""PostgreSQL from the system's packages: a throwaway cluster on a socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "no PostgreSQL server (initdb) in /usr/lib/postgresql or PATH; apt install postgresql"


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs, of the newest version."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]), reverse=True)
    found = [*packaged, *(Path(p) for p in [shutil.which("initdb")] if p)]
    return found[0].parent if found else None


@contextmanager
def throwaway_cluster(programs: Path) -> Iterator[str]:
    """The folder of its socket, whose user ``kinema`` may do everything. No network, and no care for power failures."""
    # a short path: a socket's name may have about a hundred characters
    with tempfile.TemporaryDirectory(prefix="kinema-pg-", ignore_cleanup_errors=True) as folder:
        user = _server_user()
        if user is not None:
            shutil.chown(folder, user)

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{folder}/data", *arguments]
            with Path(folder, "log").open("ab") as log:
                # None as groups keeps root's
                groups = None if user is None else []
                subprocess.run(command, cwd=folder, user=user, extra_groups=groups, check=True, stdout=log, stderr=log)

        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        call("initdb", "-A", "trust", "-U", "kinema", "--no-sync", "-E", "UTF8", "--locale=C")
        call("pg_ctl", "-w", "-o", options, "start")
        try:
            yield folder
        finally:
            call("pg_ctl", "-m", "immediate", "stop")


def _server_user() -> str | None:
    """Whom the server runs as: it refuses root, so then another."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
