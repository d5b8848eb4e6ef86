"""Objects: ball, cube, cylinder, cone, ring, cup, lantern, kite."""

from __future__ import annotations

import math

from kinema.world.affine import compose, rotate, scale, translate
from kinema.world.kinds.body import QUARTER, Body, at, piece
from kinema.world.kinds.paints import DARK, GLOW, GOLD, shade
from kinema.world.solids import BAND, BOX, CONE, CROSS, CYLINDER, ELLIPSOID, GORES, Solid, cone, ring

BALL_RADIUS, CYLINDER_RADIUS, RING_RADIUS = 0.45, 0.34, 0.47


def ball(body: Body) -> list[Solid]:
    """One band round it, so that it is seen to roll."""
    radii = scale(BALL_RADIUS, BALL_RADIUS, BALL_RADIUS)
    rolled = compose(translate(0.0, BALL_RADIUS, 0.0), rotate("z", -body.pose.turned), rotate("x", 0.25), radii)
    return [body.part(ELLIPSOID, rolled, pattern=BAND)]


def cube(body: Body) -> list[Solid]:
    """Two crossing bands, like a parcel's."""
    return [body.part(BOX, at((0.0, 0.40, 0.0), (0.40, 0.40, 0.40)), pattern=CROSS)]


def cylinder(body: Body) -> list[Solid]:
    """A drum with a band over its ends. It rolls lying down, about its own axis."""
    turn = rotate("y", -body.pose.turned)
    return [
        body.part(
            CYLINDER, compose(turn, at((0.0, 0.45, 0.0), (CYLINDER_RADIUS, 0.45, CYLINDER_RADIUS))), pattern=BAND
        ),
        body.part(CYLINDER, at((0.0, 0.45, 0.0), (0.345, 0.06, 0.345)), colour=body.dark, casts=False),
    ]


def cone_(body: Body) -> list[Solid]:
    """A cone with two bands."""
    radius, height = 0.42, 1.0
    parts = [body.part(CONE, at((0.0, height / 2, 0.0), (radius, height / 2, radius)))]
    for low, high in ((0.22, 0.36), (0.56, 0.68)):
        wide, narrow = radius * (1 - low / height) + 0.006, radius * (1 - high / height) + 0.006
        band = at((0.0, (low + high) / 2, 0.0), (wide, (high - low) / 2, wide))
        parts.append(piece(cone(narrow / wide), body.accent, band))
    return parts


def ring_(body: Body) -> list[Solid]:
    """A thick ring that stands upright, striped so that it is seen to roll."""
    rolled = compose(
        translate(0.0, RING_RADIUS, 0.0), rotate("z", -body.pose.turned), scale(RING_RADIUS, RING_RADIUS, 0.15)
    )
    return [body.part(ring(0.31), rolled, pattern=BAND)]


def cup(body: Body) -> list[Solid]:
    """A mug with a handle behind; tipped ahead it pours."""
    return [
        body.part(cone(0.84), at((0.07, 0.42, 0.0), (0.37, 0.42, 0.37), tilt=math.pi)),
        piece(CYLINDER, DARK, at((0.07, 0.836, 0.0), (0.325, 0.008, 0.325))),
        piece(CYLINDER, (0.42, 0.24, 0.12), at((0.07, 0.84, 0.0), (0.29, 0.008, 0.29))),
        body.part(ring(0.05), at((0.07, 0.835, 0.0), (0.375, 0.375, 0.02), tilt=QUARTER)),
        body.part(ring(0.20), at((-0.29, 0.45, 0.0), (0.21, 0.25, 0.052)), colour=body.dark),
        piece(cone(0.95), body.accent, at((0.07, 0.56, 0.0), (0.363, 0.055, 0.363), tilt=math.pi)),
    ]


def lantern(body: Body) -> list[Solid]:
    """A round paper lantern with glowing panels, golden caps and a tassel. It hangs by its ring and swings."""
    hung = compose(translate(0.0, 1.10, 0.0), rotate("z", body.pose.bend), translate(0.0, -1.10, 0.0))
    tassel = compose(hung, translate(0.0, 0.27, 0.0), rotate("z", 0.5 * body.pose.bend))
    return [
        body.part(ELLIPSOID, compose(hung, at((0.0, 0.64, 0.0), (0.35, 0.30, 0.35))), pattern=GORES, accent=GLOW),
        piece(CYLINDER, GOLD, compose(hung, at((0.0, 0.93, 0.0), (0.155, 0.04, 0.155))), casts=True, gloss=0.5),
        piece(CYLINDER, GOLD, compose(hung, at((0.0, 0.345, 0.0), (0.155, 0.04, 0.155))), gloss=0.5),
        piece(ring(0.17), GOLD, compose(hung, at((0.0, 1.03, 0.0), (0.08, 0.08, 0.016)))),
        piece(ELLIPSOID, GOLD, compose(tassel, at((0.0, 0.02, 0.0), (0.05, 0.05, 0.05)))),
        body.part(cone(0.45), compose(tassel, at((0.0, -0.13, 0.0), (0.075, 0.125, 0.075)))),
    ]


def kite(body: Body) -> list[Solid]:
    """A diamond with a cross of sticks and a tail of bows that waves."""
    pose = body.pose
    face = compose(translate(0.0, 0.82, 0.0), rotate("z", -0.25), scale(0.78, 1.0, 1.0), rotate("z", math.pi / 4))
    sticks = compose(translate(0.0, 0.82, 0.0), rotate("z", -0.25))
    parts = [
        body.part(BOX, compose(face, scale(0.30, 0.30, 0.022))),
        body.part(BOX, compose(face, at((-0.15, 0.15, 0.0), (0.151, 0.151, 0.026))), colour=body.dark),
        body.part(BOX, compose(face, at((0.15, -0.15, 0.0), (0.151, 0.151, 0.026))), colour=body.dark),
        piece(BOX, body.accent, compose(sticks, at((0.0, 0.0, 0.0), (0.335, 0.016, 0.032)))),
        piece(BOX, body.accent, compose(sticks, at((0.0, 0.0, 0.0), (0.016, 0.425, 0.032)))),
    ]
    tail = compose(sticks, translate(0.0, -0.41, 0.0), rotate("z", 0.10))
    for k in range(3):
        wave = 0.35 * (pose.gait - 1.1 * k).sin() + 0.4 * pose.bend
        string = compose(tail, rotate("z", wave))
        parts.append(
            piece(CYLINDER, shade(body.accent, 0.8), compose(string, at((0.0, -0.07, 0.0), (0.014, 0.075, 0.014))))
        )
        tail = compose(string, translate(0.0, -0.14, 0.0))
        bow = compose(tail, at((0.0, 0.0, 0.0), (0.085, 0.04, 0.03), lean=0.3 * (1 - k)))
        parts.append(body.part(ELLIPSOID, bow, colour=body.dark if k % 2 else body.paint))
    return parts
