"""Which scene of the world is meant: that of a seed, or of a file, with some of its words replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, SupportsIndex

from kinema.core.errors import InvalidInput, choices
from kinema.world.nature import ACTIONS, COLOURS, KINDS, PAIR_ACTIONS, PLACES, STYLES, TIMES, WEATHERS, can
from kinema.world.rng import Random, whole_seed
from kinema.world.sampler import DIFFICULTIES, Difficulty, sample
from kinema.world.scene import CAMERA_ALIASES, CAMERA_NAMES, Scene, Subject

MAX_SCENE_FILE_BYTES = 1 << 24  # a truth file holds its scene too, and is long for a long clip
SCENE_WORDS = ("place", "time", "weather", "camera", "style")
SUBJECT_WORDS = ("kind", "colour", "action")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "colour": COLOURS,
    "action": ACTIONS,
    "place": tuple(PLACES),
    "time": TIMES,
    "weather": WEATHERS,
    "camera": CAMERA_NAMES,
    "style": STYLES,
}
_TRIES = 64
_WIDE_SPAN = 4.2  # subject heights, where two large ones need more than usual


@dataclass(frozen=True, kw_only=True)
class SceneChoice:
    """Scenes by seed: sampled in a ``split`` at a ``difficulty``, or all the one in ``file``; ``words`` replace what these have.

    ``words`` maps kind, colour and action (of the first subject), place, time, weather, camera and style to what is wanted.
    """

    split: str = "train"
    difficulty: str = "full"
    file: str | None = None
    words: Mapping[str, str | None] = field(default_factory=dict)  # None: as it comes

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            raise InvalidInput("difficulty", self.difficulty, f"must be {choices(DIFFICULTIES)}")
        words = {name: value for name, value in self.words.items() if value is not None}
        if "camera" in words:
            words["camera"] = CAMERA_ALIASES.get(words["camera"], words["camera"])
        for name, value in words.items():
            if name not in _OPTIONS:
                raise InvalidInput("words", name, f"must be {choices(_OPTIONS)}")
            if value not in _OPTIONS[name]:
                raise InvalidInput(name, value, f"must be {choices(_OPTIONS[name])}")
        object.__setattr__(self, "words", words)

    def scene(self, seed: int) -> Scene:
        """The scene of ``seed`` with the words in it. Raises: InvalidInput for what doesn't go together, and for a bad file."""
        seed = seed_of_user(seed)
        base = read_scene(self.file) if self.file else sample(seed, split=self.split, difficulty=self.difficulty)
        words = {name: value for name, value in self.words.items() if value is not None}
        return with_words(base, words, seed=seed, level=DIFFICULTIES[self.difficulty]) if words else base

    def facts(self, seed: int) -> dict[str, Any]:
        """What makes the scene of ``seed`` again, JSON-ready."""
        if self.file:
            return {"file": Path(self.file).name, **({"words": dict(self.words)} if self.words else {})}
        origin = {"seed": seed_of_user(seed), "split": self.split, "difficulty": self.difficulty}
        return {**origin, **({"words": dict(self.words)} if self.words else {})}


def seed_of_user(seed: SupportsIndex) -> int:
    """``seed`` as an int: those of the command line count from 0. Raises: InvalidInput."""
    number = whole_seed(seed)
    if number < 0:
        raise InvalidInput("seed", number, "must be a whole number of at least 0")
    return number


def read_scene(file: str) -> Scene:
    """The scene in a JSON file: a scene by itself, or a truth file's. Raises: InvalidInput, naming the field and what it may be."""
    path = Path(file)
    try:
        if not path.is_file():
            raise InvalidInput("scene", file, "is no file")
        if path.stat().st_size > MAX_SCENE_FILE_BYTES:
            raise InvalidInput("scene", file, f"is longer than {MAX_SCENE_FILE_BYTES} bytes")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as e:
        rule = f"is no JSON text ({e})" if isinstance(e, ValueError) else f"can't be read ({type(e).__name__})"
        raise InvalidInput("scene", file, rule) from e
    if isinstance(data, dict) and "version" in data and "scene" in data:
        data = data["scene"]
    if not isinstance(data, dict):
        raise InvalidInput("scene", file, "must be an object with subjects, place and time")
    return Scene.from_dict(data)


def with_words(scene: Scene, words: Mapping[str, str], *, seed: int, level: Difficulty) -> Scene:
    """``scene`` with ``words`` in it. What isn't among them gives way where it has to; what is among them never does.

    A new kind or action is the first subject's: the others are placed anew beside it, or leave. Raises: InvalidInput.
    """
    words, random = dict(words), Random(seed, "words")
    first, inner = scene.subject, {n: words[n] for n in SUBJECT_WORDS if n in words}
    if "kind" in inner or "action" in inner:
        inner = _kind_and_action(scene, inner, words, random, level)
    changed = {n: v for n, v in inner.items() if getattr(first, n) != v}
    outer = {n: words[n] for n in SCENE_WORDS if n in words}
    kind = inner.get("kind", first.kind)
    _agree(scene, kind, outer, words, random, level)
    if inner.get("action") in PAIR_ACTIONS and changed:
        view = {} if "camera" in words else {"camera": "static"}
        for fields in ({}, view, {**view, "span": _WIDE_SPAN}):  # a camera that comes near or shifts leaves less room
            pair = _with_pair(replace(scene, **{**outer, **fields}), inner, random, level)
            if pair is not None:
                return pair
        raise InvalidInput("action", inner["action"], f"has no room with a {kind}; name another kind")
    if not {"kind", "action"} & set(changed):
        subjects = (replace(first, **changed), *scene.subjects[1:])
        return replace(scene, subjects=subjects, **outer)
    alone = replace(first, **inner, target=None, x=0.0, z=0.0)
    return _laid_out(replace(scene, subjects=(alone,), **outer), scene.subjects[1:])


def _kind_and_action(
    scene: Scene, inner: dict[str, str], words: Mapping[str, str], random: Random, level: Difficulty
) -> dict[str, str]:
    """``inner`` with both a kind and an action: the one that isn't asked for is kept if it goes with the other, else drawn."""
    first = scene.subject
    kind, action = inner.get("kind", first.kind), inner.get("action", first.action)
    if "kind" not in inner and not _fits(kind, action, words):
        able = [k for k in (*level.kinds, *KINDS) if _fits(k, action, words)]
        if not able:
            raise InvalidInput("action", action, f"is done by nothing in the {words.get('place')}")
        kind = random.choice(able[: sum(k in level.kinds for k in able)] or able)
    if "action" not in inner and not (can(kind, action) and action not in PAIR_ACTIONS):
        action = random.choice([a for a in KINDS[kind].actions if a not in PAIR_ACTIONS])
    if not can(kind, action):
        raise InvalidInput("action", action, f"is nothing that a {kind} does; must be {choices(KINDS[kind].actions)}")
    return {**inner, "kind": kind, "action": action}


def _fits(kind: str, action: str, words: Mapping[str, str]) -> bool:
    place = words.get("place")
    return can(kind, action) and (KINDS[kind].surface != "water" or place is None or PLACES[place].has_water)


def _agree(
    scene: Scene, kind: str, outer: dict[str, str], words: Mapping[str, str], random: Random, level: Difficulty
) -> None:
    """Lets place and weather, where they weren't asked for, follow what was."""
    place, weather = outer.get("place", scene.place), outer.get("weather", scene.weather)
    is_wet = KINDS[kind].surface == "water"
    if "place" not in outer:
        suits = [
            p
            for p in dict.fromkeys((*level.places, *PLACES))
            if (PLACES[p].has_water or not is_wet)
            and not (PLACES[p].is_indoors and "weather" in outer and weather != "clear")
        ]
        if place not in suits:
            place = outer["place"] = random.choice(suits)
    elif is_wet and not PLACES[place].has_water:
        wet = choices([p for p, facts in PLACES.items() if facts.has_water])
        who = "--kind names another subject, or " if "kind" not in words else ""
        raise InvalidInput("place", place, f"has no water for a {kind}; {who}it must be {wet}")
    if PLACES[place].is_indoors and weather != "clear":
        if "weather" in outer:
            raise InvalidInput("weather", weather, f"must be clear, since the {place} is indoors")
        outer["weather"] = "clear"


def _laid_out(scene: Scene, others: tuple[Subject, ...]) -> Scene:
    """``scene`` with as many of ``others`` behind and beside its subject as go with it."""
    from kinema.world.motion.spans import layout_homes  # torch, which a scene of one subject does without

    for other in others:
        cast = (*scene.subjects, replace(other, target=None))
        if other.target is not None or other.action in PAIR_ACTIONS:
            continue
        homes = layout_homes([s.kind for s in cast], [s.action for s in cast], [s.size for s in cast])
        try:
            subjects = tuple(replace(s, x=x, z=z) for s, (x, z) in zip(cast, homes, strict=True))
            scene = replace(scene, subjects=subjects)
        except InvalidInput:
            continue
    return scene


def _with_pair(scene: Scene, inner: Mapping[str, str], random: Random, level: Difficulty) -> Scene | None:
    """``scene`` with the subject of ``inner`` doing a pair action to another, of a kind that there is room for, if there is one."""
    from kinema.world.motion.spans import pair_fits

    rule, sign = PAIR_ACTIONS[inner["action"]], 1.0 if scene.subject.direction == "right" else -1.0
    first = replace(scene.subject, **inner, target=1, x=round(-0.8 * sign, 4), z=0.0, size=1.0)
    kinds = [k for k in KINDS if rule.suits(k) and can(k, rule.target_action) and KINDS[k].surface == "ground"]
    kinds = [k for k in kinds if k in level.kinds] or kinds
    for _ in range(_TRIES):
        other = Subject(
            kind=random.choice(kinds),
            colour=random.choice([c for c in level.colours if c != first.colour]),
            action=rule.target_action,
            direction=first.direction,
            x=round(0.45 * sign, 4),
        )
        pair = replace(scene, subjects=(first, other))
        if pair_fits(pair):
            return pair
    return None
