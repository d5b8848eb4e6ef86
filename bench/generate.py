"""How long does a new user wait for a clip? Cold processes of `kinema generate` with the defaults: seconds, phases, memory.

python bench/generate.py [--model NAME] [--runs N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import ROOT, record, summary

from kinema.media.recipe import read_recipe

_CLI = "import sys; from kinema.cli.entry import main; sys.exit(main())"
PROMPTS = {"en": "a puppy plays in the park", "zh": "一只小狗在公园里玩耍"}
LIMIT_S, LIMIT_BYTES = 20.0, 2e9


def cold_clip(model: str, prompt: str, out: Path) -> tuple[float, int, dict[str, Any]]:
    """(wall seconds, peak resident bytes, recipe) of one process from start to a written file."""
    arguments = ["generate", prompt, "--model", model, "--seed", "1", "--out", str(out), "--force"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", _CLI, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"kinema generate failed with {process.returncode}")
    recipe = read_recipe(out)
    assert recipe is not None, "clips carry their recipe"
    return wall, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), recipe


def question(model: str, prompt: str, runs: int, folder: Path) -> dict[str, Any]:
    """The figures for one prompt; the first run warms the disk's cache and the choice of dtype, and isn't counted."""
    measured = [cold_clip(model, prompt, folder / "clip.mp4") for _ in range(1 + runs)][1:]
    recipe = measured[0][2]
    costs = [r["cost"] for _, _, r in measured]
    phases = {p: round(statistics.median(c["seconds"][p] for c in costs), 3) for p in costs[0]["seconds"]}
    return {
        "wall": {**summary([wall for wall, _, _ in measured]), "limit_s": LIMIT_S},
        "peak_bytes": {"most": max(peak for _, peak, _ in measured), "limit": LIMIT_BYTES},
        "phases_s": phases,
        "outside_the_engine_s": round(statistics.median(w for w, _, _ in measured) - sum(phases.values()), 3),
        "tflop": round(costs[0]["flops"] / 1e12, 4),
        "tflops": round(costs[0]["flops"] / sum(phases.values()) / 1e12, 4),
        "joules": costs[-1]["joules"],
        "same_frames_every_time": len({r["frames"] for _, _, r in measured}) == 1,
        "request": recipe["request"],
        "plan": recipe["plan"],
        "model": recipe["model"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="kinema-mini")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {n: question(arguments.model, p, arguments.runs, Path(folder)) for n, p in PROMPTS.items()}
    record("generate", results)


if __name__ == "__main__":
    main()
