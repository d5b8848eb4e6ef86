"""Vehicles: wheels by ``turned``, propellers by gait."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.kinds.body import QUARTER, SIDES, Body, at, piece, wheel_frame
from kinema.world.kinds.paints import BARK, DARK, GLASS, GLOW, GOLD, HUB, LAMP, STEEL, TYRE, WHITE, shade
from kinema.world.solids import BOX, CONE, CYLINDER, DOME, ELLIPSOID, GORES, RING, SPOKES, Solid, cone, wedge

CAR_WHEEL, LORRY_WHEEL, TRAIN_WHEEL, PLANE_WHEEL = 0.20, 0.155, 0.13, 0.085


def _wheel(
    x: float, z: float, radius: float, width: float, turned: Tensor, *, rim: tuple[float, float, float] = TYRE
) -> Solid:
    frame = compose(wheel_frame(x, z, radius, turned), rotate("x", QUARTER), scale(radius, width, radius))
    return piece(CYLINDER, rim, frame, casts=True, pattern=SPOKES, accent=HUB)


def car(body: Body) -> list[Solid]:
    """A body, a glass cabin with a roof, round lamps."""
    turned = body.pose.turned
    parts = [
        body.part(BOX, at((0.0, 0.35, 0.0), (0.66, 0.20, 0.33))),
        piece(wedge(0.74), GLASS, at((-0.08, 0.65, 0.0), (0.275, 0.13, 0.44), turn=QUARTER), casts=True, gloss=0.5),
        body.part(BOX, at((-0.08, 0.82, 0.0), (0.355, 0.065, 0.30))),
        piece(BOX, STEEL, at((0.655, 0.235, 0.0), (0.025, 0.05, 0.30))),
    ]
    for z in SIDES:
        parts.append(piece(ELLIPSOID, LAMP, at((0.655, 0.40, z * 0.2), (0.04, 0.075, 0.075))))
        pillar = at((-0.10, 0.65, z * 0.265), (0.04, 0.13, 0.02))
        parts.append(body.part(BOX, pillar, casts=False))
        for x in SIDES:
            wheel = wheel_frame(x * 0.40, z * 0.32, CAR_WHEEL, turned)
            parts.append(piece(ELLIPSOID, TYRE, compose(wheel, scale(CAR_WHEEL, CAR_WHEEL, 0.10)), casts=True))
            # A bar, not a disc, so that the wheel is seen to turn.
            parts.append(piece(ELLIPSOID, HUB, compose(wheel, at((0.0, 0.0, z * 0.06), (0.13, 0.05, 0.06)))))
    return parts


def lorry(body: Body) -> list[Solid]:
    """A cab in front of a high cargo box, six wheels."""
    turned = body.pose.turned
    parts = [
        body.part(BOX, at((-0.20, 0.60, 0.0), (0.52, 0.37, 0.30))),
        body.part(BOX, at((0.55, 0.43, 0.0), (0.19, 0.24, 0.28)), colour=body.dark),
        piece(BOX, TYRE, at((0.0, 0.19, 0.0), (0.70, 0.05, 0.24)), casts=True),
        piece(BOX, GLASS, at((0.655, 0.53, 0.0), (0.10, 0.105, 0.245)), gloss=0.5),
        piece(BOX, GLASS, at((0.60, 0.53, 0.0), (0.10, 0.09, 0.285)), gloss=0.5),
        piece(BOX, STEEL, at((0.735, 0.22, 0.0), (0.03, 0.055, 0.27))),
    ]
    for z in SIDES:
        parts.append(piece(BOX, body.accent, at((-0.20, 0.60, z * 0.2905), (0.42, 0.085, 0.015))))
        parts.append(piece(ELLIPSOID, LAMP, at((0.745, 0.33, z * 0.19), (0.025, 0.05, 0.05))))
        for x in (0.52, -0.24, -0.56):
            parts.append(_wheel(x, z * 0.25, LORRY_WHEEL, 0.07, turned))
    return parts


def train(body: Body) -> list[Solid]:
    """A steam engine with a funnel, and one waggon."""
    turned = body.pose.turned
    puff = 0.03 * (2 * body.pose.gait).sin()
    parts = [
        body.part(CYLINDER, at((0.42, 0.45, 0.0), (0.185, 0.32, 0.185), lean=QUARTER)),
        piece(CYLINDER, DARK, at((0.745, 0.45, 0.0), (0.15, 0.02, 0.15), lean=QUARTER)),
        piece(ELLIPSOID, LAMP, at((0.765, 0.50, 0.0), (0.03, 0.065, 0.065))),
        piece(cone(0.6), DARK, at((0.60, 0.73, 0.0), (0.115, 0.15, 0.115), tilt=math.pi), casts=True),
        piece(ELLIPSOID, GOLD, at((0.33, 0.64, 0.0), (0.085, 0.085, 0.085)), gloss=0.5),
        body.part(BOX, at((0.06, 0.56, 0.0), (0.155, 0.28, 0.235))),
        piece(BOX, GLASS, at((0.06, 0.66, 0.0), (0.095, 0.095, 0.24))),
        body.part(BOX, at((0.05, 0.865, 0.0), (0.205, 0.035, 0.27)), colour=body.dark),
        piece(wedge(0.3), STEEL, at((0.74, 0.15, 0.0), (0.18, 0.10, 0.09), turn=QUARTER)),
        piece(BOX, DARK, at((0.30, 0.235, 0.0), (0.42, 0.035, 0.19)), casts=True),
        body.part(BOX, at((-0.49, 0.43, 0.0), (0.30, 0.17, 0.235))),
        piece(BOX, body.accent, at((-0.49, 0.45, 0.0), (0.265, 0.05, 0.24))),
        piece(ELLIPSOID, shade(DARK, 1.1), at((-0.49, 0.59, 0.0), (0.27, 0.10, 0.20))),
        piece(BOX, DARK, at((-0.13, 0.24, 0.0), (0.10, 0.03, 0.05))),
        piece(ELLIPSOID, WHITE, compose(translate(0.57, 0.98 + puff, 0.0), scale(0.12, 0.09, 0.11))),
    ]
    for z in SIDES:
        for x, radius in ((0.58, 0.13), (0.32, 0.13), (0.05, 0.17), (-0.64, 0.12), (-0.34, 0.12)):
            parts.append(_wheel(x, z * 0.20, radius, 0.04, turned * (TRAIN_WHEEL / radius), rim=shade(body.dark, 0.55)))
    return parts


def boat(body: Body) -> list[Solid]:
    """A sailing boat: hull, mast, a great sail and a small one, a pennant."""
    swell = 0.05 * body.pose.gait.sin()
    rig = compose(translate(0.02, 0.25, 0.0), rotate("y", swell))
    lean = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    great = compose(rig, translate(-0.165, 0.50, 0.0), scale(0.26, 0.42, 0.035), lean)
    small = compose(rig, translate(0.185, 0.42, 0.0), rotate("y", math.pi), scale(0.18, 0.32, 0.03), lean)
    return [
        body.part(DOME, at((0.0, 0.155, 0.0), (0.66, 0.155, 0.26), tilt=math.pi)),
        piece(CYLINDER, body.accent, at((0.0, 0.305, 0.0), (0.66, 0.022, 0.26))),
        piece(ELLIPSOID, BARK, at((0.0, 0.325, 0.0), (0.54, 0.015, 0.19))),
        body.part(BOX, at((-0.26, 0.36, 0.0), (0.14, 0.06, 0.12)), colour=body.dark),
        piece(CYLINDER, BARK, compose(rig, at((0.0, 0.46, 0.0), (0.022, 0.46, 0.022)))),
        body.part(CONE, great),
        piece(CONE, body.accent, small, casts=True),
        piece(CONE, GOLD, compose(rig, at((-0.07, 0.93, 0.0), (0.035, 0.08, 0.012), lean=QUARTER))),
    ]


def aeroplane(body: Body) -> list[Solid]:
    """A stout aeroplane with wide wings, a tail and a turning propeller."""
    spin = compose(translate(0.63, 0.50, 0.0), rotate("x", 3.0 * body.pose.gait))
    parts = [
        body.part(ELLIPSOID, at((-0.02, 0.50, 0.0), (0.66, 0.19, 0.19))),
        piece(ELLIPSOID, body.accent, at((0.52, 0.50, 0.0), (0.125, 0.135, 0.135))),
        piece(ELLIPSOID, GLASS, at((0.16, 0.64, 0.0), (0.19, 0.125, 0.125)), gloss=0.6),
        body.part(BOX, at((0.06, 0.46, 0.0), (0.165, 0.03, 0.74)), colour=body.dark),
        body.part(BOX, at((-0.58, 0.55, 0.0), (0.09, 0.022, 0.29)), colour=body.dark),
        body.part(wedge(0.45), at((-0.585, 0.76, 0.0), (0.03, 0.21, 0.135), turn=QUARTER, lean=0.0, tilt=-0.28)),
        piece(CONE, STEEL, at((0.67, 0.50, 0.0), (0.05, 0.06, 0.05), lean=-QUARTER)),
        piece(ELLIPSOID, DARK, compose(spin, at((0.02, 0.0, 0.0), (0.018, 0.27, 0.04)))),
        piece(ELLIPSOID, DARK, compose(spin, at((0.02, 0.0, 0.0), (0.018, 0.04, 0.27)))),
        _wheel(-0.52, 0.0, 0.06, 0.03, body.pose.turned),
        piece(CYLINDER, STEEL, at((-0.52, 0.20, 0.0), (0.02, 0.17, 0.02))),
    ]
    for z in SIDES:
        parts.append(piece(ELLIPSOID, body.accent, at((0.06, 0.475, z * 0.60), (0.125, 0.035, 0.125))))
        parts.append(piece(CYLINDER, STEEL, at((0.20, 0.24, z * 0.18), (0.022, 0.17, 0.022), tilt=-z * 0.25)))
        parts.append(_wheel(0.20, z * 0.22, PLANE_WHEEL, 0.035, body.pose.turned))
        for x in (-0.14, -0.30):
            parts.append(piece(ELLIPSOID, GLASS, at((x, 0.55, z * 0.165), (0.045, 0.045, 0.02))))
    return parts


def balloon(body: Body) -> list[Solid]:
    """A hot-air balloon: a great striped ball, ropes and a basket."""
    swing = rotate("z", body.pose.bend)
    parts = [
        body.part(ELLIPSOID, at((0.0, 0.79, 0.0), (0.40, 0.41, 0.40)), pattern=GORES),
        body.part(cone(0.52), at((0.0, 0.42, 0.0), (0.285, 0.12, 0.285), tilt=math.pi)),
        piece(cone(0.8), BARK, compose(swing, at((0.0, 0.085, 0.0), (0.125, 0.085, 0.125), tilt=math.pi)), casts=True),
        piece(RING, shade(BARK, 0.7), compose(swing, at((0.0, 0.165, 0.0), (0.135, 0.135, 0.035), tilt=QUARTER))),
        piece(ELLIPSOID, GLOW, at((0.0, 0.285, 0.0), (0.04, 0.06, 0.04))),
    ]
    for x in SIDES:
        for z in SIDES:
            parts.append(
                piece(
                    CYLINDER,
                    DARK,
                    at((x * 0.095, 0.24, z * 0.095), (0.011, 0.09, 0.011), lean=-x * 0.16, tilt=z * 0.16),
                )
            )
    return parts


def rocket(body: Body) -> list[Solid]:
    """A round-bellied rocket on fins, with portholes and a pointed nose."""
    parts = [
        body.part(ELLIPSOID, at((0.0, 0.60, 0.0), (0.225, 0.50, 0.225))),
        piece(cone(0.75), STEEL, at((0.0, 0.115, 0.0), (0.125, 0.075, 0.125)), gloss=0.4),
        body.part(CONE, at((0.0, 1.03, 0.0), (0.125, 0.15, 0.125)), colour=body.dark),
        piece(CYLINDER, body.accent, at((0.0, 0.34, 0.0), (0.207, 0.028, 0.207))),
        piece(CYLINDER, body.accent, at((0.0, 0.865, 0.0), (0.198, 0.022, 0.198))),
    ]
    for k in range(4):
        fin = compose(rotate("y", math.pi / 4 + k * QUARTER), at((0.20, 0.19, 0.0), (0.035, 0.20, 0.13), turn=QUARTER))
        parts.append(body.part(wedge(0.25), fin, colour=body.dark))
    for z in SIDES:
        window = rotate("y", -z * 0.96)
        parts.append(piece(RING, STEEL, compose(window, at((0.208, 0.66, 0.0), (0.095, 0.095, 0.03), turn=QUARTER))))
        parts.append(piece(ELLIPSOID, GLASS, compose(window, at((0.205, 0.66, 0.0), (0.03, 0.075, 0.075))), gloss=0.6))
    return parts
