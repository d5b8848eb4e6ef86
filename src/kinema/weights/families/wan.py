"""Wan 2.1 and 2.2: text-to-video and image-to-video, 1.3B and 14B, the two experts of A14B, and TI2V-5B. Standard library only.

Source of the facts: Wan's report (arXiv 2503.20314), its makers' pages and their settings for diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kinema.core.card import CostFormula, ModelCard
from kinema.core.errors import WeightsError
from kinema.models.autoencoders.wan_config import STRIP_ROWS, WanAutoencoderConfig
from kinema.weights.families.costs import FP32_BYTES, LIVE_MAPS, autoencoder_per_pixel, work
from kinema.weights.families.facts import (
    Facts,
    check_classes,
    check_fit,
    compression_of,
    config_of,
    count,
    make_card,
    section,
)

if TYPE_CHECKING:
    from kinema.weights.folder import ModelFolder

_SMALL_SIZES = ((832, 480), (480, 832))
_WIDTH_OF_14B = 5120
_PROMPT_TOKENS, _PICTURE_TOKENS = 512, 257
_CLASSES = {
    "transformer": ("WanTransformer3DModel",),
    "vae": ("AutoencoderKLWan",),
    "text_encoder": ("UMT5EncoderModel", "T5EncoderModel"),
    "tokenizer": (),
    "scheduler": ("UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"),
}
_PICTURE_CLASSES = {
    "image_encoder": ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
    "image_processor": (),
}

WAN_2_1 = Facts(
    version="2.1",
    license="Apache-2.0",
    sizes=(*_SMALL_SIZES, (1280, 720), (720, 1280)),
    fps=16.0,
    frames=81,
    steps=50,
    guidance=5.0,
    text_tokens=_PROMPT_TOKENS,
    joint_text=False,
    decodes=("default", "exact", "frugal", "tiles"),
)
# Above ``boundary_ratio`` the first expert serves, with the first guidance; below it the second.
WAN_2_2_A14B = replace(WAN_2_1, version="2.2", steps=40, guidance=4.0, guidance_2=3.0)
WAN_2_2_A14B_PICTURE = replace(WAN_2_2_A14B, guidance=3.5, guidance_2=3.5)
WAN_2_2_5B = replace(
    WAN_2_1,
    version="2.2",
    sizes=((1280, 704), (704, 1280)),
    fps=24.0,
    frames=121,
    conditions=("keyframes",),
    keyframes_at=(0.0,),
)


def card(folder: ModelFolder) -> ModelCard:
    """The card. Raises: WeightsError for a folder whose parts are missing, of other classes, or don't fit each other."""
    check_classes(folder, _CLASSES)
    transformer = folder.config("transformer")
    if transformer.get("image_dim") is not None:
        check_classes(folder, _PICTURE_CLASSES)
    vae: WanAutoencoderConfig = config_of(folder, "vae", WanAutoencoderConfig)
    patch = _patch(transformer)
    _check_fit(folder, transformer, vae)
    factors = vae.compression
    return make_card(
        folder,
        "wan",
        _facts(folder, transformer),
        compression=compression_of(
            "vae", time=factors.time, space=factors.space, channels=factors.channels, align=factors.space * patch[1]
        ),
        patch=patch,
        cost=_cost(folder, transformer, vae),
    )


def _facts(folder: ModelFolder, transformer: Mapping[str, Any]) -> Facts:
    sees_picture = folder.pipeline == "WanImageToVideoPipeline"
    if folder.settings.get("expand_timesteps"):
        return WAN_2_2_5B
    if "transformer_2" in folder.components:
        facts = WAN_2_2_A14B_PICTURE if sees_picture else WAN_2_2_A14B
    else:
        is_large = _width(transformer) >= _WIDTH_OF_14B
        facts = WAN_2_1 if is_large else replace(WAN_2_1, sizes=_SMALL_SIZES)
    if not sees_picture:
        return facts
    # a picture encoder reads one picture, unless it has positions for two
    one_alone = transformer.get("image_dim") is not None and transformer.get("pos_embed_seq_len") is None
    times = (0.0,) if one_alone else (0.0, -1.0)
    return replace(facts, conditions=("keyframes",), needs=("keyframes",), keyframes_at=times)


def _check_fit(folder: ModelFolder, transformer: Mapping[str, Any], vae: WanAutoencoderConfig) -> None:
    sees_picture = folder.pipeline == "WanImageToVideoPipeline" and not folder.settings.get("expand_timesteps")
    channels = vae.z_dim
    # the picture's latents, and a mask with a channel for each frame of a latent one
    in_channels = 2 * channels + vae.scale_factor_temporal if sees_picture else channels
    said: dict[str, dict[str, Any]] = {}
    for name in ("transformer", "transformer_2"):
        if name in folder.components:
            config = folder.config(name)
            said |= {
                f"channels into the {name}": {name: count(config, name, "in_channels"), "vae": in_channels},
                f"channels out of the {name}": {
                    name: config.get("out_channels") or config.get("in_channels"),
                    "vae": channels,
                },
                f"width of the {name}'s text": {
                    name: count(config, name, "text_dim"),
                    "text_encoder": count(folder.config("text_encoder"), "text_encoder", "d_model"),
                },
            }
    if transformer.get("image_dim") is not None:
        config = section(folder.config("image_encoder"), "vision_config")
        seen = count(config, "image_encoder", "hidden_size")
        said["width of the picture"] = {"transformer": transformer["image_dim"], "image_encoder": seen}
    said["two experts"] = {
        "components": "transformer_2" in folder.components,
        "boundary_ratio": folder.settings.get("boundary_ratio") is not None,
    }
    check_fit(folder, said)


def _cost(folder: ModelFolder, transformer: Mapping[str, Any], vae: WanAutoencoderConfig) -> CostFormula:
    tensors = folder.weights("transformer")
    width, layers = _width(transformer), count(transformer, "transformer", "num_layers")
    picture = 0 if transformer.get("image_dim") is None else _PICTURE_TOKENS
    to_text = [t for n, t in tensors.items() if ".attn2.to_k." in n or ".attn2.to_v." in n or ".text_embedder." in n]
    to_picture = [t for n, t in tensors.items() if ".attn2.add_" in n or ".image_embedder." in n]
    once = [t for n, t in tensors.items() if ".time_embedder." in n or ".time_proj." in n]
    apart = {t.name for t in (*to_text, *to_picture, *once)}
    per_token = work(t for n, t in tensors.items() if n not in apart)
    encode, decode = autoencoder_per_pixel(folder.tensors("vae"), vae.patch_px)
    widest = max(width, count(transformer, "transformer", "ffn_dim") // 4)
    finest = (vae.decoder_base_dim or vae.base_dim) * vae.dim_mult[0] / vae.patch_px**2
    return CostFormula(
        denoise_per_token=per_token + 4.0 * width * layers * (_PROMPT_TOKENS + picture),
        denoise_per_token_pair=4.0 * width * layers,
        denoise_constant=work(to_text, _PROMPT_TOKENS) + work(to_picture, picture) + work(once),
        encode_per_pixel=encode,
        decode_per_pixel=decode,
        text=work(folder.tensors("text_encoder").values(), _PROMPT_TOKENS),
        activation_bytes_per_token=FP32_BYTES * widest * LIVE_MAPS,
        activation_bytes_per_pixel=FP32_BYTES * finest * LIVE_MAPS,
        # with halos as measured: at the coarser levels they are wider
        strip_px=2.0 * STRIP_ROWS * vae.scale_factor_spatial,
    )


def _patch(transformer: Mapping[str, Any]) -> tuple[int, int, int]:
    patch: Any = transformer.get("patch_size")
    is_patch = isinstance(patch, list) and len(patch) == 3 and all(type(p) is int and p > 0 for p in patch)
    if not is_patch or patch[1] != patch[2]:
        rule = "must be three whole numbers (t, h, w) with h = w in its config.json"
        raise WeightsError("transformer", f"patch_size: {patch}", rule)
    return patch[0], patch[1], patch[2]


def _width(transformer: Mapping[str, Any]) -> int:
    heads = count(transformer, "transformer", "num_attention_heads")
    return heads * count(transformer, "transformer", "attention_head_dim")
