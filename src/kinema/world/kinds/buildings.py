"""Buildings: house, tower of blocks, lighthouse, castle, windmill."""

from __future__ import annotations

from kinema.world.affine import compose, rotate, translate
from kinema.world.kinds.body import QUARTER, SIDES, Body, at, piece
from kinema.world.kinds.paints import CREAM, DARK, DOOR, GLASS, GLOW, GOLD, LAMP, STEEL, shade
from kinema.world.solids import BOX, BRICKS, CONE, CYLINDER, DOME, ELLIPSOID, STRIPES, WEDGE, Solid, cone

NUM_BLOCKS = 5


def house(body: Body) -> list[Solid]:
    """Walls in the colour, a gabled roof in its dark shade, a door ahead, a chimney."""
    parts = [
        body.part(BOX, at((0.0, 0.28, 0.0), (0.44, 0.28, 0.36))),
        body.part(WEDGE, at((0.0, 0.70, 0.0), (0.50, 0.21, 0.46)), colour=body.dark),
        body.part(WEDGE, at((0.0, 0.655, 0.0), (0.508, 0.10, 0.25)), casts=False),
        piece(BOX, DOOR, at((0.43, 0.19, 0.0), (0.025, 0.19, 0.10))),
        piece(ELLIPSOID, GOLD, at((0.46, 0.19, 0.06), (0.02, 0.025, 0.025))),
        piece(BOX, (0.60, 0.30, 0.24), at((-0.22, 0.85, 0.18), (0.075, 0.16, 0.075)), casts=True),
    ]
    for z in SIDES:
        for x in SIDES:
            parts.append(piece(BOX, CREAM, at((x * 0.20, 0.31, z * 0.35), (0.115, 0.125, 0.02))))
            parts.append(piece(BOX, GLASS, at((x * 0.20, 0.31, z * 0.356), (0.085, 0.095, 0.02)), gloss=0.4))
        parts.append(piece(BOX, GLASS, at((0.43, 0.33, z * 0.235), (0.02, 0.085, 0.075)), gloss=0.4))
    return parts


def tower(body: Body) -> list[Solid]:
    """Toy blocks upon each other, in turns in the colour and in its shades."""
    light = shade(body.paint, 1.28) if body.colour not in ("white", "black") else body.dark
    shades = (body.paint, body.dark, body.paint, light, body.paint)
    parts, frame = [], translate()
    half = 0.115
    for k in range(NUM_BLOCKS):
        frame = compose(frame, rotate("z", body.pose.bend / NUM_BLOCKS))
        wide = 0.25 - 0.012 * k
        block = at((0.0, half, 0.0), (wide, half * 0.97, wide), turn=0.22 * (1 if k % 2 else -0.6))
        parts.append(body.part(BOX, compose(frame, block), colour=shades[k]))
        frame = compose(frame, translate(0.0, 2 * half, 0.0))
    return parts


def lighthouse(body: Body) -> list[Solid]:
    """A striped tapering tower, a gallery, a shining lamp under a cap."""
    beam = rotate("y", body.pose.gait)
    parts = [
        body.part(cone(0.62), at((0.0, 0.40, 0.0), (0.25, 0.40, 0.25)), pattern=STRIPES),
        body.part(cone(0.85), at((0.0, 0.05, 0.0), (0.33, 0.05, 0.33)), colour=body.dark),
        piece(CYLINDER, DARK, at((0.0, 0.815, 0.0), (0.215, 0.025, 0.215)), casts=True),
        piece(CYLINDER, GLOW, at((0.0, 0.90, 0.0), (0.125, 0.075, 0.125))),
        body.part(DOME, at((0.0, 1.04, 0.0), (0.165, 0.075, 0.165))),
        piece(ELLIPSOID, GOLD, at((0.0, 1.13, 0.0), (0.032, 0.045, 0.032))),
        piece(BOX, (1.6, 1.5, 1.1), compose(beam, at((0.0, 0.90, 0.0), (0.135, 0.05, 0.045)))),
    ]
    for z in SIDES:
        front = rotate("y", -z * 0.96)
        parts.append(piece(BOX, DOOR, compose(front, at((0.225, 0.16, 0.0), (0.03, 0.10, 0.055)))))
        for k in range(2):
            parts.append(
                piece(
                    CYLINDER, STEEL, compose(rotate("y", z * (0.5 + k)), at((0.205, 0.87, 0.0), (0.008, 0.05, 0.008)))
                )
            )
    return parts


def castle(body: Body) -> list[Solid]:
    """Four round towers with pointed roofs, brick walls between them, a gate and a keep with a flag."""
    joints = shade(body.paint, 0.80) if body.colour != "black" else body.dark
    wave = rotate("y", 0.35 * body.pose.gait.sin())
    parts = [
        body.part(BOX, at((0.0, 0.24, 0.0), (0.42, 0.24, 0.42)), pattern=BRICKS, accent=joints),
        body.part(BOX, at((-0.05, 0.52, 0.0), (0.20, 0.28, 0.20)), pattern=BRICKS, accent=joints),
        piece(BOX, DOOR, at((0.42, 0.13, 0.0), (0.02, 0.13, 0.11))),
        piece(CYLINDER, DOOR, at((0.42, 0.26, 0.0), (0.11, 0.02, 0.11), lean=QUARTER)),
        piece(CYLINDER, DARK, at((-0.05, 0.94, 0.0), (0.014, 0.16, 0.014))),
        piece(BOX, GOLD, compose(translate(-0.05, 1.03, 0.0), wave, at((-0.10, 0.0, 0.0), (0.10, 0.055, 0.012)))),
        piece(BOX, DARK, at((0.15, 0.62, 0.0), (0.012, 0.07, 0.04))),
    ]
    for z in SIDES:
        parts.append(piece(BOX, DARK, at((0.0, 0.26, z * 0.415), (0.035, 0.07, 0.012))))
        parts.append(body.part(BOX, at((-0.05, 0.83, z * 0.145), (0.20, 0.04, 0.055)), casts=False))
        parts.append(body.part(BOX, at((0.0, 0.51, z * 0.37), (0.10, 0.045, 0.05)), casts=False))
        for x in SIDES:
            parts.append(body.part(CYLINDER, at((x * 0.42, 0.33, z * 0.42), (0.155, 0.33, 0.155))))
            parts.append(body.part(CONE, at((x * 0.42, 0.80, z * 0.42), (0.195, 0.16, 0.195)), colour=body.dark))
    return parts


def windmill(body: Body) -> list[Solid]:
    """A tapering tower with a cap and four sails that always turn."""
    hub = compose(translate(0.29, 0.74, 0.0), rotate("x", -body.pose.gait))
    parts = [
        body.part(cone(0.62), at((0.0, 0.38, 0.0), (0.30, 0.38, 0.30))),
        body.part(DOME, at((0.0, 0.87, 0.0), (0.225, 0.12, 0.225)), colour=body.dark),
        piece(CYLINDER, DOOR, at((0.22, 0.74, 0.0), (0.03, 0.08, 0.03), lean=QUARTER)),
        piece(ELLIPSOID, GOLD, compose(hub, at((0.03, 0.0, 0.0), (0.05, 0.06, 0.06)))),
    ]
    for z in SIDES:
        front = rotate("y", -z * 0.96)
        parts.append(piece(BOX, DOOR, compose(front, at((0.268, 0.13, 0.0), (0.03, 0.13, 0.075)))))
        parts.append(piece(BOX, LAMP, compose(front, at((0.225, 0.47, 0.0), (0.025, 0.06, 0.05)))))
    for k in range(4):
        sail = compose(hub, rotate("x", k * QUARTER + 0.3))
        parts.append(piece(BOX, DOOR, compose(sail, at((0.0, 0.23, 0.0), (0.014, 0.23, 0.016)))))
        parts.append(piece(BOX, CREAM, compose(sail, at((0.005, 0.29, 0.075), (0.012, 0.165, 0.075))), casts=True))
    return parts
