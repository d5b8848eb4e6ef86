"""The surface words of every attribute value, in English and Chinese: what captions say and what a reader may look for.

Each value lists its canonical word first in each language. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kinema.world.words import cameras, verbs_en, verbs_zh
from kinema.world.words.grammar import GRAMMAR_WORDS, RELATION_WORDS
from kinema.world.words.inflect import plural, verb
from kinema.world.words.nouns import (
    CLOTHES,
    COLOUR_WORDS,
    KIND_WORDS,
    MATERIAL_WORDS,
    MEASURE_WORDS,
    NUMBER_WORDS,
    Words,
)
from kinema.world.words.settings import PLACE_WORDS, TIME_WORDS, WEATHER_WORDS

__all__ = [
    "COLOUR_WORDS",
    "KIND_WORDS",
    "MATERIAL_WORDS",
    "MEASURE_WORDS",
    "PLACE_WORDS",
    "TIME_WORDS",
    "WEATHER_WORDS",
    "vocabulary",
]

DIRECTION_WORDS: Words = {
    "left": {"en": ("to the left", "leftwards", "left"), "zh": ("向左", "往左", "朝左")},
    "right": {"en": ("to the right", "rightwards", "right"), "zh": ("向右", "往右", "朝右")},
}


def vocabulary() -> dict[str, dict[str, list[str]]]:
    """All surface words: attribute -> value -> words, each language's canonical word first, English before Chinese.

    ``grammar`` holds what carries a sentence: links, measure words, heads.
    """
    tables = {
        "kind": {kind: _with_plurals(words) for kind, words in KIND_WORDS.items()},
        "colour": COLOUR_WORDS,
        "material": MATERIAL_WORDS,
        "place": PLACE_WORDS,
        "time": TIME_WORDS,
        "weather": WEATHER_WORDS,
        "direction": DIRECTION_WORDS,
        "camera": {name: {"en": _camera_en(name), "zh": _camera_zh(name)} for name in cameras.CAMERAS_EN},
        "style": cameras.STYLE_WORDS,
        "relation": RELATION_WORDS,
    }
    out = {name: {v: _unique((*w["en"], *w["zh"])) for v, w in table.items()} for name, table in tables.items()}
    out["action"] = {action: _unique((*_verbs_en(action), *_verbs_zh(action))) for action in verbs_en.VERBS}
    views = (
        word
        for language in ("en", "zh")
        for words in (*cameras.DRONE[language], cameras.FROM_ABOVE[language])
        for word in words
    )
    out["view"] = {"aerial": _unique(_bare_heads(views))}
    out["count"] = {str(n): _unique((*w["en"], *w["zh"])) for n, w in NUMBER_WORDS.items()}
    out["clothes"] = {word: [word, chinese] for word, chinese in CLOTHES.values()}
    measures = (n + m for m in dict.fromkeys(MEASURE_WORDS.values()) for n in ("", "一", "两", "三", "另一", "另外一"))
    paces = (word for pair in cameras.PACES.values() for word in pair)
    heads = (h for style in cameras.STYLE_HEADS.values() for words in style.values() for h in words)
    out["grammar"] = {"links": _unique((*GRAMMAR_WORDS, *measures, *paces, *_bare_heads(heads)))}
    return out


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _bare_heads(words: Iterable[str]) -> list[str]:
    return [w.rstrip("：").removesuffix(" of") for w in words]


def _with_plurals(words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {"en": tuple(_unique((*words["en"], *(plural(w) for w in words["en"])))), "zh": words["zh"]}


def _camera_en(name: str) -> tuple[str, ...]:
    nouns, actions = (cameras.split(words) for words in cameras.CAMERAS_EN[name])
    forms = [f"the camera {verb(a).does}" for a in actions] + [f"camera {verb(a).doing}" for a in actions]
    return (*nouns, *forms)


def _camera_zh(name: str) -> tuple[str, ...]:
    """The words for a class, and what is left of them where "slowly" comes between."""
    words = cameras.split(cameras.CAMERAS_ZH[name])
    return (*words, *(w.removeprefix("镜头") for w in words if w.startswith("镜头") and name not in cameras.STILL))


def _verbs_en(action: str) -> list[str]:
    forms = [f for phrases in verbs_en.VERBS[action].values() for p in phrases.split("|") for f in _forms(p)]
    if action == "stand":
        forms += [w.replace(" {}", "") for w in (*verbs_en.WAVES, *verbs_en.WAVES_DOING)]
    return forms


def _forms(phrase: str) -> list[str]:
    one = verb(phrase)
    return [re.sub(r"\s+", " ", form.replace("{}", "")).strip() for form in (one.does, one.doing, one.bare)]


def _verbs_zh(action: str) -> list[str]:
    phrases = [p.lstrip("!") for rows in verbs_zh.VERBS[action].values() for p in rows.split("|")]
    phrases += [p for rows in verbs_zh.DIRECTED.get(action, {}).values() for p in rows.split("|")]
    if action == "stand":
        phrases += verbs_zh.WAVES
    return [part for p in phrases for part in p.split("{}") if part]
