"""What Kinema's own models are conditioned on, as tensors: text, known frames, camera path and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from kinema.engine.clock import RunClock
from kinema.engine.families.family import Pictures
from kinema.engine.resolve import ResolvedRequest
from kinema.flow.guidance import Condition
from kinema.models.text.byte_encoder import tokenize
from kinema.world.camera import CAMERA_FEATURES, camera_features

if TYPE_CHECKING:
    from kinema.engine.families.kinema import Kinema

# Latent frames of the same still before the one that is kept: what the encoder's causal kernels look back on.
_CONTEXT = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditions:
    """What the transformer is told. ``uncond`` is None where the run isn't guided; ``known`` and ``frozen`` where no frame is given."""

    cond: Condition
    uncond: Condition | None
    known: Float[Tensor, "b c t h w"] | None
    frozen: Bool[Tensor, "b 1 t 1 1"] | None


def build_conditions(
    model: Kinema, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], clock: RunClock
) -> Conditions:
    """The conditions of ``requests``, a row each; ``pictures`` are their keyframes by latent frame.

    Guidance pushes away from the negative prompt without a camera: towards words and camera alike. Given frames and numbers are the
    same on both sides.
    """
    clock.start("encode", len(requests) + sum(len(p) for p in pictures))
    model.parts.bring("text_encoder")
    texts = [_encode_texts(model, r) for r in requests]
    clock.done("encode", len(requests))
    known, frozen = _known_frames(model, requests, pictures, clock)
    shared: dict[str, Tensor | None] = {
        "camera": _cameras(model, requests),
        "scalars": _scalars(model, requests),
        "known": known,
        "known_mask": None if known is None or frozen is None else frozen.float().expand(-1, -1, -1, *known.shape[3:]),
    }
    shared = {k: None if v is None else v.to(model.device) for k, v in shared.items()}
    rows = [{**shared, **{k: torch.cat([t[i][k] for t in texts]) for k in texts[0][0]}} for i in range(len(texts[0]))]
    uncond = {**rows[1], "camera": _no_camera(rows[1]["camera"])} if requests[0].is_guided else None
    if frozen is not None:
        frozen = frozen.to(model.device)
    return Conditions(cond=rows[0], uncond=uncond, known=shared["known"], frozen=frozen)


def encode_picture(
    model: Kinema, picture: UInt8[np.ndarray, "h w 3"], place: int
) -> Float[Tensor, "c latent_h latent_w"]:
    """The normalised latents of ``picture`` as latent frame ``place`` of a clip, in fp32.

    Latent frame 0 holds one picture exactly. A later one holds several frames and depends on those before it: there it is the last
    latent frame of a short still of the picture, so the clip stands still for the latent frame's length.
    """
    model.parts.bring("vae")
    frames = 1 + model.vae.config.time_compression * min(place, _CONTEXT)
    pixels = torch.from_numpy(np.array(picture)).to(model.device)
    video = repeat(pixels.float() / 127.5 - 1, "h w c -> 1 c t h w", t=frames)
    mean, _ = model.vae.encode(video.to(model.vae_dtype))
    return model.vae.normalise(mean.float())[0, :, -1]


def _encode_texts(model: Kinema, request: ResolvedRequest) -> list[dict[str, Tensor]]:
    """[of the prompt, of the negative prompt]; each text is encoded alone, so that it doesn't depend on its neighbours' length."""
    rows = []
    texts = [request.request.prompt, request.request.negative_prompt]
    for text in texts if request.is_guided else texts[:1]:
        ids, mask = tokenize([text])
        tokens, token_mask, pooled = model.text_encoder(ids.to(model.device), mask.to(model.device))
        rows.append({"text": tokens, "text_mask": token_mask, "pooled": pooled})
    return rows


def _known_frames(
    model: Kinema, requests: Sequence[ResolvedRequest], pictures: Sequence[Pictures], clock: RunClock
) -> tuple[Tensor | None, Tensor | None]:
    if not any(pictures):
        return None, None
    latent = requests[0].latent
    known = torch.zeros(len(requests), *latent.as_tuple())
    frozen = torch.zeros(len(requests), latent.frames, dtype=torch.bool)
    done = len(requests)
    for row, places in enumerate(pictures):
        for place, picture in places.items():
            known[row, :, place] = encode_picture(model, picture, place).cpu()
            frozen[row, place] = True
            clock.done("encode", done := done + 1)
    return known, rearrange(frozen, "b t -> b 1 t 1 1")


def _cameras(model: Kinema, requests: Sequence[ResolvedRequest]) -> Tensor | None:
    if not any(r.request.camera for r in requests):
        return None
    shown = model.vae.config.compression.shown_frames(requests[0].latent.frames)
    none = torch.full((len(shown), CAMERA_FEATURES), math.nan)
    paths = [camera_features(r.request.camera, shown, fps=r.video.fps) if r.request.camera else none for r in requests]
    return torch.stack(paths)


def _no_camera(camera: Tensor | None) -> Tensor | None:
    return None if camera is None else torch.full_like(camera, math.nan)


def _scalars(model: Kinema, requests: Sequence[ResolvedRequest]) -> Tensor | None:
    names = model.transformer.config.scalar_conditions
    if not names:
        return None
    rows = []
    for r in requests:
        motion = math.nan if r.request.motion is None else float(r.request.motion)
        values = {"motion": motion, "fps": r.video.fps, "width": r.video.width_px, "height": r.video.height_px}
        rows.append([float(values[name]) for name in names])
    return torch.tensor(rows)
