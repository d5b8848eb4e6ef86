"""Whole published pipelines in miniature: the reference's own classes with small random weights, saved as it saves them.

What the reference makes of such a folder is compared with what the engine makes of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.progress import ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.models.text.hunyuan_video import PicturePromptTemplate, PromptTemplate
from tests.models.text import tiny
from tests.weights import published

with published.warnings.catch_warnings():
    published.warnings.simplefilter("ignore")
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import HunyuanVideoPipeline
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video_image2video import HunyuanVideoImageToVideoPipeline
    from diffusers.pipelines.ltx.pipeline_ltx import LTXPipeline
    from diffusers.pipelines.ltx.pipeline_ltx_image2video import LTXImageToVideoPipeline
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline

WORDS = tiny.t5_tokenizer()
LLAMA_WORDS = tiny.llama_tokenizer(PromptTemplate().text, PicturePromptTemplate().text)
CLIP_WORDS = tiny.clip_tokenizer()
# the widths of the small LLaMA and CLIP
LLAMA_DIM, CLIP_DIM = 24, 20
# 24 x 24 patches, as the template counts on
LLAVA_PX = 48
# the width of the small umT5 and of the small picture encoder
TEXT_DIM, IMAGE_DIM = 22, 18
IMAGE_PX = 8


@dataclass(frozen=True)
class Model:
    """A folder, and the reference's pipeline that it was saved from."""

    folder: Path
    pipeline: Any

    def asked(self, request: GenerationRequest, **more: Any) -> dict[str, Any]:
        """``request`` in the reference's words, without what differs from pipeline to pipeline."""
        assert request.size is not None
        width, height = request.size.split("x")
        return {
            "prompt": request.prompt,
            "width": int(width),
            "height": int(height),
            "num_frames": request.frames,
            "num_inference_steps": request.steps,
            **more,
        }

    def engine(self, **settings: Any) -> Engine:
        """An engine in float32 on one thread."""
        return Engine(self.folder, **{"dtype": "float32", "threads": 1, **settings})

    def in_bfloat16(self) -> Model:
        """The reference as it runs in bfloat16, with those parts of its transformer in float32 that it keeps so."""
        parts = {n: copy.deepcopy(p) if isinstance(p, nn.Module) else p for n, p in self.pipeline.components.items()}
        kept = set(self.pipeline.transformer._keep_in_fp32_modules or ())
        for name, network in parts.items():
            for key, parameter in network.named_parameters() if isinstance(network, nn.Module) else ():
                if not (name.startswith("transformer") and kept.intersection(key.split("."))):
                    parameter.data = parameter.data.bfloat16()
        settings = {n: v for n, v in self.pipeline.config.items() if n in ("boundary_ratio", "expand_timesteps")}
        half = type(self.pipeline)(**parts, **settings)
        half.set_progress_bar_config(disable=True)
        return Model(self.folder, half)

    def reference(self, seeds: Sequence[int], **asked: Any) -> tuple[Tensor, np.ndarray]:
        """(latents, uint8 frames (b t h w c)) that the reference makes, a generator of its own for every seed."""
        made = []
        for output_type in ("latent", "np"):
            random = [torch.Generator().manual_seed(seed) for seed in seeds]
            generator = random if len(random) > 1 else random[0]
            made.append(self.pipeline(generator=generator, output_type=output_type, **asked).frames)
        return self.in_places(made[0], **asked), (made[1] * 255).round().astype(np.uint8)

    def in_places(self, latents: Tensor, **asked: Any) -> Tensor:
        """The reference's ``latents`` as (b c t h w), also where it gives a token for each place."""
        if latents.ndim == 5:
            return latents
        vae = self.pipeline.vae
        t = (asked["num_frames"] - 1) // vae.temporal_compression_ratio + 1
        h, w = (asked[side] // vae.spatial_compression_ratio for side in ("height", "width"))
        return rearrange(latents, "b (t h w) c -> b c t h w", t=t, h=h, w=w)


def wan(
    root: Path,
    *,
    picture: bool = False,
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
    boundary: float | None = None,
    expand: bool = False,
    shift: float = 3.0,
) -> Model:
    """A Wan: text-to-video, or with ``picture`` image-to-video; two experts with a ``boundary``."""
    config = {**published.WAN_TRANSFORMER, "text_dim": TEXT_DIM, **(transformer or {})}
    networks = [published.randomised(published.WanTransformer3DModel(**config), seed) for seed in (1, 2)]
    parts: dict[str, Any] = {
        "tokenizer": WORDS,
        "text_encoder": tiny.umt5(len(WORDS)),
        "vae": published.randomised(published.AutoencoderKLWan(**(vae or published.WAN_VAE)), 5),
        "scheduler": published.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
        ),
        "transformer": networks[0],
        "transformer_2": None if boundary is None else networks[1],
        "boundary_ratio": boundary,
        "expand_timesteps": expand,
    }
    pipeline_class: Any = WanPipeline
    if picture:
        pipeline_class = WanImageToVideoPipeline
        sees = config.get("image_dim") is not None
        parts["image_encoder"] = tiny.clip_vision(IMAGE_PX, 2) if sees else None
        parts["image_processor"] = tiny.image_processor(IMAGE_PX) if sees else None
    return saved(root, pipeline_class(**parts))


def hunyuan_video(
    root: Path,
    *,
    picture: str | None = None,
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
) -> Model:
    """A HunyuanVideo: text-to-video, or image-to-video with the way ``picture`` comes in."""
    config = {**published.HUNYUAN_TRANSFORMER, "text_embed_dim": LLAMA_DIM, "pooled_projection_dim": CLIP_DIM}
    channels = published.HUNYUAN_TRANSFORMER["in_channels"]
    if picture is not None:
        config |= {
            "image_condition_type": picture,
            "in_channels": 2 * channels + 1 if picture == "latent_concat" else channels,
        }
    config |= transformer or {}
    parts: dict[str, Any] = {
        "transformer": published.randomised(published.HunyuanVideoTransformer3DModel(**config), 1),
        "vae": published.randomised(published.AutoencoderKLHunyuanVideo(**{**published.HUNYUAN_VAE, **(vae or {})}), 2),
        "scheduler": published.FlowMatchEulerDiscreteScheduler(shift=7.0),
        "tokenizer": LLAMA_WORDS,
        "text_encoder_2": tiny.clip_text(CLIP_WORDS),
        "tokenizer_2": CLIP_WORDS,
    }
    if picture is None:
        return saved(root, HunyuanVideoPipeline(text_encoder=tiny.llama(len(LLAMA_WORDS)), **parts))
    parts["text_encoder"] = tiny.llava(LLAMA_WORDS, LLAVA_PX, 2)
    parts["image_processor"] = tiny.image_processor(LLAVA_PX)
    return saved(root, HunyuanVideoImageToVideoPipeline(**parts))


def ltx(
    root: Path,
    *,
    picture: bool = False,
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
    scheduler: dict[str, Any] | None = None,
    settings: dict[str, float] | None = None,
) -> Model:
    """An LTX-Video: text-to-video, or with ``picture`` the pipeline from a first picture; ``settings`` are added to its index."""
    config = {**published.LTX_TRANSFORMER, **(transformer or {})}
    pipeline_class: Any = LTXImageToVideoPipeline if picture else LTXPipeline
    model = saved(
        root,
        pipeline_class(
            transformer=published.randomised(published.LTXVideoTransformer3DModel(**config), 1),
            vae=published.ltx_vae(**(vae or published.LTX_VAE)),
            scheduler=published.FlowMatchEulerDiscreteScheduler(**(scheduler or published.LTX_SCHEDULER)),
            tokenizer=WORDS,
            text_encoder=tiny.t5(len(WORDS)),
        ),
    )
    published.change_json(root / "model_index.json", **(settings or {}))
    return model


def saved(root: Path, pipeline: Any) -> Model:
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(root)
    return Model(root, pipeline)


def made_by(engine: Engine, *requests: GenerationRequest) -> tuple[Tensor, np.ndarray]:
    """(latents, uint8 frames (b t h w c)) that the engine makes, together if there are several requests."""
    run = engine._run(requests, ignore_progress, None, plan=None)
    family, latents = run.latents(engine._load)
    frames = np.stack(run.frames(family, latents))
    if len(requests) == 1:
        assert engine.generate(requests[0]).frames.tobytes() == frames.tobytes()
    return latents, frames


def assert_same(ours: tuple[Tensor, np.ndarray], theirs: tuple[Tensor, np.ndarray]) -> float:
    """The latents within 1e-4 and the frames within a grey level; returns the latents' largest difference."""
    frames, wanted = ours[1], theirs[1]
    assert frames.shape == wanted.shape
    assert ours[0].shape == theirs[0].shape
    assert np.abs(frames.astype(int) - wanted.astype(int)).max() <= 1
    assert wanted.std() > 5, "random weights draw something"
    assert theirs[0].std() > 0.5
    difference = float((ours[0] - theirs[0]).abs().max())
    assert difference <= 1e-4
    return difference


def request(**fields: Any) -> GenerationRequest:
    """Nine frames of 48x32 in four steps, seed 7, unless ``fields`` say otherwise."""
    defaults: dict[str, Any] = {
        "prompt": "a red car drives along the beach",
        "frames": 9,
        "size": "48x32",
        "steps": 4,
        "seed": 7,
    }
    return GenerationRequest(**{**defaults, **fields})


def compare(model: Model, asked: GenerationRequest, *others: GenerationRequest, **reference: Any) -> None:
    """Asserts that engine and reference make the same of ``asked``; ``reference`` are its words for what differs."""
    requests = (asked, *others)
    words = model.asked(asked, **reference)
    if others:
        words |= {"prompt": [r.prompt for r in requests]}
    latents, frames = made_by(model.engine(), *requests)
    if getattr(model.pipeline.transformer.config, "image_condition_type", None) == "latent_concat":
        latents = latents[:, :, 1:]  # the reference doesn't give the first, either
    assert_same((latents, frames), model.reference([r.seed or 0 for r in requests], **words))


def assert_half_is_as_near(model: Model, request: GenerationRequest, **reference: Any) -> None:
    """In bfloat16 the engine is as far from the reference in float32 as the reference is in bfloat16, or at most a fifth farther."""
    words = model.asked(request, **reference)
    seeds = (7, 8, 9, 10)
    words["prompt"] = [request.prompt] * len(seeds)
    exact, _ = model.reference(seeds, **words)
    half, _ = model.in_bfloat16().reference(seeds, **words)
    ours, _ = made_by(model.engine(dtype="bfloat16"), *(request.replace(seed=s) for s in seeds))
    error, allowed = ((x.float() - exact).square().mean().sqrt() for x in (ours, half))
    assert 0 < error <= 1.2 * allowed


def picture_file(
    path: Path, width: int = 48, height: int = 32, *, seed: int = 3, at_s: float = 0.0
) -> tuple[Keyframe, Image.Image]:
    """A picture of that size at that time, and as the reference takes it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = Image.fromarray(np.kron(pixels, np.ones((8, 8, 1), np.uint8)))
    image.save(path)
    return Keyframe(MediaRef(str(path)), at_s), image
