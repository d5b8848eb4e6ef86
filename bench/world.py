"""How fast does the world draw, and in how much memory? Finished megapixels a second of one core, or of a GPU.

python bench/world.py [--scenes N] [--device cuda]

Anti-aliased solids with shadows, over sampled scenes of two levels. Without a GPU each scene is drawn alone on one thread, and the
time is the process's own, so that other work on the machine counts little; figures hold only for an idle machine all the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from record import ROOT, record

SIZES = {"128x128": (17, 128, 128), "512x288": (17, 288, 512)}
LEVELS = ("core", "full")
RUNS = 5
FIRST_SEED = 90_000
LIMITS = {"cpu": 1.0, "cuda": 300.0}  # megapixels a second
BATCH, BATCH_LIMIT_BYTES = 16, 1_000_000_000
_IDLE_LOAD = 0.5

_MEMORY = """
import resource, sys, torch
torch.set_num_threads(1)
from kinema.core.geometry import VideoShape
from kinema.world.render import render
from kinema.world.sampler import sample
frames, height, width, count = map(int, sys.argv[1:])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
scenes = [sample(seed) for seed in range(max(count, 1))]
render(scenes[:1], VideoShape(frames=1, height_px=16, width_px=16, fps=8))
before = peak()
if count:
    render(scenes, VideoShape(frames=frames, height_px=height, width_px=width, fps=8))
print(before, peak())
"""


def speeds(level: str, size: tuple[int, int, int], *, count: int, device: str) -> dict[str, Any]:
    """Megapixels a second: of each scene the median of `RUNS`, and of them the median, least and most."""
    import torch

    from kinema.core.geometry import VideoShape
    from kinema.world.render import render
    from kinema.world.sampler import sample

    frames, height, width = size
    shape = VideoShape(frames=frames, height_px=height, width_px=width, fps=8)
    scenes = [sample(FIRST_SEED + n, difficulty=level) for n in range(count)]
    batches = [[scene] for scene in scenes] if device == "cpu" else [scenes]
    clock = time.process_time if device == "cpu" else _device_clock(torch.cuda.synchronize)
    render(batches[0], shape, device=device)
    found: list[list[float]] = [[] for _ in batches]
    for _ in range(RUNS):
        for batch, seconds in zip(batches, found, strict=True):
            start = clock()
            render(batch, shape, device=device)
            seconds.append(clock() - start)
    mega = frames * height * width / 1e6
    rates = [mega * len(batch) / statistics.median(s) for batch, s in zip(batches, found, strict=True)]
    return {
        "median_mp_s": round(statistics.median(rates), 3),
        "least_mp_s": round(min(rates), 3),
        "most_mp_s": round(max(rates), 3),
        "all_mp_s": round(len(scenes) * mega / sum(statistics.median(s) for s in found), 3),
        "scenes": count,
        "runs": RUNS,
        "fraction_of_limit": round(statistics.median(rates) / LIMITS[device], 3),
    }


def _device_clock(wait: Callable[[], None]) -> Callable[[], float]:
    def now() -> float:
        wait()
        return time.perf_counter()

    return now


def memory(size: tuple[int, int, int]) -> dict[str, int]:
    """Peak bytes of a fresh process that draws `BATCH` clips, and how many of them are those that Python and torch take."""
    arguments = [sys.executable, "-c", _MEMORY, *map(str, size), str(BATCH)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    before, peak = map(int, done.stdout.split())
    return {"clips": BATCH, "peak_bytes": peak, "before_bytes": before, "limit_bytes": BATCH_LIMIT_BYTES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--device", choices=LIMITS, default="cpu")
    given = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    data: dict[str, Any] = {"device": given.device, "load_average": load, "is_idle": load < _IDLE_LOAD}
    data["speed"] = {
        f"{level} {name}": speeds(level, size, count=given.scenes, device=given.device)
        for level in LEVELS
        for name, size in SIZES.items()
    }
    device = None
    if given.device == "cpu":
        data["memory"] = {name: memory(size) for name, size in SIZES.items()}
    else:
        device = {"name": torch.cuda.get_device_name()}
        data["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    record("world" if given.device == "cpu" else "world_gpu", data, device=device)


if __name__ == "__main__":
    main()
