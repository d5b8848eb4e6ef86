"""Two networks for one path, as Wan 2.2's: one for the noisy levels, then one for the rest, each with its own guidance.

Source: the published pipelines of Wan 2.2 A14B.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.guidance import Guidance, step_of
from kinema.flow.steppers import Predictor


def first_expert_steps(timesteps: Float[Tensor, " steps"], boundary: float, *, num_timesteps: int = 1000) -> int:
    """How many of the steps are the first expert's: those whose timestep is at least ``boundary`` (a share) of ``num_timesteps``.

    Timesteps fall, so these are the first steps. 0 and all of them are valid. Raises: InvalidInput.
    """
    if not 0 <= boundary <= 1:
        raise InvalidInput("boundary", boundary, "must be from 0 to 1")
    # timesteps are whole numbers or fp32; in fp64 the product is what the reference compares with
    return int((timesteps.double() >= boundary * num_timesteps).sum())


def expert_guidance(guidance: Guidance, scale_2: float | None = None) -> tuple[Guidance, Guidance]:
    """How each expert is guided: the first as ``guidance`` says, the second likewise with ``scale_2``, or the same scale if None.

    The reference asks for no unconditional prediction at all unless the first scale is above 1, whatever the second is.
    """
    if guidance.scale <= 1:
        off = replace(guidance, mode="off")
        return off, off
    return guidance, guidance if scale_2 is None else replace(guidance, scale=scale_2)


def experts(
    first: Predictor, second: Predictor, *, sigmas: Float[Tensor, " levels"], num_first_steps: int
) -> Predictor:
    """A predictor that asks ``first`` in the first ``num_first_steps`` steps of ``sigmas`` and ``second`` in the others."""

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        return (first if step_of(sigmas, sigma) < num_first_steps else second)(x, sigma)

    return predict
