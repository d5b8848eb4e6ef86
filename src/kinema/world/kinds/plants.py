"""Plants: stems that bend, more the higher; tree, flower, cactus, mushroom, grass."""

from __future__ import annotations

import math

from torch import Tensor

from kinema.world.affine import compose, rotate, translate
from kinema.world.kinds.body import SIDES, Body, at, piece
from kinema.world.kinds.paints import BARK, CREAM, DARK, GOLD, LEAF, ROSE, shade
from kinema.world.solids import CONE, DOME, ELLIPSOID, RIBS, SPOTS, Solid, capsule, cone


def _bent(body: Body, *heights: float) -> list[Tensor]:
    """The frames at the joints of a stem, at ``heights`` above the one before; each bends by an equal share."""
    share, frames = body.pose.bend / len(heights), []
    frame = translate()
    for height in heights:
        frame = compose(frame, translate(0.0, height, 0.0), rotate("z", share))
        frames.append(frame)
    return frames


def tree(body: Body) -> list[Solid]:
    """A trunk and a cloud of leaves in the colour."""
    low, high = _bent(body, 0.05, 0.40)
    crown = [
        ((0.0, 0.34, 0.0), 0.335, 1.0), ((0.20, 0.17, 0.07), 0.22, 1.0), ((-0.20, 0.17, -0.05), 0.225, 0.9),
        ((0.03, 0.13, 0.20), 0.20, 0.9), ((-0.02, 0.13, -0.21), 0.20, 1.0),
    ]  # fmt: skip
    parts = [
        piece(cone(0.62), BARK, compose(low, at((0.0, 0.20, 0.0), (0.115, 0.26, 0.115))), casts=True),
        piece(capsule(0.3), BARK, compose(high, at((0.08, 0.02, 0.0), (0.04, 0.16, 0.04), lean=-0.8))),
    ]
    for centre, radius, tone in crown:
        parts.append(
            body.part(ELLIPSOID, compose(high, at(centre, (radius, radius, radius))), colour=shade(body.paint, tone))
        )
    return parts


def flower(body: Body) -> list[Solid]:
    """Six petals in the colour round a golden eye, on a green stem with leaves."""
    low, middle, top = _bent(body, 0.0, 0.28, 0.40)
    heart = GOLD if body.colour not in ("yellow", "orange") else BARK
    parts = [
        piece(capsule(0.2), LEAF, compose(low, at((0.0, 0.16, 0.0), (0.035, 0.16, 0.035))), casts=True),
        piece(capsule(0.2), LEAF, compose(middle, at((0.0, 0.19, 0.0), (0.033, 0.23, 0.033))), casts=True),
        piece(ELLIPSOID, heart, compose(top, at((0.0, 0.06, 0.0), (0.125, 0.125, 0.10)))),
    ]
    for side in SIDES:
        leaf = at((side * 0.16, 0.17, 0.0), (0.17, 0.055, 0.09), lean=side * 0.6)
        parts.append(piece(ELLIPSOID, LEAF, compose(low, leaf), casts=True))
    for k in range(6):
        angle = math.pi * (k + 0.5) / 3
        petal = compose(
            top, translate(0.0, 0.06, 0.0), rotate("z", angle), at((0.225, 0.0, 0.0), (0.165, 0.118, 0.055))
        )
        parts.append(body.part(ELLIPSOID, petal, colour=body.paint if k % 2 else shade(body.paint, 0.86)))
    return parts


def cactus(body: Body) -> list[Solid]:
    """A thick stem with two raised arms, dotted with spines, a flower on top. Its arms wave when it plays."""
    low, high = _bent(body, 0.0, 0.45)
    wave = 0.45 * body.pose.effort * body.pose.gait.sin()
    spines = shade(body.dark, 0.9) if body.colour != "black" else body.dark
    parts = [
        body.part(capsule(0.55), compose(low, at((0.0, 0.32, 0.0), (0.185, 0.32, 0.185))), pattern=RIBS, accent=spines),
        body.part(
            capsule(0.40), compose(high, at((0.0, 0.14, 0.0), (0.185, 0.39, 0.185))), pattern=RIBS, accent=spines
        ),
        piece(
            ELLIPSOID,
            ROSE if body.colour not in ("pink", "red") else GOLD,
            compose(high, at((0.0, 0.54, 0.0), (0.10, 0.06, 0.10))),
        ),
        piece(
            ELLIPSOID,
            GOLD if body.colour not in ("pink", "red") else ROSE,
            compose(high, at((0.0, 0.59, 0.0), (0.045, 0.04, 0.045))),
        ),
    ]
    for side in SIDES:
        height = 0.04 if side > 0 else -0.08
        elbow = compose(high, translate(side * 0.16, height, 0.0), rotate("x", wave))
        parts.append(
            body.part(
                capsule(0.45), compose(elbow, at((side * 0.10, 0.0, 0.0), (0.085, 0.19, 0.085), lean=math.pi / 2))
            )
        )
        parts.append(body.part(capsule(0.4), compose(elbow, at((side * 0.20, 0.13, 0.0), (0.085, 0.215, 0.085)))))
    return parts


def mushroom(body: Body) -> list[Solid]:
    """A dotted cap in the colour on a pale stem with a face."""
    low, high = _bent(body, 0.0, 0.38)
    spots = CREAM if body.colour not in ("white", "yellow") else shade(body.dark, 0.9)
    parts = [
        piece(cone(0.72), CREAM, compose(low, at((0.0, 0.22, 0.0), (0.20, 0.22, 0.20))), casts=True),
        body.part(DOME, compose(high, at((0.0, 0.29, 0.0), (0.46, 0.30, 0.46))), pattern=SPOTS, accent=spots),
        piece(ELLIPSOID, shade(CREAM, 0.86), compose(high, at((0.0, 0.005, 0.0), (0.42, 0.055, 0.42)))),
    ]
    for side in SIDES:
        # One face to each of the ways that it is seen.
        face = rotate("y", -side * 0.95)
        for eye in SIDES:
            parts.append(
                piece(ELLIPSOID, DARK, compose(low, face, at((0.166, 0.25, eye * 0.065), (0.022, 0.045, 0.026))))
            )
            parts.append(
                piece(ELLIPSOID, ROSE, compose(low, face, at((0.156, 0.175, eye * 0.105), (0.022, 0.025, 0.035))))
            )
    return parts


_BLADES = (
    # x, z, lean, turn, height, tone
    (0.00, 0.00, 0.04, 0.0, 1.00, 1.0), (-0.09, 0.05, 0.22, 0.2, 0.90, 0.80), (0.09, -0.03, -0.22, -0.2, 0.92, 0.84),
    (-0.05, -0.08, 0.14, 1.2, 0.84, 0.9), (0.05, 0.09, -0.12, 1.4, 0.80, 1.0), (-0.15, 0.02, 0.42, -0.3, 0.72, 1.0),
    (0.15, 0.03, -0.42, 0.3, 0.72, 0.9), (0.00, 0.13, -0.40, 1.5, 0.68, 0.76), (0.02, -0.13, 0.40, 1.5, 0.66, 0.8),
    (-0.17, 0.06, 0.68, 0.4, 0.50, 0.86), (0.17, -0.05, -0.68, -0.4, 0.50, 1.0), (0.06, -0.02, -0.08, 0.8, 0.86, 0.72),
    (0.10, 0.10, -0.45, 1.0, 0.56, 0.92), (-0.10, 0.11, 0.30, -1.0, 0.60, 0.95),
)  # fmt: skip


def grass(body: Body) -> list[Solid]:
    """A tuft of blades in the colour's shades."""
    parts = []
    for x, z, lean, turn, height, tone in _BLADES:
        sway = rotate("z", body.pose.bend * (0.6 + 0.5 * height))
        root = compose(translate(x, 0.04, z), sway, at((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), lean=lean, turn=turn))
        colour = shade(body.paint, tone) if body.colour != "black" else shade(body.paint, 1.0 + (1.0 - tone) * 0.6)
        parts.append(
            body.part(CONE, compose(root, at((0.0, height / 2, 0.0), (0.068, height / 2, 0.05))), colour=colour)
        )
    parts.append(body.part(ELLIPSOID, at((0.0, 0.07, 0.0), (0.25, 0.07, 0.21)), colour=body.dark))
    return parts
