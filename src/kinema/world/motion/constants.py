"""The numbers of motion: gravity, sizes, masses, durations, and how much the picture shows."""

from __future__ import annotations

import math

from kinema.world.kinds import ROLL_RADIUS, subject_size
from kinema.world.nature import KINDS, PAIR_ACTIONS
from kinema.world.scene import Scene, Subject

GRAVITY = 6.0  # a toy's: slow enough that 8 frames a second show an arc
RESTITUTION = 0.55
NUM_BOUNCES = 6
TOUCH = 0.03  # lower than this is on the ground

VIEW_SPAN = 2.45  # what the picture's shorter side shows at one subject, in subject heights
TARGET_HEIGHT = 0.62  # of the picture's middle at that span
_SPAN_OF = {1: VIEW_SPAN, 2: 3.0, 3: 3.3}
PAIR_SPAN = 3.3

WHEELED = ("car", "lorry", "train", "aeroplane")
# How far a kind reaches ahead when its nose points along the picture, in its own units; `Kind.half_width` for the rest.
REACH = {
    "ball": 0.45, "cube": 0.40, "cylinder": 0.34, "person": 0.30, "robot": 0.30, "astronaut": 0.30, "car": 0.70, "lorry": 0.78,
    "tower": 0.31, "cone": 0.42, "rocket": 0.27, "tree": 0.43,
}  # fmt: skip
# How tall a kind is, in its own units; 1 for the rest.
TALL = {
    "ball": 0.90, "cube": 0.80, "cylinder": 0.90, "ring": 0.94, "cup": 0.85, "kite": 1.26, "lantern": 1.11, "balloon": 1.20,
    "rocket": 1.18, "tower": 1.15, "tree": 1.12, "cactus": 1.08, "robot": 1.16, "astronaut": 1.13,
    "person": 1.11, "cat": 1.2, "rabbit": 1.18,
}  # fmt: skip
# Mass at size 1.
MASS = {"ball": 0.8, "cube": 1.0, "cylinder": 0.9, "car": 1.6, "lorry": 2.2, "train": 2.6}
# Height of the foot of what hangs, hovers or floats (its draught) while it does nothing special.
REST_HEIGHT = {"lantern": 0.38, "balloon": 0.22, "kite": 0.40, "boat": -0.02, "fish": 0.0, "iceberg": -0.03}
AFLOAT = tuple(name for name, kind in KINDS.items() if kind.surface == "water")
ALIVE = tuple(name for name, kind in KINDS.items() if kind.category in ("people", "animals"))
LEGGED = tuple(name for name in ALIVE if name != "fish")
HOPPING = ("bird",)
WINGED = ("bird", "duck", "penguin")

# Walking: as far from one side to the other as the length of each kind leaves it inside the picture.
WALK_SPAN = {"puppy": 0.95, "person": 1.25, "car": 0.85, "bird": 1.05}
MAX_SPAN = 1.25
MIN_SPAN = 0.5
TRACKING_SPAN = 3.0
WALK_S = 2.0
RUN_S = 1.15
TURN_S = 0.35
STRIDE = 0.55
RUN_STRIDE = 0.80
ROLL_S = 1.9  # from the kick to rest
SLIDE_S = 1.35
KICK_PAUSE_S = 0.3

JUMP_HEIGHT = 0.55
JUMP_REST_S = 0.25
JUMP_AIR_S = 2 * math.sqrt(2 * JUMP_HEIGHT / GRAVITY)
FALL_HEIGHT = 0.75
SQUASH_S = 0.06  # from an impact to its flattest
SPIN_S = 2.0
SAIL_S = 1.6  # a windmill's sails
TURNS_S = {
    "windmill": 4 * SAIL_S,
    "lighthouse": 3.2,
    "castle": 1.2,
}  # what turns while its building stands: sails, lamp, flag
PLAY_S = 1.5
PLAY_HOP_HEIGHT = 0.26
PLAY_SWAY = 0.34
WAVE_S = 0.62  # a hand's, to and fro
SWAY_S = 1.8
TOSS_HEIGHT = 0.72
TOSS_KEEP = 0.7  # of the speed along the ground at each bounce
FLY_S = 4.4
FLOAT_S = 2.4
SWING_ANGLE = 0.55
SEA_S = 2.6  # from one wave at the coast to the next
SEA_CRASH_S = 0.7  # when the first one hits the cliff


def view_span(scene: Scene) -> float:
    """What the picture's shorter side shows at the subjects, in subject heights: the scene's own ``span``, or as their number needs."""
    if scene.span is not None:
        return scene.span
    if any(s.action in PAIR_ACTIONS for s in scene.subjects):
        return PAIR_SPAN
    return _SPAN_OF[len(scene.subjects)]


def half_width(subject: Subject) -> float:
    """How far ``subject`` reaches to each side, whichever way it is turned."""
    return KINDS[subject.kind].half_width * subject_size(subject)


def reach(subject: Subject) -> float:
    """How far ``subject`` reaches ahead when its nose points along the picture."""
    return REACH.get(subject.kind, KINDS[subject.kind].half_width) * subject_size(subject)


def mass(subject: Subject) -> float:
    """How heavy ``subject`` is: grows with its volume."""
    return MASS.get(subject.kind, 1.0) * subject.size**3


def rolling_radius(subject: Subject) -> float:
    """The radius of ``subject``'s wheels, or its own if it is round; infinite for what doesn't roll."""
    return ROLL_RADIUS.get(subject.kind, math.inf) * subject_size(subject)


def tall(subject: Subject) -> float:
    """How tall ``subject`` is."""
    return TALL.get(subject.kind, 1.0) * subject_size(subject)
