"""`hand_written_prompts`: sixty prompts that people wrote, outside the grammar of captions, for evaluation. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A ``prompt`` in ``language`` and what a clip of it must show: of a scene, only what the prompt states.

    ``scene`` has the fields of `Scene.to_dict`, those that are stated; each of its ``subjects`` has those of `Subject`.
    ``elevation_deg`` stands for any aerial view; ``relations`` lists (subject, one of `RELATIONS`, other subject).
    """

    language: str
    prompt: str
    scene: dict[str, Any]


@cache
def hand_written_prompts() -> tuple[Prompt, ...]:
    """The prompts of ``prompts.json``: thirty in English and thirty in Chinese, the mission documents' own two among them."""
    rows = json.loads(files("kinema.world").joinpath("prompts.json").read_text(encoding="utf-8"))
    return tuple(Prompt(**row) for row in rows)
