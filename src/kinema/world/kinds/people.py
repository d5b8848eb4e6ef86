"""People: person, robot, astronaut.

``reach`` takes the hand near the camera to the mouth; with ``lift`` it is held up beside the head, to wave.
"""

from __future__ import annotations

from torch import Tensor

from kinema.world.affine import compose, rotate, translate
from kinema.world.kinds.body import SIDES, Body, at, limb_matrix, piece
from kinema.world.kinds.paints import DARK, GLOW, HAIR, SKIN, STEEL, VISOR, WHITE
from kinema.world.solids import BOX, CYLINDER, DOME, ELLIPSOID, Solid, Vector, capsule


def _arm(body: Body, shoulder: Vector, side: float, *, swing: Tensor) -> Tensor:
    """Where an arm hangs: its own -y axis runs from the shoulder to the hand."""
    pose = body.pose
    out, ahead = 0.35 + 0.9 * pose.lift, -side * swing
    if side == body.near:
        out = out + pose.reach * (0.30 - 1.2 * pose.lift - out)
        ahead = ahead + pose.reach * (2.2 + 1.15 * pose.lift - ahead)
    else:
        out = out - 0.8 * pose.reach * pose.lift
    x, y, z = shoulder
    return compose(translate(x, y, side * z), rotate("x", -side * out), rotate("z", ahead))


def person(body: Body) -> list[Solid]:
    """A toy figure with a big head."""
    swing = 0.75 * body.pose.effort * body.pose.gait.sin()
    parts = [
        body.part(ELLIPSOID, at((0.0, 0.50, 0.0), (0.18, 0.235, 0.225))),
        piece(ELLIPSOID, SKIN, at((0.0, 0.88, 0.0), (0.195, 0.19, 0.195)), casts=True),
        piece(ELLIPSOID, HAIR, at((-0.05, 0.92, 0.0), (0.175, 0.17, 0.205))),
        # A cap with a peak: it keeps the colour in sight where the face is small.
        body.part(DOME, at((-0.01, 1.02, 0.0), (0.20, 0.075, 0.205), lean=0.08)),
        body.part(ELLIPSOID, at((0.16, 0.965, 0.0), (0.14, 0.025, 0.13), lean=-0.10)),
    ]
    for z in SIDES:
        parts.append(piece(ELLIPSOID, DARK, at((0.178, 0.86, z * 0.075), (0.035, 0.045, 0.032))))
        parts.append(body.limb((0.0, 0.36, z * 0.10), length=0.28, width=0.10, swing=z * swing, colour=body.dark))
        held = _arm(body, (0.0, 0.63, 0.20), z, swing=swing)
        parts.append(body.part(ELLIPSOID, compose(held, at((0.0, -0.13, 0.0), (0.078, 0.18, 0.078)))))
        parts.append(piece(ELLIPSOID, SKIN, compose(held, at((0.0, -0.31, 0.0), (0.075, 0.075, 0.075)))))
    return parts


def robot(body: Body) -> list[Solid]:
    """Boxes all over, glowing eyes, an aerial."""
    swing = 0.6 * body.pose.effort * body.pose.gait.sin()
    parts = [
        body.part(BOX, at((0.0, 0.48, 0.0), (0.16, 0.19, 0.21))),
        body.part(BOX, at((0.0, 0.84, 0.0), (0.155, 0.135, 0.20))),
        piece(CYLINDER, STEEL, at((0.0, 0.685, 0.0), (0.08, 0.04, 0.08))),
        piece(BOX, DARK, at((0.14, 0.86, 0.0), (0.025, 0.07, 0.165))),
        piece(CYLINDER, STEEL, at((0.0, 1.03, 0.0), (0.02, 0.07, 0.02))),
        piece(ELLIPSOID, GLOW, at((0.0, 1.11, 0.0), (0.05, 0.05, 0.05))),
        piece(BOX, STEEL, at((0.15, 0.50, 0.0), (0.02, 0.09, 0.12)), gloss=0.4),
        piece(ELLIPSOID, GLOW, at((0.17, 0.53, 0.055), (0.015, 0.03, 0.03))),
    ]
    for z in SIDES:
        parts.append(piece(ELLIPSOID, GLOW, at((0.165, 0.86, z * 0.085), (0.02, 0.045, 0.045))))
        leg = compose(translate(0.0, 0.32, z * 0.11), rotate("z", z * swing))
        parts.append(body.part(BOX, compose(leg, at((0.0, -0.13, 0.0), (0.06, 0.14, 0.06))), colour=body.dark))
        parts.append(body.part(BOX, compose(leg, at((0.025, -0.275, 0.0), (0.105, 0.045, 0.085)))))
        held = _arm(body, (0.0, 0.62, 0.235), z, swing=swing)
        parts.append(
            body.part(
                BOX,
                compose(
                    held,
                    at((0.0, -0.12, 0.0), (0.055, 0.15, 0.055)),
                ),
                colour=body.dark,
            )
        )
        parts.append(body.part(BOX, compose(held, at((0.0, -0.31, 0.0), (0.07, 0.065, 0.07)))))
    return parts


def astronaut(body: Body) -> list[Solid]:
    """A thick suit, a round helmet with a dark visor, a pack on the back."""
    swing = 0.55 * body.pose.effort * body.pose.gait.sin()
    parts = [
        body.part(ELLIPSOID, at((0.0, 0.47, 0.0), (0.19, 0.235, 0.235))),
        body.part(ELLIPSOID, at((0.0, 0.83, 0.0), (0.235, 0.235, 0.235))),
        piece(ELLIPSOID, VISOR, at((0.10, 0.84, 0.0), (0.165, 0.15, 0.185)), gloss=1.0),
        piece(ELLIPSOID, WHITE, at((0.232, 0.895, 0.075), (0.02, 0.035, 0.03))),
        piece(BOX, WHITE, at((-0.21, 0.56, 0.0), (0.09, 0.20, 0.185)), casts=True),
        piece(CYLINDER, STEEL, at((-0.2, 0.90, 0.16), (0.016, 0.18, 0.016))),
        piece(ELLIPSOID, (1.3, 0.2, 0.15), at((-0.2, 1.09, 0.16), (0.042, 0.042, 0.042))),
        piece(BOX, STEEL, at((0.175, 0.50, 0.0), (0.03, 0.06, 0.10), lean=0.1)),
        piece(CYLINDER, body.accent, at((0.0, 0.645, 0.0), (0.165, 0.03, 0.165))),
    ]
    for z in SIDES:
        parts.append(
            body.part(capsule(0.6), limb_matrix((0.0, 0.34, z * 0.115), length=0.23, width=0.11, swing=z * swing))
        )
        boot = compose(
            translate(0.0, 0.34, z * 0.115), rotate("z", z * swing), at((0.03, -0.275, 0.0), (0.14, 0.07, 0.105))
        )
        parts.append(piece(ELLIPSOID, STEEL, boot))
        held = _arm(body, (0.0, 0.60, 0.22), z, swing=swing)
        parts.append(body.part(capsule(0.55), compose(held, at((0.0, -0.13, 0.0), (0.095, 0.19, 0.095)))))
        parts.append(piece(ELLIPSOID, STEEL, compose(held, at((0.0, -0.32, 0.0), (0.085, 0.085, 0.085)))))
    return parts
