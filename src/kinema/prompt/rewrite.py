"""`rewrite`: free text as a sentence of the kind that a model was trained on, by rules and its card's vocabulary. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kinema.prompt import say_en, say_zh, words_en, words_zh
from kinema.prompt.lexicon import Lexicon, Vocabulary, lexicon
from kinema.prompt.normalise import language, normalise
from kinema.prompt.parse import MAX_SUBJECTS, Sketch, items, parse
from kinema.prompt.vocabulary import words_unknown

# More tell more than one can hold.
_MAX_SENTENCES = 3
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？]")
# What is said in many ways that all are fine.
_LOOSE = ("count", "clothes", "direction", "relation")
_ENGLISH_EDGES = " ,;:.!?-"
_CHINESE_EDGES = "，。！？；：、,. "


@dataclass(frozen=True, kw_only=True)
class Change:
    """``before`` became ``after``; an empty ``after`` says that it was left out.

    ``how``: idle (carries no picture), same (a synonym), near (the nearest thing), typo, unknown (left out, since the model never read
    it) or dropped (the model knows it, but the sentence had no room).
    """

    before: str
    after: str
    how: str

    def __str__(self) -> str:
        if not self.after:
            return f"{self.before} left out"
        note = {"near": " (nearest)", "typo": " (spelling)"}.get(self.how, "")
        return f"{self.before} -> {self.after}{note}"


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What a model is asked, what was typed, and what was changed between the two, in order."""

    prompt: str
    original: str
    changes: tuple[Change, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether the prompt is another than the one that was typed."""
        return self.prompt != self.original

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        changes = [{"before": c.before, "after": c.after, "how": c.how} for c in self.changes]
        return {"prompt": self.prompt, "original": self.original, "changes": changes}


def rewrite(text: str, vocabulary: Vocabulary) -> Rewritten:
    """``text`` in the words of ``vocabulary`` (attribute -> value -> words), in its own language.

    What the model knows wholly goes through unchanged; so does what names nothing that it knows, but for idle words. Without a vocabulary
    nothing is changed. Equal arguments give equal results.
    """
    text = normalise(text)
    same = Rewritten(prompt=text, original=text)
    if not vocabulary or text.startswith("{"):
        return same
    words = lexicon(vocabulary, language(text))
    if not words_unknown(text, vocabulary):
        return same
    rest, idle = strip_idle(text, is_chinese=words.is_chinese)
    changes = tuple(Change(before=piece, after="", how="idle") for piece in idle)
    if not rest:
        return same
    if idle and _is_plain(rest, words):
        return Rewritten(prompt=rest, original=text, changes=changes)
    sketch = parse(rest, words)
    if (
        len(_SENTENCE_END.findall(rest + ".")) > _MAX_SENTENCES
        or not sketch.subjects
        or len(sketch.subjects) > MAX_SUBJECTS
    ):
        return Rewritten(prompt=rest, original=text, changes=changes)
    prompt = (say_zh if words.is_chinese else say_en).say(sketch, words)
    return Rewritten(prompt=prompt, original=text, changes=(*changes, *_changes(sketch, words, prompt)))


def _is_plain(text: str, words: Lexicon) -> bool:
    """Whether the model knows all words of ``text``, and what means something is said as captions say it."""
    if words_unknown(text, words.vocabulary):
        return False
    found = [m for item in items(text, words) for m in item.meanings[:1]]
    return all(m.how == "known" or m.attribute in _LOOSE for m in found)


def strip_idle(text: str, *, is_chinese: bool) -> tuple[str, tuple[str, ...]]:
    """``text`` without politeness, quality tags and talk about the video itself, and what was taken out."""
    removed: list[str] = []

    def take(match: re.Match[str]) -> str:
        if piece := match[0].strip(_ENGLISH_EDGES + _CHINESE_EDGES):
            removed.append(piece)
        return "" if is_chinese else " "

    for pattern in words_zh.IDLE if is_chinese else words_en.IDLE:
        bounded = pattern if is_chinese else rf"(?<![\w-])(?:{pattern})(?![\w-])"
        text = re.sub(bounded, take, text, flags=re.IGNORECASE)
    if not removed:
        return text, ()
    if is_chinese:
        text = re.sub(r"[，、；：,]{2,}", "，", text).strip(_CHINESE_EDGES)
    else:
        text = re.sub(r"\s*,(?:\s*,)+", ",", re.sub(r"\s+", " ", text))
        text = re.sub(r"\s+([,.;:!?])", r"\1", text).strip(_ENGLISH_EDGES)
    return text, tuple(removed)


def _changes(sketch: Sketch, words: Lexicon, prompt: str) -> tuple[Change, ...]:
    changes: dict[str, Change] = {}
    for before, meaning in sketch.replaced:
        is_loose = meaning.attribute in _LOOSE and meaning.how != "near"
        if is_loose or before in sketch.dropped:
            continue
        known = words.known(meaning.attribute, meaning.value)
        after = max((w for w in known if w in prompt), key=len, default=known[0] if known else "")
        if after and before.casefold() != after.casefold() and not _stands_in(before, prompt, words):
            changes.setdefault(before, Change(before=before, after=after, how=meaning.how))
    for piece in (*sketch.missed, *sketch.dropped):
        how = "unknown" if words_unknown(piece, words.vocabulary) and piece in sketch.missed else "dropped"
        changes.setdefault(piece, Change(before=piece, after="", how=how))
    return tuple(changes.values())


def _stands_in(piece: str, prompt: str, words: Lexicon) -> bool:
    if words.is_chinese:
        return piece in prompt
    return re.search(rf"(?<![\w-]){re.escape(piece)}(?![\w-])", prompt, re.IGNORECASE) is not None


def summary(changes: Sequence[Change]) -> str:
    """The changes in one line: what became what, then what was left out for want of room; idle and unknown words are unmentioned."""
    became = [str(c) for c in changes if c.after]
    out = [c.before for c in changes if c.how == "dropped"]
    return "; ".join([*became, *([f"left out: {', '.join(out)}"] if out else [])])
