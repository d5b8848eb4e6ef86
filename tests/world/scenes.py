"""Scenes for tests, by word."""

from __future__ import annotations

from kinema.core.geometry import VideoShape
from kinema.world.scene import Scene, Subject

SMALL = VideoShape(frames=5, height_px=44, width_px=52, fps=8)


def make(
    kind: str = "puppy",
    action: str = "stand",
    *,
    colour: str = "red",
    direction: str = "right",
    place: str = "park",
    time: str = "day",
    camera: str = "static",
    layout: int = 7,
) -> Scene:
    """A scene of the given words."""
    subject = Subject(kind=kind, colour=colour, action=action, direction=direction)
    return Scene(subject=subject, place=place, time=time, camera=camera, layout=layout)
