"""Initial weights of the video transformer, drawn in order from one generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kinema.models.layers.norms import RmsNorm
from kinema.models.transformers.conditioning import CameraEmbedding, ScalarEmbedding
from kinema.models.transformers.modulation import Modulation

if TYPE_CHECKING:
    from kinema.models.transformers.video import VideoTransformer


@torch.no_grad()
def init_transformer(model: VideoTransformer, generator: torch.Generator) -> None:
    """Fills every parameter: variance-keeping weights, zero biases and tables, unit norms; gates and last layers zero."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv3d)):
            fill_normal(module.weight, generator)
            assert module.bias is not None
            module.bias.zero_()
        elif isinstance(module, (nn.LayerNorm, RmsNorm)):
            module.weight.fill_(1.0)
            if isinstance(module, nn.LayerNorm):
                module.bias.zero_()
    for module in model.modules():
        if isinstance(module, Modulation):
            (module.table if module.shared else module.linear.weight).zero_()
        elif isinstance(module, CameraEmbedding):
            module.linear_2.weight.zero_()
        elif isinstance(module, ScalarEmbedding):
            module.mlp.linear_2.weight.zero_()
            module.null.zero_()
    shared = model.shared_modulation
    for layer in [model.proj_out, *([] if shared is None else (shared.video, shared.text, shared.single))]:
        layer.weight.zero_()


@torch.no_grad()
def init_with_tables(model: nn.Module, width: int, generator: torch.Generator) -> None:
    """Fills every parameter of a transformer modulated by tables: variance-keeping weights, unit norms, zero biases.

    Tables begin with numbers of variance 1 / ``width``, as published, instead of closed gates.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("scale_shift_table"):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / width**0.5)
        elif parameter.ndim > 1 and name.endswith("weight"):
            fill_normal(parameter, generator)
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def fill_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Fills ``weight`` (out, in, ...) with a normal of variance 1 / fan-in, cut at two standard deviations."""
    std = 1 / math.sqrt(weight[0].numel())
    values = torch.empty(weight.shape)
    nn.init.trunc_normal_(values, std=std, a=-2 * std, b=2 * std, generator=generator)
    weight.copy_(values)
