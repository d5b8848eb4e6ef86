"""Who does what to whom, language aside: the clauses of a sentence about a scene. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.world.nature import KINDS, PAIR_ACTIONS
from kinema.world.scene import Scene

WAVES = "waves"  # what a cliff's clause is about: it stands, the waves act
_GOES = ("walk", "run", "roll", "slide", "toss")
IN_AIR = ("float", "fly", "sway", "stand")


@dataclass(frozen=True, kw_only=True)
class Clause:
    """The subjects ``actors`` do ``action`` (to the subject ``target``)."""

    actors: tuple[int, ...]
    action: str
    target: int | None = None


def clauses(scene: Scene) -> list[Clause]:
    """Everything that the subjects do, those that do the same thing together; what is said of subject 0 comes first.

    Who something is done to has no clause of its own: that it stands or runs goes without saying.
    """
    targets = {s.target for s in scene.subjects if s.target is not None}
    groups: dict[tuple[str, int | None], list[int]] = {}
    for number, subject in enumerate(scene.subjects):
        if number not in targets:
            action = WAVES if subject.kind == "cliff" else subject.action
            groups.setdefault((action, subject.target), []).append(number)
    made = [Clause(actors=tuple(who), action=action, target=target) for (action, target), who in groups.items()]
    return sorted(made, key=lambda c: 0 not in c.actors and c.target != 0)


def split(clause: Clause) -> list[Clause]:
    """The same, each actor by itself."""
    return [Clause(actors=(n,), action=clause.action, target=clause.target) for n in clause.actors]


def side(scene: Scene, clause: Clause) -> str | None:
    """The side of the picture that all actors of ``clause`` go to; None if they go nowhere, or not all to one."""
    actors = [scene.subjects[n] for n in clause.actors]
    sides = {a.direction for a in actors}
    return sides.pop() if clause.action in _GOES and len(sides) == 1 else None


def is_aloft(scene: Scene, clause: Clause) -> bool:
    """Whether all of the scene is in the air, so that it may be said to be over its place."""
    kinds = [KINDS[s.kind].surface for s in scene.subjects]
    flies = clause.action == "fly" and len(scene.subjects) == 1 and scene.subject.kind != "rocket"
    return flies or (clause.action in IN_AIR and all(k == "air" for k in kinds) and clause.action not in PAIR_ACTIONS)
