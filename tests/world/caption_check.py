"""`disagreements`: where what a caption claims isn't so, or something that it must say is missing."""

from __future__ import annotations

from itertools import permutations

from kinema.world.nature import PLACES
from kinema.world.scene import Scene, Subject
from tests.world.caption_parser import Claims, Ends, Mention

_SIDED = ("walk", "run", "roll", "slide", "toss")


def disagreements(scene: Scene, claims: Claims, *, form: str) -> list[str]:
    """What is wrong with ``claims`` about ``scene``, in words."""
    wrong = [
        f"{name}: {said - {true}}"
        for name, said, true in (
            ("place", claims.place, scene.place), ("time", claims.time, scene.time), ("weather", claims.weather, scene.weather),
            ("camera", claims.camera, scene.camera), ("style", claims.style, scene.style),
        )
        if said - {true}
    ]  # fmt: skip
    if claims.is_aerial and scene.elevation_deg < 18:
        wrong.append("aerial")
    if PLACES[scene.place].is_indoors and claims.weather:
        wrong.append("weather indoors")
    wrong += _wrong_subjects(scene, claims.mentions)
    wrong += [f"relation {r}" for r in claims.relations if not _holds(scene, *r)]
    return wrong + _missing(scene, claims, form=form)


def _wrong_subjects(scene: Scene, mentions: list[Mention]) -> list[str]:
    said = sorted(m.kind for m in mentions for _ in range(m.count))
    if said != sorted(s.kind for s in scene.subjects):
        return [f"subjects {said}"]
    if any(
        _fits(scene, [m for m in mentions for _ in range(m.count)], order)
        for order in permutations(range(len(scene.subjects)))
    ):
        return []
    return [f"no subjects fit {mentions}"]


def _fits(scene: Scene, mentions: list[Mention], order: tuple[int, ...]) -> bool:
    """Whether each mention is true of the subject that ``order`` gives it."""
    numbers = {id(m): [order[k] for k, other in enumerate(mentions) if other is m] for m in mentions}
    for mention, number in zip(mentions, order, strict=True):
        subject = scene.subjects[number]
        if (
            subject.kind != mention.kind
            or mention.colour not in (None, subject.colour)
            or mention.material not in (None, subject.material)
        ):
            return False
        if mention.actions and subject.action not in mention.actions:
            return False
        if mention.side is not None and (subject.action not in _SIDED or subject.direction != mention.side):
            return False
        if mention.target is not None and subject.target not in numbers[id(mention.target)]:
            return False
    return True


def _holds(scene: Scene, one: Ends, name: str, other: Ends) -> bool:
    found = [(a, b) for a in _those(scene, one) for b in _those(scene, other) if a is not b]
    return bool(found) and any(_is_so(a, name, b) for a, b in found)


def _those(scene: Scene, ends: Ends) -> list[Subject]:
    kind, colour = ends
    if kind is None:
        return [scene.subject, *(s for s in scene.subjects[1:])]
    return [s for s in scene.subjects if s.kind == kind and colour in (None, s.colour)]


def _is_so(a: Subject, name: str, b: Subject) -> bool:
    return {
        "left_of": b.x - a.x > 0.5,
        "right_of": a.x - b.x > 0.5,
        "behind": b.z - a.z > 0.7,
        "in_front_of": a.z - b.z > 0.7,
        "bigger_than": a.size >= 1.3 * b.size,
        "smaller_than": b.size >= 1.3 * a.size,
    }[name]


def _missing(scene: Scene, claims: Claims, *, form: str) -> list[str]:
    doing = [m for m in claims.mentions if m.kind == scene.subject.kind]
    is_told = any(m.is_target or scene.subject.action in m.actions for m in doing)
    missing = [] if is_told else ["the first's action"]
    if form == "short":
        return missing
    missing += [f"colour of {m.kind}" for m in claims.mentions if m.colour is None]
    missing += [name for name in ("place", "time") if not getattr(claims, name)]
    missing += [] if claims.camera or (form == "full" and scene.camera == "static") else ["camera"]
    at_rest = {s.kind for s in scene.subjects if s.action == "stand"} if form == "full" else set()
    untold = [m.kind for m in claims.mentions if not m.actions and not m.is_target and m.kind not in at_rest]
    missing += [f"action of {kind}" for kind in untold]
    is_usual = PLACES[scene.place].is_indoors or (form == "full" and scene.weather == "clear")
    missing += [] if claims.weather or is_usual else ["weather"]
    missing += [] if claims.is_aerial or scene.elevation_deg < 18 else ["aerial view"]
    missing += [] if claims.style or scene.style == "toy" else ["style"]
    missing += [
        f"material of {m.kind}"
        for m in claims.mentions
        if m.material is None and all(s.material != "matte" for s in scene.subjects)
    ]
    return missing
