"""Pieces of landscape as things: cliff, iceberg, volcano."""

from __future__ import annotations

from kinema.world.affine import compose, scale, translate
from kinema.world.kinds.body import SIDES, Body, at, piece
from kinema.world.kinds.paints import LAVA, LEAF, WHITE, shade
from kinema.world.solids import BOX, CYLINDER, DOME, ELLIPSOID, PYRAMID, SKIRT, Solid, capsule, cone, wedge


def _layer(body: Body, tone: float) -> tuple[float, float, float]:
    return shade(body.paint, tone) if body.colour != "black" else shade(body.paint, 1.0 + (1.0 - tone) * 0.7)


def cliff(body: Body) -> list[Solid]:
    """Slabs of rock upon each other with an overhang, grass on top, boulders at the foot."""
    slabs = (
        # x, y, z, half sizes, turn, tone
        (0.02, 0.13, 0.0, (0.58, 0.15, 0.42), 0.10, 0.78), (-0.05, 0.36, 0.02, (0.53, 0.12, 0.40), -0.12, 1.0),
        (0.02, 0.56, -0.02, (0.52, 0.11, 0.37), 0.16, 0.74), (0.06, 0.75, 0.0, (0.55, 0.11, 0.39), -0.08, 0.96),
        (-0.14, 0.93, -0.03, (0.36, 0.10, 0.33), 0.2, 0.84),
    )  # fmt: skip
    parts = [
        body.part(wedge(0.93), at((x, y, z), half, turn=turn), colour=_layer(body, tone))
        for x, y, z, half, turn, tone in slabs
    ]
    parts += [
        piece(ELLIPSOID, LEAF, at((-0.14, 1.03, -0.03), (0.40, 0.05, 0.36))),
        piece(ELLIPSOID, LEAF, at((0.40, 0.86, 0.0), (0.23, 0.04, 0.34))),
        body.part(BOX, at((0.48, 0.17, 0.28), (0.16, 0.14, 0.14), turn=0.5, lean=0.3), colour=_layer(body, 0.9)),
        body.part(BOX, at((-0.46, 0.15, 0.32), (0.17, 0.12, 0.15), turn=-0.4, lean=-0.25), colour=_layer(body, 0.98)),
        body.part(ELLIPSOID, at((0.10, 0.13, 0.44), (0.17, 0.13, 0.13)), colour=_layer(body, 0.84)),
        body.part(BOX, at((0.36, 0.17, -0.38), (0.17, 0.14, 0.13), turn=0.3, lean=0.2), colour=_layer(body, 0.9)),
    ]
    return parts


def iceberg(body: Body) -> list[Solid]:
    """Sharp tilted peaks with pale tips on a floe."""
    peaks = (
        # x, z, half sizes, lean, turn, tone
        (0.03, 0.00, (0.40, 0.55, 0.36), 0.06, 0.35, 1.0), (-0.30, 0.06, (0.29, 0.38, 0.28), 0.14, -0.5, 0.86),
        (0.33, 0.02, (0.25, 0.29, 0.27), -0.16, 0.9, 0.92), (0.10, 0.28, (0.23, 0.22, 0.20), -0.1, 0.1, 0.80),
        (-0.06, -0.28, (0.26, 0.27, 0.22), 0.1, 0.6, 0.9),
    )  # fmt: skip
    snow = WHITE if body.colour != "white" else (0.62, 0.84, 0.98)
    parts = []
    for k, (x, z, half, lean, turn, tone) in enumerate(peaks):
        frame = at((x, half[1] + 0.02, z), half, lean=lean, turn=turn)
        parts.append(body.part(PYRAMID, frame, colour=_layer(body, tone)))
        if k < 3:  # the tip of the same peak, a little thicker
            parts.append(piece(PYRAMID, snow, compose(frame, at((0.0, 0.78, 0.0), (0.245, 0.245, 0.245)))))
    parts.append(piece(ELLIPSOID, snow, at((0.0, 0.055, 0.0), (0.70, 0.055, 0.52)), casts=True))
    return parts


def volcano(body: Body) -> list[Solid]:
    """A mountain with a glowing crater, lava running down and a puff of smoke."""
    lava = LAVA if body.colour not in ("red", "orange", "brown") else (1.60, 1.15, 0.25)
    smoke = 0.02 * body.pose.gait.sin()
    parts = [
        body.part(cone(0.29), at((0.0, 0.38, 0.0), (0.80, 0.38, 0.80)), pattern=SKIRT, accent=body.dark),
        piece(CYLINDER, lava, at((0.0, 0.755, 0.0), (0.205, 0.03, 0.205))),
        piece(DOME, lava, at((0.0, 0.80, 0.0), (0.165, 0.05, 0.165))),
        piece(ELLIPSOID, (0.55, 0.54, 0.58), compose(translate(0.03, 0.93 + smoke, 0.0), scale(0.12, 0.09, 0.12))),
        piece(ELLIPSOID, (0.66, 0.65, 0.69), compose(translate(0.12, 1.06 - smoke, 0.0), scale(0.16, 0.11, 0.15))),
    ]
    for side in SIDES:
        for turn, length in ((0.55, 0.30), (1.35, 0.20)):
            # Streams on the slope, where the camera sees it.
            flow = at((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), turn=-side * turn)
            stream = at((0.225 + 0.58 * length, 0.775 - 0.80 * length, 0.0), (0.045, length, 0.07), lean=0.645)
            parts.append(piece(capsule(0.3), lava, compose(flow, stream)))
    return parts
