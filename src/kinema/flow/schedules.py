"""Noise levels to sample at, from 1 down to 0."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.flow.paths import VariancePreserving
from kinema.flow.times import shift_sigmas

SPACINGS = ("leading", "trailing", "linspace")


def linear(steps: int, *, shift: float = 1.0) -> Float[Tensor, " levels"]:
    """``steps`` + 1 even sigmas from 1 to 0, then shifted (see `shift_sigmas`), in fp32."""
    check_steps(steps)
    return shift_sigmas(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift).float()


def linear_quadratic(
    steps: int, *, linear_steps: int | None = None, emulated_steps: int = 250
) -> Float[Tensor, " levels"]:
    """``steps`` + 1 sigmas from 1 to 0, in fp32: the first ``linear_steps`` steps of ``emulated_steps`` even ones, then ever larger ones.

    With N emulated steps of which L are kept, step i stands at 1 - sigma = i / N + (1 - steps / N) q^2, q growing evenly from 0
    at L to 1 at the end: the unique quadratic that goes on from the line without a kink and reaches 0. ``linear_steps`` is
    half of ``steps``, rounded down, when not given.
    Source: Polyak et al. 2024 (Movie Gen), section 3.4.2.
    """
    check_steps(steps)
    kept = steps // 2 if linear_steps is None else linear_steps
    if not 0 <= kept < steps:
        raise InvalidInput("linear_steps", kept, f"must be at least 0 and below steps ({steps})")
    if emulated_steps < steps:
        raise InvalidInput("emulated_steps", emulated_steps, f"must be at least steps ({steps})")
    i = torch.arange(steps + 1, dtype=torch.float64)
    q = (i - kept).clamp_min(0) / (steps - kept)
    sigmas = 1 - i / emulated_steps - (1 - steps / emulated_steps) * q**2
    sigmas[-1] = 0
    return sigmas.float()


SCHEDULES = {"linear": linear, "linear_quadratic": linear_quadratic}


def ddim_timesteps(
    num_timesteps: int,
    steps: int,
    *,
    spacing: str = "leading",
    offset: int = 0,
) -> Int[Tensor, " steps"]:
    """``steps`` of a table's ``num_timesteps``, falling. ``offset`` is added to leading ones.

    Source: Lin et al. 2024, table 2; leading never visits the last timestep, trailing does.
    """
    check_steps(steps)
    if steps > num_timesteps:
        raise InvalidInput("steps", steps, f"must be at most the model's {num_timesteps} timesteps")
    if spacing not in SPACINGS:
        raise InvalidInput("spacing", spacing, f"must be {choices(SPACINGS)}")
    count = torch.arange(steps, dtype=torch.float64)
    if spacing == "leading":
        timesteps = count.flip(0) * (num_timesteps // steps) + offset
    elif spacing == "trailing":
        timesteps = num_timesteps - count * (num_timesteps / steps) - 1
    else:
        timesteps = torch.linspace(num_timesteps - 1, 0, steps, dtype=torch.float64)
    timesteps = timesteps.round().long()
    if timesteps[0] >= num_timesteps:
        raise InvalidInput("offset", offset, f"puts the first timestep beyond the model's {num_timesteps}")
    return timesteps


def ddim_sigmas(
    path: VariancePreserving, timesteps: Int[Tensor, " steps"], *, is_last_clean: bool = True
) -> Float[Tensor, " levels"]:
    """The sigmas of ``timesteps``, and where the last step leads: to clean data, or to the table's first entry."""
    last = torch.tensor([-1 if is_last_clean else 0], device=timesteps.device)
    return path.sigma_of(torch.cat([timesteps, last]))


def check_steps(steps: int) -> None:
    """Raises: InvalidInput unless ``steps`` is a whole number of at least 1."""
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise InvalidInput("steps", steps, "must be a whole number of at least 1")
