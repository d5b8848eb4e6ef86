"""LTX-Video, text-to-video and from a first picture: 0.9 to 0.9.8, 2B and 13B. Standard library only.

Source of the facts: its report (arXiv 2501.00103), its makers' pages and the defaults of diffusers' pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinema.core.card import CostFormula, ModelCard
from kinema.core.errors import WeightsError
from kinema.models.autoencoders.ltx_config import STEPS, LtxAutoencoderConfig
from kinema.models.transformers.ltx_config import LtxTransformerConfig
from kinema.weights.families.costs import FP32_BYTES, LIVE_MAPS, work
from kinema.weights.families.facts import Facts, check_classes, check_fit, compression_of, config_of, count, make_card
from kinema.weights.header import TensorInfo

if TYPE_CHECKING:
    from kinema.weights.folder import ModelFolder

_CLASSES = {
    "transformer": ("LTXVideoTransformer3DModel",),
    "vae": ("AutoencoderKLLTXVideo",),
    "text_encoder": ("T5EncoderModel",),
    "tokenizer": (),
    "scheduler": ("FlowMatchEulerDiscreteScheduler",),
}
# A decoder that sees ahead keeps frames in every layer: maps of the finest width for each of a latent frame's frames, measured on
# version 0.9.5's at an eighth of its width, over 249 frames, of which it saves two thirds.
_STREAMED_MAPS = 40
LTX = Facts(
    version="0.9",
    license="LTX-Video Open Weights License (0.9 and 0.9.1: RAIL-M); the one that came with the weights counts",
    sizes=((704, 512), (512, 704), (768, 512), (512, 768), (1216, 704), (704, 1216)),
    # the network is told the rate: places in time are seconds
    fps=25.0,
    more_fps=(24.0, 30.0),
    frames=161,
    longest=257,
    steps=50,
    guidance=3.0,
    text_tokens=128,
    joint_text=False,
    languages=("en",),
    # every published model takes a first picture, whichever pipeline its index names
    conditions=("keyframes",),
    keyframes_at=(0.0,),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What diffusers' pipelines take as arguments, with their defaults; ``model_index.json`` may say otherwise, by these names.

    ``guidance_rescale``: see `kinema.flow.guidance.rescaled`. ``decode_timestep`` is the noise level that the decoder is told, and
    ``decode_noise_scale`` the noise that is mixed into its latents; None: as much as it is told.
    """

    guidance_rescale: float = 0.0
    decode_timestep: float = 0.0
    decode_noise_scale: float | None = None


def card(folder: ModelFolder) -> ModelCard:
    """The card. Raises: WeightsError for a folder whose parts are missing, of other classes, or don't fit each other."""
    check_classes(folder, _CLASSES)
    transformer: LtxTransformerConfig = config_of(folder, "transformer", LtxTransformerConfig)
    vae: LtxAutoencoderConfig = config_of(folder, "vae", LtxAutoencoderConfig)
    settings(folder)
    said = {
        "channels into the transformer": {"transformer": transformer.in_channels, "vae": vae.latent_channels},
        "channels out of the transformer": {"transformer": transformer.out_channels, "vae": vae.latent_channels},
        "width of the text": {
            "transformer": transformer.caption_channels,
            "text_encoder": count(folder.config("text_encoder"), "text_encoder", "d_model"),
        },
    }
    check_fit(folder, said)
    factors = vae.compression
    return make_card(
        folder,
        "ltx-video",
        LTX,
        compression=compression_of("vae", time=factors.time, space=factors.space, channels=factors.channels),
        patch=(1, 1, 1),
        cost=_cost(folder, transformer, vae),
    )


def settings(folder: ModelFolder) -> Settings:
    """The settings of ``folder``. Raises: WeightsError for one that is no number from 0 to 1, or not for this autoencoder."""
    found: dict[str, float] = {}
    has_level = bool(folder.config("vae").get("timestep_conditioning"))
    for name in Settings.__dataclass_fields__:
        value = folder.settings.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise WeightsError("model_index.json", f"{name}: {value}", "must be a number from 0 to 1")
        if name.startswith("decode") and not has_level:
            rule = "goes with an autoencoder that has timestep_conditioning; leave it out"
            raise WeightsError("model_index.json", f"{name}: {value}", rule)
        found[name] = float(value)
    return Settings(**found)


def _cost(folder: ModelFolder, transformer: LtxTransformerConfig, vae: LtxAutoencoderConfig) -> CostFormula:
    tensors = folder.weights("transformer")
    text = {n for n in tensors if ".attn2.to_k." in n or ".attn2.to_v." in n or n.startswith("caption_projection.")}
    once = {n for n in tensors if n.startswith("time_embed.")}
    encode, decode = _autoencoder_per_pixel(folder.weights("vae"), vae)
    attention = 4.0 * transformer.width * transformer.num_layers
    per_token = work(t for n, t in tensors.items() if n not in text | once) + attention * LTX.text_tokens
    finest = vae.ups[-1].out_channels / vae.patch_size**2
    return CostFormula(
        denoise_per_token=per_token,
        denoise_per_token_pair=attention,
        denoise_constant=work((tensors[n] for n in text), LTX.text_tokens) + work(tensors[n] for n in once),
        encode_per_pixel=encode,
        decode_per_pixel=decode,
        text=work(folder.tensors("text_encoder").values(), LTX.text_tokens),
        activation_bytes_per_token=FP32_BYTES * transformer.width * LIVE_MAPS,
        activation_bytes_per_pixel=FP32_BYTES * finest * _STREAMED_MAPS,
    )


def _autoencoder_per_pixel(tensors: Mapping[str, TensorInfo], vae: LtxAutoencoderConfig) -> tuple[float, float]:
    """FLOPs to (encode, decode) a pixel."""

    def at(prefix: str, places: float) -> float:
        own = (t for n, t in tensors.items() if n.startswith(f"{prefix}.") and ".time_embedder." not in n)
        return work(own, places)

    places = 1.0 / vae.patch_size**2
    encode = at("encoder.conv_in", places)
    for i, level in enumerate(vae.downs):
        time, space = STEPS[level.step] if level.step else (1, 1)
        after = places / (time * space**2)
        name = f"encoder.down_blocks.{i}"
        encode += at(f"{name}.resnets", places) + at(f"{name}.conv_out", after)
        # the older step down is a strided convolution, the newer folds what a plain one gives
        encode += at(f"{name}.downsamplers", after if level.step == "conv" else places)
        places = after
    encode += at("encoder.mid_block", places) + at("encoder.conv_out", places)
    decode = at("decoder.conv_in", places) + at("decoder.mid_block", places)
    for i, level in enumerate(vae.ups):
        name = f"decoder.up_blocks.{i}"
        decode += at(f"{name}.conv_in", places) + at(f"{name}.upsamplers", places)
        places *= 8 if level.steps_up else 1
        decode += at(f"{name}.resnets", places)
    return encode, decode + at("decoder.conv_out", places)
