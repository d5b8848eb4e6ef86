"""`Pose`: where a subject is and how it holds itself, at n moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A subject at n moments. World axes: x to the right of the picture, y up, z towards the camera; the ground is y = 0.

    ``x, y, z`` is where its foot stands (subject heights). ``yaw`` turns its nose from +x (the right) about y; ``roll`` is a lean
    about the view axis (z, positive to the left); ``tip`` tips it over ahead, about the foot's front edge, in radians (0 upright,
    pi/2 lying). ``turned`` is the angle it has rolled about its own sideways axis, in radians (wheels and balls; rolling without
    slipping). ``gait`` is the phase of legs, wings and sails in radians, ``effort`` how far they swing (0 to 1), ``lift`` how far
    arms and wings are raised (0 to 1), ``reach`` how far one hand is raised to the mouth or to wave (0 to 1), ``bend`` how far a stem
    bends sideways (radians), ``squash`` the vertical stretch, ``contact`` whether it touches what carries it.
    """

    x: Float[Tensor, " n"]
    y: Float[Tensor, " n"]
    z: Float[Tensor, " n"]
    yaw: Float[Tensor, " n"]
    roll: Float[Tensor, " n"]
    tip: Float[Tensor, " n"]
    turned: Float[Tensor, " n"]
    gait: Float[Tensor, " n"]
    effort: Float[Tensor, " n"]
    lift: Float[Tensor, " n"]
    reach: Float[Tensor, " n"]
    bend: Float[Tensor, " n"]
    squash: Float[Tensor, " n"]
    contact: Bool[Tensor, " n"]


def join(poses: Sequence[Pose]) -> Pose:
    """The moments of several poses, one after the other."""
    if len(poses) == 1:
        return poses[0]
    return Pose(**{f.name: torch.cat([getattr(p, f.name) for p in poses]) for f in fields(Pose)})
