"""Animals: legs and tails by gait and effort, wings by lift."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from kinema.world.affine import compose, rotate, translate
from kinema.world.kinds.body import QUARTER, SIDES, Body, at, piece
from kinema.world.kinds.paints import BEAK, DARK, ROSE, WHITE, shade
from kinema.world.pose import Pose
from kinema.world.solids import BAND, CONE, CYLINDER, ELLIPSOID, Solid, Vector, capsule, cone


def _wag(pose: Pose) -> Tensor:
    return 0.5 * (0.3 + pose.effort) * (2 * pose.gait).sin()


def _stride(pose: Pose, reach: float) -> Tensor:
    return reach * pose.effort * pose.gait.sin()


def _eyes(body: Body, place: Vector, radii: Vector = (0.045, 0.055, 0.045)) -> list[Solid]:
    x, y, z = place
    return [piece(ELLIPSOID, body.eye, at((x, y, side * z), radii), gloss=0.5) for side in SIDES]


def puppy(body: Body) -> list[Solid]:
    """Hanging ears, a snout, a wagging tail."""
    pose, swing = body.pose, _stride(body.pose, 0.65)
    tail = compose(
        translate(-0.40, 0.60, 0.0), rotate("x", _wag(pose)), rotate("z", 0.65), at((0.0, 0.16, 0.0), (0.07, 0.2, 0.07))
    )
    parts = [
        body.part(ELLIPSOID, at((0.0, 0.48, 0.0), (0.44, 0.245, 0.235))),
        body.part(ELLIPSOID, at((0.40, 0.80, 0.0), (0.27, 0.26, 0.26))),
        piece(ELLIPSOID, body.light, at((0.62, 0.72, 0.0), (0.17, 0.125, 0.14))),
        piece(ELLIPSOID, DARK, at((0.765, 0.765, 0.0), (0.06, 0.05, 0.065)), gloss=0.5),
        body.part(ELLIPSOID, tail),
        *_eyes(body, (0.615, 0.87, 0.11)),
    ]
    for z in SIDES:
        ear = compose(
            translate(0.34, 0.95, z * 0.21), rotate("x", -z * 0.35), at((0.0, -0.15, 0.0), (0.12, 0.21, 0.065))
        )
        parts.append(body.part(ELLIPSOID, ear, colour=body.dark))
        for x in SIDES:
            parts.append(body.limb((x * 0.27, 0.36, z * 0.14), length=0.30, width=0.095, swing=x * z * swing))
    return parts


def cat(body: Body) -> list[Solid]:
    """Pointed ears, whiskers' white cheeks, a long tail held up in a curve."""
    pose, swing = body.pose, _stride(body.pose, 0.6)
    root = compose(translate(-0.36, 0.52, 0.0), rotate("x", 0.5 * _wag(pose)))
    mid = compose(root, rotate("z", 0.55), translate(0.0, 0.34, 0.0), rotate("z", -0.55 + 0.4 * _wag(pose)))
    parts = [
        body.part(ELLIPSOID, at((-0.02, 0.43, 0.0), (0.40, 0.205, 0.19))),
        body.part(ELLIPSOID, at((0.38, 0.73, 0.0), (0.225, 0.21, 0.25))),
        piece(ELLIPSOID, body.light, at((0.555, 0.665, 0.0), (0.085, 0.075, 0.125))),
        piece(ELLIPSOID, ROSE, at((0.635, 0.70, 0.0), (0.03, 0.025, 0.035))),
        body.part(capsule(0.25), compose(root, rotate("z", 0.55), at((0.0, 0.17, 0.0), (0.06, 0.22, 0.06)))),
        body.part(capsule(0.25), compose(mid, at((0.0, 0.12, 0.0), (0.058, 0.18, 0.058)))),
        body.part(ELLIPSOID, compose(mid, at((0.03, 0.31, 0.0), (0.06, 0.10, 0.06), lean=-0.6)), colour=body.dark),
    ]
    green = (0.55, 0.90, 0.30)
    for z in SIDES:
        ear = compose(
            translate(0.36, 0.84, z * 0.145), rotate("x", z * 0.28), at((0.0, 0.12, 0.0), (0.09, 0.155, 0.10))
        )
        parts.append(body.part(CONE, ear))
        inner = compose(
            translate(0.36, 0.84, z * 0.145), rotate("x", z * 0.28), at((0.045, 0.09, 0.0), (0.055, 0.105, 0.06))
        )
        parts.append(piece(CONE, ROSE, inner))
        parts.append(piece(ELLIPSOID, green, at((0.555, 0.785, z * 0.105), (0.045, 0.058, 0.05)), gloss=0.5))
        parts.append(piece(ELLIPSOID, DARK, at((0.59, 0.785, z * 0.11), (0.022, 0.05, 0.02))))
        for x in SIDES:
            parts.append(body.limb((x * 0.26 - 0.02, 0.34, z * 0.11), length=0.28, width=0.072, swing=x * z * swing))
    return parts


def rabbit(body: Body) -> list[Solid]:
    """Long ears, a round body, big hind feet, a white tail."""
    pose, swing = body.pose, _stride(body.pose, 0.6)
    flop = 0.12 * pose.effort * (2 * pose.gait).sin()
    parts = [
        body.part(ELLIPSOID, at((-0.10, 0.31, 0.0), (0.30, 0.26, 0.235), lean=0.25)),
        body.part(ELLIPSOID, at((0.17, 0.60, 0.0), (0.205, 0.19, 0.195))),
        piece(ELLIPSOID, body.light, at((0.325, 0.545, 0.0), (0.09, 0.075, 0.11))),
        piece(ELLIPSOID, ROSE, at((0.405, 0.575, 0.0), (0.032, 0.026, 0.036))),
        piece(ELLIPSOID, WHITE if body.colour != "white" else ROSE, at((-0.41, 0.30, 0.0), (0.10, 0.10, 0.10))),
        piece(ELLIPSOID, body.light, at((0.10, 0.34, 0.0), (0.13, 0.16, 0.14), lean=0.25)),
        *_eyes(body, (0.325, 0.65, 0.11), (0.042, 0.056, 0.042)),
    ]
    for z in SIDES:
        root = compose(translate(0.10, 0.74, z * 0.085), rotate("x", z * 0.20), rotate("z", 0.22 + z * flop))
        parts.append(body.part(ELLIPSOID, compose(root, at((0.0, 0.21, 0.0), (0.065, 0.25, 0.085)))))
        parts.append(piece(ELLIPSOID, ROSE, compose(root, at((0.035, 0.21, 0.0), (0.04, 0.19, 0.05)))))
        thigh = compose(translate(-0.20, 0.22, z * 0.17), rotate("z", z * swing))
        parts.append(body.part(ELLIPSOID, compose(thigh, at((0.0, 0.0, 0.0), (0.17, 0.15, 0.095)))))
        parts.append(
            body.part(ELLIPSOID, compose(thigh, at((0.10, -0.165, z * 0.01), (0.17, 0.055, 0.075))), colour=body.dark)
        )
        parts.append(body.limb((0.13, 0.24, z * 0.10), length=0.19, width=0.065, swing=-z * swing))
    return parts


def bird(body: Body) -> list[Solid]:
    """A plump songbird with a pointed beak and wings that spread."""
    pose, swing = body.pose, _stride(body.pose, 0.5)
    flap = pose.lift * (0.9 + 0.7 * (2 * pose.gait).sin())
    parts = [
        body.part(ELLIPSOID, at((-0.02, 0.46, 0.0), (0.35, 0.28, 0.27), lean=0.45)),
        piece(ELLIPSOID, body.light, at((0.12, 0.42, 0.0), (0.24, 0.22, 0.20))),
        body.part(ELLIPSOID, at((0.22, 0.80, 0.0), (0.21, 0.21, 0.20))),
        piece(CONE, BEAK, at((0.50, 0.80, 0.0), (0.075, 0.13, 0.075), lean=-QUARTER)),
        body.part(ELLIPSOID, at((-0.43, 0.36, 0.0), (0.24, 0.06, 0.13), lean=0.45), colour=body.dark),
        *_eyes(body, (0.36, 0.86, 0.125)),
    ]
    for z in SIDES:
        shoulder = compose(translate(-0.04, 0.58, z * 0.21), rotate("x", -z * flap), rotate("z", 0.45))
        parts.append(
            body.part(ELLIPSOID, compose(shoulder, at((-0.05, -0.11, z * 0.05), (0.27, 0.20, 0.06))), colour=body.dark)
        )
        parts.append(_leg((0.0, 0.25, z * 0.10), length=0.21, width=0.045, swing=z * swing))
    return parts


def duck(body: Body) -> list[Solid]:
    """A boat-shaped body with its tail up, a neck, a flat orange bill."""
    pose, swing = body.pose, _stride(body.pose, 0.5)
    flap = pose.lift * (0.9 + 0.7 * (2 * pose.gait).sin())
    parts = [
        body.part(ELLIPSOID, at((-0.06, 0.36, 0.0), (0.43, 0.235, 0.265))),
        body.part(CONE, at((-0.45, 0.52, 0.0), (0.11, 0.17, 0.17), lean=0.75)),
        body.part(capsule(0.5), at((0.26, 0.58, 0.0), (0.125, 0.26, 0.13), lean=-0.10)),
        body.part(ELLIPSOID, at((0.30, 0.86, 0.0), (0.19, 0.175, 0.175))),
        piece(CYLINDER, body.accent, at((0.268, 0.66, 0.0), (0.14, 0.03, 0.145), lean=-0.10)),
        piece(ELLIPSOID, BEAK, at((0.53, 0.83, 0.0), (0.145, 0.035, 0.11), lean=0.10)),
        piece(ELLIPSOID, shade(BEAK, 0.8), at((0.50, 0.79, 0.0), (0.11, 0.025, 0.085), lean=-0.08)),
        *_eyes(body, (0.42, 0.92, 0.115)),
    ]
    for z in SIDES:
        shoulder = compose(translate(0.08, 0.44, z * 0.235), rotate("x", -z * flap), rotate("z", 0.18))
        parts.append(
            body.part(ELLIPSOID, compose(shoulder, at((-0.17, -0.03, z * 0.03), (0.27, 0.14, 0.055))), colour=body.dark)
        )
        leg = compose(translate(0.0, 0.20, z * 0.11), rotate("z", z * swing))
        parts.append(piece(ELLIPSOID, BEAK, compose(leg, at((0.0, -0.08, 0.0), (0.045, 0.12, 0.045)))))
        parts.append(piece(ELLIPSOID, BEAK, compose(leg, at((0.06, -0.17, 0.0), (0.12, 0.03, 0.085))), casts=True))
    return parts


def penguin(body: Body) -> list[Solid]:
    """Upright, a white front, flippers, orange feet; it waddles."""
    pose, swing = body.pose, _stride(body.pose, 0.35)
    waddle = 0.14 * pose.effort * pose.gait.sin()
    sway = compose(translate(0.0, 0.06, 0.0), rotate("x", waddle), translate(0.0, -0.06, 0.0))
    front = WHITE if body.colour != "white" else (0.70, 0.76, 0.86)
    upper = [
        body.part(ELLIPSOID, at((0.0, 0.44, 0.0), (0.265, 0.39, 0.285))),
        piece(ELLIPSOID, front, at((0.065, 0.40, 0.0), (0.225, 0.315, 0.215))),
        body.part(ELLIPSOID, at((0.02, 0.84, 0.0), (0.215, 0.20, 0.215))),
        piece(CONE, BEAK, at((0.29, 0.82, 0.0), (0.065, 0.12, 0.085), lean=-QUARTER - 0.1)),
        body.part(CONE, at((-0.25, 0.13, 0.0), (0.08, 0.14, 0.11), lean=2.1)),
    ]
    for z in SIDES:
        upper.append(piece(ELLIPSOID, WHITE, at((0.145, 0.87, z * 0.11), (0.075, 0.08, 0.07))))
        upper.append(piece(ELLIPSOID, DARK, at((0.205, 0.875, z * 0.12), (0.03, 0.04, 0.03)), gloss=0.5))
        lift = 0.28 + 1.1 * pose.lift + 0.25 * pose.effort * (2 * pose.gait).sin().abs()
        wing = compose(
            translate(0.0, 0.66, z * 0.24), rotate("x", -z * lift), at((-0.02, -0.19, 0.0), (0.10, 0.23, 0.045))
        )
        upper.append(body.part(ELLIPSOID, wing, colour=body.dark))
    parts = [_moved(s, sway) for s in upper]
    for z in SIDES:
        foot = compose(translate(0.04 + 0.06 * z * swing, 0.035, z * 0.12), at((0.05, 0.0, 0.0), (0.15, 0.04, 0.095)))
        parts.append(piece(ELLIPSOID, BEAK, foot, casts=True))
    return parts


def horse(body: Body) -> list[Solid]:
    """Long legs, an arched neck, a long head, mane and tail in the dark shade."""
    pose, swing = body.pose, _stride(body.pose, 0.55)
    hang = compose(translate(-0.40, 0.70, 0.0), rotate("x", 0.6 * _wag(pose)), rotate("z", -0.55))
    tail = compose(hang, at((0.0, -0.20, 0.0), (0.075, 0.24, 0.07)))
    mane = shade(body.dark, 0.75) if body.colour != "black" else body.dark
    parts = [
        body.part(ELLIPSOID, at((-0.04, 0.60, 0.0), (0.40, 0.195, 0.19))),
        body.part(capsule(0.45), at((0.34, 0.83, 0.0), (0.125, 0.29, 0.11), lean=-0.55)),
        body.part(ELLIPSOID, at((0.50, 1.03, 0.0), (0.15, 0.13, 0.115))),
        body.part(capsule(0.55), at((0.62, 0.95, 0.0), (0.085, 0.17, 0.085), lean=1.05)),
        piece(ELLIPSOID, body.light, at((0.72, 0.895, 0.0), (0.085, 0.082, 0.088))),
        body.part(ELLIPSOID, at((0.28, 0.93, 0.0), (0.075, 0.30, 0.05), lean=-0.52), colour=mane),
        body.part(ELLIPSOID, at((0.50, 1.15, 0.0), (0.10, 0.045, 0.05), lean=-0.3), colour=mane),
        body.part(ELLIPSOID, tail, colour=mane),
        *_eyes(body, (0.58, 1.05, 0.092), (0.035, 0.042, 0.032)),
    ]
    for z in SIDES:
        parts.append(body.part(CONE, at((0.45, 1.17, z * 0.075), (0.045, 0.08, 0.04), lean=0.15, tilt=z * 0.15)))
        for x in SIDES:
            leg = compose(translate(x * 0.27 - 0.03, 0.56, z * 0.105), rotate("z", x * z * swing))
            parts.append(
                body.part(cone(0.6), compose(leg, at((0.0, -0.22, 0.0), (0.085, 0.24, 0.08), tilt=2 * QUARTER)))
            )
            parts.append(piece(CYLINDER, shade(mane, 0.6), compose(leg, at((0.01, -0.50, 0.0), (0.072, 0.06, 0.068)))))
    return parts


def fish(body: Body) -> list[Solid]:
    """A deep body with a band, fins and a tail that beats."""
    pose = body.pose
    beat = (0.14 + 0.40 * pose.effort) * (2 * pose.gait).sin()
    tail = compose(translate(-0.38, 0.48, 0.0), rotate("y", beat))
    parts = [
        body.part(ELLIPSOID, at((0.08, 0.48, 0.0), (0.50, 0.355, 0.215)), pattern=BAND),
        piece(ELLIPSOID, body.light, at((0.47, 0.43, 0.0), (0.13, 0.13, 0.12))),
        body.part(CONE, at((0.02, 0.86, 0.0), (0.26, 0.16, 0.045), lean=0.30), colour=body.dark),
        body.part(CONE, at((-0.02, 0.13, 0.0), (0.15, 0.12, 0.04), lean=3.6), colour=body.dark),
    ]
    for y in SIDES:
        lobe = compose(tail, at((-0.15, y * 0.15, 0.0), (0.235, 0.125, 0.05), lean=-y * 0.75))
        parts.append(body.part(ELLIPSOID, lobe, colour=body.dark))
    for z in SIDES:
        root = compose(translate(0.14, 0.40, z * 0.20), rotate("y", -z * (0.5 + 0.5 * beat)))
        fin = compose(root, at((-0.12, -0.05, 0.0), (0.15, 0.09, 0.03), lean=0.5))
        parts.append(body.part(ELLIPSOID, fin, colour=body.dark))
        parts.append(piece(ELLIPSOID, WHITE, at((0.36, 0.58, z * 0.135), (0.085, 0.085, 0.055))))
        parts.append(piece(ELLIPSOID, DARK, at((0.38, 0.58, z * 0.175), (0.045, 0.05, 0.03)), gloss=0.5))
    return parts


def _leg(joint: Vector, *, length: float, width: float, swing: Tensor) -> Solid:
    frame = compose(translate(*joint), rotate("z", swing))
    return piece(
        ELLIPSOID, BEAK, compose(frame, at((0.0, -length / 2, 0.0), (width, length / 2 + width / 2, width))), casts=True
    )


def _moved(solid: Solid, frame: Tensor) -> Solid:
    return replace(solid, matrix=compose(frame, solid.matrix))
