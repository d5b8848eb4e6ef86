"""English endings: stems that make the forms of a word equal, and the forms that a sentence needs. Standard library only."""

from __future__ import annotations

import re
from functools import cache

_IRREGULAR = {
    "ran": "run", "flew": "fly", "flown": "fly", "swam": "swim", "fell": "fall", "fallen": "fall",
    "drove": "drive", "driven": "drive", "rode": "ride", "sat": "sit", "stood": "stand", "hung": "hang",
    "threw": "throw", "thrown": "throw", "drank": "drink", "leapt": "leap", "sped": "speed", "lying": "lie",
    "lies": "lie", "people": "person", "men": "man", "women": "woman", "children": "child", "swung": "swing",
    "spun": "spin", "slid": "slide", "hid": "hide", "went": "go", "mice": "mouse", "geese": "goose",
}  # fmt: skip
_DOUBLED = re.compile(r"([bdfgklmnprt])\1$")
_VOWEL = re.compile(r"[aeiouy]")
_SHORT_VERB = re.compile(r"[^aeiou]*[aeiou][bdgmnpt]$")
_PLURALS = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "birdie": "birdies",
    "cactus": "cactuses",
    "fish": "fish",
}


@cache
def stem(word: str) -> str:
    """What the forms of ``word`` (small letters) have in common: "race", "races", "racing" and "raced" have one stem. No word itself."""
    word = word.removesuffix("'s")
    word = _IRREGULAR.get(word, word)
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes", "oes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    else:
        for ending in ("ing", "ed"):
            rest = word.removesuffix(ending)
            if rest != word and len(rest) > 1 and _VOWEL.search(rest):
                word = _DOUBLED.sub(r"\1", rest)
                break
    return word.removesuffix("e") if len(word) > 3 else word


def does(phrase: str) -> str:
    """The bare verb ``phrase`` of one who does it: "run along" gives "runs along"."""
    word, _, rest = phrase.partition(" ")
    if word.endswith(("s", "sh", "ch", "x", "o", "z")):
        word += "es"
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        word = word[:-1] + "ies"
    else:
        word += "s"
    return f"{word} {rest}".strip()


def doing(phrase: str) -> str:
    """The bare verb ``phrase`` as it goes on: "run along" gives "running along"."""
    word, _, rest = phrase.partition(" ")
    if word.endswith("ie"):
        word = word[:-2] + "y"
    elif word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        word = word[:-1]
    elif _SHORT_VERB.fullmatch(word):
        word += word[-1]
    return f"{word}ing {rest}".strip()


def plural(noun: str) -> str:
    """Several of ``noun``."""
    head, of, rest = noun.partition(" of ")
    first, _, last = head.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "sh", "ch", "x")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{first} {last}".strip() + of + rest


def singular(noun: str) -> str:
    """One of ``noun``, which may be one already: "rabbits" and "rabbit" give "rabbit"."""
    first, space, last = noun.rpartition(" ")
    for one, many in _PLURALS.items():
        if last == many:
            return first + space + one
    if last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("shes", "ches", "xes", "sses")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")):
        last = last[:-1]
    return first + space + last


def article(noun: str) -> str:
    """``noun`` with "a" or "an" before it."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun
