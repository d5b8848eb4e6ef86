"""What there is: `Scene` and `Subject`, the rules of what goes together, JSON and mirroring. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kinema.core.errors import InvalidInput, choices
from kinema.world.nature import ACTIONS, COLOURS, KINDS, PAIR_ACTIONS, PLACES, STYLES, TIMES, WEATHERS, can

DIRECTIONS = ("left", "right")
MATERIALS = ("matte", "glossy", "metal", "wood")
CAMERA_NAMES = (
    "static", "zoom_in", "zoom_out", "pan_up", "pan_down", "pan_left", "pan_right", "tilt_up", "tilt_down", "tilt_left",
    "tilt_right", "around_left", "around_right", "handheld", "push_in", "pull_out", "tracking",
)  # fmt: skip
# Movie Gen's names of movements that have one already.
CAMERA_ALIASES = {
    "truck_left": "pan_left",
    "truck_right": "pan_right",
    "pedestal_up": "pan_up",
    "pedestal_down": "pan_down",
    "arc_left": "around_left",
    "arc_right": "around_right",
}
MAX_SUBJECTS = 3

_MIRRORED_CAMERA = {
    f"{what}_{side}": f"{what}_{other}"
    for what in ("pan", "tilt", "around")
    for side, other in (("left", "right"), ("right", "left"))
}
_MIRRORED_DIRECTION = {"left": "right", "right": "left"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One that acts. ``direction`` is the side of the picture that it faces and moves to; ``size`` scales it.

    ``x`` and ``z`` are its home on the ground (right and towards the camera, in subject heights). ``target`` is the number of the
    subject that a `PAIR_ACTIONS` action is done to. Raises: InvalidInput, naming the field, the value and the choices.
    """

    kind: str
    colour: str
    action: str
    direction: str = "right"
    size: float = 1.0
    material: str = "matte"
    x: float = 0.0
    z: float = 0.0
    target: int | None = None

    def __post_init__(self) -> None:
        _check_choice("subject.kind", self.kind, tuple(KINDS))
        _check_choice("subject.colour", self.colour, COLOURS)
        _check_choice("subject.action", self.action, ACTIONS)
        _check_choice("subject.direction", self.direction, DIRECTIONS)
        _check_choice("subject.material", self.material, MATERIALS)
        _check_range("subject.size", self.size, 0.5, 1.5)
        _check_range("subject.x", self.x, -2.0, 2.0)
        _check_range("subject.z", self.z, -2.0, 1.0)
        if not can(self.kind, self.action):
            able = choices(KINDS[self.kind].actions)
            raise InvalidInput("subject.action", self.action, f"is nothing that a {self.kind} does; must be {able}")
        if (self.target is not None) != (self.action in PAIR_ACTIONS):
            rule = "must be the number of the subject it is done to" if self.target is None else "must be absent"
            raise InvalidInput("subject.target", self.target, f"{rule} for the action {self.action}")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One diorama: one to three subjects in a place at a time and in a weather, seen by a moving camera.

    ``layout`` seeds what words don't say (where the trees stand, the ground's blotches, the stars); ``flipped`` says that this
    layout is seen in a mirror. ``elevation_deg`` is how far the camera looks down, ``camera_speed`` scales its movement,
    ``span`` is what the picture's shorter side shows at the subjects, in subject heights (None: as much as their number needs).
    Raises: InvalidInput, naming the field, the value and the choices.
    """

    subjects: tuple[Subject, ...]
    place: str
    time: str
    weather: str = "clear"
    camera: str = "static"
    style: str = "toy"
    layout: int = 0
    elevation_deg: float = 6.0
    camera_speed: float = 1.0
    span: float | None = None
    flipped: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.subjects, tuple) or not 1 <= len(self.subjects) <= MAX_SUBJECTS:
            raise InvalidInput("subjects", self.subjects, f"must be 1 to {MAX_SUBJECTS} subjects")
        for subject in self.subjects:
            if not isinstance(subject, Subject):
                raise InvalidInput("subjects", subject, "must be a subject with kind, colour and action")
        _check_choice("place", self.place, tuple(PLACES))
        _check_choice("time", self.time, TIMES)
        _check_choice("weather", self.weather, WEATHERS)
        _check_choice("camera", self.camera, CAMERA_NAMES)
        _check_choice("style", self.style, STYLES)
        _check_range("elevation_deg", self.elevation_deg, 2.0, 35.0)
        _check_range("camera_speed", self.camera_speed, 0.5, 1.5)
        if self.span is not None:
            _check_range("span", self.span, 2.0, 5.0)
        if not isinstance(self.layout, int) or isinstance(self.layout, bool) or not 0 <= self.layout < 2**63:
            raise InvalidInput("layout", self.layout, "must be a whole number from 0 to 2**63 - 1")
        if not isinstance(self.flipped, bool):
            raise InvalidInput("flipped", self.flipped, "must be true or false")
        _check_together(self)

    @property
    def subject(self) -> Subject:
        """The first subject: the one that a camera follows."""
        return self.subjects[0]

    @property
    def is_afloat(self) -> bool:
        """Whether the scene is on the water: the sea or lake then reaches under the camera."""
        return any(KINDS[s.kind].surface == "water" for s in self.subjects)

    def mirrored(self) -> Scene:
        """The scene whose every frame is this one's, flipped left to right."""
        subjects = tuple(replace(s, direction=_MIRRORED_DIRECTION[s.direction], x=-s.x + 0.0) for s in self.subjects)
        camera = _MIRRORED_CAMERA.get(self.camera, self.camera)
        return replace(self, subjects=subjects, camera=camera, flipped=not self.flipped)

    def unflipped(self) -> Scene:
        """The scene itself, or its mirror image if it is flipped: what the renderer draws before it flips the picture."""
        return self.mirrored() if self.flipped else self

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_dict` gives the same scene back."""
        return asdict(self) | {"subjects": [asdict(s) for s in self.subjects]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """The scene that `to_dict` described. Raises: InvalidInput for unknown, missing or ill-typed fields."""
        values = _known_fields(cls, data, "scene", required=("subjects", "place", "time"))
        if not isinstance(values["subjects"], (list, tuple)):
            raise InvalidInput("subjects", values["subjects"], "must be a list of subjects")
        values["subjects"] = tuple(_subject(s) for s in values["subjects"])
        if isinstance(values.get("camera"), str):
            values["camera"] = CAMERA_ALIASES.get(values["camera"], values["camera"])
        return cls(**values)


def _subject(data: object) -> Subject:
    if not isinstance(data, Mapping):
        raise InvalidInput("subjects", data, "must be objects with kind, colour and action")
    return Subject(**_known_fields(Subject, data, "subject", required=("kind", "colour", "action")))


def _check_together(scene: Scene) -> None:
    """What is sound by itself may still not go together."""
    surfaces = {KINDS[s.kind].surface for s in scene.subjects} - {"air"}
    if len(surfaces) > 1:
        raise InvalidInput(
            "subjects", [s.kind for s in scene.subjects], "must all stand on the ground, or all on the water"
        )
    if "water" in surfaces and not PLACES[scene.place].has_water:
        wet = choices([p for p, facts in PLACES.items() if facts.has_water])
        raise InvalidInput("place", scene.place, f"has no water for a {scene.subject.kind}; must be {wet}")
    if PLACES[scene.place].is_indoors and scene.weather != "clear":
        raise InvalidInput("weather", scene.weather, f"must be clear, since the {scene.place} is indoors")
    for number, subject in enumerate(scene.subjects):
        target = subject.target
        if target is None:
            continue
        if not isinstance(target, int) or target == number or not 0 <= target < len(scene.subjects):
            others = [n for n in range(len(scene.subjects)) if n != number]
            raise InvalidInput("subject.target", target, f"must be the number of another subject: {others}")
        other, rule = scene.subjects[target], PAIR_ACTIONS[subject.action]
        if not rule.suits(other.kind):
            raise InvalidInput("subject.target", other.kind, f"is nothing that one can {subject.action}")
        if other.action != rule.target_action:
            raise InvalidInput(
                "subject.action", other.action, f"must be {rule.target_action} for the target of {subject.action}"
            )


def _known_fields(cls: type, data: Mapping[str, Any], where: str, *, required: tuple[str, ...]) -> dict[str, Any]:
    known = {f.name: f for f in fields(cls)}
    for name in data:
        if name not in known:
            raise InvalidInput(f"{where}.{name}", data[name], f"unknown field; {choices(known)}")
    for name in required:
        if name not in data:
            raise InvalidInput(f"{where}.{name}", None, "is required")
    return dict(data)


def _check_choice(name: str, value: object, options: tuple[str, ...]) -> None:
    if value not in options:
        raise InvalidInput(name, value, f"must be {choices(options)}")


def _check_range(name: str, value: object, low: float, high: float) -> None:
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not low <= value <= high  # not a number is in no range
    ):
        raise InvalidInput(name, value, f"must be a number from {low:g} to {high:g}")
