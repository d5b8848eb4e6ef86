"""What do N minutes of training buy? The recipe of the shipped model from nothing at several budgets, each model scored by the judges.

python bench/time_to_quality.py --out DIR [--budgets 10,30] [--scenes N] [--device cpu|cuda]

On a CPU a minute is what two cores do in one: half of the processor time that the run has used, so that what else runs on the machine
takes nothing from it. Start it with OMP_WAIT_POLICY=PASSIVE, or threads that wait count as if they worked. On a GPU it is a minute.
Each budget is a whole run of `kinema train mini --budget N` in a folder of its own: a stopped run goes on where it was, one that is done
is not made again. Results of other budgets and devices stay in bench/results/time_to_quality.json, which is drawn as a curve.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from record import RESULTS, hardware, record

from kinema.training.budget import Stopwatch

NAME = "time_to_quality"
SHOWN = ("place", "time", "colour", "kind", "action", "camera")
COLOURS = ("#1b7837", "#5aae61", "#d6604d", "#b2182b", "#4393c3", "#2166ac")
CORES = 2
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 400, 60, 40


def run(minutes: float, out: Path, *, scenes: int, device: str, workers: int) -> dict[str, Any]:
    """The scores of a model after ``minutes``, and where the time went."""
    from kinema.app.evaluate import evaluate_world
    from kinema.evaluation.model import Examination
    from kinema.training.mini import Printer, train_mini

    folder = out / f"{device}-{minutes:g}"
    started, used = time.monotonic(), cpu_seconds()
    if device == "cpu":
        Stopwatch.now = staticmethod(lambda: cpu_seconds() / CORES)
    facts = train_mini(minutes, folder, device=device, workers=workers, observer=Printer(60))
    cores_used = (cpu_seconds() - used) / (time.monotonic() - started)
    scores = evaluate_world(str(folder / "model"), Examination(scenes=scenes), str(folder / "scores"))
    attributes = scores["words"]["attributes"]
    return {
        "minutes": minutes,
        "device": device,
        "hardware": hardware(),
        "minutes_of": f"{CORES} cores" if device == "cpu" else "the clock",
        "cores_used": round(cores_used, 2),
        "vae_db": round(facts["decoder"]["scores"]["psnr_db"], 2),
        "minutes_trained": {
            "vae": facts["vae"]["minutes"], "decoder": facts["decoder"]["minutes"], "text": facts["text"]["minutes"],
            "transformer": [stage["minutes"] for stage in facts["transformer"].values()],
        },
        "shares": {name: row["share"] for name, row in attributes.items()},
        "intervals_95": {name: row["interval_95"] for name, row in attributes.items()},
        "floor": {name: row["share"] for name, row in scores["floor"]["attributes"].items()},
        "camera_condition": scores["camera"]["all"]["share"],
        "motion_spearman": scores["motion"]["spearman"],
    }  # fmt: skip


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def curve(rows: list[dict[str, Any]]) -> Image.Image:
    """Shares of right answers over minutes, the latter on a logarithmic scale."""
    import math

    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    times = [row["minutes"] for row in rows]
    low, high = math.log(min(times)), math.log(max(times))

    def place(minutes: float, share: float) -> tuple[float, float]:
        across = (math.log(minutes) - low) / (high - low) if high > low else 0.5
        return LEFT + across * (WIDTH - LEFT - 120), 20 + (1 - share) * (HEIGHT - BOTTOM - 20)

    for share in (0, 0.25, 0.5, 0.75, 1.0):
        y = place(times[0], share)[1]
        draw.line((LEFT, y, WIDTH - 120, y), fill="#dddddd")
        draw.text((LEFT - 40, y - 6), f"{share:.0%}", fill="black")
    for minutes in times:
        draw.text((place(minutes, 0)[0] - 10, HEIGHT - BOTTOM + 8), f"{minutes:g} min", fill="black")
    for name, colour, n in zip(SHOWN, COLOURS, range(len(SHOWN)), strict=True):
        points = [place(row["minutes"], row["shares"][name]) for row in rows]
        draw.line(points, fill=colour, width=3)
        for x, y in points:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        draw.rectangle((WIDTH - 105, 24 + 22 * n, WIDTH - 91, 34 + 22 * n), fill=colour)
        draw.text((WIDTH - 84, 23 + 22 * n), name, fill="black")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budgets", default="10,30,60,120")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["result"]["rows"] if path.exists() else []
    for minutes in (float(text) for text in args.budgets.split(",")):
        row = run(minutes, args.out, scenes=args.scenes, device=args.device, workers=args.workers)
        rows = [r for r in rows if (r["minutes"], r["device"]) != (minutes, args.device)] + [row]
        rows.sort(key=lambda r: (r["device"], r["minutes"]))
        record(
            NAME,
            {
                "question": "what does a model draw right after N minutes of training, all phases together?",
                "rows": rows,
            },
        )
        for device in {r["device"] for r in rows}:
            curve([r for r in rows if r["device"] == device]).save(RESULTS / f"{NAME}_{device}.png")


if __name__ == "__main__":
    main()
