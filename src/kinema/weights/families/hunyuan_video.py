"""HunyuanVideo, text-to-video and image-to-video. Standard library only.

Source of the facts: its report (arXiv 2412.03603), its makers' page and the defaults of diffusers' pipelines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinema.core.card import CostFormula, ModelCard
from kinema.core.geometry import VideoShape
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.flops import flops as autoencoder_flops
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.flops import flops as transformer_flops
from kinema.weights.families.costs import FP32_BYTES, LIVE_MAPS, polynomial
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

_PROMPT_TOKENS = 256
# A picture is 576 tokens of the language model, of which every second or fourth goes on to the transformer.
_PICTURE_TOKENS = {None: 0, "latent_concat": 576 // 2, "token_replace": 576 // 4}
_SIZES = (
    (1280, 720), (720, 1280), (1104, 832), (832, 1104), (960, 960),
    (960, 544), (544, 960), (832, 624), (624, 832), (720, 720),
)  # fmt: skip
_CLASSES = {
    "transformer": ("HunyuanVideoTransformer3DModel",),
    "vae": ("AutoencoderKLHunyuanVideo",),
    "text_encoder": ("LlamaModel",),
    "tokenizer": (),
    "text_encoder_2": ("CLIPTextModel",),
    "tokenizer_2": (),
    "scheduler": ("FlowMatchEulerDiscreteScheduler",),
}
_PICTURE_CLASSES = {**_CLASSES, "text_encoder": ("LlavaForConditionalGeneration",), "image_processor": ()}
# A tile of the reference's own tiled decoding: what a pixel costs grows with the frame, through attention.
_TILE = (17, 256, 256)


def card(folder: ModelFolder) -> ModelCard:
    """The card. Raises: WeightsError for a folder whose parts are missing, of other classes, or don't fit each other."""
    check_classes(folder, _PICTURE_CLASSES if "ImageToVideo" in folder.pipeline else _CLASSES)
    transformer = config_of(folder, "transformer", VideoTransformerConfig)
    vae = config_of(folder, "vae", VideoAutoencoderConfig)
    _check_fit(folder, transformer, vae)
    factors = vae.compression
    return make_card(
        folder,
        "hunyuan-video",
        _facts(folder, transformer),
        compression=compression_of(
            "vae",
            time=factors.time,
            space=factors.space,
            channels=factors.channels,
            align=factors.space * transformer.patch_size,
        ),
        patch=transformer.patch,
        cost=_cost(folder, transformer, vae),
    )


def _facts(folder: ModelFolder, transformer: VideoTransformerConfig) -> Facts:
    # of what starts with a picture on the channel axis the first latent frame is dropped
    num_hidden = int(transformer.image_condition_type == "latent_concat")
    sees_picture = folder.pipeline == "HunyuanVideoImageToVideoPipeline"
    return Facts(
        version="1.0",
        license="Tencent Hunyuan Community License (not for the EU, the UK and South Korea)",
        sizes=_SIZES,
        fps=24.0,
        frames=129 - 4 * num_hidden,
        steps=50,
        guidance=6.0 if transformer.guidance_embeds else 1.0,
        embedded_guidance=transformer.guidance_embeds,
        text_tokens=_PROMPT_TOKENS + _PICTURE_TOKENS[transformer.image_condition_type],
        conditions=("keyframes",) if sees_picture else (),
        needs=("keyframes",) if sees_picture else (),
        keyframes_at=(0.0,) if sees_picture else (),
        decodes=("default", "exact", "frugal", "tiles"),
        hidden_latent_frames=num_hidden,
    )


def _check_fit(folder: ModelFolder, transformer: VideoTransformerConfig, vae: VideoAutoencoderConfig) -> None:
    kind, channels = transformer.image_condition_type, vae.latent_channels
    text = section(folder.config("text_encoder"), "text_config")  # one that sees pictures, too, has it there
    said = {
        "image-to-video": {"pipeline": "ImageToVideo" in folder.pipeline, "transformer": kind is not None},
        "channels into the transformer": {
            "transformer": transformer.in_channels,
            "vae": 2 * channels + 1 if kind == "latent_concat" else channels,
        },
        "channels out of the transformer": {"transformer": transformer.out_channels, "vae": channels},
        "width of the text": {
            "transformer": transformer.text_embed_dim,
            "text_encoder": count(text, "text_encoder", "hidden_size"),
        },
        "width of the pooled text": {
            "transformer": transformer.pooled_projection_dim,
            "text_encoder_2": count(folder.config("text_encoder_2"), "text_encoder_2", "hidden_size"),
        },
    }
    check_fit(folder, said)


def _cost(folder: ModelFolder, transformer: VideoTransformerConfig, vae: VideoAutoencoderConfig) -> CostFormula:
    num_text = _facts(folder, transformer).text_tokens
    constant, per_token, per_pair = polynomial(
        lambda tokens: transformer_flops(transformer, tokens - num_text, num_text), num_text, 1024
    )
    tile = VideoShape(frames=_TILE[0], height_px=_TILE[1], width_px=_TILE[2], fps=24.0)
    encode, decode = autoencoder_flops(vae, tile)
    language_model = sum(t.numel for t in folder.tensors("text_encoder").values())
    return CostFormula(
        denoise_per_token=per_token,
        denoise_per_token_pair=per_pair,
        denoise_constant=max(0.0, constant),
        encode_per_pixel=encode / tile.pixels,
        decode_per_pixel=decode / tile.pixels,
        # two operations a weight and token; the template's 95 tokens are read, too
        text=2.0 * language_model * (_PROMPT_TOKENS + 95),
        activation_bytes_per_token=FP32_BYTES * transformer.width * LIVE_MAPS,
        activation_bytes_per_pixel=FP32_BYTES * vae.decoder_channels[0] * LIVE_MAPS,
        kept_bytes_per_pixel=FP32_BYTES * vae.decoder_channels[0] * 2,
    )
