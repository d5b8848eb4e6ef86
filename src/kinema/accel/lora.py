"""LoRAs on a built network: `apply_lora` adds their changes to the weights, `attach_lora` has them beside the weights.

Added, a change costs nothing more when the network runs, and is rounded as the weights are. Attached, it keeps its own numbers
beside a weight that is quantised, and a weight that comes from a file whenever it runs is used as it lies there; every product
then takes two small ones more. The two agree within the rounding of their dtype.

Source: Hu et al. 2021 (LoRA), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.models.layers.linear import GeluLinear
from kinema.models.layers.low_rank import LowRank

# the layers that a change can stand beside, and which `with_lora` knows
_LINEAR = (nn.Linear, GeluLinear)
# of a change that are there at once, in fp32, while it is added
_CHUNK_NUMBERS = 1 << 20


@torch.no_grad()
def apply_lora(
    module: nn.Module, updates: Mapping[str, LowRank | Tensor], *, scale: float = 1.0
) -> dict[str, nn.Parameter]:
    """Adds ``scale`` times each update to the parameter of its name; returns the parameters that stood there before.

    Sums are fp32 and rounded once to the parameter's dtype. Nothing is changed in place: `restore` puts the very same
    parameters back, and a weight that is mapped from a file stays as it is there. Several files are applied in turn.

    Raises: InvalidInput for a name that isn't a parameter of ``module``, or a scale that is no number; nothing is changed then.
    """
    before = _parameters(module, updates, scale)
    for name, parameter in before.items():
        if parameter.is_meta or type(parameter) is not nn.Parameter:
            raise InvalidInput("lora", name, "is quantised or not in memory; apply a LoRA before either, or attach it")
    for name, update in updates.items():
        changed = merged(before[name], update, scale)
        _put(module, name, nn.Parameter(changed, requires_grad=before[name].requires_grad))
    return before


@torch.no_grad()
def attach_lora(
    module: nn.Module, updates: Mapping[str, LowRank | Tensor], *, scale: float = 1.0
) -> dict[str, LowRank | Tensor]:
    """Has ``scale`` times each low-rank update beside the linear layer whose weight it is for, and returns the other updates.

    Those are for `apply_lora`: dense ones, and those of convolutions and tables. The factors are buffers of the layer, in its
    dtype, which no file has; its weight stays what it is, and may be quantised or on the meta device, now or later. Several files
    are attached in turn, and add. Acts before `apply_offload`, `apply_pack` and `apply_compile`.

    Raises: InvalidInput as `apply_lora`; nothing is changed then.
    """
    parameters, others = _parameters(module, updates, scale), {}
    for name, update in updates.items():
        parent, _, leaf = name.rpartition(".")
        layer = module.get_submodule(parent)
        if leaf != "weight" or type(layer) not in _LINEAR or not isinstance(update, LowRank):
            others[name] = update
            continue
        weight = parameters[name]
        # the scale is in one of the factors, before it is rounded
        factors = update.down, scale * update.scale * update.up.float()
        for key, factor, dim in zip(("lora_down", "lora_up"), factors, (0, 1), strict=True):
            # a copy: the same bits wherever the file has it, which is not kept open for it
            new = factor.to("cpu" if weight.is_meta else weight.device, weight.dtype, copy=True)
            old = layer._buffers.get(key)
            layer.register_buffer(key, new if old is None else torch.cat([old, new], dim), persistent=False)
        layer.forward = partial(_forward, layer)
    return others


def with_lora(layer: Any, x: Float[Tensor, "*b i"], product: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
    """``product`` of ``x`` and the weight of ``layer``, with what is attached to it added in place."""
    return product.add_(F.linear(F.linear(x, layer.lora_down), layer.lora_up))


def merged(weight: Tensor, update: LowRank | Tensor, scale: float) -> Tensor:
    """``weight`` and ``scale`` times ``update``, summed in fp32 and rounded once to the weight's dtype."""
    if not isinstance(update, LowRank):
        change = scale * update.float().to(weight.device)
        return change.reshape(weight.shape).add_(weight).to(weight.dtype)
    # some rows at a time: of a large matrix every copy in fp32 counts
    out = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
    num_rows, width = update.up.shape[0], update.down.shape[1]
    before, after = weight.reshape(num_rows, width), out.view(num_rows, width)
    for first in range(0, num_rows, step := max(1, _CHUNK_NUMBERS // width)):
        rows = slice(first, first + step)
        change = scale * replace(update, up=update.up[rows]).dense().to(weight.device)
        after[rows] = change.add_(before[rows])
    return out


def restore(module: nn.Module, before: Mapping[str, nn.Parameter]) -> None:
    """Puts back what `apply_lora` returned, to the bit."""
    for name, parameter in before.items():
        _put(module, name, parameter)


def _forward(layer: Any, x: Tensor) -> Tensor:
    y = with_lora(layer, x, F.linear(x, layer.weight, layer.bias))
    return F.gelu(y, approximate="tanh") if type(layer) is GeluLinear else y


def _parameters(module: nn.Module, updates: Mapping[str, LowRank | Tensor], scale: float) -> dict[str, nn.Parameter]:
    """The parameters that ``updates`` are for. Raises: InvalidInput."""
    if not math.isfinite(scale):
        raise InvalidInput("scale", scale, "must be a number")
    found: dict[str, nn.Parameter] = {}
    for name, update in updates.items():
        try:
            found[name] = module.get_parameter(name)
        except AttributeError as e:
            raise InvalidInput("lora", name, f"is no parameter of this {type(module).__name__}") from e
        count = update.up.shape[0] * update.down.shape[1] if isinstance(update, LowRank) else update.numel()
        if count != found[name].numel():
            raise InvalidInput("lora", name, f"has another shape than the parameter's {tuple(found[name].shape)}")
    return found


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, parameter)
