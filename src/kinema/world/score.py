"""How much a clip moves, from its exact optical flow."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.geometry import geometry
from kinema.world.scene import Scene

_SIDE_PX = 32
_SCALE = 0.3  # shorter sides a second at which the score has gone 1 - 1/e of its way


def motion_score(scene: Scene, shape: VideoShape) -> int:
    """A number from 1 (nothing moves) to 255: 1 + round(254 (1 - exp(-m / m0))).

    m is the mean length of the true optical flow over all pixels and frames, in shorter sides of the picture a second; m0 is
    `_SCALE`. The flow is taken on a small picture of the clip's aspect, so the score hardly depends on the clip's size. A scene and
    its mirror image score the same.
    """
    short = min(shape.height_px, shape.width_px)
    small = VideoShape(
        frames=shape.frames,
        height_px=max(1, round(shape.height_px * _SIDE_PX / short)),
        width_px=max(1, round(shape.width_px * _SIDE_PX / short)),
        fps=shape.fps,
    )
    return score_of_flow(geometry(scene.unflipped(), small).flow, fps=shape.fps)


def score_of_flow(flow: Float[Tensor, "t h w 2"], *, fps: float) -> int:
    """The score of a clip with this flow, in pixels a frame."""
    mean = float(flow.square().sum(-1).sqrt().mean()) * fps / min(flow.shape[1:3])
    return 1 + round(254 * (1 - math.exp(-mean / _SCALE)))
