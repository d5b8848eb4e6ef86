"""The sampling loop of every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.steppers import Predictor, State, Stepper, find_stepper

OnStep = Callable[[int, Tensor, Tensor], None]


def sample(
    velocity_fn: Predictor,
    noise: Float[Tensor, " b *rest"],
    sigmas: Float[Tensor, " *rows levels"],
    *,
    stepper: str | Stepper = "euler",
    start_step: int = 0,
    on_step: OnStep | None = None,
    frozen: Bool[Tensor, "b 1 t 1 1"] | None = None,
    known: Float[Tensor, "b c t h w"] | None = None,
) -> Float[Tensor, " b *rest"]:
    """The samples that ``noise`` becomes along ``sigmas``, in fp32.

    Args:
        velocity_fn: the network, ``velocity_fn(x, sigma) -> prediction``, with x in fp32 and sigma (b,); or (b, t), 0 at the
            frozen frames, where there are any. It predicts what ``stepper`` says; by default the velocity.
        noise: where to start: pure noise, or the x of step ``start_step`` to go on from.
        sigmas: levels from high to low, one more than steps; a row for every sample where they differ.
        stepper: a name in `kinema.flow.steppers.STEPPERS`, or a stepper with its path, prediction and settings.
        start_step: how many steps ``noise`` has behind it. Going on from what ``on_step`` got gives the same bits; a stepper
            with a memory goes on from a whole `State` instead: see `walk`.
        on_step: called after every step with the number of steps done, x, and x0 as estimated in that step. What it raises
            (`Cancelled`) ends the call.
        frozen: frames that are known; they stay what ``known`` has there, clean, at every step.
        known: the clean latents, which must be finite at the frozen frames.

    Gradients flow through all steps; where none are wanted, call it under ``torch.inference_mode()``.
    Raises: InvalidInput.
    """
    method = find_stepper(stepper)
    if start_step and method.has_memory:
        rule = "this stepper remembers earlier steps: go on from a whole State, with `kinema.flow.sample.walk`"
        raise InvalidInput("start_step", start_step, rule)
    state = start = State(step=start_step, x=noise)
    for state in walk(velocity_fn, start, sigmas, stepper=method, frozen=frozen, known=known):
        if on_step is not None and state.x0 is not None:
            on_step(state.step, state.x, state.x0)
    return state.x


def walk(
    velocity_fn: Predictor,
    start: State,
    sigmas: Float[Tensor, " *rows levels"],
    *,
    stepper: str | Stepper = "euler",
    frozen: Bool[Tensor, "b 1 t 1 1"] | None = None,
    known: Float[Tensor, "b c t h w"] | None = None,
) -> Iterator[State]:
    """Every state from ``start`` to the end of ``sigmas``, ``start`` included: `sample`, a step at a time.

    Going on from any of them, its memory included, gives the same bits. A ``start`` further on without memory is a start
    like any other, as where a known video is to be changed: the first step is then the stepper's first.
    Raises: as `sample`.
    """
    method = find_stepper(stepper)
    levels = _levels(sigmas, start.x, start.step)
    if (frozen is None) != (known is None):
        raise InvalidInput(
            "known", None if known is None else tuple(known.shape), "go with frozen: give both or neither"
        )
    state = replace(start, x=_hold(start.x.float(), frozen, known))
    yield state
    for step in range(state.step, levels.shape[1] - 1):
        sigma, sigma_next = (_at_frames(levels[:, i], frozen) for i in (step, step + 1))
        state = method.advance(velocity_fn, state, sigma, sigma_next)
        assert state.x0 is not None, "every step estimates x0"
        state = replace(state, x=_hold(state.x, frozen, known), x0=_hold(state.x0, frozen, known))
        yield state


def _levels(sigmas: Tensor, noise: Tensor, start_step: int) -> Tensor:
    """(b, levels), in fp32 on noise's device."""
    if sigmas.ndim not in (1, 2) or sigmas.shape[-1] < 2 or (sigmas.ndim == 2 and len(sigmas) != len(noise)):
        rule = f"must be (levels,) or ({len(noise)}, levels), with at least two levels"
        raise InvalidInput("sigmas", tuple(sigmas.shape), rule)
    if not bool((sigmas.diff(dim=-1) <= 0).all() & (sigmas >= 0).all() & (sigmas <= 1).all()):
        raise InvalidInput("sigmas", sigmas.tolist(), "must not rise, from at most 1 to at least 0")
    if not 0 <= start_step <= sigmas.shape[-1] - 1:
        raise InvalidInput("start_step", start_step, f"must be from 0 to {sigmas.shape[-1] - 1}")
    return sigmas.to(device=noise.device, dtype=torch.float32).expand(len(noise), -1)


def _at_frames(sigma: Tensor, frozen: Tensor | None) -> Tensor:
    """``sigma`` as it is, or one a frame with 0 at the frozen ones."""
    if frozen is None:
        return sigma
    return torch.where(rearrange(frozen, "b 1 t 1 1 -> b t"), 0.0, rearrange(sigma, "b -> b 1"))


def _hold(x: Tensor, frozen: Tensor | None, known: Tensor | None) -> Tensor:
    """``x`` with the known frames put in."""
    if frozen is None or known is None:
        return x
    return torch.where(frozen, known.float(), x)
