"""Small transformers with random weights, and inputs with another prime on every axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer

SMALL: dict[str, Any] = {
    "num_attention_heads": 3, "attention_head_dim": 16, "num_layers": 2, "num_single_layers": 3, "num_refiner_layers": 2,
    "in_channels": 5, "out_channels": 7, "text_embed_dim": 11, "pooled_projection_dim": 13, "rope_axes_dim": (4, 6, 6),
}  # fmt: skip
ALL_CONDITIONS: dict[str, Any] = {
    "known_channels": 5, "camera_dim": 7, "scalar_conditions": ("motion", "fps", "width"), "shared_modulation": True,
    "num_refiner_layers": 0, "out_channels": 5,
}  # fmt: skip


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Gives every parameter a size at which it matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            std = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


@pytest.fixture
def small() -> Callable[..., VideoTransformer]:
    """Makes a small transformer with random weights from SMALL and changes to it."""

    def make(**changes: Any) -> VideoTransformer:
        model = VideoTransformer(VideoTransformerConfig(**{**SMALL, **changes}))
        randomise(model)
        return model.eval()

    return make


@pytest.fixture
def inputs() -> Callable[..., dict[str, Any]]:
    """Makes the forward's arguments for a configuration: 2 samples, 3 frames of 10 x 14, 17 text tokens."""

    def make(
        config: VideoTransformerConfig, *, size: tuple[int, int, int] = (3, 10, 14), batch: int = 2, num_text: int = 17
    ) -> dict[str, Any]:
        g = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=g)

        given: dict[str, Any] = {
            "latents": normal(batch, config.in_channels, *size),
            "sigma": torch.rand(batch, generator=g),
            "text": normal(batch, num_text, config.text_embed_dim),
            "text_mask": torch.ones(batch, num_text, dtype=torch.bool),
            "pooled": normal(batch, config.pooled_projection_dim),
        }
        if config.guidance_embeds:
            given["guidance"] = 8 * torch.rand(batch, generator=g)
        if config.known_channels:
            given["known"] = normal(batch, config.known_channels, *size)
            given["known_mask"] = (normal(batch, 1, *size) > 0).float()
        if config.camera_dim:
            given["camera"] = normal(batch, size[0], config.camera_dim)
        if config.scalar_conditions:
            given["scalars"] = 200 * torch.rand(batch, len(config.scalar_conditions), generator=g)
        return given

    return make


@pytest.fixture
def all_conditions() -> dict[str, Any]:
    """What turns every option of the shipped model on."""
    return dict(ALL_CONDITIONS)
