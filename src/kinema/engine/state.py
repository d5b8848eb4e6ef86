"""`GenerationState`: a generation after some of its steps, from which another process goes on bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kinema.core.errors import InvalidInput
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest

if TYPE_CHECKING:
    from torch import Tensor

    from kinema.engine.meter import RunMetrics


@dataclass(frozen=True, kw_only=True, eq=False)
class GenerationState:
    """``latents`` (1 c t h w, float32, a copy) after ``step`` steps of the resolved ``request`` under ``plan``.

    ``memory`` are the tensors that the stepper remembers of earlier steps, in its order; most remember none. ``inputs`` has what the
    request's pictures were: reference -> hash of the pixels. ``spent`` is what it cost up to there.
    After the last step nothing is left to do but the decode.
    """

    request: GenerationRequest
    plan: RunPlan
    model_hash: str
    step: int
    latents: Tensor
    memory: tuple[Tensor, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    spent: RunMetrics | None = None

    def check(self, request: GenerationRequest, plan: RunPlan, model_hash: str, inputs: Mapping[str, str]) -> None:
        """Raises: InvalidInput unless this is a state of ``request`` (resolved), of that plan and of that model.

        How latents are decoded and where weights lie may differ: no step depends on it.
        """
        mine, other = self.request.to_dict(), request.to_dict()
        if changed := [k for k in {**mine, **other} if mine.get(k) != other.get(k)]:
            raise InvalidInput("resume", changed, "belongs to another request: these fields differ")
        if changed := [ref for ref in inputs if inputs[ref] != self.inputs.get(ref)]:
            raise InvalidInput("resume", changed, "began with other pictures: these changed meanwhile")
        if replace(self.plan, decode=plan.decode, offload=plan.offload) != plan:
            raise InvalidInput("resume", self.plan, f"was made under another plan (this one is {plan})")
        if self.model_hash != model_hash:
            raise InvalidInput("resume", self.model_hash, f"was made by other weights (these are {model_hash})")
