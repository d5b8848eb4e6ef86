"""What stands about in places as solids over time: it stands still, but for what bends in the wind that rain and snow bring.

Legend: s scenes, t moments, p props.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.world.affine import compose, rotate, translate
from kinema.world.places import props
from kinema.world.scene import Scene
from kinema.world.solids import Prop, Solids, stand

WIND = {"rain": 1.0, "snow": 0.5, "cloudy": 0.5}  # how far things bend, in their `Prop.sway`; 0 in other weathers
_GUST_S = (1.7, 2.9)  # no multiple of each other


def scenery(scenes: Sequence[Scene], times_s: Float[Tensor, " t"]) -> Solids:
    """The props of unflipped ``scenes`` of one place and weather at ``times_s``, scene by scene."""
    parts = [props(s) for s in scenes]
    solids, wind = stand(parts, len(times_s)), WIND.get(scenes[0].weather, 0.0)
    if wind == 0 or not any(p.sway for p in parts[0]):
        return solids
    return replace(solids, matrix=compose(_bend(parts, times_s, wind), solids.matrix))


def _bend(parts: Sequence[Sequence[Prop]], times_s: Tensor, wind: float) -> Float[Tensor, "n p 3 4"]:
    """The turn of each prop about its root at each moment. Those with one root bend as one."""
    t = times_s.to(torch.float64)[None, :, None]
    sway, x = (
        torch.tensor([[getattr(p, name) for p in one] for one in parts], dtype=torch.float64)[:, None]
        for name in ("sway", "root_x")
    )
    first, second = (torch.sin(2 * math.pi * t / period + 1.3 * x) for period in _GUST_S)
    angle = (-wind * sway * (0.35 + 0.55 * first + 0.35 * second)).flatten(0, 1)
    root = x.expand(-1, len(times_s), -1).flatten(0, 1)
    return compose(translate(root), rotate("z", angle), translate(-root))
