from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
CODE = """
import json, os, socket, subprocess, sys, threading
sys.path.insert(0, sys.argv[1])
from kinema.serve.confine import refuse_calls, refuse_files

def outcome(function):
    try:
        function()
    except Exception as e:
        return type(e).__name__
    return "done"

folder = sys.argv[2]
tries = {
    "socket": lambda: socket.socket(),
    "thread": lambda: threading.Thread(target=int).start(),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "read": lambda: open(f"{folder}/secret").read(),
    "write": lambda: open(f"{folder}/new", "w"),
    "write there": lambda: open(f"{folder}/open/a", "w"),
    "remove": lambda: os.unlink(f"{folder}/secret"),
    "list": lambda: os.listdir(folder),
    "read a file that may be": lambda: open(f"{folder}/open/a").read(),
    "list a folder that may be": lambda: os.listdir(f"{folder}/open"),
}
held = [refuse_files(but=[f"{folder}/open", f"{folder}/missing"]), refuse_calls()]
found = {name: outcome(function) for name, function in tries.items()}
print(json.dumps([held, found]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_what_is_taken_away_is_gone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a").write_text("a")
    command = [sys.executable, "-c", CODE, str(SRC), str(tmp_path)]
    held, found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    calls = ("socket", "fork", "exec", "signal")
    files = ("read", "write", "write there", "remove", "list")
    if held[1]:
        assert [found[name] for name in calls] == ["PermissionError"] * len(calls)
        assert found["thread"] == "RuntimeError"
    if held[0]:
        assert [found[name] for name in files] == ["PermissionError"] * len(files)
    if held != [True, True]:
        pytest.skip(f"this system has no Landlock or no seccomp: {held}")
    assert found["read a file that may be"] == found["list a folder that may be"] == "done"
