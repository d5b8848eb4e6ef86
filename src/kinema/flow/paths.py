"""Paths from data to noise: x(sigma) = alpha(sigma) x0 + s(sigma) noise, with sigma 0 at the data and 1 at the noise.

Two kinds: flow matching's straight line and diffusion's variance-preserving arc. A sigma is one level a sample, (b,), or one
a latent frame, (b, t), where x is (b c t h w).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from kinema.core.errors import InvalidInput, choices

PREDICTIONS = ("velocity", "noise", "x0", "v")
BETAS = ("cosine", "linear", "scaled_linear")
# Nichol & Dhariwal 2021 cap a cosine table's betas, so that its end is no division by zero.
_MAX_BETA = 0.999


def expand(sigma: Float[Tensor, " b *frames"], x: Float[Tensor, " b *rest"]) -> Float[Tensor, " b *ones"]:
    """``sigma`` with x's number of axes, ready to multiply: (b,) as (b 1 ...), one a frame (b, t) as (b 1 t 1 1).

    Raises: InvalidInput if there is one level a frame but x has no such frames.
    """
    if sigma.ndim == 1:
        return sigma.view(-1, *(1,) * (x.ndim - 1))
    if sigma.ndim != 2 or x.ndim != 5 or sigma.shape[1] != x.shape[2]:
        rule = f"must be (b,), or (b, t) where x is (b c t h w); x is {tuple(x.shape)}"
        raise InvalidInput("sigma", tuple(sigma.shape), rule)
    return rearrange(sigma, "b t -> b 1 t 1 1")


class Path(ABC):
    """What losses, conversions and steppers need of a path. Slopes are with respect to sigma."""

    # whether alpha^2 + s^2 = 1
    preserves_variance: bool

    @abstractmethod
    def alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The data's share."""

    @abstractmethod
    def s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The noise's share."""

    @abstractmethod
    def d_alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The slope of `alpha`."""

    @abstractmethod
    def d_s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The slope of `s`."""

    def mix(
        self, x0: Float[Tensor, " b *rest"], noise: Float[Tensor, " b *rest"], sigma: Float[Tensor, " b *frames"]
    ) -> Float[Tensor, " b *rest"]:
        """The x at ``sigma``: alpha x0 + s noise, in fp32."""
        sigma = expand(sigma.float(), x0)
        return self.alpha(sigma) * x0.float() + self.s(sigma) * noise.float()

    def target(
        self,
        x0: Float[Tensor, " b *rest"],
        noise: Float[Tensor, " b *rest"],
        sigma: Float[Tensor, " b *frames"],
        prediction: str = "velocity",
    ) -> Float[Tensor, " b *rest"]:
        """What a network should say at ``sigma``, in fp32: the velocity dx/dsigma, the noise, x0, or v = alpha noise - s x0.

        Source: Salimans & Ho 2022, section 4, for v.
        """
        self.check_prediction(prediction)
        x0, noise, sigma = x0.float(), noise.float(), expand(sigma.float(), x0)
        if prediction == "velocity":
            return self.d_alpha(sigma) * x0 + self.d_s(sigma) * noise
        if prediction == "v":
            return self.alpha(sigma) * noise - self.s(sigma) * x0
        return noise if prediction == "noise" else x0

    def check_prediction(self, prediction: str) -> None:
        """Raises: InvalidInput if ``prediction`` is no kind, or v on a path that has none."""
        if prediction not in PREDICTIONS:
            raise InvalidInput("prediction", prediction, f"must be {choices(PREDICTIONS)}")
        if prediction == "v" and not self.preserves_variance:
            rule = "belongs to the variance-preserving path; on flow matching's use velocity"
            raise InvalidInput("prediction", prediction, rule)


@dataclass(frozen=True, kw_only=True)
class FlowMatching(Path):
    """The straight line: alpha = 1 - sigma, s = sigma; the velocity along it is constant: noise - x0.

    With ``sigma_min`` a trace of noise stays on the data: s = sigma + sigma_min (1 - sigma).
    Source: Lipman et al. 2023, equations 20 to 23; Polyak et al. 2024 (Movie Gen), section 3.1.2, with t = 1 - sigma and
    sigma_min = 1e-5.
    """

    sigma_min: float = 0.0
    preserves_variance = False

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min < 1:
            raise InvalidInput("sigma_min", self.sigma_min, "must be at least 0 and below 1")

    def alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """1 - sigma."""
        return 1 - sigma

    def s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """sigma, and what ``sigma_min`` adds."""
        return sigma + self.sigma_min * (1 - sigma)

    def d_alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """-1."""
        return torch.full_like(sigma, -1.0)

    def d_s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """1 - sigma_min."""
        return torch.full_like(sigma, 1.0 - self.sigma_min)


@dataclass(frozen=True, kw_only=True)
class VariancePreserving(Path):
    """Diffusion's arc: alpha^2 + s^2 = 1, with alpha^2 called abar, or alphas_cumprod where there is a table of it.

    ``betas`` names how abar falls: ``cosine`` (Nichol & Dhariwal 2021, equation 17), ``linear`` (Song et al. 2021,
    appendix C: the rate grows from ``beta_min`` to ``beta_max``) or ``scaled_linear`` (Rombach et al. 2022: its root does).

    ``num_timesteps`` None is the continuous path. A number is that of a model trained on a table: timestep i has
    beta = rate / num_timesteps and lies at sigma = (i + 1) / num_timesteps; sigma 0 is clean data; between entries abar is
    interpolated. So beta_start = 1e-4 and beta_end = 0.02 over 1000 steps are ``beta_min`` 0.1 and ``beta_max`` 20.
    ``zero_terminal_snr`` stretches the table so that its last entry is pure noise (Lin et al. 2024, algorithm 1).
    """

    betas: Literal["cosine", "linear", "scaled_linear"] = "cosine"
    beta_min: float = 0.1
    beta_max: float = 20.0
    offset: float = 0.008
    num_timesteps: int | None = None
    zero_terminal_snr: bool = False
    preserves_variance = True

    def __post_init__(self) -> None:
        if self.betas not in BETAS:
            raise InvalidInput("betas", self.betas, f"must be {choices(BETAS)}")
        if not 0 < self.beta_min <= self.beta_max:
            raise InvalidInput("beta_min", self.beta_min, f"must be above 0 and at most beta_max ({self.beta_max:g})")
        if self.offset < 0:
            raise InvalidInput("offset", self.offset, "must be at least 0")
        if self.num_timesteps is None:
            if self.zero_terminal_snr:
                raise InvalidInput("zero_terminal_snr", True, "stretches a table; give num_timesteps")
        elif self.num_timesteps < 2:
            raise InvalidInput(
                "num_timesteps", self.num_timesteps, "must be at least 2, or None for the continuous path"
            )
        elif self.betas != "cosine" and self.beta_max >= self.num_timesteps:
            raise InvalidInput("beta_max", self.beta_max, f"must be below num_timesteps ({self.num_timesteps})")

    @property
    def alphas_cumprod(self) -> Float[Tensor, " steps"]:
        """The abar of every timestep, in fp64. Raises: InvalidInput for the continuous path, which has no table."""
        self._require_table()
        return _table(self)[1:].clone()

    def sigma_of(self, timesteps: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Where a table's timesteps lie; -1 is clean data. Raises: InvalidInput for the continuous path."""
        return (timesteps + 1).float() / self._require_table()

    def timestep_of(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """What to tell a table's model for ``sigma``, between two timesteps if need be. Raises: as `sigma_of`."""
        # three decimals: sigma_of's quotient is rounded to fp32, and a whole timestep is to come back whole
        return torch.round(sigma * self._require_table() - 1, decimals=3)

    def alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The root of abar."""
        return self._abar(sigma)[0].clamp_min(0).sqrt()

    def s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The root of 1 - abar."""
        return self._abar(sigma)[1].clamp_min(0).sqrt()

    def d_alpha(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """The slope abar' / (2 alpha)."""
        if self.num_timesteps is None and self.betas == "cosine":
            # the same, and finite where alpha is zero
            theta, theta0, rate = self._angles(sigma)
            return -theta.sin() * rate / math.cos(theta0)
        return self._abar(sigma)[2] / (2 * self.alpha(sigma))

    def d_s(self, sigma: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """-abar' / (2 s); infinite at the data wherever abar leaves 1 at once."""
        if self.num_timesteps is None and self.betas == "cosine" and self.offset == 0:
            theta, _, rate = self._angles(sigma)
            return theta.cos() * rate
        return -self._abar(sigma)[2] / (2 * self.s(sigma))

    def _require_table(self) -> int:
        if self.num_timesteps is None:
            raise InvalidInput("num_timesteps", None, "the continuous path has no timesteps; give their number")
        return self.num_timesteps

    def _abar(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The values of abar, 1 - abar (without cancellation near the data), and abar's slope."""
        if self.num_timesteps is not None:
            return _interpolate(_table(self), sigma)
        if self.betas == "cosine":
            theta, theta0, rate = self._angles(sigma)
            scale = math.cos(theta0) ** 2
            # cos^2(theta0) - cos^2(theta), as a product of sines
            rest = (sigma * rate).sin() * (theta + theta0).sin()
            return theta.cos() ** 2 / scale, rest / scale, -2 * theta.sin() * theta.cos() * rate / scale
        integral, rate = self._rate(sigma)
        abar = torch.exp(-integral)
        return abar, -torch.expm1(-integral), -rate * abar

    def _angles(self, sigma: Tensor) -> tuple[Tensor, float, float]:
        """The cosine's angle at sigma, its angle at 0, and its slope."""
        rate = math.pi / 2 / (1 + self.offset)
        return sigma * rate + self.offset * rate, self.offset * rate, rate

    def _rate(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The rate integrated from 0 to sigma, and the rate at sigma."""
        if self.betas == "linear":
            slope = self.beta_max - self.beta_min
            return sigma * (self.beta_min + slope * sigma / 2), self.beta_min + slope * sigma
        low = math.sqrt(self.beta_min)
        slope = math.sqrt(self.beta_max) - low
        return sigma * (low**2 + low * slope * sigma + (slope * sigma) ** 2 / 3), (low + slope * sigma) ** 2


@lru_cache(maxsize=16)
def _table(path: VariancePreserving) -> Tensor:
    """The values of abar: at sigma 0, which is 1, and at every timestep, in fp64."""
    n = path.num_timesteps
    assert n is not None, "callers look first"
    if path.betas == "cosine":
        at = torch.arange(n + 1, dtype=torch.float64) / n
        f = torch.cos((at + path.offset) / (1 + path.offset) * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp_max(_MAX_BETA)
    elif path.betas == "linear":
        betas = torch.linspace(path.beta_min / n, path.beta_max / n, n, dtype=torch.float64)
    else:
        betas = torch.linspace((path.beta_min / n) ** 0.5, (path.beta_max / n) ** 0.5, n, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - betas, dim=0)
    if path.zero_terminal_snr:
        root = abar.sqrt()
        abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return torch.cat([torch.ones(1, dtype=torch.float64), abar])


def _interpolate(table: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The values of abar, 1 - abar and abar's slope between the entries of ``table``, on sigma's device and in its dtype."""
    steps = len(table) - 1
    place = sigma.clamp(0, 1) * steps
    low = place.long().clamp_max(steps - 1)
    share = place - low

    def at(values: Tensor) -> Tensor:
        return torch.lerp(values[low], values[low + 1], share)

    abar, rest, slope = (v.to(sigma) for v in (table, 1 - table, table.diff() * steps))
    return at(abar), at(rest), slope[low]
