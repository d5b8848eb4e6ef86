"""Judges with random weights, and clips of noise for them."""

from __future__ import annotations

import torch
from torch import Tensor

from kinema.evaluation.judges import (
    Judges,
)
from kinema.models.judges.clip import ClipJudge
from kinema.models.judges.frame import FrameJudge
from tests.training.judged import CLIP, FRAME


def random_judges() -> Judges:
    """Networks that say something at random, and see somebody somewhere."""
    frame, clip = FrameJudge(FRAME), ClipJudge(CLIP)
    rng = torch.Generator().manual_seed(2)
    for network in (frame, clip):
        for parameter in network.parameters():
            with torch.no_grad():
                scale = max(1, parameter[0].numel()) ** -0.5 if parameter.ndim > 1 else 0.1
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * scale)
    return Judges(frame, clip)


def noise(frames: int, height: int = 48, width: int = 48) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (frames, height, width, 3), generator=rng, dtype=torch.uint8)
