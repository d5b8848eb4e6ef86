"""`SamplerConfig`: how a model wants to be sampled; the ``scheduler`` component of its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jaxtyping import Float
from torch import Tensor

from kinema.core.errors import InvalidInput, choices
from kinema.flow.guidance import METHODS
from kinema.flow.schedules import linear, linear_quadratic
from kinema.flow.steppers import STEPPERS
from kinema.weights.save import Component

SCHEDULES = ("linear", "linear_quadratic")


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Schedule, its shift towards noise (of ``linear`` alone), stepper and guidance method, by their names in `kinema.flow`."""

    schedule: str = "linear"
    shift: float = 1.0
    stepper: str = "euler"
    guidance: str = "classifier_free"

    def __post_init__(self) -> None:
        for name, table in (("schedule", SCHEDULES), ("stepper", tuple(STEPPERS)), ("guidance", METHODS)):
            if getattr(self, name) not in table:
                raise InvalidInput(name, getattr(self, name), f"must be {choices(table)}")
        if not self.shift > 0:
            raise InvalidInput("shift", self.shift, "must be above 0")
        if self.shift != 1 and self.schedule != "linear":
            raise InvalidInput("shift", self.shift, "goes with the linear schedule alone")

    def sigmas(self, steps: int) -> Float[Tensor, " levels"]:
        """``steps`` + 1 noise levels from 1 to 0."""
        return linear(steps, shift=self.shift) if self.schedule == "linear" else linear_quadratic(steps)

    def as_component(self) -> Component:
        """What `save_model` takes."""
        return Component(class_name="SamplerConfig", config=asdict(self))
