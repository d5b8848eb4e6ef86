"""The recipes of the shipped model. Others are derived from them with `dataclasses.replace`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.config import MINI_VAE
from kinema.training.budget import Budget, LearningRate
from kinema.training.loop import LoopRecipe
from kinema.training.optim import OptimRecipe
from kinema.training.prepare import SceneRange
from kinema.training.vae import VaeRecipe

SMALL = VideoShape(frames=17, height_px=64, width_px=64, fps=8.0)

MINI_VAE_RECIPE = VaeRecipe(
    config=MINI_VAE,
    batch=4,
    loop=LoopRecipe(
        budget=Budget(minutes=20),
        rate=LearningRate(warmup_steps=100, decay=0.6, shape="cosine"),
        optim=OptimRecipe(lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01, clip_norm=1.0),
        ema_decay=0.998,
        validate_every_minutes=3.0,
        checkpoint_every_minutes=3.0,
    ),
)


@dataclass(frozen=True, kw_only=True)
class MiniRecipe:
    """The whole story of the shipped model: data, autoencoder, then the transformer's stages."""

    vae_frames: SceneRange = SceneRange(split="train", shape=SMALL, count=2048)
    vae_validation: SceneRange = SceneRange(split="validation", shape=SMALL, count=64)
    vae: VaeRecipe = MINI_VAE_RECIPE

    def with_vae_minutes(self, minutes: float) -> MiniRecipe:
        """This recipe with another budget for the autoencoder."""
        return replace(self, vae=replace(self.vae, loop=replace(self.vae.loop, budget=Budget(minutes=minutes))))


def checked_minutes(minutes: float) -> float:
    """``minutes``, if a budget can have them. Raises: InvalidInput."""
    if not 0 < minutes < float("inf"):
        raise InvalidInput("budget", minutes, "must be a number of minutes above zero")
    return minutes
