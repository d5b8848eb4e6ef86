"""A tiny model with random weights: everything of the real one, in milliseconds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kinema
from kinema.core.card import CostFormula, ModelCard
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.media.write import write_picture
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.text.byte_encoder import ByteTextEncoder, ByteTextEncoderConfig
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.weights.build import as_component
from kinema.weights.sampler import SamplerConfig
from kinema.weights.save import save_model

CHANNELS = 5

VAE = VideoAutoencoderConfig(
    latent_channels=CHANNELS,
    block_out_channels=(8, 16, 16),
    layers_per_block=1,
    patch_px=2,
    norm="rms",
    conv="factorised",
    temporal_convs=1,
    resample="shuffle",
    mid_layers=1,
    mid_attention=False,
    latent_mean=(0.1, -0.2, 0.0, 0.3, 0.05),
    latent_std=(1.1, 0.9, 1.0, 1.3, 0.7),
)
TEXT = ByteTextEncoderConfig(width=16, num_heads=2, num_layers=1, num_tokens=3, pooled_dim=20, mlp_width=24)
TRANSFORMER = VideoTransformerConfig(
    in_channels=CHANNELS,
    out_channels=CHANNELS,
    num_attention_heads=2,
    attention_head_dim=12,
    num_layers=1,
    num_single_layers=2,
    num_refiner_layers=0,
    text_embed_dim=16,
    pooled_projection_dim=20,
    rope_axes_dim=(4, 4, 4),
    known_channels=CHANNELS,
    camera_dim=7,
    scalar_conditions=("motion", "fps", "width", "height"),
    shared_modulation=True,
)
# what it can do
TINY_CARD = ModelCard(
    name="tiny",
    version="3",
    family="tiny",
    license="Apache-2.0",
    parameters={},
    weights_bytes=0,
    sizes=((48, 32), (32, 32), (64, 96)),
    compression=VAE.compression,
    patch=TRANSFORMER.patch,
    text_tokens=TEXT.num_tokens,
    fps=(8.0, 12.0),
    default_seconds=1.2,
    max_frames=33,
    default_steps=3,
    default_guidance=2.5,
    conditions=("keyframes", "camera", "motion"),
    cameras=("static", "zoom_in", "pan_left"),
    languages=("en", "zh"),
    cost=CostFormula(
        denoise_per_token=2e5,
        denoise_per_token_pair=200.0,
        encode_per_pixel=2e4,
        decode_per_pixel=4e4,
        text=1e6,
        activation_bytes_per_token=4e3,
        activation_bytes_per_pixel=500.0,
    ),
)


def _random(module: nn.Module, seed: int) -> nn.Module:
    """``module`` with every parameter away from the zeros that training starts from."""
    generator = torch.Generator().manual_seed(seed)
    module.init_weights(generator)  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module


def save_tiny(folder: Path, card: ModelCard, *, seed: int = 0) -> Path:
    """A model folder with weights of ``seed``."""
    components = {
        "transformer": as_component(_random(VideoTransformer(TRANSFORMER), seed)),
        "vae": as_component(_random(VideoAutoencoder(VAE), seed + 1)),
        "text_encoder": as_component(_random(ByteTextEncoder(TEXT), seed + 2)),
        "scheduler": SamplerConfig(shift=3.0).as_component(),
    }
    return save_model(folder, components, card=card).path


@pytest.fixture(scope="session")
def tiny_card() -> ModelCard:
    """What the tiny model can do."""
    return TINY_CARD


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_card: ModelCard) -> Path:
    """The tiny model's folder."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", tiny_card)


@pytest.fixture(scope="session")
def engine(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine in float32 on one thread: no measurement, no file outside the test's folder."""
    return Engine(tiny, dtype="float32", threads=1, cache=tmp_path_factory.mktemp("cache") / "machine.json")


@pytest.fixture
def request_() -> GenerationRequest:
    """Nine frames of 48x32, seed 7."""
    return GenerationRequest(prompt="a red ball rolls", seed=7)


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    """A picture of another size than any clip's."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    write_picture(path, np.kron(blocks, np.ones((11, 13, 1), np.uint8)))
    return path


def run_python(code: str) -> str:
    """What ``code`` prints in a process of its own. Raises: CalledProcessError."""
    environment = {**os.environ, "PYTHONPATH": str(Path(kinema.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout


def with_card(card: ModelCard, **changes: object) -> ModelCard:
    """``card`` with ``changes``."""
    return replace(card, **changes)  # pyright: ignore[reportArgumentType]
