"""Data whose best prediction is known: each number is N(mean, std^2), so x stays normal along any path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.flow.paths import Path, expand


@dataclass(frozen=True)
class Gaussian:
    path: Path
    mean: float = 1.7
    std: float = 0.3

    def best(self, x: Tensor, sigma: Tensor, prediction: str = "velocity") -> Tensor:
        """What a perfectly trained network says: the mean of x0 and of the noise, given x."""
        level = expand(sigma, x)
        alpha, s = self.path.alpha(level), self.path.s(level)
        off = (x - alpha * self.mean) / (alpha**2 * self.std**2 + s**2)
        return self.path.target(self.mean + alpha * self.std**2 * off, s * off, sigma, prediction)

    def at(self, z: Tensor, sigma: float) -> Tensor:
        """Where the standard normal ``z`` is at ``sigma`` on the way that the exact velocity takes it."""
        level = torch.tensor([sigma])
        alpha, s = float(self.path.alpha(level)), float(self.path.s(level))
        return alpha * self.mean + (alpha**2 * self.std**2 + s**2) ** 0.5 * z
