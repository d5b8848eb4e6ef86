"""LTX-Video as its published pipelines run it: text to video, or a first picture to video.

Legend: b batch, c latent channels, t h w latent frames, height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.family import STREAMED, Pictures, Sampling
from kinema.engine.families.parts import Parts
from kinema.engine.families.published import dtype_of, load_parts, picture_pixels, text_rows, told_level
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.guidance import Condition, Denoiser, Guidance
from kinema.flow.noise import generator
from kinema.flow.published import PublishedSampler
from kinema.models.autoencoders.gaussian import sample_latents
from kinema.models.autoencoders.ltx import LtxAutoencoder
from kinema.models.autoencoders.work import OnWork
from kinema.models.text.ltx import LtxText
from kinema.models.transformers.ltx import LtxTransformer
from kinema.weights.build import load_published_sampler
from kinema.weights.families.ltx import Settings, settings
from kinema.weights.folder import ModelFolder


@dataclass(frozen=True, kw_only=True, eq=False)
class Ltx:
    """An LTX-Video in memory. See `kinema.engine.families.family.Family`."""

    text: LtxText
    transformer: LtxTransformer
    vae: LtxAutoencoder
    sampler: PublishedSampler
    settings: Settings
    parts: Parts
    device: torch.device
    decode_modes: ClassVar[Mapping[str, str | None]] = STREAMED

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The transformer."""
        return (self.transformer,)

    def prepare(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan, clock: RunClock
    ) -> Sampling:
        """What the sampler is given for ``requests``."""
        first, tokens = requests[0], requests[0].latent.num_tokens((1, 1, 1))
        # the reference guides from above 1
        is_guided = first.guidance > 1
        clock.start("encode", len(requests) + sum(len(p) for p in pictures))
        texts = [lambda i: self.text.encode([requests[i].request.prompt])]
        if is_guided:
            texts.append(lambda i: self.text.encode([requests[i].request.negative_prompt]))
        self.parts.bring("text_encoder")
        dtype = dtype_of(self.transformer, "proj_out")
        conditions = text_rows(texts, len(requests), dtype=dtype, clock=clock)
        draws = [_Draws(request) for request in requests]
        known, frozen = self._known(requests, pictures, draws)
        clock.done("encode", len(requests) + sum(len(p) for p in pictures))
        sigmas = self.sampler.sigmas(first.steps, tokens=tokens)
        guidance = Guidance(
            scale=first.guidance if is_guided else 1.0,
            mode=plan.guidance_mode,
            rescale=self.settings.guidance_rescale,
        )
        return Sampling(
            predict=guidance.predictor(
                self._denoiser(first, tokens),
                cond=conditions[0],
                uncond=conditions[1] if is_guided else None,
                sigmas=sigmas,
            ),
            start=torch.cat([d.start for d in draws]).to(self.device),
            sigmas=sigmas,
            stepper=self.sampler.stepper,
            frozen=frozen,
            known=known,
        )

    def decode(self, latents: Tensor, mode: str, request: ResolvedRequest, on_work: OnWork) -> Iterator[Tensor]:
        """Pixels a few frames at a time, what the whole gives."""

        def chunks() -> Iterator[Tensor]:
            raw = self.vae.denormalise(latents.float())
            level = None
            if self.vae.config.timestep_conditioning:
                told, noise = self.settings.decode_timestep, self.settings.decode_noise_scale
                share = told if noise is None else noise
                if share:
                    raw = (1 - share) * raw + share * _Draws(request).decode.to(raw)
                level = torch.full((1,), told, device=self.device)
            # the reference takes the noise that decoders add from torch's global generator; here it is the seed's
            own = generator(request.seed, 1)
            return self.vae.decode_stream(_told(raw.to(self._vae_dtype), on_work), level=level, generator=own)

        return self.parts.bring_for("vae", chunks)

    def _known(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], draws: Sequence[_Draws]
    ) -> tuple[Tensor | None, Tensor | None]:
        """(latents of each request's first picture, where they are); as the reference does, a sample of what the encoder gives."""
        if not any(pictures):
            return None, None
        self.parts.bring("vae")
        known = torch.zeros(len(requests), *requests[0].latent.as_tuple(), device=self.device)
        frozen = torch.zeros(len(requests), 1, known.shape[2], 1, 1, dtype=torch.bool, device=self.device)
        for row, (places, drawn) in enumerate(zip(pictures, draws, strict=True)):
            if not places:
                continue
            mean, logvar = self.vae.encode(picture_pixels(places[0], self.device).to(self._vae_dtype))
            picture = self.vae.normalise(sample_latents(mean.float(), logvar.float(), drawn.picture))
            known[row, :, 0], frozen[row, :, 0] = picture[0, :, 0], True
        return known, frozen

    def _denoiser(self, request: ResolvedRequest, tokens: int) -> Denoiser:
        """The network as `kinema.flow` asks it: fp32 in and out, its own dtype inside."""
        dtype, told = dtype_of(self.transformer, "proj_out"), told_level(self.sampler, request.steps, tokens=tokens)
        factors = self.vae.config.compression
        spacing = (factors.time / request.video.fps, float(factors.space), float(factors.space))

        def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
            text = condition["text"]
            assert text is not None, "every request has a text, be it empty"
            return self.transformer(x.to(dtype), told(sigma), text, condition["text_mask"], spacing=spacing)

        return denoiser

    @property
    def _vae_dtype(self) -> torch.dtype:
        return dtype_of(self.vae, "decoder.conv_in.conv")


def _told(latents: Tensor, on_work: OnWork) -> Iterator[Tensor]:
    """Each latent frame as it is asked for: convolutions that see ahead read many before there are pixels."""
    for frame in latents.split(1, dim=2):
        on_work(0.0)
        yield frame


class _Draws:
    """The noise of a request, from one generator in the reference's order: for its picture, if it has one; its start; its decode."""

    def __init__(self, request: ResolvedRequest) -> None:
        channels, frames, height, width = request.latent.as_tuple()
        source = generator(request.seed)
        self.picture = torch.zeros(1, channels, 1, height, width)
        if request.keyframes:
            self.picture = torch.randn(self.picture.shape, generator=source)
        self.start, self.decode = (torch.randn(1, channels, frames, height, width, generator=source) for _ in range(2))


def load(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Ltx:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    sampler = load_published_sampler(folder)
    parts = load_parts(folder, plan, clock)
    return Ltx(
        text=LtxText(t5=parts["text_encoder"], tokenizer=parts["tokenizer"]),
        transformer=parts["transformer"],
        vae=parts["vae"],
        sampler=sampler,
        settings=settings(folder),
        parts=parts,
        device=torch.device(plan.device),
    )
