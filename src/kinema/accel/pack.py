"""`apply_pack`: linear layers with their weights as the processor's library (oneDNN) wants them, for inference on a CPU.

A plain layer's weight is brought into that order at every call. Packed once, products take 0.9 of the time in bf16; in fp32 0.45
on AMD's processors, where torch would otherwise ask a library that holds back there; and an activation is computed while its
product is still in the cache (0.54 of the two apart). Measured on one core with AVX-512, at the sizes of `kinema-mini`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from kinema.accel.lora import with_lora
from kinema.models.layers.linear import GeluLinear

# torch's compiler calls the same functions for the graphs that it makes
_OPS: Any = torch.ops.mkldnn
# about how many tokens come at once: the order that is best for so many is taken; any number works
_ROWS = 512
# class -> (activation, which of its kinds), as those functions name them
_ACTIVATIONS: dict[type[nn.Module], tuple[str, str]] = {nn.Linear: ("none", ""), GeluLinear: ("gelu", "tanh")}


class PackedLinear(nn.Module):
    """What a linear layer computes, activation included. Its weight is no parameter: it can't be trained, moved or saved."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._activation, self._kind = _ACTIVATIONS[type(linear)]
        self.weight = _OPS._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()
        for name, factor in linear.named_buffers():  # of a LoRA
            self.register_buffer(name, factor, persistent=False)

    @property
    def num_bytes(self) -> int:
        """Bytes of its weight and bias; what is attached to it are buffers."""
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """The layer's output."""
        return _product(self, x, self.weight, self._activation, self._kind)


def apply_pack(model: nn.Module) -> nn.Module:
    """``model`` with every linear layer packed in place; numbers change within the dtype's rounding.

    The plain weights are let go. Where this processor, torch or dtype offers nothing to gain, nothing is done.
    """
    for layer in list(model.modules()):
        for name, child in list(layer.named_children()):
            weight: Any = child.weight if type(child) in _ACTIVATIONS else None
            if weight is not None and not weight.is_meta and _can_pack(weight):
                setattr(layer, name, PackedLinear(child))  # pyright: ignore[reportArgumentType]
                # with a LoRA attached it refers to itself, and would keep the plain weight until cycles are collected
                vars(child).pop("forward", None)
    return model


def apply_unpacked(model: nn.Module) -> nn.Module:
    """``model``, whose weights come and go, with the bits of `apply_pack`: each is brought into its order at every call."""
    for layer in model.modules():
        if type(layer) in _ACTIVATIONS and _can_pack(layer.weight):  # pyright: ignore[reportArgumentType]
            layer.forward = partial(_multiply, layer)
    return model


def _multiply(layer: Any, x: Tensor) -> Tensor:
    activation, kind = _ACTIVATIONS[type(layer)]
    # left to itself the library takes another order for a single row, and with it other bits
    weight = _OPS._reorder_linear_weight(layer.weight.detach(), _ROWS)
    return _product(layer, x, weight, activation, kind)


def _product(layer: Any, x: Tensor, weight: Tensor, activation: str, kind: str) -> Tensor:
    if not layer._buffers:
        return _OPS._linear_pointwise(x, weight, layer.bias, activation, [], kind)
    # what is attached is added before the activation
    y = with_lora(layer, x, _OPS._linear_pointwise(x, weight, layer.bias, "none", [], ""))
    return y if activation == "none" else F.gelu(y, approximate=kind)


def _can_pack(weight: Tensor) -> bool:
    """Whether this is a plain matrix in a dtype that the library multiplies quickly here."""
    if (
        type(weight) is not nn.Parameter
        or weight.device.type not in ("cpu", "meta")
        or not torch.backends.mkldnn.is_available()
    ):
        return False
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    is_bf16 = weight.dtype == torch.bfloat16 and torch.cpu._is_avx512_bf16_supported()
    return is_bf16 or weight.dtype == torch.float32
