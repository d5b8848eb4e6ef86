"""`check_prompt`: what of a prompt the default content checks find, in English and Chinese. Standard library only.

Rules of words: they name what is asked for in plain speech and the common ways to disguise it. They don't understand a sentence, so
they are a first gate and no judge; `bench/prompt_checks.py` measures them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2s
from typing import Any

from kinema.prompt import check_rules_en, check_rules_zh
from kinema.prompt.check_text import readings

# category -> what it means to a reader; the gravest first
CATEGORIES = {
    "minors": "sexual content with minors",
    "real_person": "sexual or deceptive imagery of real people",
    "sexual": "sexual content",
    "gore": "graphic violence",
    "self_harm": "suicide or self-harm",
    "hate": "hatred of groups of people",
    "illegal": "instructions for making weapons or drugs",
}
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A category of `CATEGORIES` and the words of the prompt, in small letters and undisguised, that speak for it."""

    category: str
    words: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """The category in plain words."""
        return CATEGORIES[self.category]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {"category": self.category, "meaning": self.meaning, "words": list(self.words)}


def check_prompt(text: str) -> tuple[Finding, ...]:
    """What the checks find in ``text``, the gravest category first, each once; empty if there is nothing to object to."""
    found: dict[str, tuple[str, ...]] = {}
    for reading in readings(text):
        for is_english, rules in ((True, check_rules_en.RULES), (False, check_rules_zh.RULES)):
            cleaned = _harmless(is_english).sub(" ", reading)
            for category, words in _matches(cleaned, rules, is_english=is_english):
                found.setdefault(category, words)
        if slurs := tuple(word for word in _WORD.findall(reading) if _is_slur(word)):
            found.setdefault("hate", slurs)
    return tuple(Finding(category=c, words=found[c]) for c in CATEGORIES if c in found)


def _matches(
    text: str, rules: Mapping[str, Iterable[tuple[str, ...]]], *, is_english: bool
) -> Iterable[tuple[str, tuple[str, ...]]]:
    for category, alternatives in rules.items():
        for patterns in alternatives:
            matches = [_pattern(p, is_english).search(text) for p in patterns]
            if all(matches):
                yield category, tuple(dict.fromkeys(m[0].strip() for m in matches if m))


@cache
def _pattern(pattern: str, is_english: bool) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])" if is_english else pattern)


@cache
def _harmless(is_english: bool) -> re.Pattern[str]:
    phrases = (check_rules_en if is_english else check_rules_zh).HARMLESS
    return _pattern("|".join(phrases), is_english)


def _is_slur(word: str) -> bool:
    return blake2s(word.encode(), digest_size=8).hexdigest() in check_rules_en.SLURS
