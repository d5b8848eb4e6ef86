"""Kinema's own family: byte text encoder, video transformer and video autoencoder, checked against their card and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from einops import repeat
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.family import STREAMED, Pictures, Sampling
from kinema.engine.families.kinema_conditions import build_conditions
from kinema.engine.families.parts import Parts, make_parts
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.guidance import Condition, Guidance
from kinema.flow.noise import noise
from kinema.flow.steppers import find_stepper
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.work import OnWork
from kinema.models.text.byte_encoder import ByteTextEncoder
from kinema.models.transformers.video import VideoTransformer
from kinema.weights.build import load_sampler
from kinema.weights.families.facts import check_fit
from kinema.weights.folder import ModelFolder
from kinema.weights.sampler import SamplerConfig
from kinema.world.camera import CAMERA_FEATURES

SCALARS = ("motion", "fps", "width", "height")


@dataclass(frozen=True, kw_only=True, eq=False)
class Kinema:
    """Kinema's own family in memory. See `kinema.engine.families.family.Family`."""

    text_encoder: ByteTextEncoder
    transformer: VideoTransformer
    vae: VideoAutoencoder
    sampler: SamplerConfig
    parts: Parts
    device: torch.device
    decode_modes: ClassVar[Mapping[str, str | None]] = STREAMED

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's dtype."""
        return self.transformer.proj_out.weight.dtype

    @property
    def vae_dtype(self) -> torch.dtype:
        """The autoencoder's dtype."""
        return self.vae.quant_conv.weight.dtype

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The transformer."""
        return (self.transformer,)

    def prepare(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan, clock: RunClock
    ) -> Sampling:
        """What the sampler is given for ``requests``."""
        conditions = build_conditions(self, requests, pictures, clock)
        sigmas = self.sampler.sigmas(requests[0].steps)
        guidance = Guidance(
            scale=requests[0].guidance,
            method=self.sampler.guidance,  # type: ignore[arg-type]
            mode=plan.guidance_mode,
        )
        return Sampling(
            predict=guidance.predictor(
                self._denoise, cond=conditions.cond, uncond=conditions.uncond, sigmas=sigmas.to(self.device)
            ),
            start=noise(requests[0].latent.as_tuple(), seeds=[r.seed for r in requests], device=self.device),
            sigmas=sigmas,
            stepper=find_stepper(self.sampler.stepper),
            frozen=conditions.frozen,
            known=conditions.known,
        )

    def decode(self, latents: Tensor, mode: str, request: ResolvedRequest, on_work: OnWork) -> Iterator[Tensor]:
        """A latent frame's pixels at a time where the autoencoder can stream, else all at once."""
        raw = self.vae.denormalise(latents.float()).to(self.vae_dtype)
        can_stream = self.vae.config.can_stream
        return self.parts.bring_for(
            "vae", lambda: self.vae.decode_stream(raw) if can_stream else iter([self.vae.decode(raw, on_work=on_work)])
        )

    def _denoise(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """The transformer as `kinema.flow` asks it: fp32 in and out, its own dtype inside."""
        given: Mapping[str, Tensor | None] = condition
        text, pooled = given["text"], given["pooled"]
        assert text is not None, "every request has a text, be it empty"
        assert pooled is not None, "and its summary"
        known, known_mask = given["known"], given["known_mask"]
        if given["camera"] is not None and sigma.ndim == 1:
            # a camera modulates every frame by itself anyway; so does training's noise level
            sigma = repeat(sigma, "b -> b t", t=x.shape[2])
        return self.transformer(
            x.to(self.dtype),
            sigma,
            text,
            given["text_mask"],
            pooled,
            known=None if known is None else known.to(self.dtype),
            known_mask=None if known_mask is None else known_mask.to(self.dtype),
            camera=given["camera"],
            scalars=given["scalars"],
        )


def load(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Kinema:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    parts = make_parts(folder, plan, clock)
    model = Kinema(
        text_encoder=cast(ByteTextEncoder, parts["text_encoder"]),
        transformer=cast(VideoTransformer, parts["transformer"]),
        vae=cast(VideoAutoencoder, parts["vae"]),
        sampler=load_sampler(folder),
        parts=parts,
        device=torch.device(plan.device),
    )
    check_components(folder, model)
    return model


def check_components(folder: ModelFolder, model: Kinema) -> None:
    """Raises: WeightsError where card and networks, or two networks, don't fit."""
    card, transformer, vae = folder.card, model.transformer.config, model.vae.config
    compression = vae.compression
    text = model.text_encoder.config
    said = {
        "compression in time, space and channels": {
            "vae": (compression.time, compression.space, compression.channels),
            "card": (card.compression.time, card.compression.space, card.compression.channels),
        },
        "channels into and out of the transformer": {
            "transformer": (transformer.in_channels, transformer.out_channels),
            "vae": (compression.channels,) * 2,
        },
        "patch": {"transformer": transformer.patch, "card": card.patch},
        "width of the text and its pooled vector": {
            "transformer": (transformer.text_embed_dim, transformer.pooled_projection_dim),
            "text_encoder": (text.width, text.pooled_dim),
        },
        "tokens of the text": {"text_encoder": text.num_tokens, "card": card.text_tokens},
        "ways to decode": {"family": sorted(model.decode_modes), "card": sorted(card.decodes)},
    }
    check_fit(folder, said)
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
