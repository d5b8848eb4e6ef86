"""What do fewer denoising steps, or steps that are left out, cost in quality, and what do they save?

python bench/steps.py [--model MODEL] [--scenes N] [--dtype bfloat16] [--rows 20:0,20:1,...]

A row is STEPS:CACHE_LEVEL. Each makes the clips of the same validation prompts and seeds; the judges read them, and their frames are
compared with those of 100 whole steps, which stand for the exact solution. Seconds are those of whole clips without the load, rows
taking turns.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from record import record

from kinema.core.skips import computed_steps

EXACT = (100, 0)
ROWS = "40:0,25:0,20:0,16:0,12:0,8:0,40:1,30:1,25:1,20:1,30:2,20:2"


def psnr_db(ours: Any, exact: Any) -> float:
    """How near frames are to the exact ones, uint8 both."""
    error = float(np.mean((ours.astype(np.float64) - exact.astype(np.float64)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def main() -> None:
    from kinema.engine.engine import Engine
    from kinema.evaluation.judges import load_judges
    from kinema.evaluation.model import Examination, Examinee
    from kinema.evaluation.scores import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kinema-mini")
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rows", default=ROWS)
    args = parser.parse_args()
    rows = [EXACT, *(tuple(int(n) for n in row.split(":")) for row in args.rows.split(","))]
    judges, frames, seconds, shares = load_judges(), {}, {}, {}
    engines = {
        level: Engine(args.model, dtype=args.dtype, vae_dtype=args.dtype, cache_level=level) for _, level in rows
    }
    for steps, level in rows:
        one = Examination(split="validation", scenes=args.scenes, steps=steps)
        examinee = Examinee(engines[level], judges, one)
        made = list(examinee.words(examinee.asked()))
        frames[steps, level] = [m.clip.frames for m in made]
        shares[steps, level] = {
            k: round(v["share"], 3) for k, v in table([m.answer for m in made])["attributes"].items()
        }
        seconds[steps, level] = []
    request = examinee.request(examinee.questions("plain", languages=("en",), count=1)[0].prompt, 0)
    for _ in range(5):
        for steps, level in rows[1:]:
            started = time.perf_counter()
            engines[level].generate(replace(request, steps=steps))
            seconds[steps, level].append(time.perf_counter() - started)
    result = [
        {
            "steps": steps,
            "cache_level": level,
            "computed_steps": sum(computed_steps(steps, level)),
            "psnr_db_to_exact": round(
                median(psnr_db(a, b) for a, b in zip(frames[steps, level], frames[EXACT], strict=True)), 2
            ),
            "seconds_a_clip": round(median(seconds[steps, level]), 3) if seconds[steps, level] else None,
            "shares": shares[steps, level],
        }
        for steps, level in rows
    ]
    card = engines[0].card
    record("steps", {"model": f"{card.name} {card.version}", "clips_a_row": len(frames[EXACT]), "rows": result})


if __name__ == "__main__":
    main()
