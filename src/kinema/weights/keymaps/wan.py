"""Wan's original names of tensors: transformer, and both autoencoders. Standard library only.

Source: the published weights of Wan 2.1 and 2.2 and diffusers' names of the same tensors; checked against diffusers' own conversion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from kinema.weights.header import Piece, TensorInfo

_ATTENTION = {
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
    "k_img": "add_k_proj",
    "v_img": "add_v_proj",
    "norm_k_img": "norm_added_k",
}
_IN_BLOCK = {
    **{f"self_attn.{theirs}": f"attn1.{ours}" for theirs, ours in _ATTENTION.items()},
    **{f"cross_attn.{theirs}": f"attn2.{ours}" for theirs, ours in _ATTENTION.items()},
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "modulation": "scale_shift_table",
}
_ROOT = {
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")

_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_LEAVES = ("weight", "bias", "gamma")


def transformer(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """The pieces of our parameters: names alone differ."""
    pieces: dict[str, Piece] = {}
    for name, info in tensors.items():
        stem, leaf = _split(name)
        match = _BLOCK.fullmatch(stem)
        if match is None:
            stem = _ROOT.get(stem, stem)
        elif match[2] in _IN_BLOCK:
            stem = f"blocks.{match[1]}.{_IN_BLOCK[match[2]]}"
        if stem.endswith(("scale_shift_table", "pos_embed")) and len(info.shape) == 2:
            # GGUF drops an outermost axis of one
            info = replace(info, shape=(1, *info.shape))
        pieces[stem + leaf] = Piece(info=info)
    return pieces


def layers(names: Iterable[str]) -> set[str]:
    """The original names of all layers that a transformer with parameters of our ``names`` may have."""
    numbers = {m[1] for name in names if (m := _BLOCK.fullmatch(name))}
    return {*_ROOT, *(f"blocks.{number}.{layer}" for number in numbers for layer in _IN_BLOCK)}


def autoencoder(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """The pieces of 2.1's: a plain list of layers each way, which ours groups by level in the decoder."""
    return {_autoencoder_name(name, _plain_layer): Piece(info=info) for name, info in tensors.items()}


def residual_autoencoder(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """The pieces of 2.2's: lists of layers within lists of levels."""
    return {_autoencoder_name(name, _residual_layer): Piece(info=info) for name, info in tensors.items()}


_ENDS = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
_SIDE_ENDS = {"conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out"}
_SIDE = re.compile(r"(encoder|decoder)\.(.+)")
_IN_MIDDLE = re.compile(r"middle\.([012])\.(.+)")
_PLAIN = re.compile(r"(?:down|up)samples\.(\d+)\.(.+)")
_NESTED = re.compile(r"(?:down|up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\.(.+)")
# of 2.1's decoder, a level is three residual blocks and what doubles the size
_LEVEL_LAYERS = 4


def _autoencoder_name(name: str, layer: Callable[[str, str], str | None]) -> str:
    """Our name; ``layer(side, rest)`` knows those of the levels."""
    stem, leaf = _split(name)
    if stem in _ENDS:
        return _ENDS[stem] + leaf
    match = _SIDE.fullmatch(stem)
    if match is None:
        return name
    side, rest = match[1], match[2]
    middle = _IN_MIDDLE.fullmatch(rest)
    if rest in _SIDE_ENDS:
        ours = _SIDE_ENDS[rest]
    elif middle is not None:
        ours = f"mid_block.{_MIDDLE[middle[1]]}.{_RESIDUAL.get(middle[2], middle[2])}"
    else:
        ours = layer(side, rest)
    return name if ours is None else f"{side}.{ours}{leaf}"


def _plain_layer(side: str, rest: str) -> str | None:
    match = _PLAIN.fullmatch(rest)
    if match is None:
        return None
    number, part = int(match[1]), _RESIDUAL.get(match[2], match[2])
    if side == "encoder":
        return f"down_blocks.{number}.{part}"
    level, place = divmod(number, _LEVEL_LAYERS)
    layer = f"resnets.{place}" if match[2] in _RESIDUAL else "upsamplers.0"
    return f"up_blocks.{level}.{layer}.{part}"


def _residual_layer(side: str, rest: str) -> str | None:
    match = _NESTED.fullmatch(rest)
    if match is None:
        return None
    blocks, sampler = ("down_blocks", "downsampler") if side == "encoder" else ("up_blocks", "upsampler")
    is_residual = match[3] in _RESIDUAL
    layer = f"resnets.{match[2]}.{_RESIDUAL[match[3]]}" if is_residual else f"{sampler}.{match[3]}"
    return f"{blocks}.{match[1]}.{layer}"


def _split(name: str) -> tuple[str, str]:
    """(what names a layer, what names its tensor, with the dot); a layer that is a tensor has nothing behind it."""
    stem, _, leaf = name.rpartition(".")
    return (stem, f".{leaf}") if leaf in _LEAVES else (name, "")
