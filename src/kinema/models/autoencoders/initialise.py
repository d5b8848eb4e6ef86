"""Initial weights of the video autoencoder, drawn in order from one generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kinema.models.autoencoders.blocks import PixelRmsNorm, ResidualBlock
from kinema.models.layers.causal_conv import FactorisedConv3d

# Branches start small beside their shortcuts, so that the untrained network is close to its shortcuts alone.
BRANCH_GAIN = 0.3
# Latents start nearly free of noise: at log-variance 0 it buries their mean, and hundreds of steps go by to dig it out.
INITIAL_LOGVAR = -4.0


@torch.no_grad()
def init_autoencoder(model: nn.Module, moments: nn.Conv3d, generator: torch.Generator) -> None:
    """Fills every parameter: variance-keeping weights, zero biases, unit norms; time kernels start as copies of now.

    ``moments`` is the layer that gives means and log-variances.
    """
    gains = {module.conv2: BRANCH_GAIN for module in model.modules() if isinstance(module, ResidualBlock)}
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            fill_normal(module.weight, 1.0, generator)
            assert module.bias is not None
            module.bias.zero_()
        elif isinstance(module, (nn.GroupNorm, PixelRmsNorm)):
            module.weight.fill_(1.0)
            if isinstance(module, nn.GroupNorm):
                module.bias.zero_()
    for conv, gain in gains.items():
        for module in conv.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.weight.mul_(gain)
    assert moments.bias is not None
    moments.bias[moments.out_channels // 2 :] = INITIAL_LOGVAR
    for module in model.modules():
        if isinstance(module, FactorisedConv3d) and module.temporal is not None:
            weight = module.temporal.weight
            weight.mul_(0.1)
            weight[:, :, -1, 0].add_(torch.eye(weight.shape[0], device=weight.device, dtype=weight.dtype))


def fill_normal(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    """Fills ``weight`` (out, in, ...) with a normal of variance gain^2 / fan-in."""
    fan_in = weight[0].numel()
    values = torch.randn(weight.shape, generator=generator) * (gain / math.sqrt(fan_in))
    weight.copy_(values)
