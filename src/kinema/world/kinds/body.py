"""`Body`: what a kind is built from, and the few verbs of building. Own axes: x ahead, y up, z to its right; about 1 tall."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import Number, compose, rotate, scale, translate
from kinema.world.kinds.paints import FINISH, PAINT, dark_of, eye_of, shade, stripe_of
from kinema.world.pose import Pose
from kinema.world.solids import ELLIPSOID, GRAIN, PLAIN, Colour, Shape, Solid, Vector

Matrix = Float[Tensor, "*n 3 4"]
SIDES = (-1.0, 1.0)
QUARTER = math.pi / 2


@dataclass(frozen=True, kw_only=True)
class Body:
    """A subject's colour and material, its size in world units, its side (1 right, -1 left) nearer the camera, and its pose."""

    colour: str
    material: str
    size: float
    near: float
    pose: Pose

    @property
    def paint(self) -> Colour:
        """The colour itself."""
        return PAINT[self.colour]

    @property
    def dark(self) -> Colour:
        """Its darker shade."""
        return dark_of(self.colour)

    @property
    def light(self) -> Colour:
        """Its tint for bellies and snouts."""
        return shade(self.paint, 1.62) if self.colour != "black" else (0.55, 0.55, 0.58)

    @property
    def accent(self) -> Colour:
        """What its stripes are painted with."""
        return stripe_of(self.colour)

    @property
    def eye(self) -> Colour:
        """What is seen as an eye upon it."""
        return eye_of(self.colour)

    def part(
        self, shape: Shape, matrix: Matrix, *, colour: Colour | None = None, pattern: str = PLAIN,
        accent: Colour | None = None, casts: bool = True,
    ) -> Solid:  # fmt: skip
        """A solid of the subject's own stuff: its paint (or ``colour``, a shade of it), with its material's shine and grain."""
        finish = FINISH[self.material]
        paint = shade(colour or self.paint, finish.base)
        if finish.has_grain:
            pattern += GRAIN
            if self.colour == "black":
                paint = shade(paint, 1.07)  # or its grain wouldn't be seen
        return Solid(
            shape=shape, matrix=matrix, colour=paint, accent=accent or self.accent, pattern=pattern, casts=casts,
            gloss=finish.gloss,
        )  # fmt: skip

    def limb(self, joint: Vector, *, length: float, width: float, swing: Number, colour: Colour | None = None) -> Solid:
        """A leg of the subject's own stuff that hangs from ``joint`` and swings ahead by ``swing`` radians."""
        return self.part(ELLIPSOID, limb_matrix(joint, length=length, width=width, swing=swing), colour=colour)


def piece(
    shape: Shape, colour: Colour, matrix: Matrix, *, casts: bool = False, gloss: float = 0.0, pattern: str = PLAIN,
    accent: Colour = (1.0, 1.0, 1.0),
) -> Solid:  # fmt: skip
    """A solid of other stuff: an eye, a wheel, a window."""
    return Solid(shape=shape, matrix=matrix, colour=colour, accent=accent, pattern=pattern, casts=casts, gloss=gloss)


def at(centre: Vector, radii: Vector, *, lean: Number = 0.0, turn: Number = 0.0, tilt: Number = 0.0) -> Matrix:
    """Half sizes ``radii``, tilted about x, then leaning about z (positive: backwards), then turned about y, then moved to ``centre``."""
    return compose(translate(*centre), rotate("y", turn), rotate("z", lean), rotate("x", tilt), scale(*radii))


def limb_matrix(joint: Vector, *, length: float, width: float, swing: Number) -> Matrix:
    """An ellipsoid that hangs from ``joint``, swung ahead by ``swing`` radians."""
    return compose(
        translate(*joint), rotate("z", swing), at((0.0, -length / 2, 0.0), (width, length / 2 + width / 2, width))
    )


def wheel_frame(x: float, z: float, radius: float, turned: Number) -> Matrix:
    """The turned place of a wheel on the ground, its axle along z."""
    return compose(translate(x, radius, z), rotate("z", -turned))
