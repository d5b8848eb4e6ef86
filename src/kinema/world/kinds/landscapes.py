"""Pieces of landscape as things: cliff, iceberg, volcano."""

from __future__ import annotations

from kinema.world.affine import compose, scale, translate
from kinema.world.kinds.body import SIDES, Body, at, piece
from kinema.world.kinds.paints import LAVA, WHITE, shade
from kinema.world.solids import (
    BOX,
    CRAGS,
    CYLINDER,
    DOME,
    ELLIPSOID,
    PYRAMID,
    SKIRT,
    Colour,
    Solid,
    capsule,
    cone,
    pyramid,
)

_TURF: Colour = (0.40, 0.50, 0.20)


def _layer(body: Body, tone: float) -> tuple[float, float, float]:
    return shade(body.paint, tone) if body.colour != "black" else shade(body.paint, 1.0 + (1.0 - tone) * 0.7)


# A cliff's pillars, tallest first: x, z, half sizes along them, height, turn, lean, how much they narrow, tone.
_PILLARS = (
    (-0.15, -0.12, 0.27, 0.26, 1.10, 0.35, 0.05, 0.74, 1.00), (0.17, -0.04, 0.25, 0.26, 0.90, -0.42, -0.06, 0.70, 0.86),
    (-0.42, 0.02, 0.20, 0.24, 0.78, -0.60, -0.10, 0.62, 0.82), (0.00, 0.22, 0.25, 0.22, 0.70, 0.80, 0.04, 0.66, 0.94),
    (0.40, -0.22, 0.21, 0.21, 0.62, 0.25, 0.10, 0.60, 0.80), (-0.14, -0.40, 0.26, 0.19, 0.56, 0.60, 0.00, 0.62, 0.90),
    (0.38, 0.20, 0.20, 0.20, 0.52, 0.95, 0.10, 0.55, 1.00), (-0.34, 0.34, 0.20, 0.18, 0.42, 0.25, -0.12, 0.52, 0.96),
    (0.10, 0.46, 0.22, 0.15, 0.30, -0.40, 0.05, 0.50, 0.80),
)  # fmt: skip
# The boulders at its foot: x, z, half size, turn, lean, tone.
_BOULDERS = (
    (0.59, 0.04, 0.135, 0.50, 0.20, 0.80), (-0.565, 0.18, 0.13, -0.35, -0.25, 0.95), (0.39, 0.46, 0.13, 0.20, 0.25, 0.90),
    (-0.18, 0.58, 0.13, 0.70, -0.20, 0.86), (0.18, -0.56, 0.14, 0.30, 0.20, 0.90),
)  # fmt: skip
_NUM_GRASSY, _NUM_HIGH = 4, 6  # pillars with grass on top, and those beyond whose shadows the others' hardly reach


def cliff(body: Body) -> list[Solid]:
    """Broken pillars of rock side by side, the tall ones with grass on top, and boulders at the foot."""
    parts = []
    for k, (x, z, wide, deep, tall, turn, lean, top, tone) in enumerate(_PILLARS):
        frame = at((x, tall / 2, z), (wide, tall / 2, deep), turn=turn, lean=lean)
        dark = _layer(body, 0.80 * tone)
        paint = _layer(body, tone)
        parts.append(body.part(pyramid(top), frame, colour=paint, pattern=CRAGS, accent=dark, casts=k < _NUM_HIGH))
        if k < _NUM_GRASSY:
            parts.append(piece(BOX, _TURF, compose(frame, at((0.0, 1.0, 0.0), (1.06 * top, 0.05 / tall, 1.06 * top)))))
    for x, z, half, turn, lean, tone in _BOULDERS:
        frame = at((x, 0.72 * half, z), (half, 0.74 * half, 0.9 * half), turn=turn, lean=lean)
        parts.append(body.part(pyramid(0.55), frame, colour=_layer(body, tone), casts=False))
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
