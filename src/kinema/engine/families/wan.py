"""Wan 2.1 and 2.2 as their published pipelines run them: text or a picture to video, two experts, levels a token.

Legend: b batch, c latent channels, t h w latent frames, height and width, m mask channels (one for each frame of a latent one).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.family import Pictures, Sampling
from kinema.engine.families.parts import Parts
from kinema.engine.families.published import dtype_of, load_parts, picture_pixels, text_rows, told_level
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.experts import expert_guidance, experts, first_expert_steps
from kinema.flow.guidance import Condition, Denoiser, Guidance
from kinema.flow.noise import noise
from kinema.flow.published import PublishedSampler
from kinema.models.autoencoders.tiling import decode_wan_tiled
from kinema.models.autoencoders.wan import WanAutoencoder
from kinema.models.autoencoders.wan_strips import decode_strips
from kinema.models.autoencoders.work import OnWork
from kinema.models.text.wan import WanPicture, WanText
from kinema.models.transformers.wan import WanTransformer
from kinema.weights.build import load_published_sampler
from kinema.weights.folder import ModelFolder

# How the picture comes in: not at all; its latents and a mask behind the noisy ones; or in place of the first latent frame.
_CHANNELS, _FIRST_FRAME = "channels", "first frame"


@dataclass(frozen=True, kw_only=True, eq=False)
class Wan:
    """A Wan in memory. See `kinema.engine.families.family.Family`.

    ``transformers`` are one, or two experts, of which the first serves the share of the levels above ``boundary``.
    """

    text: WanText
    picture: WanPicture | None
    transformers: tuple[WanTransformer, ...]
    boundary: float
    picture_goes_to: str
    vae: WanAutoencoder
    sampler: PublishedSampler
    parts: Parts
    device: torch.device
    decode_modes: ClassVar[Mapping[str, str | None]] = {
        "default": "frugal",
        "exact": "frugal",
        "frugal": "tiles",
        "tiles": None,
    }

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The transformer, or both experts."""
        return self.transformers

    def prepare(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan, clock: RunClock
    ) -> Sampling:
        """What the sampler is given for ``requests``."""
        first = requests[0]
        guidances = expert_guidance(Guidance(scale=first.guidance, mode=plan.guidance_mode), first.request.guidance_2)
        clock.start("encode", len(requests) + self._num_chunks(pictures, first.latent.frames))
        texts = [lambda i: self.text.encode([requests[i].request.prompt])]
        if any(g.is_on for g in guidances):
            texts.append(lambda i: self.text.encode([requests[i].request.negative_prompt]))
        dtype = dtype_of(self.transformers[0], "proj_out")
        self.parts.bring("text_encoder")
        sides = text_rows(texts, len(requests), dtype=dtype, clock=clock)
        numbers = itertools.count(len(requests) + 1)
        shared, known, frozen = self._picture_inputs(
            requests, pictures, on_chunk=lambda: clock.done("encode", next(numbers))
        )
        conditions = [{"text": side["text"], **shared} for side in sides]
        sigmas = self.sampler.sigmas(first.steps)
        told = told_level(self.sampler, first.steps)
        predictors = [
            guidance.predictor(
                _denoiser(network, told), cond=conditions[0], uncond=(*conditions, None)[1], sigmas=sigmas
            )
            for network, guidance in zip(self.transformers, guidances, strict=False)
        ]
        predict = predictors[0]
        if len(predictors) == 2:
            timesteps, table = self.sampler.timesteps(first.steps), self.sampler.num_timesteps
            num_first = first_expert_steps(timesteps, self.boundary, num_timesteps=table)
            predict = experts(*predictors, sigmas=sigmas, num_first_steps=num_first)
        return Sampling(
            predict=predict,
            start=noise(first.latent.as_tuple(), seeds=[r.seed for r in requests], device=self.device),
            sigmas=sigmas,
            stepper=self.sampler.stepper,
            frozen=frozen,
            known=known,
        )

    def decode(self, latents: Tensor, mode: str, request: ResolvedRequest, on_work: OnWork) -> Iterator[Tensor]:
        """A latent frame's pixels at a time, exactly what the whole gives but in blended tiles."""
        raw = self.vae.denormalise(latents.float()).to(dtype_of(self.vae, "quant_conv"))
        decoders = {"frugal": decode_strips, "tiles": decode_wan_tiled}

        def chunks() -> Iterator[Tensor]:
            if decode := decoders.get(mode):
                return decode(self.vae, raw, on_work=on_work)
            return self.vae.decode_stream(raw)

        return self.parts.bring_for("vae", chunks)

    def _picture_inputs(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], on_chunk: Callable[[], None]
    ) -> tuple[dict[str, Tensor | None], Tensor | None, Tensor | None]:
        """(what the network is told of the pictures, known latents, where they are)."""
        shared: dict[str, Tensor | None] = {"behind": None, "image": None}
        if not any(pictures):
            return shared, None, None
        dtype = dtype_of(self.transformers[0], "proj_out")
        latent = requests[0].latent
        if self.picture_goes_to == _FIRST_FRAME:
            known = torch.zeros(len(requests), *latent.as_tuple(), device=self.device)
            frozen = torch.zeros(len(requests), 1, latent.frames, 1, 1, dtype=torch.bool, device=self.device)
            for row, places in enumerate(pictures):
                for place, picture in places.items():
                    known[row, :, place] = self._latents([picture_pixels(picture, self.device)], on_chunk)[0, :, 0]
                    frozen[row, :, place] = True
            return shared, known, frozen
        shared["behind"] = torch.cat([self._behind(p, latent.frames, on_chunk) for p in pictures])
        if self.picture is not None:
            self.parts.bring("image_encoder")
            images = [rearrange(self.picture.encode(list(p.values())), "k n v -> 1 (k n) v") for p in pictures]
            shared["image"] = torch.cat(images).to(dtype)
        return shared, None, None

    def _behind(self, places: Pictures, num_latent_frames: int, on_chunk: Callable[[], None]) -> Tensor:
        """(1, m + c, t, h, w): which frames are given, and the latents of a video that is grey where none is."""
        time = self.vae.config.scale_factor_temporal
        pixels = {place: picture_pixels(picture, self.device) for place, picture in places.items()}
        grey = torch.zeros_like(pixels[0])

        def chunks() -> Iterator[Tensor]:
            yield pixels[0]
            for place in range(1, num_latent_frames):
                # a picture at the end is the last of the frames that its latent frame holds
                yield torch.cat([grey.expand(-1, -1, time - 1, -1, -1), pixels.get(place, grey)], dim=2)

        latents = self._latents(chunks(), on_chunk)
        mask = latents.new_zeros(1, time, *latents.shape[2:])
        mask[:, :, 0] = 1
        for place in places:
            mask[:, -1, place] = 1
        return torch.cat([mask, latents], dim=1)

    def _num_chunks(self, pictures: Sequence[Pictures], num_latent_frames: int) -> int:
        """Chunks of video that the encoder is given for ``pictures``."""
        if self.picture_goes_to == _FIRST_FRAME:
            return sum(map(len, pictures))
        return num_latent_frames * len(pictures) if any(pictures) else 0

    def _latents(self, chunks: Iterable[Tensor], on_chunk: Callable[[], None]) -> Tensor:
        """Normalised latents, in fp32, of a video in chunks; ``on_chunk`` is called after each."""
        self.parts.bring("vae")
        dtype, means = dtype_of(self.vae, "quant_conv"), list[Tensor]()
        for mean, _ in self.vae.encode_stream(chunk.to(dtype) for chunk in chunks):
            means.append(mean)
            on_chunk()
            # whoever was told may have asked the engine for something
            self.parts.bring("vae")
        return self.vae.normalise(torch.cat(means, dim=2).float())


def _denoiser(network: WanTransformer, told: Callable[[Tensor], Tensor]) -> Denoiser:
    """The network as `kinema.flow` asks it: fp32 in and out, its own dtype inside."""
    dtype = dtype_of(network, "proj_out")

    def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        text, behind = condition["text"], condition["behind"]
        assert text is not None, "every request has a text, be it empty"
        latents = x if behind is None else torch.cat([x, behind], dim=1)
        return network(latents.to(dtype), told(sigma), text, image=condition["image"])

    return denoiser


def load(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> Wan:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    sampler = load_published_sampler(folder)
    parts = load_parts(folder, plan, clock)
    network = cast(WanTransformer, parts["transformer"])
    picture = None
    if network.config.image_dim is not None:
        picture = WanPicture(clip=parts["image_encoder"], image_processor=parts["image_processor"])
    return Wan(
        text=WanText(umt5=parts["text_encoder"], tokenizer=parts["tokenizer"], mend=_mend()),
        picture=picture,
        transformers=tuple(parts[name] for name in ("transformer", "transformer_2") if name in parts),
        boundary=folder.settings.get("boundary_ratio") or 0.0,
        picture_goes_to=_FIRST_FRAME if folder.settings.get("expand_timesteps") else _CHANNELS,
        vae=parts["vae"],
        sampler=sampler,
        parts=parts,
        device=torch.device(plan.device),
    )


def _mend() -> Callable[[str], str]:
    """What mends broken text: ftfy, as in the published pipelines, where it is installed. It is in the extra ``text``."""
    try:
        from ftfy import fix_text
    except ImportError:
        return str
    return fix_text
