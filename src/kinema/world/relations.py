"""`relations`: which subject stands left of, behind or above the size of which, where anyone can see it. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinema.world.nature import PAIR_ACTIONS
from kinema.world.scene import Scene

RELATIONS = ("left_of", "right_of", "behind", "in_front_of", "bigger_than", "smaller_than")
OPPOSITE = {
    "left_of": "right_of", "right_of": "left_of", "behind": "in_front_of", "in_front_of": "behind",
    "bigger_than": "smaller_than", "smaller_than": "bigger_than",
}  # fmt: skip
# What leaves its home sideways, so that left and right don't last.
TRAVELS = ("walk", "run", "roll", "slide", "fly", "toss", "play", "topple", "swing", *PAIR_ACTIONS)

_ROUNDABOUT = ("fly", "chase", "drink", "pour")  # what doesn't stay as far from the camera

_MIN_ASIDE = 0.5
_MIN_BEHIND = 0.7
_MIN_RATIO = 1.3
_DISTANCE = 4.0  # of the camera, in subject heights: no nearer than it comes
_ORBIT_RAD = math.radians(32.0)  # no less than half of what a camera circles through
_SHIFT = 0.5  # no less than half of what a camera pans through


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Subject ``subject`` is ``name`` (one of `RELATIONS`) subject ``other``."""

    subject: int
    name: str
    other: int


def relations(scene: Scene) -> list[Relation]:
    """What holds in the picture throughout the clip and is plain to see, both ways round; scenes are taken as seen, flipped or not.

    Left and right: of homes more than 0.5 apart, in the world and in the picture, of two that stay where they are. Behind: more than
    0.7 farther from the camera. Under a camera that circles or pans, each holds all along its way. Bigger: at least 1.3 times.
    """
    found = []
    for i in range(len(scene.subjects)):
        for j in range(i + 1, len(scene.subjects)):
            for name in _between(scene, i, j):
                found += [Relation(subject=i, name=name, other=j), Relation(subject=j, name=OPPOSITE[name], other=i)]
    return found


def _between(scene: Scene, i: int, j: int) -> list[str]:
    one, two = scene.subjects[i], scene.subjects[j]
    names = []
    homes = [((one.x, one.z), (two.x, two.z))]
    if scene.camera.startswith("around"):
        homes += [tuple(_turned(x, z, angle) for x, z in homes[0]) for angle in (-_ORBIT_RAD, _ORBIT_RAD)]
    if scene.camera.startswith("pan") or scene.camera == "tracking":
        homes += [((one.x + s, one.z), (two.x + s, two.z)) for s in (-_SHIFT, _SHIFT)]
    targets = {s.target for s in scene.subjects}
    stays = not any(s.action in TRAVELS for s in (one, two)) and not {i, j} & targets
    keeps_depth = not any(s.action in _ROUNDABOUT for s in (one, two)) and not {i, j} & targets
    if stays:
        gaps = [a[0] - b[0] for a, b in homes] + [_seen(*a) - _seen(*b) for a, b in homes]
        nearest = min(gaps, key=abs)
        if abs(one.x - two.x) > _MIN_ASIDE and (min(gaps) > 0 or max(gaps) < 0) and abs(nearest) > _MIN_ASIDE / 2:
            names.append("left_of" if nearest < 0 else "right_of")
    if not keeps_depth:
        homes = []
    depths = [a[1] - b[1] for a, b in homes]
    if depths and min(abs(d) for d in depths) > _MIN_BEHIND and (min(depths) > 0 or max(depths) < 0):
        names.append("behind" if depths[0] < 0 else "in_front_of")
    if max(one.size, two.size) >= _MIN_RATIO * min(one.size, two.size):
        names.append("bigger_than" if one.size > two.size else "smaller_than")
    return names


def _turned(x: float, z: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) - z * math.sin(angle), z * math.cos(angle) + x * math.sin(angle)


def _seen(x: float, z: float) -> float:
    """Where x shows in the picture, in subject heights at z = 0."""
    return x * _DISTANCE / (_DISTANCE - z)
