"""How long does it take before Kinema does anything? Cold processes: `import kinema`, `kinema --help`, every verb's help.

python bench/startup.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from record import ROOT, record, summary

RUNS = 15
WARM_UP = 2
# what the console script does
_CLI = "import sys; from kinema.cli.entry import main; sys.exit(main())"
QUESTIONS = {
    "python alone": ["-c", "pass"],
    "import kinema": ["-c", "import kinema"],
    "kinema --help": ["-c", _CLI, "--help"],
    "kinema generate --help": ["-c", _CLI, "generate", "--help"],
    "kinema models": ["-c", _CLI, "models"],
    "kinema generate --no-such-flag": ["-c", _CLI, "generate", "--no-such-flag"],
    "import torch": ["-c", "import torch"],
}
LIMITS_S = {"import kinema": 0.1, "kinema --help": 0.3}


def measure(arguments: list[str]) -> list[float]:
    """Seconds of each run, the warm-up left out."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ROOT, "src"))}
    seconds = []
    for _ in range(WARM_UP + RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def main() -> None:
    results = {}
    for name, arguments in QUESTIONS.items():
        results[name] = summary(measure(arguments))
        if name in LIMITS_S:
            results[name]["limit_s"] = LIMITS_S[name]
    record("startup", results)


if __name__ == "__main__":
    main()
