"""`kinema keys`: who may use the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinema.serve.jobs.database import Database
from kinema.serve.keys import Authenticator
from tests.cli.conftest import Kinema


def test_a_key_is_made_listed_and_revoked(kinema: Kinema, tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    assert "no keys" in kinema("keys", "list", *data).err
    limits = ["--jobs-per-day", "3", "--seconds-per-day", "9.5", "--queued", "2", "--requests-per-s", "4"]
    made = kinema("keys", "create", "ann", "--name", "laptop", "--scope", "read", "--days", "2", *limits, *data)
    token = made.out.strip()
    assert token.startswith("kin_")
    assert "not shown again" in made.err
    database = Database(f"sqlite:///{tmp_path}/data/jobs.db")
    ask = Authenticator(database, is_loopback=True)
    caller = ask(f"Bearer {token}")
    assert (caller.owner, caller.scopes, caller.limits.jobs_per_day) == ("ann", {"read"}, 3)
    assert (caller.limits.seconds_per_day, caller.limits.queued, caller.limits.requests_per_s) == (9.5, 2, 4)
    (listed,) = kinema("keys", "list", "--json", *data).events
    assert (listed["id"], listed["name"], listed["expires_at"] - listed["created_at"]) == (
        caller.key_id,
        "laptop",
        172800,
    )
    assert token[-64:] not in str(listed)
    assert listed["today"] == {"jobs": 0, "seconds": 0}
    line = kinema("keys", "list", *data).out
    assert " good until " in line
    assert line.endswith("today: 0 jobs, 0 s of video\n")
    assert kinema("keys", "list", "--owner", "bob", *data).out == ""
    assert kinema("keys", "revoke", listed["id"], *data).out.strip().endswith("revoked")
    with pytest.raises(Exception, match="revoked"):
        ask(f"Bearer {token}")
    database.close()


def test_keys_are_nobody_else_s_to_read(kinema: Kinema, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    assert kinema("keys", "create", "ann", "--data", str(data)).code == 0
    assert [oct(p.stat().st_mode & 0o777) for p in (data, data / "jobs.db")] == ["0o700", "0o600"]


@pytest.mark.parametrize(
    "words,start",
    [
        (["create", ""], "owner: "),
        (["create", "ann", "--scope", "root"], "scopes: 'root': must be one of submit, read, cancel, admin"),
        (["create", "ann", "--days", "-1"], "valid_s: "),
        (["create", "ann", "--queued", "-1"], "queued: "),
        (["create", "ann", "--database", "mysql://x"], "database: "),
        (["revoke", "nobody"], "key: 'nobody': is no key's id"),
    ],
)
def test_mistakes(kinema: Kinema, tmp_path: Path, words: list[str], start: str) -> None:
    answer = kinema("keys", *words, "--data", str(tmp_path / "data"))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {start}")
