"""A model's networks in memory, checked against its card and each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from kinema.accel.compile import apply_compile
from kinema.core.errors import WeightsError
from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.text.byte_encoder import ByteTextEncoder
from kinema.models.transformers.video import VideoTransformer
from kinema.weights.build import load_component, load_sampler
from kinema.weights.folder import ModelFolder
from kinema.weights.sampler import SamplerConfig
from kinema.world.camera import CAMERA_FEATURES

SCALARS = ("motion", "fps", "width", "height")


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """The networks of one model, ready to run under the plans that share their dtypes and device."""

    text_encoder: ByteTextEncoder
    transformer: VideoTransformer
    vae: VideoAutoencoder
    sampler: SamplerConfig
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's dtype."""
        return self.transformer.proj_out.weight.dtype

    @property
    def vae_dtype(self) -> torch.dtype:
        """The autoencoder's dtype."""
        return self.vae.quant_conv.weight.dtype


def residency_key(plan: RunPlan) -> tuple[object, ...]:
    """What of ``plan`` decides how networks lie in memory."""
    return plan.dtype, plan.vae_dtype, plan.device, plan.compile


def load_components(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Components:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    dtypes = {"text_encoder": plan.dtype, "transformer": plan.dtype, "vae": plan.vae_dtype}
    clock.start("load", len(dtypes))
    device = torch.device(plan.device)
    networks = {}
    for step, (name, dtype) in enumerate(dtypes.items()):
        networks[name] = load_component(folder, name, dtype=getattr(torch, dtype), device=device)
        clock.done("load", step + 1)
    components = Components(
        text_encoder=cast(ByteTextEncoder, networks["text_encoder"]),
        transformer=cast(VideoTransformer, networks["transformer"]),
        vae=cast(VideoAutoencoder, networks["vae"]),
        sampler=load_sampler(folder),
        device=device,
    )
    check_components(folder, components)
    if plan.compile:
        apply_compile(components.transformer)
    return components


def check_components(folder: ModelFolder, components: Components) -> None:
    """Raises: WeightsError where card and networks, or two networks, don't fit."""
    card, transformer, vae = folder.card, components.transformer.config, components.vae.config
    compression = vae.compression
    text = components.text_encoder.config
    pairs = {
        "the autoencoder's compression": (
            (compression.time, compression.space, compression.channels),
            (card.compression.time, card.compression.space, card.compression.channels),
        ),
        "the transformer's channels": (
            (transformer.in_channels, transformer.out_channels),
            (compression.channels,) * 2,
        ),
        "the transformer's patch": (transformer.patch, card.patch),
        "the text's width": (
            (transformer.text_embed_dim, transformer.pooled_projection_dim),
            (text.width, text.pooled_dim),
        ),
        "the text's tokens": (card.text_tokens, text.num_tokens),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise WeightsError("model", folder.name, f"{what}: {found} here and {wanted} there, which don't fit")
    if transformer.known_channels not in (0, compression.channels) or transformer.camera_dim not in (
        0,
        CAMERA_FEATURES,
    ):
        raise WeightsError("model", folder.name, "its transformer takes known frames or cameras of another kind")
    if unknown := [n for n in transformer.scalar_conditions if n not in SCALARS]:
        raise WeightsError(
            "model", folder.name, f"its transformer takes numbers this engine doesn't know: {', '.join(unknown)}"
        )
    has = {
        "keyframes": transformer.known_channels > 0,
        "camera": transformer.camera_dim > 0,
        "motion": "motion" in transformer.scalar_conditions,
    }
    if promised := [n for n, is_there in has.items() if n in card.conditions and not is_there]:
        raise WeightsError(
            "model", folder.name, f"its card promises what its transformer can't take: {', '.join(promised)}"
        )
