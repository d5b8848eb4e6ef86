"""How much of what is seen is fog. It depends on depth alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.backdrop.field import column
from kinema.world.lights import Lights
from kinema.world.view import View

_CLEARING = 0.25  # how far beyond the middle of the scene the air stays clear


def fog_share(light: Lights, view: View, depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """How much of what is seen at ``depth`` is fog: none up to the subjects, wherever the camera is."""
    start = column(view.position.square().sum(-1).sqrt(), depth.device) + _CLEARING
    return 1 - torch.exp((depth - start).clamp(min=0) * -light.fog_density)
