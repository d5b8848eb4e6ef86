"""Which naming a file of tensors has, and its way to our names. Standard library only.

A key map is a function from the tensors of a file to the pieces of our parameters: pure, and nothing is read. What it doesn't
know keeps its name, so that strict loading refuses it by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kinema.weights.header import Piece, TensorInfo
from kinema.weights.keymaps import hunyuan_video, ltx, wan

KeyMap = Callable[[Mapping[str, TensorInfo]], dict[str, Piece]]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The names that one family's files give the tensors of one component.

    ``marks`` are names that these files have and no others do, all of them; ``class_name`` is diffusers' class of the same tensors.
    """

    family: str
    component: str
    class_name: str
    marks: tuple[str, ...]
    key_map: KeyMap

    @property
    def description(self) -> str:
        """In words."""
        kind = "published" if self.key_map is published else "original"
        return f"{self.family} {self.component} ({kind} names)"


def published(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """Every tensor under the name it has: published names are ours."""
    return {name: Piece(info=info) for name, info in tensors.items()}


_HUNYUAN = {"family": "hunyuan-video", "component": "transformer", "class_name": "HunyuanVideoTransformer3DModel"}
_HUNYUAN_VAE = {"family": "hunyuan-video", "component": "vae", "class_name": "AutoencoderKLHunyuanVideo"}
_LTX = {"family": "ltx-video", "component": "transformer", "class_name": "LTXVideoTransformer3DModel"}
_LTX_VAE = {"family": "ltx-video", "component": "vae", "class_name": "AutoencoderKLLTXVideo"}
_WAN = {"family": "wan", "component": "transformer", "class_name": "WanTransformer3DModel"}
_WAN_VAE = {"family": "wan", "component": "vae", "class_name": "AutoencoderKLWan"}

# HunyuanVideo's own files name the autoencoder's tensors as the published ones do.
NAMINGS = (
    Naming(
        **_HUNYUAN,
        marks=("double_blocks.0.img_attn_qkv.weight", "txt_in.individual_token_refiner.blocks.0.self_attn_qkv.weight"),
        key_map=hunyuan_video.transformer,
    ),
    Naming(
        **_HUNYUAN,
        marks=("transformer_blocks.0.norm1_context.linear.weight", "context_embedder.proj_in.weight"),
        key_map=published,
    ),
    Naming(
        **_HUNYUAN_VAE,
        marks=("encoder.conv_in.conv.weight", "decoder.up_blocks.0.resnets.0.conv1.conv.weight", "quant_conv.weight"),
        key_map=published,
    ),
    Naming(**_LTX, marks=("patchify_proj.weight", "transformer_blocks.0.attn1.q_norm.weight"), key_map=ltx.transformer),
    Naming(
        **_LTX,
        marks=("proj_in.weight", "transformer_blocks.0.attn1.norm_q.weight", "time_embed.linear.weight"),
        key_map=published,
    ),
    Naming(**_LTX_VAE, marks=("encoder.conv_in.conv.weight", "latents_mean"), key_map=published),
    Naming(**_WAN, marks=("blocks.0.self_attn.q.weight", "head.modulation"), key_map=wan.transformer),
    Naming(
        **_WAN,
        marks=("blocks.0.attn1.to_q.weight", "condition_embedder.time_proj.weight"),
        key_map=published,
    ),
    Naming(**_WAN_VAE, marks=("decoder.upsamples.0.residual.0.gamma", "conv2.weight"), key_map=wan.autoencoder),
    Naming(
        **_WAN_VAE,
        marks=("decoder.upsamples.0.upsamples.0.residual.0.gamma", "conv2.weight"),
        key_map=wan.residual_autoencoder,
    ),
    Naming(
        **_WAN_VAE,
        marks=("decoder.mid_block.attentions.0.to_qkv.weight", "post_quant_conv.weight"),
        key_map=published,
    ),
)


def recognise(names: Mapping[str, object]) -> Naming | None:
    """The naming that a file with tensors of these ``names`` has; None for one that is unknown."""
    return next((n for n in NAMINGS if all(mark in names for mark in n.marks)), None)
