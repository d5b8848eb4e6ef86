"""`record`: writes a benchmark's result to bench/results/, with the machine, the versions and the commit that it holds for."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kinema.core.version import VERSION
from kinema.engine.machine import bf16_instructions, cpu_model, num_cores

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
_PACKAGES = ("torch", "numpy", "av", "einops", "safetensors", "typer", "rich", "diffusers", "transformers")


def record(
    name: str, data: Mapping[str, Any], *, folder: Path = RESULTS, device: Mapping[str, Any] | None = None
) -> Path:
    """The file ``folder/NAME.json`` that now holds ``data`` and what it holds for; printed as one JSON line too.

    ``device`` describes an accelerator that took part.
    """
    result = {
        "name": name,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "git": git_state(),
        "hardware": hardware() | ({"device": dict(device)} if device else {}),
        "versions": versions(),
        "result": dict(data),
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.json"
    part = target.with_suffix(f".part{os.getpid()}")
    part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, target)
    print(json.dumps({"benchmark": name, **data}, ensure_ascii=False), flush=True)
    return target


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, least and most of ``seconds``, and how many they are. The caller has left out the warm-up."""
    return {
        "median_s": round(statistics.median(seconds), 5),
        "least_s": round(min(seconds), 5),
        "most_s": round(max(seconds), 5),
        "runs": len(seconds),
    }


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and system of this machine, as far as it tells."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        "cpu": cpu_model(),
        "bf16_instructions": bf16_instructions() or "none",
        "cores": num_cores(),
        "logical_cpus": os.cpu_count(),
        "memory_gb": memory and round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "variables": {
            k: os.environ[k]
            for k in ("OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
            if k in os.environ
        },
    }


def versions() -> dict[str, str]:
    """Versions of Kinema, Python and the packages that a result may depend on."""
    found = {"kinema": VERSION, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """The commit, and whether the working tree differs from it in anything but results."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = [line[3:] for line in _git("status", "--porcelain").splitlines()]
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "is_modified": None}
    return {"commit": commit.strip(), "is_modified": any(not p.startswith("bench/results/") for p in changed)}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
