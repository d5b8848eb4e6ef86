"""The examples of docs/api.md, run as they stand against a server with a fake worker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.api.conftest import Server

GUIDE = Path(__file__).parents[3] / "docs" / "api.md"
BLOCKS = re.findall(r"^```(bash|python|javascript)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.S | re.M)
RUN = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-W", "ignore::DeprecationWarning", "-c"],
    "javascript": ["node", "--experimental-eventsource", "--no-warnings", "--input-type=module", "-e"],
}


def test_every_language_has_an_example():
    assert {language for language, _ in BLOCKS} == set(RUN)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_example_runs(server: Server, tmp_path: Path, picture: bytes, number: int):
    language, code = BLOCKS[number]
    if shutil.which(RUN[language][0]) is None:
        pytest.skip(f"{RUN[language][0]} is not installed")
    (tmp_path / "begin.png").write_bytes(picture)
    code = code.replace("http://127.0.0.1:8000", server.url)
    with server.working():
        done = subprocess.run(
            [*RUN[language], code],
            cwd=tmp_path,
            # `kinema` is where this Python is
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    clips = list(tmp_path.glob("*.mp4"))
    assert all(clip.read_bytes() == server.worker.files["video"][0].read_bytes() for clip in clips)
    assert len(clips) == (".mp4" in code)
