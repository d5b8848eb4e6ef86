"""`poses`: the registry of actions, and who does which."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.motion import air, cups, gestures, ground, pairs, tipping
from kinema.world.motion.act import Act, Fields
from kinema.world.motion.constants import REST_HEIGHT
from kinema.world.nature import PAIR_ACTIONS
from kinema.world.pose import Pose
from kinema.world.scene import Scene

SOLOS: dict[str, Callable[[Tensor, Act], Fields]] = {
    "stand": gestures.stand,
    "walk": ground.go,
    "run": ground.go,
    "jump": air.jump,
    "spin": gestures.spin,
    "play": gestures.play,
    "wave": gestures.wave,
    "sway": gestures.sway,
    "fall": air.fall,
    "roll": ground.roll,
    "slide": ground.slide,
    "swing": air.swing,
    "float": air.float_,
    "fly": air.fly,
    "toss": air.toss,
    "topple": tipping.topple,
}
# (what the one does, what happens to the other)
_Pair = Callable[[Tensor, Act, Act], Fields]
PAIRS: dict[str, tuple[_Pair, _Pair]] = {
    "collide": (pairs.collide, pairs.collide_target),
    "knock_over": (pairs.knock_over, pairs.knock_over_target),
    "chase": (pairs.chase, pairs.chase_target),
    "drink": (cups.drink, cups.drink_target),
    "pour": (cups.pour, cups.pour_target),
}


def poses(scene: Scene, times_s: Float[Tensor, " n"]) -> list[Pose]:
    """One pose for each subject of an unflipped ``scene`` at ``times_s``; those of a pair action move together."""
    t = times_s.to(torch.float64)
    return [_pose(t, Act(scene=scene, number=number)) for number in range(len(scene.subjects))]


def doer_to(scene: Scene, number: int) -> int | None:
    """The number of the subject that does something to subject ``number``, if there is one."""
    return next((n for n, s in enumerate(scene.subjects) if s.target == number), None)


def _pose(t: Tensor, act: Act) -> Pose:
    subject, doer = act.subject, doer_to(act.scene, act.number)
    if subject.action in PAIR_ACTIONS:
        assert subject.target is not None, "checked by Scene"
        fields = PAIRS[subject.action][0](t, act, Act(scene=act.scene, number=subject.target))
    elif doer is not None:
        other = Act(scene=act.scene, number=doer)
        fields = PAIRS[other.subject.action][1](t, act, other)
    else:
        fields = SOLOS[subject.action](t, act)
    zero = torch.zeros_like(t)
    rest = dict.fromkeys(("roll", "tip", "turned", "gait", "effort", "lift", "reach", "bend"), zero) | {
        "x": zero + subject.x,
        "y": zero + REST_HEIGHT.get(act.kind, 0.0),
        "z": zero + subject.z,
        "yaw": zero + act.yaw,
        "squash": zero + 1,
        "contact": zero == 0,
    }
    return Pose(**(rest | fields))
