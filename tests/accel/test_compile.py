"""Compiled blocks compute what eager ones do."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from kinema.accel.compile import apply_compile
from kinema.core.errors import InvalidInput
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer

CONFIG = VideoTransformerConfig(
    in_channels=3,
    out_channels=3,
    num_attention_heads=1,
    attention_head_dim=12,
    num_layers=1,
    num_single_layers=2,
    num_refiner_layers=0,
    text_embed_dim=5,
    pooled_projection_dim=7,
    rope_axes_dim=(4, 4, 4),
    shared_modulation=True,
)


def test_a_network_without_repeated_blocks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="^compile: 'Linear'"):
        apply_compile(nn.Linear(2, 3))


@pytest.mark.slow
def test_compiled_blocks_equal_eager_ones() -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    model = VideoTransformer(CONFIG)
    model.init_weights(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.eval()
    latents, text = torch.randn(2, 3, 3, 4, 6, generator=generator), torch.randn(2, 5, 5, generator=generator)
    inputs = latents, torch.tensor([0.3, 0.7]), text, None, torch.randn(2, 7, generator=generator)
    with torch.inference_mode():
        eager = model(*inputs)
        compiled = apply_compile(model)(*inputs)
    assert eager.abs().max() > 0.01
    assert torch.allclose(eager, compiled, atol=1e-4)
