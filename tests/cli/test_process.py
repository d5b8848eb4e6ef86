"""The command line as a process: its door, its exit codes, Ctrl-C in any phase."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kinema.core.version import VERSION

SOURCES = Path(__file__).resolve().parents[2] / "src"
DOOR = "import sys; from kinema.cli.entry import main; sys.exit(main())"
# Importing `kinema.app.clips` says so and waits; what Ctrl-C makes of it is the case's own.
SLOW_IMPORT = """
import sys, time
from importlib.abc import MetaPathFinder
class Slow(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "kinema.app.clips":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                {then}
sys.meta_path.insert(0, Slow())
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes")


def environment(**variables: str) -> dict[str, str]:
    """This process's variables, and where the sources are."""
    return {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", **variables}


def start(code: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """``python -c code ARGUMENTS``, its pipes open."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment(**variables), **pipes)


def test_the_module_and_the_console_script_start() -> None:
    for command in (["-m", "kinema"], ["-c", DOOR]):
        result = subprocess.run(
            [sys.executable, *command, "--version"], env=environment(), capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, f"kinema {VERSION}\n", "")


def test_exit_codes_reach_the_shell() -> None:
    process = start(DOOR, "generate", "a", "--no-such-flag")
    assert process.communicate()[1].startswith("error: option: --no-such-flag")
    assert process.returncode == 2


@pytest.mark.parametrize(
    "then", ["raise", "raise ImportError('numpy was interrupted', name='numpy')", "raise SystemError('odd')"]
)
def test_ctrl_c_during_imports(then: str) -> None:
    process = start(SLOW_IMPORT.format(then=then) + DOOR, "generate", "a")
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: interrupted\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        command = [sys.executable, "-c", DOOR, "models", "--help"]
        result = subprocess.run(command, env=environment(), stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert result.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-c", DOOR, "models", "--help"]
        result = subprocess.run(command, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "error: file: output: No space left on device\n")


def test_a_terminal_without_chinese_still_gets_its_text() -> None:
    process = start(DOOR, "generate", "小狗", "--model", "没有", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    out, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith("error: model: ")
    assert out == ""


@pytest.mark.parametrize(
    "given, seen", [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_that_wait_sleep_soon_unless_told_otherwise(given: dict[str, str], seen: str | None) -> None:
    code = "import os, sys; from kinema.cli.entry import main; main(); print(os.environ.get('GOMP_SPINCOUNT'))"
    plain = {k: v for k, v in environment().items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], env=plain | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == str(seen)
