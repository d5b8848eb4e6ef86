"""Optimisers: AdamW, or Muon for the hidden matrices with AdamW for the rest; their state as named tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput, choices

_IN_BLOCK = re.compile(r"(blocks|layers|resnets|samplers)\.\d+\.")
_SMALLEST = 16


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """Peak learning rates and what goes with them. ``muon_lr`` counts only where ``kind`` is muon."""

    kind: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("adamw", "muon"):
            raise InvalidInput("kind", self.kind, f"must be {choices(('adamw', 'muon'))}")


class Optimizer:
    """One or two torch optimisers over the named parameters of ``modules`` (name -> module), stepped together."""

    def __init__(self, modules: Mapping[str, nn.Module], recipe: OptimRecipe) -> None:
        self.recipe = recipe
        self.parameters = {
            f"{p}.{k}": v for p, m in modules.items() for k, v in m.named_parameters() if v.requires_grad
        }
        hidden = {k for k, v in self.parameters.items() if recipe.kind == "muon" and _is_hidden_matrix(k, v)}
        matrices = [v for k, v in self.parameters.items() if v.ndim >= 2 and k not in hidden]
        vectors = [v for v in self.parameters.values() if v.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},  # biases, norms and gains aren't pulled to zero
        ]
        adamw = torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas, fused=True)
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [(adamw, recipe.lr)]
        if hidden:
            muon = Muon(
                [self.parameters[k] for k in sorted(hidden)], lr=recipe.muon_lr, weight_decay=recipe.weight_decay
            )
            self._parts.append((muon, recipe.muon_lr))

    def clip(self) -> Tensor:
        """Clips the gradients to the recipe's norm; returns the norm before, which is not finite if a gradient isn't."""
        return nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip_norm)

    def step(self, factor: float) -> None:
        """One step at ``factor`` times the peak rates; gradients are cleared."""
        for part, peak in self._parts:
            for group in part.param_groups:
                group["lr"] = factor * peak
            part.step()
        self.clear()

    def clear(self) -> None:
        """Forgets the gradients."""
        for part, _ in self._parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """The state as tensors named ``parameter/key``."""
        out: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            for part, _ in self._parts:
                for key, value in part.state.get(parameter, {}).items():
                    out[f"{name}/{key}"] = value
        return out

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes a state that `state` gave."""
        owners = {id(p): part for part, _ in self._parts for group in part.param_groups for p in group["params"]}
        for name, value in state.items():
            parameter_name, key = name.rsplit("/", 1)
            parameter = self.parameters[parameter_name]
            device = parameter.device if value.ndim or value.device.type != "cpu" else value.device
            if parameter.device.type == "cuda":  # the fused AdamW keeps its step count beside the weights
                device = parameter.device
            kept = (
                torch.empty_like(parameter, dtype=value.dtype)
                if value.shape == parameter.shape
                else torch.empty_like(value)
            )
            # in the parameter's own memory layout, which fused optimisers take for granted
            owners[id(parameter)].state[parameter][key] = kept.to(device).copy_(value)


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon may have it: a matrix or convolution in a numbered block; embeddings, modulations, in- and outputs stay with AdamW."""
    is_matrix = parameter.ndim >= 2 and min(parameter.flatten(1).shape) >= _SMALLEST
    return is_matrix and _IN_BLOCK.search(name) is not None and ".norm" not in name


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal: every direction of a matrix learns at the same rate.

    Unlike torch's own it also takes convolutions, as matrices (out, in * kernel); without that it could not train the autoencoder.
    ``lr`` means the same as AdamW's, per element.
    Source: Jordan et al. 2024, "Muon"; the rate's scale from Liu et al. 2025 (arXiv:2502.16982), equation 4.
    """

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; parameters without a gradient stay."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                average = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                matrix = p.grad.lerp(average, group["momentum"]).flatten(1)
                scale = 0.2 * math.sqrt(max(matrix.shape))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonalised(matrix).view_as(p), alpha=-group["lr"] * scale)


def orthogonalised(matrix: Float[Tensor, "n m"], steps: int = 5) -> Float[Tensor, "n m"]:
    """The nearest matrix with all singular values near 1, by a quintic Newton-Schulz iteration in bf16.

    Source: Jordan et al. 2024, "Muon", with its coefficients: values end between 0.7 and 1.2, which is near enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if is_tall else x).to(matrix.dtype)
