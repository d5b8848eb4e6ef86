"""How long do the README's commands take in a fresh clone: `make demo`, `make test`, `.ci/run`?

    python bench/commands.py [--torch-index cpu]

Each begins in a clone of its own without an environment; packages come from pip's cache or index as they would for a user.
Not part of `make bench`: it takes as long as the commands do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from record import record

ROOT = Path(__file__).resolve().parent.parent
LIMITS_S = {"make demo": 5 * 60, "make test": 10 * 60, ".ci/run": 20 * 60}


def seconds(command: str, variables: dict[str, str]) -> float:
    """Wall-clock seconds of ``command`` in a fresh clone. Exits if it fails."""
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
    print(f"{command}: {took:.0f} s\n{done.stdout.strip().splitlines()[-1]}", flush=True)
    return took


def main() -> None:
    """Times every command, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-index", default="", help="as TORCH_INDEX of the Makefile")
    variables = {"TORCH_INDEX": parser.parse_args().torch_index}
    record(
        "commands",
        {
            name: {
                "seconds": round(seconds(f"./{name}" if name.startswith(".") else name, variables), 1),
                "limit_s": limit,
            }
            for name, limit in LIMITS_S.items()
        },
    )


if __name__ == "__main__":
    main()
