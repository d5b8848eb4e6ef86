"""The recipes of the shipped model. Others are derived from them with `dataclasses.replace`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.config import MINI_VAE
from kinema.models.text.byte_encoder import MINI_TEXT
from kinema.models.transformers.config import MINI
from kinema.training.budget import Budget, LearningRate
from kinema.training.conditions import ConditionRecipe
from kinema.training.export import ExportRecipe
from kinema.training.latents import LatentRecipe
from kinema.training.loop import LoopRecipe
from kinema.training.optim import OptimRecipe
from kinema.training.prepare import SceneRange
from kinema.training.preview import SheetRecipe
from kinema.training.text import TextRecipe
from kinema.training.transformer import TransformerRecipe
from kinema.training.vae import VaeRecipe
from kinema.training.vae_losses import LossWeights

R = TypeVar("R", VaeRecipe, TextRecipe, TransformerRecipe)
BASE = VideoShape(frames=17, height_px=96, width_px=96, fps=8.0)
SMALL = VideoShape(frames=17, height_px=64, width_px=64, fps=8.0)
WIDE = VideoShape(frames=17, height_px=80, width_px=128, fps=8.0)
TALL = VideoShape(frames=17, height_px=128, width_px=80, fps=8.0)
LONG = VideoShape(frames=33, height_px=96, width_px=96, fps=8.0)
WIDE_LONG = VideoShape(frames=33, height_px=80, width_px=128, fps=8.0)
TALL_LONG = VideoShape(frames=33, height_px=128, width_px=80, fps=8.0)

VAE_FRAMES = SceneRange(split="train", shape=SMALL, count=2048)
VAE_VALIDATION = SceneRange(split="validation", shape=SMALL, count=64)
MINI_VAE_RECIPE = VaeRecipe(
    config=MINI_VAE,
    # crops and Muon: at equal minutes on two cores they came further than whole clips and AdamW
    batch=4,
    crop_px=48,
    crop_frames=9,
    weights=LossWeights(kl=1e-4),
    loop=LoopRecipe(
        budget=Budget(minutes=20),
        rate=LearningRate(warmup_steps=100, decay=0.8, shape="cosine"),
        optim=OptimRecipe(kind="muon", lr=2e-3, muon_lr=6e-3, betas=(0.9, 0.99), weight_decay=0.01, clip_norm=1.0),
        ema_decay=0.998,
        validate_every_minutes=4.0,
        checkpoint_every_minutes=3.0,
    ),
)
# The decoder goes on where it stopped, so at smaller rates that fall from the start. Both are guesses, not measured.
MINI_DECODER_LOOP = replace(
    MINI_VAE_RECIPE.loop,
    budget=Budget(minutes=6),
    rate=LearningRate(warmup_steps=50, decay=1.0, shape="cosine"),
    optim=replace(MINI_VAE_RECIPE.loop.optim, lr=1e-3, muon_lr=3e-3),
)

MINI_TEXT_RECIPE = TextRecipe(
    config=MINI_TEXT,
    difficulty="core",
    loop=LoopRecipe(
        budget=Budget(minutes=5),
        rate=LearningRate(warmup_steps=50, decay=0.6, shape="cosine"),
        optim=OptimRecipe(kind="adamw", lr=1.2e-3, betas=(0.9, 0.98), weight_decay=0.01, clip_norm=1.0),
        ema_decay=0.99,
        validate_every_minutes=2.0,
        checkpoint_every_minutes=2.0,
    ),
)

MINI_TRANSFORMER_RECIPE = TransformerRecipe(
    config=MINI,
    text=MINI_TEXT,
    is_text_frozen=True,
    conditions=ConditionRecipe(known=0.2, uneven=0.05),
    batch_tokens=4_000,
    stills=0.4,
    loop=LoopRecipe(
        budget=Budget(minutes=40),
        rate=LearningRate(warmup_steps=200, decay=0.4, shape="cosine"),
        optim=OptimRecipe(kind="muon", lr=1e-3, muon_lr=2e-3, betas=(0.9, 0.95), weight_decay=0.01, clip_norm=1.0),
        ema_decay=0.999,
        validate_every_minutes=8.0,
        checkpoint_every_minutes=4.0,
    ),
)


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """One stage of the transformer: its data and how it is trained. A stage starts from the weights of the one before.

    ``train`` are scenes at one or more shapes, pictures among them; the first is what the stage is for. Each comes as often as its
    share of tokens asks for, or as the transformer's ``shares`` say.
    """

    train: tuple[SceneRange, ...]
    validation: SceneRange
    transformer: TransformerRecipe

    @property
    def sets(self) -> dict[str, SceneRange]:
        """The stage's scenes by name."""
        return {f"train-{n}": scenes for n, scenes in enumerate(self.train, 1)} | {"validation": self.validation}

    def narrowed(self) -> StageRecipe:
        """This stage with its first shape alone."""
        return replace(self, train=self.train[:1])

    def sized(self, scenes: float) -> StageRecipe:
        """This stage with about ``scenes`` training scenes in all, in the proportions that it has."""
        scale = scenes / sum(one.count for one in self.train)
        train = tuple(replace(one, count=max(one.per_shard, round(scale * one.count))) for one in self.train)
        return replace(self, train=train)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How the minutes of a whole run are spent. Rendering and encoding are not timed but sized: scenes per minute of the run.

    A run shorter than ``many_shapes_from`` minutes trains every stage on its first shape alone: each costs a minute of compiling.
    """

    vae: float = 0.25
    decoder: float = 0.1
    text: float = 0.04
    stages: tuple[float, ...] = (0.27, 0.14)
    vae_scenes_per_minute: float = 34.0
    stage_scenes_per_minute: tuple[float, ...] = (50.0, 25.0)
    many_shapes_from: float = 100.0


MINI_STAGES = (
    StageRecipe(
        train=(SceneRange(split="train", shape=SMALL, count=6000),),
        validation=SceneRange(split="validation", shape=SMALL, count=128),
        transformer=MINI_TRANSFORMER_RECIPE,
    ),
    StageRecipe(
        train=(
            SceneRange(split="train", shape=BASE, count=3072, first_seed=1_000_000),
            SceneRange(split="train", shape=WIDE, count=1536, first_seed=1_100_000),
            SceneRange(split="train", shape=TALL, count=768, first_seed=1_200_000),
            SceneRange(split="train", shape=LONG, count=768, first_seed=1_300_000),
            SceneRange(split="train", shape=WIDE_LONG, count=640, first_seed=1_400_000),
            SceneRange(split="train", shape=TALL_LONG, count=448, first_seed=1_500_000),
        ),
        validation=SceneRange(split="validation", shape=BASE, count=128),
        transformer=replace(
            MINI_TRANSFORMER_RECIPE,
            # at the first stage's rates the larger pictures follow their words less
            loop=replace(
                MINI_TRANSFORMER_RECIPE.loop,
                rate=LearningRate(warmup_steps=60, decay=0.8, shape="cosine"),
                optim=replace(MINI_TRANSFORMER_RECIPE.loop.optim, lr=4e-4, muon_lr=9e-4),
            ),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class MiniRecipe:
    """The whole story of the shipped model: data, autoencoder, its decoder again, text encoder, then the transformer's stages.

    ``decoder`` is how the decoder trains on alone, with everything else as in ``vae``.
    """

    vae_frames: SceneRange = VAE_FRAMES
    vae_validation: SceneRange = VAE_VALIDATION
    vae: VaeRecipe = MINI_VAE_RECIPE
    decoder: LoopRecipe = MINI_DECODER_LOOP
    latents: LatentRecipe = field(default_factory=LatentRecipe)
    text: TextRecipe = MINI_TEXT_RECIPE
    stages: tuple[StageRecipe, ...] = MINI_STAGES
    sheet: SheetRecipe = field(default_factory=SheetRecipe)
    export: ExportRecipe = field(default_factory=ExportRecipe)
    shares: Shares = field(default_factory=Shares)

    def within(self, minutes: float) -> MiniRecipe:
        """This recipe sized for a run of ``minutes`` in all. Raises: InvalidInput."""
        if not 0 < minutes < float("inf"):
            raise InvalidInput("budget", minutes, "must be a number of minutes above zero")
        shares, stages = self.shares, []
        for stage, share, scenes in zip(self.stages, shares.stages, shares.stage_scenes_per_minute, strict=True):
            kept = (stage if minutes >= shares.many_shapes_from else stage.narrowed()).sized(scenes * minutes)
            stages.append(replace(kept, transformer=_lasting(stage.transformer, share * minutes)))
        frames = replace(self.vae_frames, count=max(64, round(shares.vae_scenes_per_minute * minutes)))
        vae, decoder = _lasting(self.vae, shares.vae * minutes), lasting(self.decoder, shares.decoder * minutes)
        text = _lasting(self.text, shares.text * minutes)
        return replace(self, vae_frames=frames, vae=vae, decoder=decoder, text=text, stages=tuple(stages))

    def going_on(self, minutes: float) -> MiniRecipe:
        """This recipe sized for a run of ``minutes`` that keeps autoencoder and text encoder as they are. Raises: InvalidInput."""
        self.within(minutes)  # so that an error names what was given
        return self.within(minutes / (1 - self.shares.vae - self.shares.decoder - self.shares.text))

    def for_phase(self, phase: str, minutes: float) -> MiniRecipe:
        """This recipe with all of ``minutes`` for ``phase``, data sized as for a whole run of as many. Raises: InvalidInput."""
        whole = self.within(minutes)
        if phase == "vae":
            return replace(whole, vae=_lasting(whole.vae, minutes))
        if phase == "text":
            return replace(whole, text=_lasting(whole.text, minutes))
        if phase == "decoder":
            return replace(whole, decoder=lasting(whole.decoder, minutes))
        # stages share their minutes as they would a whole run's
        return self.within(minutes / sum(self.shares.stages)) if phase == "transformer" else whole


def lasting(loop: LoopRecipe, minutes: float) -> LoopRecipe:
    """``loop`` with a budget of ``minutes``."""
    return replace(loop, budget=Budget(minutes=minutes))


def _lasting(recipe: R, minutes: float) -> R:
    return replace(recipe, loop=lasting(recipe.loop, minutes))
