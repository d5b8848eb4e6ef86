"""`Lexicon`: what each word means to a model: its card's vocabulary, and general synonyms mapped onto it. Standard library only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from kinema.prompt import words_en, words_zh
from kinema.prompt.inflect import stem

Vocabulary = Mapping[str, Mapping[str, Sequence[str]]]
How = Literal["known", "same", "near", "typo"]
_HAN = re.compile(r"[\u3400-\u9fff]")
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_LEADING = re.compile(r"^(?:in|on|at|by|over|above|near|off|beside|inside|among|deep in|out on) (?:an? |the )?")
_PLACE_ENDINGS = tuple("里上中边旁下间")
_NO_MEANING = ("grammar", "count", "clothes")
# vocabulary words that are also quite ordinary ones
_TOO_COMMON = frozenset("water pour tip turn watering waters pick lift take rise rises rising".split())
_MIN_TYPO = 5
_LONG_WORD = 8


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A value of an attribute of the vocabulary, and ``how`` a word means it: known to the model, a synonym, merely near, misspelt."""

    attribute: str
    value: str
    how: How = "known"


class Lexicon:
    """The words of ``vocabulary`` in ``language``, and synonyms for its values.

    English phrases are keyed by their words, once as they stand and once by their stems; Chinese ones by themselves.
    """

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self.vocabulary, self.is_chinese = vocabulary, language == "zh"
        self._meanings: dict[str, list[Meaning]] = {}
        words = words_zh if self.is_chinese else words_en
        for how, table in (("same", words.SAME), ("near", words.NEAR)):
            for attribute, values in table.items():
                for value, phrases in values.items():
                    self._add_synonyms(attribute, value, phrases.split("|"), how)
        for attribute, values in vocabulary.items():
            if attribute not in _NO_MEANING:
                for value, phrases in values.items():
                    self._add_known(attribute, value, phrases)
        self._stems: dict[str, list[Meaning]] = {}
        if not self.is_chinese:
            for phrase, meanings in self._meanings.items():
                self._stems.setdefault(_stems(phrase), meanings)
        self.longest = max((len(p) if self.is_chinese else p.count(" ") + 1 for p in self._meanings), default=0)

    def find(self, phrase: str) -> tuple[Meaning, ...]:
        """What ``phrase``, in small letters, means: more than one value for "on a foggy morning"."""
        found = self._meanings.get(phrase)
        if found is None and not self.is_chinese:
            found = self._stems.get(_stems(phrase))
        return tuple(found or ())

    def known(self, attribute: str, value: str) -> tuple[str, ...]:
        """The card's words for a value in this language, the canonical one first."""
        words = self.vocabulary.get(attribute, {}).get(value, ())
        return tuple(w for w in words if bool(_HAN.search(w)) == self.is_chinese)

    def typo(self, word: str) -> str | None:
        """The one word known here that ``word`` is nearest to by letters, if it is near: one slip, or two in long words."""
        if self.is_chinese or len(word) < _MIN_TYPO or word in words_en.NO_TYPOS or not word.isalpha():
            return None
        most = 2 if len(word) >= _LONG_WORD else 1
        near = [(d, w) for w in self._single_words() if w[0] == word[0] and (d := slips(word, w, most)) <= most]
        least = min((d for d, _ in near), default=0)
        best = {w for d, w in near if d == least}
        return best.pop() if len(best) == 1 else None

    def nearest(self, word: str) -> str | None:
        """A word that the model knows for what ``word`` is nearest to, or None."""
        word = word.casefold()
        found = self.find(word) or self.find(self.typo(word) or "")
        for meaning in found:
            known = self.known(meaning.attribute, meaning.value)
            if known and word not in known:
                return known[0]
        return None

    def _add_synonyms(self, attribute: str, value: str, phrases: Sequence[str], how: str) -> None:
        if attribute in _NO_MEANING:
            self._put(phrases, Meaning(attribute=attribute, value=value, how="near" if how == "near" else "same"))
            return
        fallbacks = (value, *words_en.FALLBACKS.get(attribute, {}).get(value, ()))
        if value == "waves":
            self._put(phrases, Meaning(attribute="action", value="waves", how="same"))
            return
        for choice in fallbacks:
            if self.known(attribute, choice):
                kind: How = "same" if how == "same" and choice == value else "near"
                self._put(phrases, Meaning(attribute=attribute, value=choice, how=kind))
                return

    def _add_known(self, attribute: str, value: str, phrases: Sequence[str]) -> None:
        for phrase in phrases:
            if bool(_HAN.search(phrase)) != self.is_chinese:
                continue
            phrase = phrase.casefold()
            is_part = len(phrase) == 1 if self.is_chinese else phrase in _TOO_COMMON
            if is_part and attribute != "kind":
                continue
            if "waves" in phrase or (self.is_chinese and ("海浪" in phrase or "浪花" in phrase)):
                continue
            self._put([phrase], Meaning(attribute=attribute, value=value), is_known=True)
            bare = _bare(attribute, phrase, self.is_chinese)
            if bare and bare not in self._meanings:
                self._put([bare], Meaning(attribute=attribute, value=value, how="same"))

    def _put(self, phrases: Sequence[str], meaning: Meaning, *, is_known: bool = False) -> None:
        for phrase in phrases:
            others = self._meanings.get(phrase, [])
            if is_known:  # what the card says goes before what we suppose
                others = [m for m in others if m.how == "known"]
            elif others:
                continue
            if all((m.attribute, m.value) != (meaning.attribute, meaning.value) for m in others):
                self._meanings[phrase] = [*others, meaning]

    def _single_words(self) -> Iterator[str]:
        return (phrase for phrase in self._meanings if phrase.isalpha() and len(phrase) >= _MIN_TYPO - 1)


def lexicon(vocabulary: Vocabulary, language: str) -> Lexicon:
    """The lexicon of ``vocabulary``, kept for the next prompt."""
    return _lexicon(json.dumps(vocabulary, ensure_ascii=False, sort_keys=False), language)


@cache
def _lexicon(vocabulary: str, language: str) -> Lexicon:
    return Lexicon(json.loads(vocabulary), language)


def slips(word: str, other: str, most: int) -> int:
    """How many letters to put in, leave out, change or swap with a neighbour make ``other`` of ``word``; past ``most`` any number."""
    if abs(len(word) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        new = [i]
        for j, wanted in enumerate(other, 1):
            cost = min(row[j] + 1, new[-1] + 1, row[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            new.append(cost)
        before, row = row, new
    return row[-1]


def _stems(phrase: str) -> str:
    return " ".join(stem(w) for w in phrase.split(" "))


def _bare(attribute: str, phrase: str, is_chinese: bool) -> str | None:
    """A place without its preposition."""
    if attribute != "place":
        return None
    if is_chinese:
        return phrase[:-1] if phrase.endswith(_PLACE_ENDINGS) and len(phrase) > 2 else None
    bare = _LEADING.sub("", phrase)
    return bare if bare != phrase else None
