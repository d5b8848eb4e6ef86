"""HunyuanVideo as its published pipelines run it: text to video, and a picture to video in both published ways.

Legend: b batch, c latent channels, t h w latent frames, height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kinema.accel.shelf import FileShelf
from kinema.core.memory import FRUGAL_BYTES
from kinema.core.plan import RunPlan
from kinema.engine.clock import RunClock
from kinema.engine.families.family import Pictures, Sampling
from kinema.engine.families.parts import Parts
from kinema.engine.families.published import (
    dtype_of,
    load_parts,
    picture_pixels,
    text_rows,
    told_level,
    without_padding,
)
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.guidance import Condition, Denoiser, Guidance
from kinema.flow.noise import noise
from kinema.flow.paths import FlowMatching
from kinema.flow.published import PublishedSampler
from kinema.models.autoencoders.chunked import MemoryShelf
from kinema.models.autoencoders.tiling import TIME_TILES, Tiles, decode_tiled
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.work import OnWork
from kinema.models.text.hunyuan_video import (
    KEEP_EVERY,
    NEGATIVE_KEEP_EVERY,
    HunyuanVideoPictureText,
    HunyuanVideoText,
)
from kinema.models.text.published import TextTokens
from kinema.models.transformers.video import VideoTransformer
from kinema.weights.build import load_published_sampler
from kinema.weights.folder import ModelFolder

# A clip from a picture starts with a trace of the picture in its noise.
_START_SIGMA = 0.999


def frugal_shelf() -> FileShelf:
    """What a norm's input waits on in a frugal decode."""
    return FileShelf(FRUGAL_BYTES)


@dataclass(frozen=True, kw_only=True, eq=False)
class HunyuanVideo:
    """A HunyuanVideo in memory. See `kinema.engine.families.family.Family`.

    The default decode is the reference's, in blended tiles of 16 frames: what its users see, in bounded memory.
    """

    text: HunyuanVideoText | HunyuanVideoPictureText
    transformer: VideoTransformer
    vae: VideoAutoencoder
    sampler: PublishedSampler
    parts: Parts
    device: torch.device
    decode_modes: ClassVar[Mapping[str, str | None]] = {
        "default": "tiles",
        "tiles": None,
        "exact": "frugal",
        "frugal": "tiles",
    }

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The transformer."""
        return (self.transformer,)

    def prepare(
        self, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], plan: RunPlan, clock: RunClock
    ) -> Sampling:
        """What the sampler is given for ``requests``."""
        first, config = requests[0], self.transformer.config
        dtype = dtype_of(self.transformer, "proj_out")
        # guidance that isn't an input of the network is the plain one, which the reference has from above 1
        is_guided = not config.guidance_embeds and first.guidance > 1
        clock.start("encode", len(requests))
        texts = [lambda i: self._encode(requests[i].request.prompt, pictures[i])]
        if is_guided:
            texts.append(lambda i: self._encode_negative(requests[i].request.negative_prompt, pictures[i]))
        self.parts.bring("text_encoder", "text_encoder_2")
        sides = text_rows(texts, len(requests), dtype=dtype, clock=clock)
        if self.device.type != "cpu" and not plan.compile:
            # A CPU has nothing to win, and must give a batch's bits to each alone. What is compiled is so for every length anew.
            sides = [without_padding(side) for side in sides]
        channels, frames, *grid = first.latent.as_tuple()
        start = noise(
            (channels, frames + self._num_dropped, *grid), seeds=[r.seed for r in requests], device=self.device
        )
        behind = known = frozen = None
        if config.image_condition_type is not None:
            picture, is_first = self._pictures(pictures, start)
            start = FlowMatching().mix(picture, start, torch.full((len(start),), _START_SIGMA, device=self.device))
            if config.image_condition_type == "token_replace":
                known, frozen = picture, is_first
            else:
                given = torch.cat([picture, torch.ones_like(picture[:, :1])], dim=1)
                behind = torch.where(is_first, given, 0.0)
        shared = {"behind": behind, "guidance": self._embedded(requests, dtype)}
        conditions = [{**side, **shared} for side in sides]
        # the pictures of the two sides may be of different numbers of tokens
        lengths = {side["text"].shape for side in sides if side["text"] is not None}
        mode = plan.guidance_mode if len(lengths) == 1 else "split"
        guidance = Guidance(scale=first.guidance if is_guided else 1.0, mode=mode)
        sigmas = self.sampler.sigmas(first.steps)
        return Sampling(
            predict=guidance.predictor(
                self._denoiser(first.steps),
                cond=conditions[0],
                uncond=conditions[1] if is_guided else None,
                sigmas=sigmas,
            ),
            start=start,
            sigmas=sigmas,
            stepper=self.sampler.stepper,
            frozen=frozen,
            known=known,
        )

    def decode(self, latents: Tensor, mode: str, request: ResolvedRequest, on_work: OnWork) -> Iterator[Tensor]:
        """Pixels, tile by tile or as `VideoAutoencoder.decode_stream` gives them."""
        raw = self.vae.denormalise(latents.float()).to(dtype_of(self.vae, "quant_conv"))

        def chunks() -> Iterator[Tensor]:
            if mode in ("default", "tiles"):
                tiles = TIME_TILES if mode == "default" else Tiles()
                return decode_tiled(self.vae, raw, tiles, on_work=on_work)
            make_shelf = frugal_shelf if mode == "frugal" else MemoryShelf
            return self.vae.decode_stream(raw, make_shelf=make_shelf, on_work=on_work)

        shown = self.parts.bring_for("vae", chunks)
        return _without_first(shown, self._num_dropped * self.vae.config.time_compression)

    @property
    def _num_dropped(self) -> int:
        """Latent frames that are made and not shown: with a picture on the channel axis the one that starts as the picture."""
        return int(self.transformer.config.image_condition_type == "latent_concat")

    def _encode(self, prompt: str, pictures: Pictures) -> TextTokens:
        if isinstance(self.text, HunyuanVideoText):
            return self.text.encode([prompt])
        return self.text.encode(
            [prompt], [pictures[0]], keep_every=KEEP_EVERY[self.transformer.config.image_condition_type or ""]
        )

    def _encode_negative(self, prompt: str, pictures: Pictures) -> TextTokens:
        if isinstance(self.text, HunyuanVideoText):
            return self.text.encode([prompt])
        return self.text.encode([prompt], [np.zeros_like(pictures[0])], keep_every=NEGATIVE_KEEP_EVERY)

    def _embedded(self, requests: Sequence[ResolvedRequest], dtype: torch.dtype) -> Tensor | None:
        """The guidance that the network is told, rounded where the reference rounds: in thousandths, in the network's dtype."""
        if not self.transformer.config.guidance_embeds:
            return None
        scales = torch.tensor([r.guidance for r in requests], dtype=dtype, device=self.device) * 1000
        return scales.float() / 1000

    def _pictures(self, pictures: Sequence[Pictures], like: Tensor) -> tuple[Tensor, Tensor]:
        """(each picture's normalised latents at every frame of ``like``, in fp32; where the first frame is)."""
        self.parts.bring("vae")
        dtype = dtype_of(self.vae, "quant_conv")
        means = [self.vae.encode(picture_pixels(p[0], self.device).to(dtype))[0] for p in pictures]
        is_first = torch.zeros(len(like), 1, like.shape[2], 1, 1, dtype=torch.bool, device=self.device)
        is_first[:, :, 0] = True
        return self.vae.normalise(torch.cat(means).float()).expand_as(like), is_first

    def _denoiser(self, steps: int) -> Denoiser:
        """The network as `kinema.flow` asks it: fp32 in and out, its own dtype inside."""
        dtype, told = dtype_of(self.transformer, "proj_out"), told_level(self.sampler, steps)

        def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
            text, pooled, behind = condition["text"], condition["pooled"], condition["behind"]
            assert text is not None, "every request has a text, be it empty"
            assert pooled is not None, "and its summary"
            latents = x if behind is None else torch.cat([x, behind], dim=1)
            return self.transformer(
                latents.to(dtype), told(sigma), text, condition["text_mask"], pooled, guidance=condition["guidance"]
            )

        return denoiser


def load(folder: ModelFolder, plan: RunPlan, clock: RunClock) -> HunyuanVideo:
    """The networks of ``folder`` in the dtypes of ``plan``. Raises: WeightsError; Cancelled between components."""
    sampler = load_published_sampler(folder)
    parts = load_parts(folder, plan, clock)
    clip = {"clip": parts["text_encoder_2"], "clip_tokenizer": parts["tokenizer_2"]}
    if folder.pipeline == "HunyuanVideoPipeline":
        text = HunyuanVideoText(llama=parts["text_encoder"], llama_tokenizer=parts["tokenizer"], **clip)
    else:
        text = HunyuanVideoPictureText(
            llava=parts["text_encoder"],
            llava_tokenizer=parts["tokenizer"],
            image_processor=parts["image_processor"],
            **clip,
        )
    return HunyuanVideo(
        text=text,
        transformer=parts["transformer"],
        vae=parts["vae"],
        sampler=sampler,
        parts=parts,
        device=torch.device(plan.device),
    )


def _without_first(chunks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """``chunks`` (1 3 f y x) without their first ``count`` frames."""
    for chunk in chunks:
        kept = chunk[:, :, count:]
        count = max(0, count - chunk.shape[2])
        if kept.shape[2]:
            yield kept
