"""Guidance: what a condition adds to a prediction, made larger.

A denoiser is a network that takes a condition: ``denoiser(x, sigma, condition) -> prediction``. A condition is a mapping of
names to tensors, batch first, or None where an input is not given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.flow.paths import expand
from kinema.flow.steppers import Predictor

Condition = Mapping[str, Tensor | None]
Denoiser = Callable[[Tensor, Tensor, Condition], Tensor]
METHODS = ("classifier_free", "cfg_zero_star")
MODES = ("batched", "split")


def classifier_free(
    cond: Float[Tensor, " b *rest"], uncond: Float[Tensor, " b *rest"], scale: float | Float[Tensor, " b"]
) -> Float[Tensor, " b *rest"]:
    """``uncond`` + ``scale`` (``cond`` - ``uncond``), in fp32; written so that scale 1 is ``cond`` to the bit.

    Source: Ho & Salimans 2022, equation 6, with scale = 1 + w.
    """
    cond, uncond = cond.float(), uncond.float()
    extra = expand(scale.float() - 1, cond) if isinstance(scale, Tensor) else scale - 1
    return cond + extra * (cond - uncond)


def rescaled(
    cond: Float[Tensor, " b *rest"],
    uncond: Float[Tensor, " b *rest"],
    scale: float | Float[Tensor, " b"],
    *,
    share: float,
) -> Float[Tensor, " b *rest"]:
    """`classifier_free`, a ``share`` of which is brought back to the standard deviation that each sample of ``cond`` has.

    Large scales make predictions too large, and pictures too bright.
    Source: Lin et al. 2023 (arXiv 2305.08891), equations 14 to 16.
    """
    out = classifier_free(cond, uncond, scale)
    wanted, found = (x.float().flatten(1).std(1) for x in (cond, out))
    return out * expand(1 - share + share * wanted / found, out)


def zero_star_scale(cond: Float[Tensor, " b *rest"], uncond: Float[Tensor, " b *rest"]) -> Float[Tensor, " b"]:
    """st* = <cond, uncond> / |uncond|^2 of every sample: how much of ``uncond`` is nearest to ``cond``; 0 where uncond is 0.

    Source: Fan et al. 2025 (CFG-Zero*), equation 8's solution.
    """
    cond, uncond = cond.float().flatten(1), uncond.float().flatten(1)
    squared = uncond.square().sum(1)
    return torch.where(squared > 0, (cond * uncond).sum(1) / squared.clamp_min(1e-30), torch.zeros_like(squared))


def cfg_zero_star(
    cond: Float[Tensor, " b *rest"],
    uncond: Float[Tensor, " b *rest"],
    scale: float | Float[Tensor, " b"],
    *,
    step: int = 0,
    zero_steps: int = 1,
) -> Float[Tensor, " b *rest"]:
    """Classifier-free guidance from st* ``uncond`` instead of ``uncond``; nothing at all in the first ``zero_steps`` steps.

    For velocities: standing still for a step does less harm than a velocity that a network can't know yet.
    Source: Fan et al. 2025 (CFG-Zero*), algorithm 1.
    """
    if step < zero_steps:
        return torch.zeros_like(cond, dtype=torch.float32)
    return classifier_free(cond, uncond.float() * expand(zero_star_scale(cond, uncond), uncond), scale)


def guided(
    denoiser: Denoiser,
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    *,
    cond: Condition,
    uncond: Condition,
    scale: float | Float[Tensor, " b"],
    mode: str = "batched",
    combine: Callable[[Tensor, Tensor, float | Tensor], Tensor] = classifier_free,
) -> Float[Tensor, " b *rest"]:
    """``combine(prediction under cond, prediction under uncond, scale)``.

    ``mode`` ``batched`` asks once for twice the samples, ``split`` twice, in half the memory; the results are equal within
    what the network's own arithmetic changes with the batch. Raises: InvalidInput.
    """
    return combine(*evaluate_both(denoiser, x, sigma, cond=cond, uncond=uncond, mode=mode), scale)


def evaluate_both(
    denoiser: Denoiser,
    x: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    *,
    cond: Condition,
    uncond: Condition,
    mode: str = "batched",
) -> tuple[Float[Tensor, " b *rest"], Float[Tensor, " b *rest"]]:
    """The predictions under ``cond`` and ``uncond``, in fp32. Raises: InvalidInput."""
    if mode not in MODES:
        raise InvalidInput("mode", mode, f"must be {choices(MODES)}")
    if mode == "split":
        return denoiser(x, sigma, cond).float(), denoiser(x, sigma, uncond).float()
    both = denoiser(torch.cat([x, x]), torch.cat([sigma, sigma]), join_conditions(cond, uncond)).float()
    return both[: len(x)], both[len(x) :]


def join_conditions(first: Condition, second: Condition) -> dict[str, Tensor | None]:
    """Both conditions along the batch axis. Raises: InvalidInput for an input that only one of them has, or of another shape."""
    joined: dict[str, Tensor | None] = {}
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if a is None and b is None:
            joined[name] = None
        elif a is None or b is None or a.shape[1:] != b.shape[1:]:
            shapes = " and ".join("none" if t is None else str(tuple(t.shape)) for t in (a, b))
            raise InvalidInput(
                name, shapes, "differ between the two conditions: pad both to one shape, or use mode split"
            )
        else:
            joined[name] = torch.cat([a, b])
    return joined


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How to guide: ``scale`` 1 or mode ``off`` asks for the conditional prediction alone.

    ``zero_steps`` belongs to ``cfg_zero_star``: steps at the start that stand still. ``rescale`` belongs to ``classifier_free``: see
    `rescaled`.
    """

    scale: float = 1.0
    method: Literal["classifier_free", "cfg_zero_star"] = "classifier_free"
    mode: Literal["batched", "split", "off"] = "batched"
    zero_steps: int = 1
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise InvalidInput("scale", self.scale, "must be at least 0")
        if self.method not in METHODS:
            raise InvalidInput("method", self.method, f"must be {choices(METHODS)}")
        if self.mode not in (*MODES, "off"):
            raise InvalidInput("mode", self.mode, f"must be {choices((*MODES, 'off'))}")
        if self.zero_steps < 0:
            raise InvalidInput("zero_steps", self.zero_steps, "must be at least 0")
        if not 0 <= self.rescale <= 1 or (self.rescale and self.method != "classifier_free"):
            raise InvalidInput("rescale", self.rescale, "must be from 0 to 1, and 0 but for classifier_free")

    @property
    def is_on(self) -> bool:
        """Whether the unconditional prediction is asked for."""
        return self.mode != "off" and self.scale != 1

    def predictor(
        self, denoiser: Denoiser, *, cond: Condition, uncond: Condition | None, sigmas: Float[Tensor, " *rows levels"]
    ) -> Predictor:
        """What `kinema.flow.sample.sample` calls: the guided ``denoiser``, which finds its step in ``sigmas`` by the level."""
        if self.is_on and uncond is None:
            raise InvalidInput("uncond", None, f"is needed to guide with scale {self.scale:g}")

        def predict(x: Tensor, sigma: Tensor) -> Tensor:
            if not self.is_on or uncond is None:
                return denoiser(x, sigma, cond).float()
            if self.method == "classifier_free":
                combine = partial(rescaled, share=self.rescale) if self.rescale else classifier_free
                return guided(
                    denoiser, x, sigma, cond=cond, uncond=uncond, scale=self.scale, mode=self.mode, combine=combine
                )
            if step_of(sigmas, sigma) < self.zero_steps:
                return torch.zeros_like(x)
            pair = evaluate_both(denoiser, x, sigma, cond=cond, uncond=uncond, mode=self.mode)
            return cfg_zero_star(*pair, self.scale, zero_steps=0)

        return predict


def step_of(sigmas: Float[Tensor, " *rows levels"], sigma: Float[Tensor, " b *frames"]) -> int:
    """The step of the schedule ``sigmas`` that starts at ``sigma``; frames at 0 are frozen and don't count."""
    row = sigmas if sigmas.ndim == 1 else sigmas[0]
    return int((row.to(sigma) > sigma[0].max()).sum())
