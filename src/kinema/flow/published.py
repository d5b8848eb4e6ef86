"""How published models are sampled: from a diffusers ``scheduler_config.json`` to levels, timesteps and a stepper.

Levels are computed in the order and precision in which the reference computes them, so that both have the same bits: a timestep
of UniPC is a level cut to a whole number, and the last bit decides which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.flow.schedules import check_steps
from kinema.flow.steppers import STEPPERS, Stepper
from kinema.flow.times import exponential_shift_for_tokens, shift_sigmas

Solver = Literal["euler", "unipc"]
SOLVERS: dict[str, Solver] = {"FlowMatchEulerDiscreteScheduler": "euler", "UniPCMultistepScheduler": "unipc"}
# The reference starts UniPC so far below sigma 1, where the log-SNR is infinite.
_BELOW_ONE = 1e-6


@dataclass(frozen=True, kw_only=True)
class TokenShift:
    """A shift that grows with the number of video tokens; see `exponential_shift_for_tokens`."""

    base_tokens: int = 256
    max_tokens: int = 4096
    base_log_shift: float = 0.5
    max_log_shift: float = 1.15

    def at(self, tokens: int) -> float:
        """The shift for so many tokens."""
        return exponential_shift_for_tokens(
            tokens,
            base_tokens=self.base_tokens,
            max_tokens=self.max_tokens,
            base_log_shift=self.base_log_shift,
            max_log_shift=self.max_log_shift,
        )


@dataclass(frozen=True, kw_only=True)
class PublishedSampler:
    """A published model's levels and stepper, on flow matching's path.

    Attributes:
        solver: ``euler`` or ``unipc``.
        shift: of the levels towards noise; a number, or by the number of tokens.
        num_timesteps: of the table that the network was trained on; a timestep is a sigma times this.
        from_pipeline: the pipeline gives even levels from 1 to 0, as HunyuanVideo's do. Else, as with Wan's, they are the
            scheduler's own, which lead to the table's first entry.
        last_start: where given, levels are stretched so that the last step starts there.
    """

    solver: Solver
    shift: float | TokenShift = 1.0
    num_timesteps: int = 1000
    from_pipeline: bool = False
    last_start: float | None = None

    @property
    def stepper(self) -> Stepper:
        """Euler or UniPC, for velocity."""
        return STEPPERS[self.solver]

    def sigmas(self, steps: int, *, tokens: int | None = None) -> Float[Tensor, " levels"]:
        """``steps`` + 1 levels from 1 to 0, in fp32. Raises: InvalidInput, also where the shift needs ``tokens``."""
        return torch.cat([self._starts(steps, tokens).float(), torch.zeros(1)])

    def timesteps(self, steps: int, *, tokens: int | None = None) -> Float[Tensor, " steps"]:
        """What the network is told in each step: the sigma where it starts, in timesteps; with UniPC cut to a whole number."""
        starts = self._starts(steps, tokens)
        if self.solver == "unipc":
            return (starts * self.num_timesteps).trunc().float()
        return starts.float() * self.num_timesteps

    def _starts(self, steps: int, tokens: int | None) -> Tensor:
        """Where each step starts, in fp64, or fp32 where the reference computes in that."""
        check_steps(steps)
        sigmas = shift_sigmas(self._even(steps), self._shift(tokens))
        if self.last_start is not None and steps > 1:
            done = 1 - sigmas
            sigmas = 1 - done / (done[-1] / (1 - self.last_start))
        if self.solver == "unipc" and abs(float(sigmas[0]) - 1) < _BELOW_ONE:
            sigmas[0] -= _BELOW_ONE
        return sigmas

    def _shift(self, tokens: int | None) -> float:
        if not isinstance(self.shift, TokenShift):
            return self.shift
        if tokens is None:
            raise InvalidInput(
                "tokens", None, "must be given: this model's shift depends on the number of video tokens"
            )
        return self.shift.at(tokens)

    def _even(self, steps: int) -> Tensor:
        """Levels before the shift."""
        if self.solver == "unipc":
            return _line(1.0, 0.0 if self.from_pipeline else 1 / self.num_timesteps, steps, gaps=steps)
        if self.from_pipeline:
            return _line(1.0, 0.0, steps, gaps=steps).float()
        # The reference spreads timesteps between the ends of its table, which it has shifted already, in fp32.
        n = self.num_timesteps
        ends = torch.tensor([n, 1], dtype=torch.float32) / n
        if not isinstance(self.shift, TokenShift):
            ends = shift_sigmas(ends, self.shift)
        return _line(float(ends[0]) * n, float(ends[1]) * n, steps, gaps=max(steps - 1, 1)) / n


def _line(start: float, end: float, count: int, *, gaps: int) -> Tensor:
    """``count`` numbers from ``start``, as if ``gaps`` of them led to ``end``; in fp64, rounded as numpy's linspace rounds."""
    return torch.arange(count, dtype=torch.float64) * ((end - start) / gaps) + start


def timestep_at(
    sigma: Float[Tensor, " b *frames"], sigmas: Float[Tensor, " levels"], timesteps: Float[Tensor, " steps"]
) -> Float[Tensor, " b *frames"]:
    """What to tell a network at ``sigma``, one of ``sigmas``: the timestep of the step that starts there; 0 at frozen frames (sigma 0)."""
    step = (sigmas.to(sigma) > sigma[..., None]).sum(-1).clamp_max(len(timesteps) - 1)
    return torch.where(sigma > 0, timesteps.to(sigma)[step], 0.0)


# Field -> (what the reference takes where the field is missing, what is supported here).
_NEEDED: dict[str, dict[str, tuple[object, object]]] = {
    "euler": {
        "invert_sigmas": (False, False),
        "stochastic_sampling": (False, False),
        "use_karras_sigmas": (False, False),
        "use_exponential_sigmas": (False, False),
        "use_beta_sigmas": (False, False),
        "time_shift_type": ("exponential", "exponential"),
    },
    "unipc": {
        "prediction_type": ("epsilon", "flow_prediction"),
        "use_flow_sigmas": (False, True),
        "solver_order": (2, 2),
        "solver_type": ("bh2", "bh2"),
        "predict_x0": (True, True),
        "lower_order_final": (True, True),
        "final_sigmas_type": ("zero", "zero"),
        "disable_corrector": ((), ()),
        "solver_p": (None, None),
        "thresholding": (False, False),
        "use_karras_sigmas": (False, False),
        "use_exponential_sigmas": (False, False),
        "use_beta_sigmas": (False, False),
        # the pipelines that use UniPC don't say how far to shift
        "use_dynamic_shifting": (False, False),
    },
}
_READ = {
    "euler": {
        "num_train_timesteps",
        "shift",
        "use_dynamic_shifting",
        "base_shift",
        "max_shift",
        "base_image_seq_len",
        "max_image_seq_len",
        "shift_terminal",
    },
    "unipc": {"num_train_timesteps", "flow_shift", "shift_terminal"},
}
# Fields of UniPC that are about another path, or about what `_NEEDED` has off.
_IDLE = {
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "timestep_spacing",
    "steps_offset",
    "time_shift_type",
    "sigma_min",
    "sigma_max",
}


def read_scheduler(config: Mapping[str, Any], *, from_pipeline: bool) -> PublishedSampler:
    """The sampler that a ``scheduler_config.json`` describes; ``from_pipeline`` as in `PublishedSampler`.

    A missing field has the reference's default. An unknown one is let through while it is off (null, false, 0, empty).
    Raises: InvalidInput with the field's name, for a class, a setting or a field that isn't supported.
    """
    name = config.get("_class_name")
    if name not in SOLVERS:
        raise InvalidInput("scheduler._class_name", name, f"must be {choices(SOLVERS)}")
    solver = SOLVERS[name]
    for field, (default, supported) in _NEEDED[solver].items():
        if (value := config.get(field, default)) != supported and (value or supported):
            raise InvalidInput(f"scheduler.{field}", value, f"isn't supported: must be {supported!r}")
    known = {*_NEEDED[solver], *_READ[solver], *(_IDLE if solver == "unipc" else ())}
    for field, value in config.items():
        if value and field not in known and not field.startswith("_"):
            raise InvalidInput(f"scheduler.{field}", value, f"isn't known of {name}: remove it, or set it to null")
    shift: float | TokenShift = _positive(config, "flow_shift" if solver == "unipc" else "shift", 1.0)
    if solver == "euler" and config.get("use_dynamic_shifting"):
        shift = TokenShift(
            base_tokens=_whole(config, "base_image_seq_len", 256),
            max_tokens=_whole(config, "max_image_seq_len", 4096),
            base_log_shift=_positive(config, "base_shift", 0.5),
            max_log_shift=_positive(config, "max_shift", 1.15),
        )
    last = _positive(config, "shift_terminal", 0.0) if config.get("shift_terminal") else None
    if last is not None and last >= 1:
        raise InvalidInput("scheduler.shift_terminal", last, "must be below 1, or null")
    return PublishedSampler(
        solver=solver,
        shift=shift,
        num_timesteps=_whole(config, "num_train_timesteps", 1000),
        from_pipeline=from_pipeline,
        last_start=last,
    )


def _positive(config: Mapping[str, Any], field: str, default: float) -> float:
    value = config.get(field, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"scheduler.{field}", value, "must be a number above 0")
    return float(value)


def _whole(config: Mapping[str, Any], field: str, default: int) -> int:
    value = config.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"scheduler.{field}", value, "must be a whole number of at least 1")
    return value
