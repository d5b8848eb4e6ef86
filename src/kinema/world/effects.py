"""What is neither a subject nor a prop, but belongs to what happens: ropes, poured water, flames, smoke, wakes.

What is thrown up in drops is `kinema.world.spray`.

Every scene has a fixed number of solids; what isn't there at a moment is too small to see. Legend: n moments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import Number, compose, rotate, scale, translate
from kinema.world.motion import air, cups
from kinema.world.motion.act import Act, smooth
from kinema.world.motion.constants import AFLOAT, half_width
from kinema.world.pose import Pose
from kinema.world.scene import Scene
from kinema.world.solids import BOX, CONE, CYLINDER, ELLIPSOID, Colour, Solid

_WOOD: Colour = (0.46, 0.30, 0.17)
_ROPE: Colour = (0.90, 0.82, 0.62)
_WATER: Colour = (0.30, 0.66, 0.98)
_FOAM: Colour = (0.95, 0.98, 1.0)
_SMOKE: Colour = (0.86, 0.86, 0.88)
_ASH: Colour = (0.42, 0.40, 0.42)
_FLAME: Colour = (1.3, 0.50, 0.06)
_GLOW: Colour = (1.4, 1.05, 0.30)
_SMALL = 1e-4  # half size of what isn't there


def effects(scene: Scene, times_s: Float[Tensor, " n"], poses: Sequence[Pose]) -> list[Solid]:
    """The effects of an unflipped ``scene`` whose subjects have ``poses`` at ``times_s``."""
    t = times_s.to(torch.float64)
    solids: list[Solid] = []
    for number, pose in enumerate(poses):
        solids += _of_subject(t, Act(scene=scene, number=number), pose, poses)
    return solids


def _of_subject(t: Tensor, act: Act, pose: Pose, poses: Sequence[Pose]) -> list[Solid]:
    kind, action = act.kind, act.subject.action
    if action == "swing" or (kind == "lantern" and action in ("stand", "sway", "spin")):
        return _rope(act, pose)
    if action == "pour":
        assert act.subject.target is not None, "checked by Scene"
        return _stream(t, act, Act(scene=act.scene, number=act.subject.target))
    if kind == "rocket" and action == "fly":
        return _exhaust(t, act, pose)
    if kind in AFLOAT and action in ("walk", "run"):
        return _wake(t, act, pose)
    return _plume(t, act, pose) if kind == "volcano" else []


def _ball(centre: Sequence[Number], radii: Sequence[Number], colour: Colour, *, casts: bool = False) -> Solid:
    x, y, z = centre
    return Solid(shape=ELLIPSOID, matrix=compose(translate(x, y, z), scale(*radii)), colour=colour, casts=casts)


def _there(size: Tensor) -> Tensor:
    return size.clamp(min=_SMALL)


def _rope(act: Act, pose: Pose) -> list[Solid]:
    """A beam, and the rope from it to the top of what hangs."""
    hung = air.pendulum(act)
    x, y = hung.pivot
    still = torch.zeros_like(pose.x)
    middle = compose(
        translate(x + still, y + still, pose.z), rotate("z", pose.roll), translate(0.0, -hung.rope / 2, 0.0)
    )
    beam = compose(translate(x + still, y + 0.03 + still, pose.z), scale(0.42, 0.04, 0.05))
    return [
        Solid(shape=BOX, matrix=beam, colour=_WOOD),
        Solid(shape=CYLINDER, matrix=compose(middle, scale(0.018, hung.rope / 2, 0.018)), colour=_ROPE, casts=False),
    ]


def _stream(t: Tensor, act: Act, other: Act) -> list[Solid]:
    """Water that falls from the lip of a cup, and what gathers below."""
    plan, strength = cups.pouring(act, other), cups.flow(t, act, other)
    s = t % cups.POUR_LAP_S
    into_cup = other.kind == "cup"
    bottom = 0.60 * other.size if into_cup else 0.02
    # Its front falls from the lip, its tail follows when the flow ends.
    fallen = 0.5 * 6.0 * (s - plan.flow_s).clamp(min=0.0) ** 2
    ended = 0.5 * 6.0 * (s - plan.stop_s - 0.15).clamp(min=0.0) ** 2
    low = (plan.lip_y - fallen).clamp(min=bottom)
    high = (plan.lip_y - ended).clamp(min=bottom)
    half = (high - low) / 2
    wide = _there(0.07 * smooth(half / 0.05) * (0.7 + 0.3 * strength))
    aside = plan.sign * (0.0 if into_cup else 0.16)
    x, z = plan.lip_x + aside * (1 - (high + low) / 2 / plan.lip_y), other.subject.z
    lean = plan.sign * math.atan2(abs(aside), plan.lip_y)
    column = compose(translate(x, (high + low) / 2, z + 0 * t), rotate("z", lean), scale(wide, _there(half), wide))
    filled = smooth((t - plan.flow_s - 0.3) / 0.9)
    if into_cup:
        pool = _ball(
            (other.subject.x + 0 * t, 0.80 * other.size + 0 * t, z + 0 * t),
            [_there(0.24 * other.size * filled), _there(0.04 * filled), _there(0.24 * other.size * filled)],
            _WATER,
        )
    else:
        pool = _ball(
            (plan.lip_x + aside + 0 * t, 0.01 + 0 * t, z + 0.05 + 0 * t),
            [_there(0.34 * filled), _there(0.015 * filled), _there(0.22 * filled)],
            _WATER,
        )
    return [Solid(shape=CYLINDER, matrix=column, colour=_WATER, casts=False, gloss=0.6), pool]


def _exhaust(t: Tensor, act: Act, pose: Pose) -> list[Solid]:
    """A flame in two colours below a rocket, and smoke that rolls along the ground."""
    thrust = air.rocket_thrust(t, act)
    flicker = 1 + 0.18 * torch.sin(2 * math.pi * t / 0.11)
    size = act.size
    solids = []
    for colour, wide, long in ((_FLAME, 0.17, 0.42), (_GLOW, 0.10, 0.26)):
        half = _there(torch.minimum(0.5 * long * size * thrust * flicker, 0.5 * pose.y + 0.06 * size))
        below = compose(translate(pose.x, pose.y - half + 0.06 * size, pose.z), rotate("x", math.pi))
        radius = _there(wide * size * thrust)
        solids.append(Solid(shape=CONE, matrix=compose(below, scale(radius, half, radius)), colour=colour, casts=False))
    lift, _, top, _, _, period = air.rocket_times(act)
    within = t % period
    near = smooth((within - 0.05) / 0.4) * (1 - smooth((within - top) / 0.8))
    for k, (out, tall) in enumerate(((-0.62, 0.19), (-0.30, 0.25), (0.33, 0.24), (0.66, 0.18))):
        spread = 0.5 + 0.5 * smooth((within - 0.05) / (lift + 0.6))
        radius = _there(tall * size * near * (1 + 0.08 * torch.sin(9.0 * t + k)))
        centre = (act.subject.x + out * size * spread, 0.7 * radius, pose.z + (-0.10 if k % 2 else -0.22))
        solids.append(_ball(centre, (1.25 * radius, radius, radius), _SMOKE))
    return solids


def _wake(t: Tensor, act: Act, pose: Pose) -> list[Solid]:
    """Two streaks of foam behind what goes through the water, which tremble, and two that part at its bow."""
    size, ahead, side = act.size, pose.yaw.cos(), -pose.yaw.sin()
    wide = half_width(act.subject)
    strength = (1.0 if act.subject.action == "run" else 0.75) * (0.35 + 0.65 * pose.effort.clamp(0, 1))
    solids = []
    for k, (along, across) in enumerate(((-0.95, -0.16), (-0.95, 0.16), (0.62, -0.19), (0.62, 0.19))):
        x = pose.x + wide * along * ahead - across * side
        z = pose.z + wide * along * side + across * ahead
        tremble = 1 + 0.15 * torch.sin(7.0 * t + 2.1 * k)
        long = (0.30 if k < 2 else 0.24) * size * strength * tremble
        spread = (0.16 if k < 2 else 0.42) * (1 if across > 0 else -1)
        matrix = compose(
            translate(x, 0.012 + 0 * t, z), rotate("y", pose.yaw + spread),
            scale(long, 0.018, (0.05 if k < 2 else 0.035) * size),
        )  # fmt: skip
        solids.append(Solid(shape=ELLIPSOID, matrix=matrix, colour=_FOAM, casts=False))
    return solids


def _plume(t: Tensor, act: Act, pose: Pose) -> list[Solid]:
    """Puffs that rise from a volcano, grow and fade, one after the other."""
    solids, count, life = [], 4, 2.4
    for k in range(count):
        age = (t / life + k / count) % 1.0
        radius = _there(0.17 * act.size * smooth(age / 0.25) * (1 - smooth((age - 0.7) / 0.3)) * (0.6 + 0.8 * age))
        x = pose.x + act.size * (0.05 * math.sin(2.3 * k) + act.sign * 0.28 * age * age)
        solids.append(_ball((x, act.size * (0.92 + 0.75 * age), pose.z), (radius, 0.85 * radius, radius), _ASH))
    return solids
