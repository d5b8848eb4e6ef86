"""`words_unknown` and `name_unknown`: what of a prompt a model has never read. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache

from kinema.prompt.lexicon import lexicon
from kinema.prompt.normalise import language, normalise
from kinema.prompt.parse import items

# Words that carry a sentence but no picture, and what captions say around the vocabulary.
_SMALL_WORDS = frozenset(
    "a an the this that there it its is are was be of in on at by to from with and or as while some one two three "
    "video clip film picture shot scene view camera showing shows show".split()
)
_SMALL_CHINESE = frozenset("的地得在了着过是有和与跟里中上下边一二两三这那个只条头匹辆朵棵把段张幅，。！？；：、（）")
_CHINESE_RUN = re.compile(r"[\u3400-\u9fff，。！？；：、（）]+")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def words_unknown(prompt: str, vocabulary: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[str, ...]:
    """The words of ``prompt`` that stand nowhere in ``vocabulary`` (attribute -> value -> words), in order, each once.

    Small words (articles, prepositions) don't count. English plurals are known by their singular; Chinese text is cut where the
    longest known words match.
    """
    english, chinese = _known(tuple(w for values in vocabulary.values() for words in values.values() for w in words))
    text = normalise(prompt)
    found: list[tuple[int, str]] = []
    for run in _CHINESE_RUN.finditer(text):
        found += ((run.start() + at, word) for at, word in _unknown_chinese(run[0], chinese))
    for word in _WORD.finditer(_CHINESE_RUN.sub(lambda m: " " * len(m[0]), text)):
        if not word[0].isdecimal() and not _is_known(word[0].casefold(), english):
            found.append((word.start(), word[0]))
    return tuple(dict.fromkeys(word for _, word in sorted(found)))


def name_unknown(prompt: str, vocabulary: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[str, ...]:
    """`words_unknown`, each with the nearest word that the model knows, if there is one: ``"zebra (nearest: horse)"``."""
    words = lexicon(vocabulary, language(prompt))
    pieces = words_unknown(prompt, vocabulary)
    if words.is_chinese:  # cut by what words mean, so that 斑马 is a zebra and no horse
        whole = (item.text for item in items(normalise(prompt), words) if not item.is_small)
        pieces = tuple(dict.fromkeys(piece for piece in whole if words_unknown(piece, vocabulary)))
    found = ((word, words.nearest(word)) for word in pieces)
    return tuple(f"{word} (nearest: {near})" if near else word for word, near in found)


@lru_cache(maxsize=16)
def _known(surface: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """(English words, Chinese words from long to short) of ``surface``, kept for the next prompt."""
    english = frozenset(part for phrase in surface for part in _WORD.findall(phrase.casefold())) | _SMALL_WORDS
    return english, tuple(sorted({w for w in surface if _CHINESE_RUN.fullmatch(w)}, key=len, reverse=True))


def _is_known(word: str, known: Container[str]) -> bool:
    singulars = (word.removesuffix("'s"), word.removesuffix("s"), word.removesuffix("ies") + "y")
    return any(w in known for w in (word, *singulars))


def _unknown_chinese(run: str, known: Sequence[str]) -> list[tuple[int, str]]:
    """(position, word) of what neither a known word nor a small one covers, neighbouring characters together."""
    unknown: list[tuple[int, str]] = []
    at, start = 0, None
    while at <= len(run):
        match = next((w for w in known if run.startswith(w, at)), None) if at < len(run) else ""
        step = len(match) if match else 1
        is_unknown = at < len(run) and match is None and run[at] not in _SMALL_CHINESE
        if is_unknown and start is None:
            start = at
        if not is_unknown and start is not None:
            unknown.append((start, run[start:at]))
            start = None
        at += step
    return unknown
