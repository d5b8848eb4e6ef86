"""Edits of scenes: the same diorama with one thing changed, so that (clip, instruction, edited clip, mask) come exact and free."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.core.geometry import VideoShape
from kinema.world.camera import CAMERAS
from kinema.world.geometry import geometry
from kinema.world.motion.constants import view_span
from kinema.world.nature import COLOURS, KINDS, PLACES, STYLES, TIMES, WEATHERS, can
from kinema.world.rng import Random
from kinema.world.sampler import ILLEGIBLE, draw_extra, matches
from kinema.world.scene import MAX_SUBJECTS, Scene, Subject

EDITS = ("recolour", "replace", "add", "remove", "time", "weather", "style", "camera")
_TRIES = 64


@dataclass(frozen=True, kw_only=True)
class Edit:
    """``after`` is ``before`` with one thing changed; ``number`` is that of the subject it is about, in the scene that shows it."""

    kind: str
    before: Scene
    after: Scene
    number: int | None = None


def edit(scene: Scene, *, seed: int, kind: str | None = None) -> Edit:
    """An edit of ``scene``, of ``kind`` or of any kind that is possible. ``before`` is the scene itself, but for the width of view.

    Raises: InvalidInput for an unknown kind, and for one that this scene allows no edit of.
    """
    if kind is not None and kind not in EDITS:
        raise InvalidInput("edit", kind, f"must be {choices(EDITS)}")
    random = Random(seed, "edit")
    for _ in range(_TRIES):
        chosen = kind or random.choice(EDITS)
        after, number = _CHANGES[chosen](scene, random)
        if after is not None and after != scene and not matches(after, ILLEGIBLE):
            span = max(view_span(scene), view_span(after))
            return Edit(kind=chosen, before=replace(scene, span=span), after=replace(after, span=span), number=number)
    raise InvalidInput("edit", kind, "can't be done to this scene")


def edit_mask(change: Edit, shape: VideoShape) -> Bool[Tensor, "t h w"]:
    """The pixels that an edit is about: the subject's, before and after; all of them for an edit of the whole picture."""
    masks = torch.zeros(shape.frames, shape.height_px, shape.width_px, dtype=torch.bool)
    if change.number is None:
        return ~masks
    if change.kind != "add":
        masks |= geometry(change.before, shape).owner == change.number
    if change.kind != "remove":
        masks |= geometry(change.after, shape).owner == change.number
    return masks


def reference_scene(scene: Scene, number: int) -> Scene:
    """Subject ``number`` of ``scene`` alone, at rest in full light: what a reference picture of it shows."""
    if not 0 <= number < len(scene.subjects):
        raise InvalidInput("number", number, f"must be one of {list(range(len(scene.subjects)))}")
    subject = scene.subjects[number]
    action = "stand" if can(subject.kind, "stand") else "float"
    alone = replace(subject, action=action, x=0.0, z=0.0, target=None, size=1.0)
    return replace(scene, subjects=(alone,), camera="static", time="day", weather="clear", span=None)


_Change = tuple[Scene | None, int | None]


def _recolour(scene: Scene, random: Random) -> _Change:
    number = random.choice(range(len(scene.subjects)))
    return _with(scene, number, replace(scene.subjects[number], colour=random.choice(COLOURS))), number


def _replace(scene: Scene, random: Random) -> _Change:
    number = random.choice(range(len(scene.subjects)))
    old = scene.subjects[number]
    alike = [k for k, f in KINDS.items() if f.surface == KINDS[old.kind].surface and old.action in f.actions]
    alike = [k for k in alike if KINDS[k].half_width <= KINDS[old.kind].half_width + 0.15]
    if old.target is not None or any(s.target == number for s in scene.subjects):
        return None, None
    return _with(scene, number, replace(old, kind=random.choice(alike))), number


def _add(scene: Scene, random: Random) -> _Change:
    if len(scene.subjects) == MAX_SUBJECTS or any(s.target is not None for s in scene.subjects):
        return None, None
    extra = draw_extra(scene, random)
    if extra is None:
        return None, None
    return replace(scene, subjects=(*scene.subjects, extra)), len(scene.subjects)


def _remove(scene: Scene, random: Random) -> _Change:
    if len(scene.subjects) == 1 or any(s.target is not None for s in scene.subjects):
        return None, None
    number = len(scene.subjects) - 1
    return replace(scene, subjects=scene.subjects[:-1]), number


def _time(scene: Scene, random: Random) -> _Change:
    return replace(scene, time=random.choice(TIMES)), None


def _weather(scene: Scene, random: Random) -> _Change:
    if PLACES[scene.place].is_indoors:
        return None, None
    return replace(scene, weather=random.choice(WEATHERS)), None


def _style(scene: Scene, random: Random) -> _Change:
    return replace(scene, style=random.choice(STYLES)), None


def _camera(scene: Scene, random: Random) -> _Change:
    return replace(scene, camera=random.choice([c for c in CAMERAS if c != "tracking"])), None


def _with(scene: Scene, number: int, subject: Subject) -> Scene:
    subjects = list(scene.subjects)
    subjects[number] = subject
    return replace(scene, subjects=tuple(subjects))


_CHANGES = {
    "recolour": _recolour,
    "replace": _replace,
    "add": _add,
    "remove": _remove,
    "time": _time,
    "weather": _weather,
    "style": _style,
    "camera": _camera,
}
