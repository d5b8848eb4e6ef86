"""Recipes small enough for a test, and what tests of both trainers look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from kinema.core.progress import CancelToken, Progress
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.text.byte_encoder import ByteTextEncoderConfig
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.training import checkpoints
from kinema.training.budget import Budget, LearningRate
from kinema.training.conditions import ConditionRecipe
from kinema.training.loop import LoopRecipe
from kinema.training.optim import OptimRecipe
from kinema.training.text import TextRecipe
from kinema.training.transformer import TransformerRecipe
from kinema.training.vae import VaeRecipe

LOOP = LoopRecipe(
    budget=Budget(steps=6), rate=LearningRate(warmup_steps=2), optim=OptimRecipe(lr=3e-3), seed=3,
    log_every_steps=2, validate_every_steps=4, checkpoint_every_steps=3,
)  # fmt: skip
VAE = VaeRecipe(
    config=VideoAutoencoderConfig(
        latent_channels=5, block_out_channels=(8, 16), layers_per_block=(1, 0), time_compression=2, space_compression=4,
        patch_px=2, norm="rms", conv="factorised", temporal_convs=1, resample="shuffle", mid_layers=1, mid_attention=False,
    ),
    loop=LOOP, batch=2, dtype="float32", compile=False, validation_clips=3,
)  # fmt: skip
TRANSFORMER = TransformerRecipe(
    config=VideoTransformerConfig(
        in_channels=5, out_channels=5, num_attention_heads=2, attention_head_dim=16, num_layers=1, num_single_layers=2,
        num_refiner_layers=0, text_embed_dim=16, pooled_projection_dim=24, rope_axes_dim=(4, 6, 6), known_channels=5,
        camera_dim=7, scalar_conditions=("motion", "fps", "width", "height"), shared_modulation=True,
    ),
    text=ByteTextEncoderConfig(width=16, num_heads=2, num_layers=1, num_tokens=3, pooled_dim=24, mlp_width=32),
    loop=LOOP, batch_tokens=4 * 21, dtype="float32", compile=False, validation_samples=4, validation_bins=3,
    conditions=ConditionRecipe(known=0.5, uneven=0.5),
)  # fmt: skip

TEXT = TextRecipe(config=TRANSFORMER.text, loop=LOOP, batch=4, dtype="float32", validation_texts=8)


def all_tensors(path: Path) -> Mapping[str, Tensor]:
    """Every tensor of a checkpoint, named group:tensor."""
    groups = checkpoints.load(path).tensors
    return {f"{group}:{k}": v for group, tensors in groups.items() for k, v in tensors.items()}


class StopAt:
    """An observer that cancels its token at ``step``."""

    def __init__(self, step: int) -> None:
        self.step, self.token = step, CancelToken()

    def __call__(self, progress: Progress) -> None:
        if progress.step >= self.step:
            self.token.cancel()
