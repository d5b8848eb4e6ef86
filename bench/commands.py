"""How long do the README's commands take in a fresh clone: `make demo`, `make test`, `.ci/run`?

    python bench/commands.py [--torch-index cpu]

`make demo` and `.ci/run` each begin in a clone of their own without an environment; packages come from pip's cache or index as they
would for a user. `make test` is timed by `.ci/run`, whose first part it is: set-up and suite.
Not part of `make bench`: it takes as long as the commands do.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from record import record

ROOT = Path(__file__).resolve().parent.parent
LIMITS_S = {"make demo": 5 * 60, "make test": 10 * 60, ".ci/run": 20 * 60}


def run(command: str, variables: dict[str, str]) -> tuple[float, str]:
    """(wall-clock seconds, what it printed) of ``command`` in a fresh clone. Exits if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "kinema"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        begin = time.monotonic()
        done = subprocess.run(
            command, shell=True, cwd=clone, env=os.environ | variables, capture_output=True, text=True
        )
        took = time.monotonic() - begin
    if done.returncode:
        raise SystemExit(f"{command} failed with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return took, done.stdout


def main() -> None:
    """Times every command, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-index", default="", help="as TORCH_INDEX of the Makefile")
    variables = {"TORCH_INDEX": parser.parse_args().torch_index}
    demo, _ = run("make demo", variables)
    ci, printed = run("./.ci/run", variables)
    test = re.search(r"^= (\d+) s: make test$", printed, re.MULTILINE)
    if test is None:
        raise SystemExit(f".ci/run doesn't say how long `make test` took:\n{printed[-2000:]}")
    passed = re.findall(r"^(\d+ passed.*)$", printed, re.MULTILINE)
    seconds = {"make demo": demo, "make test": float(test[1]), ".ci/run": ci}
    figures = {name: {"seconds": round(s, 1), "limit_s": LIMITS_S[name]} for name, s in seconds.items()}
    record("commands", figures | {"tests": passed})


if __name__ == "__main__":
    main()
