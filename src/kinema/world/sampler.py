"""Seed -> scene, the same on every platform; the splits and what only the test split shows. Standard library only."""

from __future__ import annotations

from kinema.core.errors import InvalidInput, choices
from kinema.world.rng import Random
from kinema.world.scene import ACTIONS, CAMERA_NAMES, COLOURS, DIRECTIONS, KINDS, PLACES, TIMES, Scene, Subject

SPLITS = ("train", "validation", "test")

# Pairs that training and validation never show: a model that draws them has learned to combine.
HELD_OUT: tuple[dict[str, str], ...] = (
    {"colour": "purple", "kind": "ball"},
    {"colour": "yellow", "kind": "puppy"},
    {"colour": "green", "kind": "bird"},
    {"kind": "car", "place": "snowfield"},
    {"kind": "person", "place": "desert"},
    {"kind": "cube", "action": "jump"},
    {"place": "beach", "action": "spin"},
)
# Pairs that no split shows, since a reader could hardly see them.
ILLEGIBLE: tuple[dict[str, str], ...] = ({"colour": "white", "place": "snowfield"},)

_HELD_OUT_SHARE_OF_TEST = 0.25
_CAMERA_WEIGHTS = {name: 3.0 if name == "static" else 1.0 for name in CAMERA_NAMES}


def sample(seed: int, *, split: str = "train") -> Scene:
    """The scene of ``seed`` in ``split``. Splits never share a stream of random numbers.

    A quarter of the test split shows a held-out pair; the other splits show none.
    Raises: InvalidInput for an unknown split or a negative seed.
    """
    if split not in SPLITS:
        raise InvalidInput("split", split, f"must be {choices(SPLITS)}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InvalidInput("seed", seed, "must be a whole number of at least 0")
    random = Random(seed, f"scene/{split}")
    forced = random.choice(HELD_OUT) if split == "test" and random.chance(_HELD_OUT_SHARE_OF_TEST) else {}
    while True:
        scene = _draw(random, forced)
        if not matches(scene, ILLEGIBLE) and (split == "test" or not matches(scene, HELD_OUT)):
            return scene


def matches(scene: Scene, table: tuple[dict[str, str], ...]) -> bool:
    """Whether ``scene`` shows one of the combinations of ``table``."""
    words = attributes(scene)
    return any(all(words[name] == value for name, value in row.items()) for row in table)


def is_held_out(scene: Scene) -> bool:
    """Whether ``scene`` shows a combination that training never shows."""
    return matches(scene, HELD_OUT)


def attributes(scene: Scene) -> dict[str, str]:
    """The words of a scene by attribute: kind, colour, action, direction, place, time, camera."""
    subject = scene.subject
    return {
        "kind": subject.kind,
        "colour": subject.colour,
        "action": subject.action,
        "direction": subject.direction,
        "place": scene.place,
        "time": scene.time,
        "camera": scene.camera,
    }


def _draw(random: Random, forced: dict[str, str]) -> Scene:
    subject = Subject(
        kind=forced.get("kind") or random.choice(KINDS),
        colour=forced.get("colour") or random.choice(COLOURS),
        action=forced.get("action") or random.choice(ACTIONS),
        direction=random.choice(DIRECTIONS),
        size=round(random.uniform(0.96, 1.06), 4),
    )
    return Scene(
        subject=subject,
        place=forced.get("place") or random.choice(PLACES),
        time=forced.get("time") or random.choice(TIMES),
        camera=forced.get("camera") or random.weighted(_CAMERA_WEIGHTS),
        layout=random.bits() >> 1,
        elevation_deg=round(random.uniform(4.5, 7.0), 3),
    )
