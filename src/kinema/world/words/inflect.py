"""English endings: articles, plurals and the forms of verbs. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

_DOUBLING = frozenset("pan spin hop run jog bob drop skid slip flip tip chug sip swim trot sit hit".split())
_PLURALS = {"person": "people", "little man": "little men", "puppy": "puppies", "birdie": "birdies", "fish": "fish"}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """``bare`` is said of several ("roll along"), ``does`` of one ("rolls along"), ``doing`` of any number ("rolling along")."""

    bare: str
    does: str
    doing: str


def article(noun: str) -> str:
    """``noun`` with "a" or "an" before it."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text: str) -> str:
    """``text`` with a capital at the start."""
    return text[0].upper() + text[1:]


@cache
def plural(noun: str) -> str:
    """The plural of ``noun``; of "tuft of grass", the first word's."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    head, of, rest = noun.partition(" of ")
    first, _, last = head.rpartition(" ")
    if last in _PLURALS:
        many = _PLURALS[last]
    elif last.endswith(("s", "sh", "ch", "x")):
        many = last + "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        many = last[:-1] + "ies"
    else:
        many = last + "s"
    return f"{first} {many}".strip() + of + rest


@cache
def verb(phrase: str) -> Verb:
    """The forms of ``phrase``, whose first word is a bare verb; so is each word marked by "~" ("fall and ~bounce")."""
    bare = phrase.replace("~", "")
    if phrase.startswith("be "):
        rest = phrase[3:]
        return Verb(bare=f"are {rest}", does=f"is {rest}", doing=rest)
    marked = ["~" + w if n == 0 else w for n, w in enumerate(phrase.split(" "))]
    does = " ".join(_does(w[1:]) if w.startswith("~") else w for w in marked)
    doing = " ".join(_doing(w[1:]) if w.startswith("~") else w for w in marked)
    return Verb(bare=bare, does=does, doing=doing)


def verbs(phrases: str) -> tuple[Verb, ...]:
    """The forms of each of ``phrases``, which stand between bars."""
    return tuple(verb(p) for p in phrases.split("|"))


def _does(word: str) -> str:
    if word.endswith(("s", "sh", "ch", "x", "o", "z")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _doing(word: str) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying"
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return word[:-1] + "ing"
    if word in _DOUBLING:
        return word + word[-1] + "ing"
    return word + "ing"
