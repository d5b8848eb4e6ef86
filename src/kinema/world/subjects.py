"""The six kinds as solids: each a plain function of pose and paint. Own axes: x ahead, y up, z to its right; about 1 tall.

Legend: n moments (of any number of scenes with one kind).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.motion import Pose
from kinema.world.scene import Scene
from kinema.world.solids import BOX, CONE, CROSS, ELLIPSOID, RING, Colour, Solid, Solids, gather

# Bold paints that differ in hue and lightness, so they stay apart at 64 px and at night.
PAINT: dict[str, Colour] = {
    "red": (0.90, 0.08, 0.08),
    "orange": (1.00, 0.47, 0.02),
    "yellow": (1.00, 0.86, 0.05),
    "green": (0.03, 0.62, 0.20),
    "blue": (0.08, 0.28, 0.95),
    "purple": (0.48, 0.12, 0.78),
    "pink": (1.00, 0.45, 0.72),
    "white": (0.97, 0.97, 0.97),
}
# All kinds fill about the same part of the picture.
SCALE = {"puppy": 1.0, "person": 1.1, "car": 1.0, "bird": 1.05, "ball": 1.0, "cube": 1.02}
BALL_RADIUS = 0.45
WHEEL_RADIUS = 0.20

_DARK: Colour = (0.06, 0.06, 0.08)
_SKIN: Colour = (0.98, 0.76, 0.58)
_HAIR: Colour = (0.28, 0.16, 0.09)
_TROUSERS: Colour = (0.20, 0.22, 0.32)
_BEAK: Colour = (1.00, 0.62, 0.05)
_GLASS: Colour = (0.62, 0.84, 0.95)
_TYRE: Colour = (0.10, 0.10, 0.12)
_HUB: Colour = (0.85, 0.85, 0.88)
_LAMP: Colour = (1.0, 0.95, 0.65)
_STRIPE: Colour = (0.98, 0.96, 0.90)
_STRIPE_ON_WHITE: Colour = (0.42, 0.48, 0.60)
_SIDES = (-1.0, 1.0)

Paint = Float[Tensor, "n 3"]


@dataclass(frozen=True, kw_only=True)
class _Body:
    """What a kind is built from: its paint, its stripes, its pose, and its own size in world units."""

    paint: Paint
    stripe: Paint
    pose: Pose
    size: Float[Tensor, " n"]


def subject_size(scene: Scene) -> float:
    """World units per own unit of the subject."""
    return scene.subject.size * SCALE[scene.subject.kind]


def subject_solids(scenes: Sequence[Scene], pose: Pose) -> Solids:
    """The subjects of unflipped ``scenes`` of one kind, in world space; ``pose`` holds equally many moments of each, scene by scene."""
    kind, moments = scenes[0].subject.kind, len(pose.x) // len(scenes)
    size = torch.tensor([subject_size(s) for s in scenes], dtype=torch.float64).repeat_interleave(moments)
    paint = torch.tensor([PAINT[s.subject.colour] for s in scenes], dtype=torch.float32)
    white = torch.tensor([s.subject.colour == "white" for s in scenes])[:, None]
    stripe = torch.where(white, torch.tensor(_STRIPE_ON_WHITE), torch.tensor(_STRIPE))
    body = _Body(
        paint=paint.repeat_interleave(moments, 0), stripe=stripe.repeat_interleave(moments, 0), pose=pose, size=size
    )
    wide = size / pose.squash.sqrt()  # squashing keeps the volume
    placed = compose(
        translate(pose.x, pose.y, 0.0),
        rotate("z", pose.roll),
        rotate("y", pose.yaw),
        scale(wide, size * pose.squash, wide),
    )
    parts = _KINDS[kind](body)
    solids = [
        Solid(
            shape=part.shape,
            matrix=compose(placed, part.matrix),
            colour=part.colour,
            accent=part.accent,
            pattern=part.pattern,
            casts=part.casts,
        )
        for part in parts
    ]
    return gather(solids)


def _shade(paint: Paint, factor: float) -> Paint:
    """``paint`` darker (factor below 1) or mixed towards white (above 1, white at 2)."""
    return paint * factor if factor <= 1 else paint * (2 - factor) + (factor - 1)


def _at(centre: tuple[float, float, float], radii: tuple[float, float, float], *, lean: float = 0.0) -> Tensor:
    return compose(translate(*centre), rotate("z", lean), scale(*radii))


def _ellipsoid(colour: Paint | Colour, matrix: Tensor, *, casts: bool = False) -> Solid:
    return Solid(shape=ELLIPSOID, matrix=matrix, colour=colour, casts=casts)


def _limb(
    colour: Paint | Colour, joint: tuple[float, float, float], *, length: float, width: float, swing: Tensor
) -> Solid:
    """A leg that hangs from ``joint`` and swings ahead by ``swing`` radians."""
    down = translate(0.0, -length / 2, 0.0)
    matrix = compose(translate(*joint), rotate("z", swing), down, scale(width, length / 2 + width / 2, width))
    return _ellipsoid(colour, matrix, casts=True)


def _puppy(body: _Body) -> list[Solid]:
    pose, paint = body.pose, body.paint
    swing = 0.65 * pose.effort * pose.gait.sin()
    wag = 0.5 * (0.3 + pose.effort) * (2 * pose.gait).sin()
    dark, light = _shade(paint, 0.55), _shade(paint, 1.65)
    tail = compose(
        translate(-0.40, 0.60, 0.0), rotate("x", wag), rotate("z", 0.65), _at((0.0, 0.16, 0.0), (0.07, 0.2, 0.07))
    )
    parts = [
        _ellipsoid(paint, _at((0.0, 0.48, 0.0), (0.44, 0.245, 0.235)), casts=True),
        _ellipsoid(paint, _at((0.40, 0.80, 0.0), (0.27, 0.26, 0.26)), casts=True),
        _ellipsoid(light, _at((0.62, 0.72, 0.0), (0.17, 0.125, 0.14))),
        _ellipsoid(_DARK, _at((0.765, 0.765, 0.0), (0.06, 0.05, 0.065))),
        _ellipsoid(paint, tail, casts=True),
    ]
    for z in _SIDES:
        ear = compose(
            translate(0.34, 0.95, z * 0.21), rotate("x", -z * 0.35), _at((0.0, -0.15, 0.0), (0.12, 0.21, 0.065))
        )
        parts.append(_ellipsoid(dark, ear, casts=True))
        parts.append(_ellipsoid(_DARK, _at((0.615, 0.87, z * 0.11), (0.045, 0.055, 0.045))))
        for x in _SIDES:
            parts.append(_limb(paint, (x * 0.27, 0.36, z * 0.14), length=0.30, width=0.095, swing=x * z * swing))
    return parts


def _person(body: _Body) -> list[Solid]:
    pose, paint = body.pose, body.paint
    swing = 0.75 * pose.effort * pose.gait.sin()
    parts = [
        _ellipsoid(paint, _at((0.0, 0.50, 0.0), (0.17, 0.235, 0.215)), casts=True),
        _ellipsoid(_SKIN, _at((0.0, 0.88, 0.0), (0.20, 0.20, 0.20)), casts=True),
        _ellipsoid(_HAIR, _at((-0.045, 0.945, 0.0), (0.195, 0.165, 0.21))),
    ]
    for z in _SIDES:
        parts.append(_ellipsoid(_DARK, _at((0.18, 0.87, z * 0.075), (0.035, 0.045, 0.032))))
        parts.append(_limb(_TROUSERS, (0.0, 0.36, z * 0.10), length=0.30, width=0.10, swing=z * swing))
        arm = compose(
            translate(0.0, 0.63, z * 0.20), rotate("x", -z * (0.35 + 0.9 * pose.lift)), rotate("z", -z * swing)
        )
        parts.append(_ellipsoid(paint, compose(arm, _at((0.0, -0.13, 0.0), (0.075, 0.18, 0.075))), casts=True))
        parts.append(_ellipsoid(_SKIN, compose(arm, _at((0.0, -0.31, 0.0), (0.075, 0.075, 0.075)))))
    return parts


def _car(body: _Body) -> list[Solid]:
    pose, paint = body.pose, body.paint
    turn = -pose.travelled / (WHEEL_RADIUS * body.size)
    parts = [
        Solid(shape=BOX, matrix=_at((0.0, 0.34, 0.0), (0.66, 0.18, 0.33)), colour=paint),
        Solid(shape=BOX, matrix=_at((-0.08, 0.62, 0.0), (0.36, 0.16, 0.275)), colour=_GLASS),
        Solid(shape=BOX, matrix=_at((-0.08, 0.82, 0.0), (0.39, 0.06, 0.30)), colour=paint),
    ]
    for z in _SIDES:
        parts.append(_ellipsoid(_LAMP, _at((0.655, 0.40, z * 0.2), (0.04, 0.075, 0.075))))
        pillar = _at((-0.10, 0.62, z * 0.265), (0.035, 0.16, 0.02))
        parts.append(Solid(shape=BOX, matrix=pillar, colour=paint, casts=False))
        for x in _SIDES:
            wheel = compose(translate(x * 0.40, WHEEL_RADIUS, z * 0.32), rotate("z", turn))
            parts.append(_ellipsoid(_TYRE, compose(wheel, scale(WHEEL_RADIUS, WHEEL_RADIUS, 0.10)), casts=True))
            # A bar, not a disc, so that the wheel is seen to turn.
            parts.append(_ellipsoid(_HUB, compose(wheel, _at((0.0, 0.0, z * 0.06), (0.13, 0.05, 0.06)))))
    return parts


def _bird(body: _Body) -> list[Solid]:
    pose, paint = body.pose, body.paint
    swing = 0.5 * pose.effort * pose.gait.sin()
    flap = pose.lift * (0.9 + 0.7 * (2 * pose.gait).sin())
    dark, light = _shade(paint, 0.62), _shade(paint, 1.7)
    beak = _at((0.50, 0.80, 0.0), (0.075, 0.13, 0.075), lean=-math.pi / 2)
    parts = [
        _ellipsoid(paint, _at((-0.02, 0.46, 0.0), (0.35, 0.28, 0.27), lean=0.45), casts=True),
        _ellipsoid(light, _at((0.12, 0.42, 0.0), (0.24, 0.22, 0.20))),
        _ellipsoid(paint, _at((0.22, 0.80, 0.0), (0.21, 0.21, 0.20)), casts=True),
        Solid(shape=CONE, matrix=beak, colour=_BEAK, casts=False),
        _ellipsoid(dark, _at((-0.43, 0.36, 0.0), (0.24, 0.06, 0.13), lean=0.45), casts=True),
    ]
    for z in _SIDES:
        parts.append(_ellipsoid(_DARK, _at((0.36, 0.86, z * 0.125), (0.045, 0.055, 0.045))))
        shoulder = compose(translate(-0.04, 0.58, z * 0.21), rotate("x", -z * flap), rotate("z", 0.45))
        wing = compose(shoulder, _at((-0.05, -0.11, z * 0.05), (0.27, 0.20, 0.06)))
        parts.append(_ellipsoid(dark, wing, casts=True))
        parts.append(_limb(_BEAK, (0.0, 0.25, z * 0.10), length=0.21, width=0.045, swing=z * swing))
    return parts


def _ball(body: _Body) -> list[Solid]:
    turn = -body.pose.travelled / (BALL_RADIUS * body.size)
    radii = scale(BALL_RADIUS, BALL_RADIUS, BALL_RADIUS)
    rolled = compose(translate(0.0, BALL_RADIUS, 0.0), rotate("z", turn), rotate("x", 0.25), radii)
    return [Solid(shape=ELLIPSOID, matrix=rolled, colour=body.paint, accent=body.stripe, pattern=RING)]


def _cube(body: _Body) -> list[Solid]:
    matrix = _at((0.0, 0.40, 0.0), (0.40, 0.40, 0.40))
    return [Solid(shape=BOX, matrix=matrix, colour=body.paint, accent=body.stripe, pattern=CROSS)]


_KINDS: dict[str, Callable[[_Body], list[Solid]]] = {
    "puppy": _puppy,
    "person": _person,
    "car": _car,
    "bird": _bird,
    "ball": _ball,
    "cube": _cube,
}
