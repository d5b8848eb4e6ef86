"""Seed -> scene, the same on every platform; difficulty levels, splits, and what only the test split shows. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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

# What goes somewhere needs its way free: the others then stand behind.
TRAVELS = ("walk", "run", "roll", "slide", "fly", "toss", "play", "topple")
# What others may do beside the first subject without leaving their place.
_IN_PLACE = ("stand", "spin", "jump", "wave", "sway", "fall", "float")
_PAIR_CAMERAS = ("static", "static", "handheld", "around_left", "around_right", "tilt_up", "tilt_down")


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Which words a level draws from. ``counts`` weighs the numbers of subjects, ``pairs`` is the share of scenes with an event between two."""

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


def sample(seed: int, *, split: str = "train", difficulty: str = "full") -> Scene:
    """The scene of ``seed`` in ``split`` at a `DIFFICULTIES` level. Splits and levels never share a stream of random numbers.

    A quarter of the test split shows a held-out pair, where the level has its words; the other splits show none.
    Raises: InvalidInput for an unknown split or level, or a negative seed.
    """
    if split not in SPLITS:
        raise InvalidInput("split", split, f"must be {choices(SPLITS)}")
    if difficulty not in DIFFICULTIES:
        raise InvalidInput("difficulty", difficulty, f"must be {choices(DIFFICULTIES)}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InvalidInput("seed", seed, "must be a whole number of at least 0")
    level, random = DIFFICULTIES[difficulty], Random(seed, f"scene/{difficulty}/{split}")
    wants_held_out = split == "test" and random.chance(_HELD_OUT_SHARE_OF_TEST)
    forced = random.choice([row for row in HELD_OUT if _is_within(row, level)]) if wants_held_out else {}
    while True:
        scene = _draw(random, level, forced)
        if scene is None or matches(scene, ILLEGIBLE):
            continue
        if is_held_out(scene) == wants_held_out or split == "test":
            return scene


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
    slot = _free_slot(scene.subjects, random)
    surfaces = {KINDS[s.kind].surface for s in scene.subjects} | {"air"}
    if surfaces == {"air"}:
        surfaces.add("ground")
    kinds = [k for k in level.kinds if KINDS[k].surface in surfaces and KINDS[k].half_width <= 0.62]
    kinds = [k for k in kinds if any(can(k, a) for a in _IN_PLACE if a in level.actions)]
    if slot is None or not kinds:
        return None
    kind = random.choice(kinds)
    return Subject(
        kind=kind,
        colour=random.choice(level.colours),
        material=random.weighted(level.materials),
        action=random.choice([a for a in _IN_PLACE if can(kind, a) and a in level.actions]),
        direction=random.choice(DIRECTIONS),
        size=round(random.choice((0.95, 1.0)) * random.uniform(0.97, 1.03), 4),
        x=slot[0],
        z=slot[1],
    )


def _is_within(row: Mapping[str, str], level: Difficulty) -> bool:
    options = {
        "kind": level.kinds, "colour": level.colours, "place": level.places, "time": level.times, "action": level.actions,
        "weather": tuple(level.weathers),
    }  # fmt: skip
    return all(value in options[name] for name, value in row.items())


def _draw(random: Random, level: Difficulty, forced: Mapping[str, str]) -> Scene | None:
    """A scene, or None if what was drawn doesn't go together."""
    place = forced.get("place") or random.choice(level.places)
    kind = forced.get("kind") or random.choice(level.kinds)
    if KINDS[kind].surface == "water" and not PLACES[place].has_water:
        return None
    options = [a for a in KINDS[kind].actions if a in level.actions]
    if not options or (forced.get("action") or options[0]) not in options:
        return None
    first = Subject(
        kind=kind,
        colour=forced.get("colour") or random.choice(level.colours),
        material=random.weighted(level.materials),
        action=forced.get("action") or random.choice(options),
        direction=random.choice(DIRECTIONS),
        size=round(random.uniform(0.96, 1.06), 4),
    )
    weather = forced.get("weather") or random.weighted(level.weathers)
    camera = random.weighted({name: 2.5 if name == "static" else 1.0 for name in level.cameras})
    if camera == "tracking" and first.action not in ("walk", "run", "roll", "slide"):
        return None
    is_aerial = random.chance(level.aerial)
    scene = Scene(
        subjects=(first,),
        place=place,
        time=forced.get("time") or random.choice(level.times),
        weather="clear" if PLACES[place].is_indoors else weather,
        camera=camera,
        style=random.weighted(level.styles),
        layout=random.bits() >> 1,
        elevation_deg=round(random.uniform(20.0, 30.0) if is_aerial else random.uniform(4.5, 7.0), 3),
        camera_speed=round(random.uniform(0.75, 1.25), 3),
    )
    if random.chance(level.pairs) and not forced:
        return _with_pair(scene, random, level)
    return _with_others(scene, random, level, count=random.weighted(level.counts))


def _with_others(scene: Scene, random: Random, level: Difficulty, *, count: int) -> Scene | None:
    if count > 1 and KINDS[scene.subject.kind].category == "landscapes":
        return scene
    if count > 1 and scene.subject.action not in TRAVELS and random.chance(0.7):
        side = random.choice((-0.78, 0.78))
        first = replace(scene.subject, x=side, size=round(scene.subject.size * random.choice((1.0, 1.0, 1.3)), 4))
        scene = replace(scene, subjects=(first,))
    for _ in range(count - 1):
        extra = draw_extra(scene, random, level)
        if extra is not None:
            scene = replace(scene, subjects=(*scene.subjects, extra))
    return scene


def _free_slot(taken: tuple[Subject, ...], random: Random) -> tuple[float, float] | None:
    """Where one more may stand: (x, z)."""
    if taken[0].action in TRAVELS:
        slots = [(-0.75, -1.25), (0.75, -1.25)]
    else:
        slots = [(-0.85, 0.0), (0.85, 0.0), (-0.8, -1.25), (0.8, -1.25)]
    free = [s for s in slots if all(abs(s[0] - t.x) > 0.7 or abs(s[1] - t.z) > 1.0 for t in taken)]
    return random.choice(free) if free else None


def _with_pair(scene: Scene, random: Random, level: Difficulty) -> Scene | None:
    """``scene`` with an event between its subject and a second one."""
    options = [a for a in PAIR_ACTIONS if can(scene.subject.kind, a)]
    if not options:
        return None
    action = random.choice(options)
    rule = PAIR_ACTIONS[action]
    targets = [k for k in level.kinds if rule.suits(k) and can(k, rule.target_action) and KINDS[k].half_width <= 0.8]
    if not targets:
        return None
    sign = 1.0 if scene.subject.direction == "right" else -1.0
    first = replace(scene.subject, action=action, target=1, x=round(-0.8 * sign, 4))
    other = Subject(
        kind=random.choice(targets),
        colour=random.choice([c for c in level.colours if c != first.colour]),
        material=random.weighted(level.materials),
        action=rule.target_action,
        direction=first.direction,
        size=round(random.uniform(0.9, 1.05), 4),
        x=round(0.45 * sign, 4),
    )
    from kinema.world.motion.spans import pair_fits  # torch, which scenes of one subject do without

    scene = replace(scene, subjects=(first, other), camera=random.choice(_PAIR_CAMERAS))
    return scene if pair_fits(scene) else None
