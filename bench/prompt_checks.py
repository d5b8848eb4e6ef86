"""How well do the default content checks tell prompts apart? Precision and recall on the labelled set, by language and part, and the time.

python bench/prompt_checks.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter

from record import ROOT, record

sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from kinema.prompt.checks import check_prompt  # noqa: E402
from tests.prompt.content import LANGUAGES, PARTS, Labelled, labelled, score  # noqa: E402

RUNS = 5


def missed(rows: list[Labelled]) -> dict[str, int]:
    """How many objectionable prompts of each category pass."""
    return dict(Counter(row.category for row in rows if row.category and not check_prompt(row.prompt)))


def microseconds(rows: list[Labelled]) -> float:
    """Median time of a check, over ``RUNS`` passes; the passes before have compiled the patterns."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        for row in rows:
            check_prompt(row.prompt)
        times.append((time.perf_counter() - start) / len(rows))
    return round(statistics.median(times) * 1e6, 1)


def main() -> None:
    results = {}
    for language in LANGUAGES:
        for part in PARTS:
            rows = labelled(language, part)
            results[f"{language}/{part}"] = {**score(rows), "missed": missed(rows), "check_us": microseconds(rows)}
    note = "tuned: the rules were written with these prompts in view; held_out: written afterwards and scored once, never tuned on"
    record("prompt_checks", {"parts": note, "scores": results})


if __name__ == "__main__":
    main()
