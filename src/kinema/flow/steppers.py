"""Steps from one noise level to the next: Euler, Heun, DDIM, UniPC. The equations are plain functions; the classes say what they need.

A predictor is what a network is to a stepper: ``predict(x, sigma) -> prediction``, with sigma (b,) or (b, t). Steps are in fp32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.flow.noise import noise
from kinema.flow.paths import FlowMatching, Path, expand
from kinema.flow.predictions import to_noise, to_velocity, to_x0

# the path that models take when nothing else is said
_LINE = FlowMatching()

Predictor = Callable[[Tensor, Tensor], Tensor]


def euler(
    x: Float[Tensor, " b *rest"],
    velocity: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    sigma_next: Float[Tensor, " b *frames"],
) -> Float[Tensor, " b *rest"]:
    """The x at ``sigma_next``, following ``velocity`` in a straight line; first order."""
    return x + expand(sigma_next - sigma, x) * velocity


def heun(
    x: Float[Tensor, " b *rest"],
    velocity: Float[Tensor, " b *rest"],
    velocity_next: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    sigma_next: Float[Tensor, " b *frames"],
) -> Float[Tensor, " b *rest"]:
    """The x at ``sigma_next``, following the mean of the velocities here and where Euler's step leads; second order.

    Source: Karras et al. 2022 (EDM), algorithm 1.
    """
    return x + expand(sigma_next - sigma, x) * 0.5 * (velocity + velocity_next)


def ddim_std(
    path: Path, sigma: Float[Tensor, " b *frames"], sigma_next: Float[Tensor, " b *frames"], eta: float
) -> Float[Tensor, " b *frames"]:
    """The fresh noise that a DDIM step adds; eta 0 adds none, eta 1 as much as DDPM.

    eta (s' / s) sqrt(s^2 - (alpha s' / alpha')^2), with ' at ``sigma_next``: the spread of x there, given x here and x0. That
    holds on any path; on the variance-preserving one the root is sqrt(1 - (alpha / alpha')^2).
    Source: Song, Meng & Ermon 2021 (DDIM), equation 16.
    """
    if eta == 0:
        return torch.zeros_like(sigma)
    alpha, s, alpha_next, s_next = path.alpha(sigma), path.s(sigma), path.alpha(sigma_next), path.s(sigma_next)
    # where no step is taken (a frozen frame: s = s_next = 0) there is nothing to add
    kept = torch.where(s > 0, s_next / s.clamp_min(1e-30), torch.ones_like(s))
    return eta * kept * (s**2 - (alpha / alpha_next * s_next) ** 2).clamp_min(0).sqrt()


def ddim(
    path: Path,
    x0: Float[Tensor, " b *rest"],
    noise: Float[Tensor, " b *rest"],
    sigma_next: Float[Tensor, " b *frames"],
    std: Float[Tensor, " b *frames"],
    fresh: Float[Tensor, " b *rest"] | None = None,
) -> Float[Tensor, " b *rest"]:
    """The x at ``sigma_next``: x0 and as much of the ``noise`` as leaves room for ``std`` of the ``fresh``.

    Source: Song, Meng & Ermon 2021 (DDIM), equation 12.
    """
    kept = (path.s(sigma_next) ** 2 - std**2).clamp_min(0).sqrt()
    x = expand(path.alpha(sigma_next), x0) * x0 + expand(kept, x0) * noise
    return x if fresh is None else x + expand(std, x0) * fresh


def unipc(
    path: Path,
    x: Float[Tensor, " b *rest"],
    x0: Float[Tensor, " b *rest"],
    sigma: Float[Tensor, " b *frames"],
    sigma_next: Float[Tensor, " b *frames"],
    *,
    before: tuple[Float[Tensor, " b *frames"], Float[Tensor, " b *rest"]] | None = None,
    x0_next: Float[Tensor, " b *rest"] | None = None,
) -> Float[Tensor, " b *rest"]:
    """The x at ``sigma_next``, exact where x0 stays what it is at ``sigma``.

    How x0 changed since ``before``, the level of an earlier step and x0 there, makes it second order (the predictor). With
    ``x0_next``, as estimated where the predictor led, the same step is taken again, one order better (the corrector).
    To sigma 0, infinitely far in log-SNR, ``before`` says nothing. Frames whose level stays keep their x.
    Source: Zhao et al. 2023 (UniPC), section 3, for predictions of x0 and with B(h) = e^h - 1, their B2.
    """
    moves = sigma_next < sigma
    # where nothing moves any other levels serve, so that no gradient is lost to 0 / 0
    start, end = torch.where(moves, sigma, 0.5), torch.where(moves, sigma_next, 0.25)
    h = _log_snr(path, end) - _log_snr(path, start)
    decay = torch.expm1(-h)
    ratio = torch.zeros_like(h) if before is None else (_log_snr(path, before[0]) - _log_snr(path, start)) / h
    has_slope = ratio < 0
    w_before, w_next = torch.full_like(h, 0.5), torch.full_like(h, 0.5)
    if x0_next is not None:
        # the two moments of the integral that two differences of x0 can match
        phi = decay / -h - 1
        first, second = phi / decay, 2 * (phi / -h - 0.5) / decay
        w_before = (first - second) / (1 - ratio)
        w_next = torch.where(has_slope, first - w_before, w_next)
    change = torch.zeros_like(x0)
    if before is not None:
        change = expand(torch.where(has_slope, w_before / ratio, 0.0), x) * (before[1] - x0)
    if x0_next is not None:
        change = change + expand(w_next, x) * (x0_next - x0)
    gain = expand(path.alpha(end) * decay, x)
    there = expand(path.s(end) / path.s(start), x) * x - gain * x0 - gain * change
    return torch.where(expand(sigma_next - sigma, x) < 0, there, x)


def _log_snr(path: Path, sigma: Tensor) -> Tensor:
    """log(alpha / s)."""
    return path.alpha(sigma).log() - path.s(sigma).log()


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """A sample on its way: ``x`` after ``step`` steps, x0 as estimated in the last of them, and what the stepper remembers."""

    step: int
    x: Float[Tensor, " b *rest"]
    x0: Float[Tensor, " b *rest"] | None = None
    memory: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stepper(ABC):
    """A way to step along ``path`` with a network that predicts ``prediction`` (see `kinema.flow.paths.PREDICTIONS`)."""

    path: Path = _LINE
    prediction: str = "velocity"
    # whether a step depends on earlier ones, through `State.memory`
    has_memory: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.path.check_prediction(self.prediction)

    @abstractmethod
    def advance(self, predict: Predictor, state: State, sigma: Tensor, sigma_next: Tensor) -> State:
        """The state one step on: x at ``sigma_next``, and x0 as estimated at ``sigma``, where ``state`` is."""

    def evaluations(self, steps: int) -> int:
        """How often ``steps`` steps ask the network."""
        return steps


@dataclass(frozen=True, kw_only=True)
class Euler(Stepper):
    """First order, one evaluation a step."""

    def advance(self, predict: Predictor, state: State, sigma: Tensor, sigma_next: Tensor) -> State:
        """The state one step on."""
        x, said = state.x, predict(state.x, sigma)
        velocity = to_velocity(self.path, said, x, sigma, self.prediction)
        x0 = to_x0(self.path, said, x, sigma, self.prediction)
        return State(step=state.step + 1, x=euler(x, velocity, sigma, sigma_next), x0=x0)


@dataclass(frozen=True, kw_only=True)
class Heun(Stepper):
    """Second order, two evaluations a step. The last step, to sigma 0, is Euler's, as in the source: networks don't learn sigma 0."""

    def advance(self, predict: Predictor, state: State, sigma: Tensor, sigma_next: Tensor) -> State:
        """The state one step on."""
        x, said = state.x, predict(state.x, sigma)
        velocity = to_velocity(self.path, said, x, sigma, self.prediction)
        x0 = to_x0(self.path, said, x, sigma, self.prediction)
        there = euler(x, velocity, sigma, sigma_next)
        if not bool((sigma_next > 0).any()):
            return State(step=state.step + 1, x=there, x0=x0)
        again = to_velocity(self.path, predict(there, sigma_next), there, sigma_next, self.prediction)
        return State(step=state.step + 1, x=heun(x, velocity, again, sigma, sigma_next), x0=x0)

    def evaluations(self, steps: int) -> int:
        """Two a step, but for the last."""
        return 2 * steps - 1


@dataclass(frozen=True, kw_only=True)
class Ddim(Stepper):
    """DDIM: exact where the prediction is. ``eta`` above 0 adds fresh noise, drawn from ``seeds``, one for every sample.

    The noise depends on seed and step alone, so a resumed run draws what an uninterrupted one does.
    """

    eta: float = 0.0
    seeds: Sequence[int] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise InvalidInput("eta", self.eta, "must be from 0 to 1")
        if self.eta and not self.seeds:
            raise InvalidInput("seeds", list(self.seeds), "must be one for every sample where eta is above 0")

    def advance(self, predict: Predictor, state: State, sigma: Tensor, sigma_next: Tensor) -> State:
        """The state one step on."""
        x, said = state.x, predict(state.x, sigma)
        x0 = to_x0(self.path, said, x, sigma, self.prediction)
        direction = to_noise(self.path, said, x, sigma, self.prediction)
        std = ddim_std(self.path, sigma, sigma_next, self.eta)
        there = ddim(self.path, x0, direction, sigma_next, std, self._fresh(x, state.step))
        return State(step=state.step + 1, x=there, x0=x0)

    def _fresh(self, x: Tensor, step: int) -> Tensor | None:
        if not self.eta:
            return None
        if len(self.seeds) != len(x):
            raise InvalidInput("seeds", list(self.seeds), f"must be one for each of the {len(x)} samples")
        return noise(x.shape[1:], seeds=self.seeds, stream=step + 1, device=x.device)


@dataclass(frozen=True, kw_only=True)
class UniPC(Stepper):
    """Second order and a corrector for one evaluation a step: it remembers x0 of the two steps before.

    The first step and the step to sigma 0 are first order. Memory: x, then level and x0 of the last step and of the one before.
    Source: Zhao et al. 2023 (UniPC), of order 2; see `unipc`.
    """

    has_memory: ClassVar[bool] = True

    def advance(self, predict: Predictor, state: State, sigma: Tensor, sigma_next: Tensor) -> State:
        """The state one step on; x of ``state`` is corrected first by what the network says of it."""
        x0 = to_x0(self.path, predict(state.x, sigma), state.x, sigma, self.prediction)
        x, last, before = state.x, _remembered(state.memory, 1), _remembered(state.memory, 3)
        if last is not None:
            x = unipc(self.path, state.memory[0], last[1], last[0], sigma, before=before, x0_next=x0)
        there = unipc(self.path, x, x0, sigma, sigma_next, before=last)
        return State(step=state.step + 1, x=there, x0=x0, memory=(x, sigma, x0, *(last or ())))


def _remembered(memory: tuple[Tensor, ...], place: int) -> tuple[Tensor, Tensor] | None:
    """A level and the x0 there, if the memory reaches so far back."""
    return (memory[place], memory[place + 1]) if len(memory) > place else None


STEPPERS: dict[str, Stepper] = {"euler": Euler(), "heun": Heun(), "ddim": Ddim(), "unipc": UniPC()}


def find_stepper(stepper: str | Stepper) -> Stepper:
    """The stepper of that name, for velocity on flow matching's path; or the one given. Raises: InvalidInput."""
    if isinstance(stepper, Stepper):
        return stepper
    if stepper not in STEPPERS:
        raise InvalidInput("stepper", stepper, f"must be {choices(STEPPERS)}")
    return STEPPERS[stepper]
