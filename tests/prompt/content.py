"""The labelled prompts of the content checks, and how well the checks tell them apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kinema.prompt.checks import check_prompt

LANGUAGES = ("en", "zh")
PARTS = ("tuned", "held_out")


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A prompt, the category that it belongs to (None: nothing to object to) and the part of the set that it is in."""

    prompt: str
    category: str | None
    part: str


def labelled(language: str, part: str | None = None) -> list[Labelled]:
    """The set of ``language``, or one part of it."""
    lines = Path(__file__).with_name(f"content_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [Labelled(**json.loads(line)) for line in lines]
    return [row for row in rows if part in (None, row.part)]


def score(rows: list[Labelled]) -> dict[str, float]:
    """Precision and recall of refusing ``rows``, and how many of those rightly refused get their own category first."""
    found = [(row, check_prompt(row.prompt)) for row in rows]
    refused = [(row, findings) for row, findings in found if findings]
    right = [(row, findings) for row, findings in refused if row.category]
    return {
        "prompts": len(rows),
        "objectionable": sum(row.category is not None for row in rows),
        "precision": round(len(right) / len(refused), 4),
        "recall": round(len(right) / sum(row.category is not None for row in rows), 4),
        "same_category": round(sum(f[0].category == row.category for row, f in right) / len(right), 4),
    }
