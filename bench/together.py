"""What do clips that are denoised together save, and is each of them what it is alone?

python bench/together.py [--model MODEL] [--numbers 2,4,8] [--repeats 5] [--threads 1]

Seconds are of processor time, which other processes lengthen less than the clock's: the least of all denoising steps, of batches and of
single clips by turns. A share is a clip's part of a step over the step of a clip alone. Together all come at the end, so waiting is shorter
on average only where the share is below (N + 1) / 2N. No share means that some bit would be another, so that they aren't made together.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from typing import Any

from record import record

# the default clip, a picture, and each without guidance, where a step asks for one row
CASES: tuple[dict[str, Any], ...] = ({}, {"frames": 1}, {"guidance": 1.0}, {"frames": 1, "guidance": 1.0})
STEPS = 6


def steps_of(engine: Any, requests: list[Any]) -> list[float]:
    """Processor seconds of the denoising steps of ``requests`` but the first; none where they aren't made together."""
    ends: list[float] = []
    engine.denoise_together(requests, on_states=lambda _: ends.append(time.process_time()))
    return [after - before for before, after in itertools.pairwise(ends)]


def main() -> None:
    from kinema.core.request import GenerationRequest
    from kinema.engine.engine import Engine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kinema-mini")
    parser.add_argument("--numbers", default="2,4,8")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    numbers, rows = [1, *map(int, arguments.numbers.split(","))], []
    for dtype in ("float32", "bfloat16"):
        engine = Engine(arguments.model, threads=arguments.threads, dtype=dtype)
        for case in CASES:
            requests = [
                GenerationRequest(prompt="a red car drives along the beach", steps=STEPS, seed=i, **case)
                for i in range(numbers[-1])
            ]
            seconds: dict[int, list[float]] = {number: [] for number in numbers}
            for _ in range(arguments.repeats):
                for number in numbers:
                    seconds[number] += steps_of(engine, requests[:number])
            alone = min(seconds[1])
            share = {n: round(min(found) / n / alone, 3) if found else None for n, found in seconds.items()}
            rows.append({"dtype": dtype, **case, "alone_s": round(alone, 4), "share": share})
            print(rows[-1], flush=True)
    settings = {"model": arguments.model, "threads": arguments.threads, "steps": STEPS, "repeats": arguments.repeats}
    record("together", {**settings, "load_average": os.getloadavg()[0], "rows": rows})


if __name__ == "__main__":
    main()
