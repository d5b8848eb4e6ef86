"""Seed -> scene, the same on every platform; difficulty levels, splits, and what only the test split shows. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import SupportsIndex

from kinema.core.errors import InvalidInput, choices
from kinema.world.nature import (
    COLOURS,
    KINDS,
    PAIR_ACTIONS,
    PLACES,
    SOLO_ACTIONS,
    STYLES,
    TIMES,
    WEATHERS,
    can,
)
from kinema.world.rng import Random
from kinema.world.scene import CAMERA_NAMES, DIRECTIONS, MATERIALS, MAX_SUBJECTS, Scene, Subject
from kinema.world.words import vocabulary

SPLITS = ("train", "validation", "test")

# Pairs that training and validation never show: a model that draws them has learned to combine.
HELD_OUT: tuple[dict[str, str], ...] = (
    {"colour": "purple", "kind": "rabbit"},
    {"colour": "purple", "kind": "ball"},
    {"colour": "yellow", "kind": "puppy"},
    {"colour": "green", "kind": "bird"},
    {"colour": "orange", "kind": "robot"},
    {"colour": "pink", "kind": "castle"},
    {"kind": "train", "place": "snowfield"},
    {"kind": "car", "place": "snowfield"},
    {"kind": "person", "place": "desert"},
    {"kind": "cat", "place": "forest"},
    {"kind": "boat", "weather": "fog"},
    {"kind": "cube", "action": "jump"},
    {"kind": "penguin", "action": "run"},
    {"place": "beach", "action": "spin"},
    {"place": "street", "weather": "snow"},
    {"time": "dawn", "action": "play"},
)
# Pairs that no split shows, since a reader could hardly see them.
ILLEGIBLE: tuple[dict[str, str], ...] = (
    {"colour": "white", "place": "snowfield"},
    {"colour": "white", "weather": "snow"},
    {"colour": "grey", "weather": "fog"},
    {"colour": "white", "weather": "fog"},
    {"colour": "black", "time": "night"},
)
_HELD_OUT_SHARE_OF_TEST = 0.25
_ACTION_FIRST = 0.65

# What goes somewhere needs its way free: the others then stand behind.
TRAVELS = ("walk", "run", "roll", "slide", "fly", "toss", "play", "topple")
# What others may do beside the first subject without leaving their place.
_IN_PLACE = ("stand", "spin", "jump", "wave", "sway", "fall", "float")
_BACK_Z = -1.25
_BACK_SCALE = 0.8  # how large, and how far to the side, what stands there looks beside what stands in front
_BACK_HOMES = (-1.3, -0.95, 0.95, 1.3)
_GAP = 0.06
_IN_VIEW = 1.5
_WIDEST_EXTRA = 0.62
_CUP_SIZE = (0.55, 0.70)  # of one to drink from or to pour with: what a figure can lift
_TRACKED = ("walk", "run", "roll", "slide")
_CAMERA_WEIGHTS = {"static": 2.5, "tracking": 4.0}  # the latter is drawn for few actions
_PAIR_CAMERAS = ("static", "static", "handheld", "around_left", "around_right", "tilt_up", "tilt_down")


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Which words a level draws from. ``counts`` weighs the numbers of subjects.

    ``pairs`` is the share of scenes with an event between two, ``aerial`` that of scenes seen from high up.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    colours: tuple[str, ...] = COLOURS
    places: tuple[str, ...] = tuple(PLACES)
    times: tuple[str, ...] = TIMES
    weathers: Mapping[str, float] = field(default_factory=lambda: {w: 3.0 if w == "clear" else 1.0 for w in WEATHERS})
    actions: tuple[str, ...] = SOLO_ACTIONS
    cameras: tuple[str, ...] = CAMERA_NAMES
    materials: Mapping[str, float] = field(default_factory=lambda: {m: 3.0 if m == "matte" else 1.0 for m in MATERIALS})
    styles: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STYLES, 1.0) | {"toy": 5.0})
    counts: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    pairs: float = 0.0
    aerial: float = 0.0


DIFFICULTIES: dict[str, Difficulty] = {
    "core": Difficulty(
        kinds=("puppy", "person", "car", "bird", "ball", "cube", "rabbit", "house"),
        colours=("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"),
        places=("park", "beach", "snowfield", "desert", "street", "room"),
        times=TIMES,
        weathers={"clear": 1.0},
        actions=("stand", "walk", "roll", "slide", "jump", "spin", "play", "fall"),
        cameras=("static", "zoom_in", "zoom_out", "pan_left", "pan_right", "around_left", "around_right", "tilt_up"),
        materials={"matte": 1.0},
        styles={"toy": 1.0},
    ),
    "single": Difficulty(aerial=0.06),
    "full": Difficulty(counts={1: 5.0, 2: 3.0, 3: 2.0}, pairs=0.12, aerial=0.06),
}


def sample(seed: SupportsIndex, *, split: str = "train", difficulty: str = "full") -> Scene:
    """The scene of ``seed`` in ``split`` at a `DIFFICULTIES` level. Splits and levels never share a stream of random numbers.

    A quarter of the test split shows a held-out pair, where the level has its words; the other splits show none.
    ``seed`` is of any integer type (`whole_seed`). Raises: InvalidInput for an unknown split or level, or a bad seed.
    """
    if split not in SPLITS:
        raise InvalidInput("split", split, f"must be {choices(SPLITS)}")
    if difficulty not in DIFFICULTIES:
        raise InvalidInput("difficulty", difficulty, f"must be {choices(DIFFICULTIES)}")
    level, random = DIFFICULTIES[difficulty], Random(seed, f"scene/{difficulty}/{split}")
    wants_held_out = split == "test" and random.chance(_HELD_OUT_SHARE_OF_TEST)
    forced = random.choice([row for row in HELD_OUT if _is_within(row, level)]) if wants_held_out else {}
    while True:
        scene = _draw(random, level, forced)
        if scene is None or matches(scene, ILLEGIBLE):
            continue
        if is_held_out(scene) == wants_held_out or split == "test":
            return scene


def words_of(levels: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The `vocabulary` of scenes of ``levels``: what a model that was trained on them knows."""
    drawn = [DIFFICULTIES[name] for name in levels]
    known: dict[str, set[str]] = {
        name: {value for level in drawn for value in getattr(level, f"{name}s")}
        for name in ("kind", "colour", "place", "time", "weather", "camera", "material", "style")
    }
    known["action"] = {a for level in drawn for a in (*level.actions, *(PAIR_ACTIONS if level.pairs else ()))}
    known["count"] = {str(n) for level in drawn for n in range(1, max(*level.counts, 2 if level.pairs else 1) + 1)}
    if not any(level.aerial for level in drawn):
        known["view"] = set()
    if known["count"] == {"1"}:
        known["relation"] = set()
    return {
        name: {value: words for value, words in values.items() if value in known.get(name, values)}
        for name, values in vocabulary().items()
    }


def matches(scene: Scene, table: tuple[dict[str, str], ...]) -> bool:
    """Whether one of ``scene``'s subjects shows one of the combinations of ``table``."""
    return any(
        all(words[name] == value for name, value in row.items())
        for words in (attributes(scene, number) for number in range(len(scene.subjects)))
        for row in table
    )


def is_held_out(scene: Scene) -> bool:
    """Whether ``scene`` shows a combination that training never shows."""
    return matches(scene, HELD_OUT)


def attributes(scene: Scene, number: int = 0) -> dict[str, str]:
    """The words of a scene by attribute, those of subject ``number`` among them."""
    subject = scene.subjects[number]
    return {
        "kind": subject.kind,
        "colour": subject.colour,
        "material": subject.material,
        "action": subject.action,
        "direction": subject.direction,
        "place": scene.place,
        "time": scene.time,
        "weather": scene.weather,
        "camera": scene.camera,
        "style": scene.style,
    }


def draw_extra(scene: Scene, random: Random, level: Difficulty | None = None) -> Subject | None:
    """One more subject for ``scene``, beside or behind those that are there; None if there is no room."""
    level = level or DIFFICULTIES["full"]
    number = len(scene.subjects)
    if number >= MAX_SUBJECTS:
        return None
    surfaces = {KINDS[s.kind].surface for s in scene.subjects} | {"air"}
    if surfaces == {"air"}:
        surfaces.add("ground")
    kinds = [k for k in level.kinds if KINDS[k].surface in surfaces and KINDS[k].half_width <= _WIDEST_EXTRA]
    kinds = [k for k in kinds if any(can(k, a) for a in _IN_PLACE if a in level.actions)]
    if not kinds:
        return None
    kind = random.choice(kinds)
    size = round(random.uniform(0.95, 1.03), 4)
    home = _free_home(scene.subjects, KINDS[kind].half_width * size, random)
    if home is None:
        return None
    return Subject(
        kind=kind,
        colour=random.choice(level.colours),
        material=random.weighted(level.materials),
        action=random.choice([a for a in _IN_PLACE if can(kind, a) and a in level.actions]),
        direction=random.choice(DIRECTIONS),
        size=size,
        x=home[0],
        z=home[1],
    )


def _is_within(row: Mapping[str, str], level: Difficulty) -> bool:
    options = {
        "kind": level.kinds, "colour": level.colours, "place": level.places, "time": level.times, "action": level.actions,
        "weather": tuple(level.weathers),
    }  # fmt: skip
    return all(value in options[name] for name, value in row.items())


def _draw(random: Random, level: Difficulty, forced: Mapping[str, str]) -> Scene | None:
    """A scene, or None if what was drawn doesn't go together."""
    is_pair = not forced and random.chance(level.pairs)
    drawn = _kind_and_action(random, level, forced, tuple(PAIR_ACTIONS) if is_pair else level.actions)
    if drawn is None:
        return None
    kind, action = drawn
    places = [p for p in level.places if PLACES[p].has_water or KINDS[kind].surface != "water"]
    if not places or forced.get("place", places[0]) not in places:
        return None
    place = forced.get("place") or random.choice(places)
    subject = Subject(
        kind=kind,
        colour=forced.get("colour") or random.choice(level.colours),
        material=random.weighted(level.materials),
        action="stand" if is_pair else action,
        direction=random.choice(DIRECTIONS),
        size=round(random.uniform(0.96, 1.06), 4),
    )
    weather = forced.get("weather") or random.weighted(level.weathers)
    camera = random.weighted(
        {name: _CAMERA_WEIGHTS.get(name, 1.0) for name in level.cameras if name != "tracking" or action in _TRACKED}
    )
    is_aerial = random.chance(level.aerial)
    scene = Scene(
        subjects=(subject,),
        place=place,
        time=forced.get("time") or random.choice(level.times),
        weather="clear" if PLACES[place].is_indoors else weather,
        camera=camera,
        style=random.weighted(level.styles),
        layout=random.bits() >> 1,
        elevation_deg=round(random.uniform(20.0, 30.0) if is_aerial else random.uniform(4.5, 7.0), 3),
        camera_speed=round(random.uniform(0.75, 1.25), 3),
    )
    if is_pair:
        return _with_pair(scene, action, random, level)
    return with_others(scene, random, level, count=random.weighted(level.counts))


def with_others(scene: Scene, random: Random, level: Difficulty, *, count: int) -> Scene:
    """``scene`` of one subject with others of ``level`` beside or behind it, ``count`` in all as far as there is room."""
    first = scene.subject
    if KINDS[first.kind].category == "landscapes":
        return scene
    if count > 1 and first.action not in TRAVELS and random.chance(0.7):
        size = round(first.size * random.choice((1.0, 1.0, 1.3)), 4)
        first = replace(first, x=random.choice((-0.72, 0.72)), size=size)
    scene = replace(scene, subjects=(first,))
    for _ in range(count - 1):
        extra = draw_extra(scene, random, level)
        if extra is not None:
            scene = replace(scene, subjects=(*scene.subjects, extra))
    return scene


def _free_home(taken: tuple[Subject, ...], half_width: float, random: Random) -> tuple[float, float] | None:
    """Where one more of ``half_width`` may stand, in view and not behind another: (x, z)."""
    homes = [(side, _BACK_Z) for side in _BACK_HOMES]
    if taken[0].action not in TRAVELS:
        widths = [KINDS[t.kind].half_width * t.size for t in taken]
        beside = [
            t.x + way * (w + half_width + _GAP) for t, w in zip(taken, widths, strict=True) for way in (-1.0, 1.0)
        ]
        homes += [(round(x, 4), 0.0) for x in beside]
    free = [home for home in homes if _is_free(home, half_width, taken)]
    return random.choice(free) if free else None


def _is_free(home: tuple[float, float], half_width: float, taken: tuple[Subject, ...]) -> bool:
    x, z = home
    if abs(x) + half_width > (_IN_VIEW if z == 0 else _IN_VIEW + 0.3):
        return False
    low, high = _seen(x, z, half_width)
    for other in taken:
        other_low, other_high = _seen(other.x, other.z, KINDS[other.kind].half_width * other.size)
        moves = other.action in TRAVELS
        if not moves and low < other_high and other_low < high:
            return False
    return True


def _seen(x: float, z: float, half_width: float) -> tuple[float, float]:
    """From where to where one at (x, z) is seen, as if it stood in front."""
    scale = 1.0 if z == 0 else _BACK_SCALE
    return scale * (x - half_width), scale * (x + half_width)


def _kind_and_action(
    random: Random, level: Difficulty, forced: Mapping[str, str], actions: tuple[str, ...]
) -> tuple[str, str] | None:
    """A kind and what it does: sometimes the kind is drawn first, mostly the action, so that rare ones are seen too."""
    kind, action = forced.get("kind"), forced.get("action")
    if kind is None and action is None and random.chance(_ACTION_FIRST):
        action = random.choice(actions)
    if kind is None:
        able = [k for k in level.kinds if any(can(k, a) for a in ((action,) if action else actions))]
        if not able:
            return None
        kind = random.choice(able)
    if action is None:
        options = [a for a in actions if can(kind, a)]
        if not options:
            return None
        action = random.choice(options)
    return (kind, action) if can(kind, action) else None


def _with_pair(scene: Scene, action: str, random: Random, level: Difficulty) -> Scene | None:
    """``scene`` with an event between its subject and a second one."""
    rule = PAIR_ACTIONS[action]
    targets = [k for k in level.kinds if rule.suits(k) and can(k, rule.target_action) and KINDS[k].half_width <= 0.8]
    if not targets:
        return None
    sign = 1.0 if scene.subject.direction == "right" else -1.0
    first = replace(scene.subject, action=action, target=1, x=round(-0.8 * sign, 4))
    if first.kind == "cup":
        first = replace(first, size=round(random.uniform(*_CUP_SIZE), 4))
    kind = random.choice(targets)
    other = Subject(
        kind=kind,
        colour=random.choice([c for c in level.colours if c != first.colour]),
        material=random.weighted(level.materials),
        action=rule.target_action,
        direction=first.direction,
        size=round(random.uniform(*(_CUP_SIZE if kind == "cup" else (0.9, 1.05))), 4),
        x=round(0.45 * sign, 4),
    )
    from kinema.world.motion.spans import pair_fits  # torch, which scenes of one subject do without

    scene = replace(scene, subjects=(first, other), camera=random.choice(_PAIR_CAMERAS))
    return scene if pair_fits(scene) else None
