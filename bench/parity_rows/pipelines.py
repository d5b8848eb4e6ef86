"""Whole pipelines: from words, pictures and a seed to latents and frames, diffusers' beside the engine's on the same folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity_rows.measure import Row, num_draws, row
from torch import Tensor

from kinema.core.memory import OFFLOADS
from kinema.core.progress import ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.run import Run
from tests.engine.families import published
from tests.engine.families.published import IMAGE_DIM, Model, hunyuan_video, ltx, picture_file, wan

PICTURE: dict[str, Any] = {"in_channels": 16}
SEEN: dict[str, Any] = {**PICTURE, "image_dim": IMAGE_DIM, "added_kv_proj_dim": 24}
EMBEDDED, PLAIN = {"guidance_embeds": True}, {"guidance_embeds": False}
NARROW: dict[str, Any] = {"num_attention_heads": 3, "num_layers": 1}
# of the reference's frames, in grey levels: their standard deviation
LEAST_GREY = 5
RESIDUAL = published.published.WAN_RESIDUAL_VAE
LTX_SETTINGS = {"decode_timestep": 0.05, "decode_noise_scale": 0.025, "guidance_rescale": 0.7}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, a request, and the same in the reference's words.

    ``pictures`` are the times of the clip's pictures in seconds (-1: its last frame).
    """

    model: Callable[[Path], Model]
    fields: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[float, ...] = ()
    decode: str = "default"


def _built(build: Callable[..., Model], **settings: Any) -> Callable[[Path], Model]:
    return partial(build, **settings)


def _small(root: Path) -> Model:
    """A TI2V-5B; from text and from a picture it is one model of two pipelines."""
    return wan(root, vae=RESIDUAL, expand=True, shift=5.0)


def _small_from_picture(root: Path) -> Model:
    model = _small(root)
    pipeline = published.WanImageToVideoPipeline(**{**model.pipeline.components, "expand_timesteps": True})
    pipeline.set_progress_bar_config(disable=True)
    return Model(model.folder, pipeline)


def _guided(scale: float, negative: str = "dark", *, name: str = "guidance_scale") -> dict[str, Any]:
    """A case's fields and words for guidance, which the reference calls ``name``."""
    words = {name: scale, "negative_prompt": negative}
    return {"fields": {"guidance": scale, "negative_prompt": negative}, "words": words}


# of a HunyuanVideo without guidance built in
_truly_guided = partial(_guided, name="true_cfg_scale")


def _with(case: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """``case`` with more fields of the request."""
    return {**case, "fields": {**case.get("fields", {}), **fields}}


_TOLD: dict[str, Any] = {"fields": {"guidance": 6.0}, "words": {"guidance_scale": 6.0}}
_CONCAT = _built(hunyuan_video, picture="latent_concat", transformer=PLAIN)
_EXPERTS = _built(wan, boundary=0.875, shift=12.0)

# row -> configuration -> case
PIPELINES: dict[str, dict[str, Case]] = {
    "HunyuanVideo, text to video": {
        "guidance built in": Case(model=_built(hunyuan_video, transformer=EMBEDDED), **_TOLD),
        "one frame": Case(
            model=_built(hunyuan_video, transformer=EMBEDDED | {"num_layers": 1}), **_with(_TOLD, frames=1, steps=5)
        ),
        "25 frames, upright": Case(
            model=_built(hunyuan_video, transformer=EMBEDDED | {"num_single_layers": 1}),
            **_with(_TOLD, frames=25, size="32x64", steps=2),
        ),
        "25 frames, exact decode": Case(
            model=_built(hunyuan_video, transformer=EMBEDDED), decode="exact", **_with(_TOLD, frames=25, steps=2)
        ),
        "25 frames, frugal decode": Case(
            model=_built(hunyuan_video, transformer=EMBEDDED), decode="frugal", **_with(_TOLD, frames=25, steps=1)
        ),
        "wide, decode in tiles": Case(
            model=_built(hunyuan_video, transformer=EMBEDDED), decode="tiles", **_with(_TOLD, frames=5, size="272x32")
        ),
        "negative prompt": Case(model=_built(hunyuan_video, transformer=PLAIN), **_truly_guided(5.0)),
        "unguided": Case(model=_built(hunyuan_video, transformer=PLAIN), **_truly_guided(1.0, "")),
    },
    "HunyuanVideo, picture to video by token_replace": {
        "guidance built in": Case(
            model=_built(hunyuan_video, picture="token_replace", transformer=EMBEDDED), pictures=(0,), **_TOLD
        ),
        "negative prompt": Case(
            model=_built(hunyuan_video, picture="token_replace", transformer=PLAIN), pictures=(0,), **_truly_guided(4.0)
        ),
        "unguided, 13 frames": Case(
            model=_built(hunyuan_video, picture="token_replace", transformer=PLAIN | {"num_layers": 1}),
            pictures=(0,),
            **_with(_truly_guided(1.0, ""), frames=13),
        ),
    },
    "HunyuanVideo, picture to video by latent_concat": {
        "negative prompt": Case(model=_CONCAT, pictures=(0,), **_truly_guided(4.0)),
        "unguided, 5 frames": Case(model=_CONCAT, pictures=(0,), **_with(_truly_guided(1.0, ""), frames=5)),
    },
    "Wan 2.1, text to video": {
        "guided": Case(model=_built(wan), **_guided(5.0)),
        "upright": Case(model=_built(wan, transformer=NARROW), **_with(_guided(5.0), frames=13, size="32x64", steps=3)),
        "one frame, unguided": Case(model=_built(wan, shift=5.0), **_with(_guided(1.0, ""), frames=1, steps=5)),
        "one step": Case(
            model=_built(wan), **_with(_guided(2.5, ""), prompt="雪地里, 一个红色的方块 “falls”", steps=1)
        ),
    },
    "Wan 2.1, picture to video": {
        "not seen": Case(model=_built(wan, picture=True, transformer=PICTURE), pictures=(0,), **_guided(5.0)),
        "seen": Case(
            model=_built(wan, picture=True, transformer=SEEN), pictures=(0,), **_with(_guided(5.0), frames=13)
        ),
        "seen, unguided": Case(
            model=_built(wan, picture=True, transformer=SEEN | NARROW | {"added_kv_proj_dim": 36}),
            pictures=(0,),
            **_guided(1.0, ""),
        ),
        "first and last": Case(
            model=_built(wan, picture=True, transformer={**SEEN, "pos_embed_seq_len": 34}),
            pictures=(0, -1),
            **_guided(5.0),
        ),
    },
    "Wan 2.2 A14B, two experts, text to video": {
        "one scale each": Case(
            model=_EXPERTS,
            fields={"guidance": 4.0, "guidance_2": 3.0, "steps": 6},
            words={"guidance_scale": 4.0, "guidance_scale_2": 3.0},
        ),
        "the first unguided": Case(
            model=_EXPERTS,
            fields={"guidance": 1.0, "guidance_2": 6.0, "steps": 6},
            words={"guidance_scale": 1.0, "guidance_scale_2": 6.0},
        ),
    },
    "Wan 2.2 A14B, two experts, picture to video": {
        "not seen": Case(
            model=_built(wan, picture=True, transformer=PICTURE, boundary=0.9, shift=5.0),
            pictures=(0,),
            fields={"guidance": 3.5, "guidance_2": 3.5, "steps": 5},
            words={"guidance_scale": 3.5, "guidance_scale_2": 3.5},
        ),
        "upright, the second unguided": Case(
            model=_built(wan, picture=True, transformer=PICTURE | NARROW, boundary=0.9, shift=5.0),
            pictures=(0,),
            fields={"guidance": 5.0, "guidance_2": 1.0, "steps": 5, "size": "32x64", "frames": 5},
            words={"guidance_scale": 5.0, "guidance_scale_2": 1.0},
        ),
    },
    "Wan 2.2 TI2V-5B, levels a token, text to video": {
        "guided": Case(model=_small, **_with(_guided(5.0), size="64x32")),
        "one frame, unguided": Case(model=_small, **_with(_guided(1.0, ""), size="32x96", frames=1)),
    },
    "Wan 2.2 TI2V-5B, levels a token, picture to video": {
        "guided": Case(model=_small_from_picture, pictures=(0,), **_with(_guided(5.0), size="64x32")),
        "unguided": Case(
            model=_small_from_picture, pictures=(0,), **_with(_guided(1.0, ""), size="64x32", frames=5, steps=5)
        ),
    },
    "LTX-Video, text to video": {
        "guided": Case(model=_built(ltx), **_with(_guided(3.0), size="96x64")),
        "upright, 24 fps": Case(
            model=_built(ltx, transformer={"num_layers": 1}),
            fields={"guidance": 3.0, "size": "32x96", "frames": 25, "fps": 24.0, "steps": 3},
            words={"guidance_scale": 3.0, "frame_rate": 24.0},
        ),
        "one frame, unguided": Case(model=_built(ltx), **_with(_guided(1.0, ""), size="96x64", frames=1, steps=5)),
        "told of noise, rescaled": Case(
            model=_built(ltx, vae=published.published.LTX_LEVEL_VAE, settings=LTX_SETTINGS),
            fields={"guidance": 3.0, "size": "96x64"},
            words={"guidance_scale": 3.0, **LTX_SETTINGS},
        ),
    },
    "LTX-Video, picture to video": {
        "guided": Case(model=_built(ltx, picture=True), pictures=(0,), **_with(_guided(3.0), size="96x64")),
        "told of noise, rescaled": Case(
            model=_built(ltx, picture=True, vae=published.published.LTX_LEVEL_VAE, settings=LTX_SETTINGS),
            pictures=(0,),
            fields={"guidance": 3.0, "size": "64x96", "frames": 17},
            words={"guidance_scale": 3.0, **LTX_SETTINGS},
        ),
    },
}


def pipeline_rows(root: Path, text: str = "") -> Iterator[Row]:
    """A row for each kind of pipeline whose name has ``text``."""
    for what, cases in PIPELINES.items():
        if text not in what:
            continue
        with row(what, "fp32", "frames", "bf16", "batch", "stream", "offload") as made:
            for i, (name, case) in enumerate(cases.items()):
                made.cases.append(name)
                _compare(made, name, case, root / "pipelines" / what / str(i))
        yield made


def _compare(made: Row, name: str, case: Case, root: Path) -> None:
    model = case.model(root / "model")
    request, words = _request(case, model, root)
    shown = partial(_shown, model)
    theirs, frames = model.reference([request.seed or 0], **words)
    if frames.std() < LEAST_GREY:
        raise SystemExit(f"{made.what}, {name}: the reference's frames hardly vary")
    engine = model.engine()
    run, family, latents = _run(engine, case, [request])
    ours, own_frames = shown(latents), np.stack(run.frames(family, latents))
    made.add("fp32", name, [ours], [theirs])
    made.add("frames", name, [torch.from_numpy(own_frames)], [torch.from_numpy(frames)])
    half, their_half = model.engine(dtype="bfloat16"), model.in_bfloat16()
    for seed in range(num_draws(theirs.numel())):
        reached, exact = (_reference_latents(m, seed, words) for m in (their_half, model))
        made.add_half(name, [shown(_run(half, case, [request.replace(seed=seed)])[2])], [reached], [exact])
    # ours beside ours
    both = [request, request.replace(seed=11, prompt="a bird sings")]
    together = shown(_run(engine, case, both)[2])
    for i, one in enumerate(both):
        made.add("batch", name, [shown(_run(engine, case, [one])[2])], [together[i : i + 1]])
    if case.decode == "default":
        streamed = np.concatenate(list(engine.stream(request)))[None]
        made.add("stream", name, [torch.from_numpy(streamed) / 255], [torch.from_numpy(own_frames) / 255])
    for offload in OFFLOADS[1:]:
        made.add("offload", name, [shown(_run(engine, case, [request], offload=offload)[2])], [ours])


def _request(case: Case, model: Model, root: Path) -> tuple[GenerationRequest, dict[str, Any]]:
    """The request, nine frames of 48x32 in four steps unless the case says otherwise, and the reference's words for it."""
    fields: dict[str, Any] = {
        "prompt": "a red car drives along the beach", "frames": 9, "size": "48x32", "steps": 4, "seed": 7, **case.fields,
    }  # fmt: skip
    width, height = map(int, fields["size"].split("x"))
    pairs = [picture_file(root / f"{i}.png", width, height, seed=3 + i, at_s=at) for i, at in enumerate(case.pictures)]
    request = GenerationRequest(**fields, keyframes=tuple(keyframe for keyframe, _ in pairs))
    pictures = dict(zip(("image", "last_image"), (image for _, image in pairs), strict=False))
    words = model.asked(request, **case.words, **pictures)
    if _drops_first(model):  # of what is made with the picture on the channel axis, the reference drops four frames
        words["num_frames"] += 4
    if case.decode in ("exact", "frugal"):
        model.pipeline.vae.use_framewise_decoding = False
    elif case.decode == "tiles":
        model.pipeline.vae.enable_tiling()
    return request, words


def _drops_first(model: Model) -> bool:
    return model.pipeline.transformer.config.get("image_condition_type") == "latent_concat"


def _shown(model: Model, latents: Tensor) -> Tensor:
    """Ours without the first latent frame where the reference doesn't give it, either."""
    return latents[:, :, 1:] if _drops_first(model) else latents


def _run(
    engine: Engine, case: Case, requests: Sequence[GenerationRequest], *, offload: str = "none"
) -> tuple[Run, Any, Tensor]:
    """(the run, the networks, the latents of ``requests``, made together)."""
    changes: dict[str, Any] = {"decode": case.decode, "offload": offload}
    plan = replace(engine.plan(requests[0]), **changes)
    run = engine._run(requests, ignore_progress, None, plan=plan)
    return run, *run.latents(engine._load)


def _reference_latents(model: Model, seed: int, words: Mapping[str, Any]) -> Tensor:
    made = model.pipeline(generator=torch.Generator().manual_seed(seed), output_type="latent", **words)
    return model.in_places(made.frames, **words)
