"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """fp32 averages of all parameters and buffers of ``modules`` (name -> module).

    Early on the average is short, so that it doesn't hold on to the initial weights: decay_n = min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, modules: Mapping[str, nn.Module], *, decay: float) -> None:
        self.decay = decay
        self._live = _tensors(modules)
        self.averages = {k: v.detach().clone() for k, v in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the averages towards the weights after ``step`` finished steps."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        floating = [k for k, v in self._live.items() if v.is_floating_point()]
        for k in floating:
            self.averages[k].lerp_(self._live[k], weight)
        for k, v in self._live.items():
            if not v.is_floating_point():
                self.averages[k].copy_(v)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the modules have the averaged weights; after it their own, bit for bit."""
        own = {k: v.detach().clone() for k, v in self._live.items()}
        self._assign(self.averages)
        try:
            yield
        finally:
            self._assign(own)

    @torch.no_grad()
    def load(self, averages: Mapping[str, Tensor]) -> None:
        """Takes averages that `averages` held before."""
        for k, v in self.averages.items():
            v.copy_(averages[k])

    @torch.no_grad()
    def _assign(self, values: Mapping[str, Tensor]) -> None:
        for k, v in self._live.items():
            v.copy_(values[k])


def _tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{prefix}.{k}": v for prefix, m in modules.items() for k, v in m.state_dict(keep_vars=True).items()}
