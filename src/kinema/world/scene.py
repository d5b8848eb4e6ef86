"""What there is: `Scene` and `Subject`, the words they are made of, JSON and mirroring. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kinema.core.errors import InvalidInput, choices

KINDS = ("puppy", "person", "car", "bird", "ball", "cube")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
PLACES = ("park", "beach", "snowfield", "desert")
TIMES = ("day", "sunset", "night")
ACTIONS = ("stand", "walk", "jump", "spin", "play", "fall")
DIRECTIONS = ("left", "right")
CAMERA_NAMES = ("static", "zoom_in", "zoom_out", "pan_left", "pan_right", "around_left", "around_right")

_MIRRORED_CAMERA = {
    "pan_left": "pan_right",
    "pan_right": "pan_left",
    "around_left": "around_right",
    "around_right": "around_left",
}
_MIRRORED_DIRECTION = {"left": "right", "right": "left"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The one that acts. ``direction`` is the side of the picture that it faces and moves to; ``size`` scales it.

    Raises: InvalidInput, naming the field, the value and the choices.
    """

    kind: str
    colour: str
    action: str
    direction: str = "right"
    size: float = 1.0

    def __post_init__(self) -> None:
        _check_choice("subject.kind", self.kind, KINDS)
        _check_choice("subject.colour", self.colour, COLOURS)
        _check_choice("subject.action", self.action, ACTIONS)
        _check_choice("subject.direction", self.direction, DIRECTIONS)
        _check_range("subject.size", self.size, 0.5, 1.25)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One diorama: a subject in a place at a time, seen by a moving camera.

    ``layout`` seeds what words don't say (where the trees stand, the ground's blotches, the stars); ``flipped`` says that this
    layout is seen in a mirror. ``elevation_deg`` is how far the camera looks down.
    Raises: InvalidInput, naming the field, the value and the choices.
    """

    subject: Subject
    place: str
    time: str
    camera: str = "static"
    layout: int = 0
    elevation_deg: float = 6.0
    flipped: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.subject, Subject):
            raise InvalidInput("subject", self.subject, "must be a subject with kind, colour and action")
        _check_choice("place", self.place, PLACES)
        _check_choice("time", self.time, TIMES)
        _check_choice("camera", self.camera, CAMERA_NAMES)
        _check_range("elevation_deg", self.elevation_deg, 2.0, 30.0)
        if not isinstance(self.layout, int) or isinstance(self.layout, bool) or not 0 <= self.layout < 2**63:
            raise InvalidInput("layout", self.layout, "must be a whole number from 0 to 2**63 - 1")
        if not isinstance(self.flipped, bool):
            raise InvalidInput("flipped", self.flipped, "must be true or false")

    def mirrored(self) -> Scene:
        """The scene whose every frame is this one's, flipped left to right."""
        subject = replace(self.subject, direction=_MIRRORED_DIRECTION[self.subject.direction])
        camera = _MIRRORED_CAMERA.get(self.camera, self.camera)
        return replace(self, subject=subject, camera=camera, flipped=not self.flipped)

    def unflipped(self) -> Scene:
        """The scene itself, or its mirror image if it is flipped: what the renderer draws before it flips the picture."""
        return self.mirrored() if self.flipped else self

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_dict` gives the same scene back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """The scene that `to_dict` described. Raises: InvalidInput for unknown, missing or ill-typed fields."""
        values = _known_fields(cls, data, "scene")
        if not isinstance(values["subject"], Mapping):
            raise InvalidInput("subject", values["subject"], "must be an object with kind, colour and action")
        values["subject"] = Subject(**_known_fields(Subject, values["subject"], "subject"))
        return cls(**values)


def _known_fields(cls: type, data: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {f.name: f for f in fields(cls)}
    for name in data:
        if name not in known:
            raise InvalidInput(f"{where}.{name}", data[name], f"unknown field; {choices(known)}")
    required = [n for n in known if n in ("subject", "place", "time", "kind", "colour", "action")]
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
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise InvalidInput(name, value, f"must be a number from {low:g} to {high:g}")
