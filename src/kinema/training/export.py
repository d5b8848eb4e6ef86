"""The trained networks as a model folder with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from kinema.core.card import CostFormula, ModelCard
from kinema.core.geometry import Compression, VideoShape
from kinema.data.load.shards import ShardSet
from kinema.models.autoencoders.flops import flops as autoencoder_flops
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.text.byte_encoder import ByteTextEncoder, tokenize
from kinema.models.transformers.flops import flops as transformer_flops
from kinema.models.transformers.video import VideoTransformer
from kinema.training.latents import LANGUAGES
from kinema.training.speed import count_flops
from kinema.training.transformer import TEXT, TRANSFORMER, TransformerRecipe, Weights
from kinema.training.vae_losses import to_model
from kinema.weights.build import as_component
from kinema.weights.folder import ModelFolder
from kinema.weights.preview import fit_latent_rgb
from kinema.weights.sampler import SamplerConfig
from kinema.weights.save import save_model
from kinema.world.camera import CAMERAS
from kinema.world.sampler import words_of

# of these a layer holds about a dozen maps of its width at once (measured on the shipped model)
_LIVE_MAPS = 12
_FP32_BYTES = 4
# the map has a few dozen numbers; a clip has thousands of pixels to fit them to
_PREVIEW_CLIPS = 16


@dataclass(frozen=True, kw_only=True)
class ExportRecipe:
    """What the card says beyond what the networks do themselves, and how weights are stored: ``int8`` names components."""

    name: str = "kinema-mini"
    version: str = "0.1"
    steps: int = 20
    guidance: float = 5.0
    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(shift=3.0, stepper="unipc"))
    seconds: float = 2.0
    dtype: str = "bfloat16"
    int8: tuple[str, ...] = ("transformer",)


def export_model(
    folder: Path, recipe: ExportRecipe, *, transformer: TransformerRecipe, weights: Weights, vae: VideoAutoencoder,
    shapes: Sequence[VideoShape], levels: Sequence[str], training: Mapping[str, Any],
) -> ModelFolder:  # fmt: skip
    """The model folder written: networks, sampler and card.

    ``shapes`` are what was trained on, the default first; ``levels`` are the scenes' levels of difficulty, whose words it knows.
    """
    network, text = VideoTransformer(transformer.config), ByteTextEncoder(transformer.text)
    network.load_state_dict(weights[TRANSFORMER])
    text.load_state_dict(weights[TEXT])
    components = {
        "transformer": as_component(network),
        "vae": as_component(vae.cpu()),
        "text_encoder": as_component(text),
        "scheduler": recipe.sampler.as_component(),
    }
    card = make_card(
        recipe, transformer=transformer, vae=vae, text=text, shapes=shapes, levels=levels, training=training
    )
    return save_model(folder, components, card=card, dtype=getattr(torch, recipe.dtype), int8=recipe.int8)


@torch.no_grad()
def fitted_preview(vae: VideoAutoencoder, frames: ShardSet) -> list[list[float]]:
    """The map from normalised latents to colours, fitted to the first clips of ``frames``: what previews are made with."""
    bucket = max(frames.buckets)
    clips = frames.read(bucket, range(min(_PREVIEW_CLIPS, frames.buckets[bucket])))[0]["frames"]
    video, factors = to_model(clips), vae.config.compression
    latents = vae.normalise(vae.encode(video)[0])
    seen = [video[:, :, list(factors.frames_of_latent(k))].mean(dim=2) for k in range(latents.shape[2])]
    pictures = F.avg_pool3d(torch.stack(seen, dim=2), (1, factors.space, factors.space))
    return fit_latent_rgb(latents, pictures)


def make_card(
    recipe: ExportRecipe, *, transformer: TransformerRecipe, vae: VideoAutoencoder, text: ByteTextEncoder,
    shapes: Sequence[VideoShape], levels: Sequence[str], training: Mapping[str, Any],
) -> ModelCard:  # fmt: skip
    """The card; `save_model` fills in parameters and bytes."""
    config, factors = transformer.config, vae.config.compression
    align = factors.space * config.patch_size
    words = words_of(levels)
    conditions = {
        "keyframes": config.known_channels > 0,
        "camera": config.camera_dim > 0,
        "motion": "motion" in config.scalar_conditions,
    }
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        family="kinema",
        license="Apache-2.0",
        parameters={},
        weights_bytes=0,
        sizes=tuple(dict.fromkeys((s.width_px, s.height_px) for s in shapes)),
        compression=Compression(time=factors.time, space=factors.space, channels=factors.channels, align=align),
        patch=config.patch,
        text_tokens=transformer.text.num_tokens,
        fps=tuple(dict.fromkeys(float(s.fps) for s in shapes)),
        default_seconds=recipe.seconds,
        max_frames=max(s.frames for s in shapes),
        default_steps=recipe.steps,
        default_guidance=recipe.guidance,
        conditions=tuple(name for name, is_there in conditions.items() if is_there),
        cameras=tuple(c for c in CAMERAS if c in words["camera"]) if conditions["camera"] else (),
        languages=LANGUAGES,
        cost=cost(transformer, vae, text, shapes[0]),
        vocabulary=words,
        training=dict(training),
    )


def cost(recipe: TransformerRecipe, vae: VideoAutoencoder, text: ByteTextEncoder, shape: VideoShape) -> CostFormula:
    """FLOPs as polynomials of the shape: exact for the transformer, per pixel of ``shape`` for the autoencoder."""
    config, num_text = recipe.config, recipe.text.num_tokens
    counts = [num_text + n for n in (256, 512, 1024)]
    values = [transformer_flops(config, n - num_text, num_text) for n in counts]
    n = torch.tensor(counts, dtype=torch.float64)
    solved = torch.linalg.solve(torch.stack([torch.ones(3).double(), n, n**2], 1), torch.tensor(values).double())
    constant, per_token, per_pair = (float(x) for x in solved)
    encode, decode = autoencoder_flops(vae.config, shape)
    ids, mask = tokenize(["x" * 60])
    per_text = count_flops(lambda: text(ids, mask))
    finest = vae.config.decoder_channels[0] / vae.config.patch_px**2
    return CostFormula(
        denoise_per_token=per_token,
        denoise_per_token_pair=per_pair,
        denoise_constant=constant,
        encode_per_pixel=encode / shape.pixels,
        decode_per_pixel=decode / shape.pixels,
        text=per_text,
        activation_bytes_per_token=_FP32_BYTES * config.width * _LIVE_MAPS,
        activation_bytes_per_pixel=_FP32_BYTES * finest * _LIVE_MAPS,
    )
