"""Scenes for tests, by word."""

from __future__ import annotations

from kinema.core.geometry import VideoShape
from kinema.world.nature import KINDS, PAIR_ACTIONS
from kinema.world.scene import Scene, Subject

SMALL = VideoShape(frames=5, height_px=44, width_px=52, fps=8)


def make(
    kind: str = "puppy",
    action: str | None = None,
    *,
    colour: str = "red",
    direction: str = "right",
    material: str = "matte",
    place: str | None = None,
    time: str = "day",
    weather: str = "clear",
    camera: str = "static",
    style: str = "toy",
    layout: int = 7,
) -> Scene:
    """A scene of one subject in the given words; by default it does the first thing that it can, where it can be."""
    subject = Subject(
        kind=kind, colour=colour, action=action or KINDS[kind].actions[0], direction=direction, material=material
    )
    place = place or ("lake" if KINDS[kind].surface == "water" else "park")
    return Scene(
        subjects=(subject,), place=place, time=time, weather=weather, camera=camera, style=style, layout=layout
    )


def three(*, place: str = "park", camera: str = "static", style: str = "toy", layout: int = 7) -> Scene:
    """A scene of three that stand side by side and don't hide each other."""
    subjects = (
        Subject(kind="cube", colour="red", action="stand", x=-1.1, size=0.8),
        Subject(kind="ball", colour="blue", action="stand", size=0.8),
        Subject(kind="cone", colour="green", action="stand", x=1.1, size=0.8),
    )
    return Scene(subjects=subjects, place=place, time="day", camera=camera, style=style, layout=layout)


def pair(action: str, kind: str, other: str, *, direction: str = "right", size: float = 1.0) -> Scene:
    """A scene of ``kind`` that does ``action`` to ``other``."""
    sign = 1.0 if direction == "right" else -1.0
    first = Subject(kind=kind, colour="red", action=action, direction=direction, x=-0.8 * sign, target=1)
    its = PAIR_ACTIONS[action].target_action
    second = Subject(kind=other, colour="blue", action=its, direction=direction, x=0.45 * sign, size=size)
    return Scene(subjects=(first, second), place="park", time="day", layout=7)
