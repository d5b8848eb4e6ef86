"""How long does it take before Kinema does anything? Cold processes: `import kinema`, `kinema --help`, every verb's help.

python bench/startup.py
"""

from __future__ import annotations

import os
import resource
import statistics
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
# what a question ends with, if not with 0: a process that failed would be a quick one
EXIT_CODES = {"kinema generate --no-such-flag": 2}
LIMITS_S = {"import kinema": 0.1, "kinema --help": 0.3}


def measure(arguments: list[str], exit_code: int) -> tuple[list[float], list[float]]:
    """Seconds on the clock and of the processor of each run, the warm-up left out; each has to end with ``exit_code``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ROOT, "src"))}
    clock, processor = [], []
    for _ in range(WARM_UP + RUNS):
        start, used = time.perf_counter(), cpu_seconds()
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        clock.append(time.perf_counter() - start)
        processor.append(cpu_seconds() - used)
        if done.returncode != exit_code:
            raise SystemExit(f"{' '.join(arguments)}: ended with {done.returncode}, not {exit_code}")
    return clock[WARM_UP:], processor[WARM_UP:]


def cpu_seconds() -> float:
    """What this process's finished children have used so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    results = {}
    for name, arguments in QUESTIONS.items():
        clock, processor = measure(arguments, EXIT_CODES.get(name, 0))
        # the processor's seconds stay the same when other work slows the clock's
        results[name] = summary(clock) | {"cpu_median_s": round(statistics.median(processor), 5)}
        if name in LIMITS_S:
            results[name]["limit_s"] = LIMITS_S[name]
    record("startup", {"load_average": os.getloadavg()[0], **results})


if __name__ == "__main__":
    main()
