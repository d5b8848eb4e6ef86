"""HunyuanVideo's original names of tensors. Standard library only.

Source: the published weights of the 13B and diffusers' names of the same tensors; checked against diffusers' own conversion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kinema.weights.header import Piece, TensorInfo

_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")

# list of blocks -> (our list, name within a block -> ours; several: its rows in equal parts, or as `_parts` says)
_LISTS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "double_blocks": (
        "transformer_blocks",
        {
            "img_mod.linear": ("norm1.linear",),
            "img_attn_qkv": _QKV,
            "img_attn_q_norm": ("attn.norm_q",),
            "img_attn_k_norm": ("attn.norm_k",),
            "img_attn_proj": ("attn.to_out.0",),
            "img_mlp.fc1": ("ff.net.0.proj",),
            "img_mlp.fc2": ("ff.net.2",),
            "txt_mod.linear": ("norm1_context.linear",),
            "txt_attn_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
            "txt_attn_q_norm": ("attn.norm_added_q",),
            "txt_attn_k_norm": ("attn.norm_added_k",),
            "txt_attn_proj": ("attn.to_add_out",),
            "txt_mlp.fc1": ("ff_context.net.0.proj",),
            "txt_mlp.fc2": ("ff_context.net.2",),
        },
    ),
    "single_blocks": (
        "single_transformer_blocks",
        {
            "modulation.linear": ("norm.linear",),
            "linear1": (*_QKV, "proj_mlp"),
            "linear2": ("proj_out",),
            "q_norm": ("attn.norm_q",),
            "k_norm": ("attn.norm_k",),
        },
    ),
    "txt_in.individual_token_refiner.blocks": (
        "context_embedder.token_refiner.refiner_blocks",
        {
            "norm1": ("norm1",),
            "norm2": ("norm2",),
            "self_attn_qkv": _QKV,
            "self_attn_proj": ("attn.to_out.0",),
            "mlp.fc1": ("ff.net.0.proj",),
            "mlp.fc2": ("ff.net.2",),
            "adaLN_modulation.1": ("norm_out.linear",),
        },
    ),
}
_ROOT = {
    "img_in.proj": "x_embedder.proj",
    "txt_in.input_embedder": "context_embedder.proj_in",
    "txt_in.t_embedder.mlp.0": "context_embedder.time_text_embed.timestep_embedder.linear_1",
    "txt_in.t_embedder.mlp.2": "context_embedder.time_text_embed.timestep_embedder.linear_2",
    "txt_in.c_embedder.linear_1": "context_embedder.time_text_embed.text_embedder.linear_1",
    "txt_in.c_embedder.linear_2": "context_embedder.time_text_embed.text_embedder.linear_2",
    "time_in.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "time_in.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.mlp.0": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.mlp.2": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_IN_LIST = re.compile(rf"({'|'.join(map(re.escape, _LISTS))})\.(\d+)\.(.+)")


def transformer(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """The pieces of our parameters, fused projections cut into theirs."""
    pieces: dict[str, Piece] = {}
    for name, info in tensors.items():
        stem, dot, leaf = name.rpartition(".")
        targets = _targets(stem)
        for target, rows in zip(targets, _parts(stem, info, tensors, len(targets)), strict=True):
            pieces[target + dot + leaf] = Piece(info=info, rows=rows)
    return pieces


def layers(names: Iterable[str]) -> set[str]:
    """The original names of all layers that a network with parameters of our ``names`` may have."""
    names = list(names)
    found = set(_ROOT)
    for theirs, (ours, within) in _LISTS.items():
        numbers = {m[1] for name in names if (m := re.match(rf"{re.escape(ours)}\.(\d+)\.", name))}
        found |= {f"{theirs}.{number}.{layer}" for number in numbers for layer in within}
    return found


def _targets(stem: str) -> tuple[str, ...]:
    match = _IN_LIST.fullmatch(stem)
    if match is None:
        return (_ROOT.get(stem, stem),)
    ours, names = _LISTS[match[1]]
    if match[3] not in names:
        return (stem,)
    return tuple(f"{ours}.{match[2]}.{name}" for name in names[match[3]])


def _parts(
    stem: str, info: TensorInfo, tensors: Mapping[str, TensorInfo], count: int
) -> list[tuple[tuple[int, int], ...]]:
    """The rows of each of ``count`` targets."""
    num_rows = info.shape[0] if info.shape else 0
    if stem == "final_layer.adaLN_modulation.1":  # (shift, scale) there, (scale, shift) here
        half = num_rows // 2
        return [((half, num_rows), (0, half))]
    if count == 1:
        return [()]
    part = num_rows // count
    if stem.endswith(".linear1"):  # q, k, v as wide as the block, and the rest; a bias is cut as its weight is
        weight = tensors.get(f"{stem}.weight")
        part = weight.shape[1] if weight is not None and len(weight.shape) == 2 else part
    # a tensor that is too small gives pieces that are, which strict loading refuses
    ends = [min(i * part, num_rows) for i in range(count)] + [num_rows]
    return [((ends[i], ends[i + 1]),) for i in range(count)]
