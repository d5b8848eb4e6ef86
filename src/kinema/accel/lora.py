"""`apply_lora`: the changes of a LoRA file added to the weights of a built network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.low_rank import LowRank


@torch.no_grad()
def apply_lora(
    module: nn.Module, updates: Mapping[str, LowRank | Tensor], *, scale: float = 1.0
) -> dict[str, nn.Parameter]:
    """Adds ``scale`` times each update to the parameter of its name; returns the parameters that stood there before.

    Sums are fp32 and rounded once to the parameter's dtype. Nothing is changed in place: `restore` puts the very same
    parameters back, and a weight that is mapped from a file stays as it is there. Several files are applied in turn.

    Raises: InvalidInput for a name that isn't a parameter of ``module``, or a scale that is no number; nothing is changed then.
    """
    if not math.isfinite(scale):
        raise InvalidInput("scale", scale, "must be a number")
    before: dict[str, nn.Parameter] = {}
    for name, update in updates.items():
        try:
            before[name] = module.get_parameter(name)
        except AttributeError as e:
            raise InvalidInput("lora", name, f"is no parameter of this {type(module).__name__}") from e
        if before[name].is_meta or type(before[name]) is not nn.Parameter:
            raise InvalidInput("lora", name, "is quantised or not in memory; apply a LoRA before either")
        count = update.up.shape[0] * update.down.shape[1] if isinstance(update, LowRank) else update.numel()
        if count != before[name].numel():
            raise InvalidInput("lora", name, f"has another shape than the parameter's {tuple(before[name].shape)}")
    for name, update in updates.items():
        changed = merged(before[name], update, scale)
        _put(module, name, nn.Parameter(changed, requires_grad=before[name].requires_grad))
    return before


def merged(weight: Tensor, update: LowRank | Tensor, scale: float) -> Tensor:
    """``weight`` and ``scale`` times ``update``, summed in fp32 and rounded once to the weight's dtype."""
    change = update.dense() if isinstance(update, LowRank) else update.float()
    return (weight.float() + scale * change.to(weight.device).reshape(weight.shape)).to(weight.dtype)


def restore(module: nn.Module, before: Mapping[str, nn.Parameter]) -> None:
    """Puts back what `apply_lora` returned, to the bit."""
    for name, parameter in before.items():
        _put(module, name, parameter)


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, parameter)
