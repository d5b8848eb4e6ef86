"""`kinema`: runs the command line in this process, as the console script does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kinema.cli.main import run


@dataclass(frozen=True)
class Answer:
    """What a call gave: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout; fails if a line isn't one."""
        return [json.loads(line) for line in self.out.splitlines()]


Kinema = Callable[..., Answer]


@pytest.fixture
def kinema(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kinema:
    """Runs ``kinema ARGUMENTS`` in an empty folder. Raises what it raises."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("KINEMA_TRACEBACK", raising=False)

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call
