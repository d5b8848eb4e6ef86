"""The shipped model from the shell, as a stranger would use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"


def kinema(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``kinema ARGUMENTS`` does in ``folder``, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-m", "kinema", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("prompt", ["a puppy plays in the park", "一只小狗在公园里玩耍"])
def test_a_sentence_becomes_a_clip_that_can_be_made_again(tmp_path: Path, prompt: str) -> None:
    made = kinema(
        tmp_path, "generate", prompt, "--seed", "1", "--frames", "5", "--steps", "2", "--out", "a.mp4", "--json"
    )
    assert made.returncode == 0, made.stderr
    events = [json.loads(line) for line in made.stdout.splitlines()]
    assert not [e for e in events if e["event"] == "note" and "not trained on" in e["text"]], "every word is known"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    again = kinema(tmp_path, "reproduce", "a.mp4")
    assert (again.returncode, again.stdout) == (0, "a.mp4: the same frames\n"), again.stderr


def test_the_card_fits_the_command_line(tmp_path: Path) -> None:
    listed = kinema(tmp_path, "models", "list", "--json")
    (model,) = [e for e in map(json.loads, listed.stdout.splitlines()) if e["name"] == "kinema-mini"]
    assert {"en", "zh"} <= set(model["languages"])
    flags = ["--camera", model["cameras"][-1], "--size", model["sizes"][-1], "--dry-run"]
    planned = kinema(tmp_path, "generate", "a puppy", *flags)
    assert planned.returncode == 0, planned.stderr
