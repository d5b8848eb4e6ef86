"""Published tensors back under their original names, projections fused again: what the makers' own files hold.

Written apart from the key maps, as a list of single steps; that diffusers' conversion undoes them shows that they are right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]

_HUNYUAN_STEPS = [
    ("context_embedder.proj_in", "txt_in.input_embedder"),
    ("context_embedder.time_text_embed.timestep_embedder.linear_1", "txt_in.t_embedder.mlp.0"),
    ("context_embedder.time_text_embed.timestep_embedder.linear_2", "txt_in.t_embedder.mlp.2"),
    ("context_embedder.time_text_embed.text_embedder", "txt_in.c_embedder"),
    ("context_embedder.token_refiner.refiner_blocks", "txt_in.individual_token_refiner.blocks"),
    ("time_text_embed.timestep_embedder.linear_1", "time_in.mlp.0"),
    ("time_text_embed.timestep_embedder.linear_2", "time_in.mlp.2"),
    ("time_text_embed.guidance_embedder.linear_1", "guidance_in.mlp.0"),
    ("time_text_embed.guidance_embedder.linear_2", "guidance_in.mlp.2"),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
    ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    ("x_embedder.proj", "img_in.proj"),
]
_REFINER_STEPS = [
    ("norm_out.linear", "adaLN_modulation.1"),
    ("attn.to_out.0", "self_attn_proj"),
    ("ff.net.0.proj", "mlp.fc1"),
    ("ff.net.2", "mlp.fc2"),
]
_DUAL_STEPS = [
    ("norm1_context.linear", "txt_mod.linear"),
    ("norm1.linear", "img_mod.linear"),
    ("attn.norm_added_q", "txt_attn_q_norm"),
    ("attn.norm_added_k", "txt_attn_k_norm"),
    ("attn.norm_q", "img_attn_q_norm"),
    ("attn.norm_k", "img_attn_k_norm"),
    ("attn.to_add_out", "txt_attn_proj"),
    ("attn.to_out.0", "img_attn_proj"),
    ("ff_context.net.0.proj", "txt_mlp.fc1"),
    ("ff_context.net.2", "txt_mlp.fc2"),
    ("ff.net.0.proj", "img_mlp.fc1"),
    ("ff.net.2", "img_mlp.fc2"),
]
_SINGLE_STEPS = [
    ("attn.norm_q", "q_norm"),
    ("attn.norm_k", "k_norm"),
    ("norm.linear", "modulation.linear"),
    ("proj_out", "linear2"),
]


def hunyuan_video(state: State) -> dict[str, Tensor]:
    """HunyuanVideo's transformer."""
    fused: dict[str, dict[str, Tensor]] = {}
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".")
        if stem == "norm_out.linear":
            scale, shift = tensor.chunk(2)
            out[f"final_layer.adaLN_modulation.1.{leaf}"] = torch.cat([shift, scale])
        elif stem == "proj_out":
            out[f"final_layer.linear.{leaf}"] = tensor
        elif match := re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", stem):
            place = f"double_blocks.{match[1]}."
            if re.fullmatch(r"attn\.to_[qkv]", match[2]):
                fused.setdefault(f"{place}img_attn_qkv.{leaf}", {})[match[2]] = tensor
            elif re.fullmatch(r"attn\.add_[qkv]_proj", match[2]):
                fused.setdefault(f"{place}txt_attn_qkv.{leaf}", {})[match[2]] = tensor
            else:
                out[f"{place}{_stepped(match[2], _DUAL_STEPS)}.{leaf}"] = tensor
        elif match := re.fullmatch(r"single_transformer_blocks\.(\d+)\.(.+)", stem):
            place = f"single_blocks.{match[1]}."
            if re.fullmatch(r"attn\.to_[qkv]|proj_mlp", match[2]):
                fused.setdefault(f"{place}linear1.{leaf}", {})[match[2]] = tensor
            else:
                out[f"{place}{_stepped(match[2], _SINGLE_STEPS)}.{leaf}"] = tensor
        elif "refiner_blocks" in stem:
            renamed = _stepped(_stepped(stem, _REFINER_STEPS), _HUNYUAN_STEPS)
            if re.search(r"attn\.to_[qkv]$", stem):
                name = re.sub(r"attn\.to_[qkv]$", "self_attn_qkv", renamed)
                fused.setdefault(f"{name}.{leaf}", {})[stem.rpartition(".")[2]] = tensor
            else:
                out[f"{renamed}.{leaf}"] = tensor
        else:
            out[f"{_stepped(stem, _HUNYUAN_STEPS)}.{leaf}"] = tensor
    for name, parts in fused.items():
        out[name] = torch.cat([parts[part] for part in sorted(parts, key=_order)])
    return out


def _order(part: str) -> int:
    """q, k, v, and in single blocks the feed-forward layer after them."""
    return 3 if part == "proj_mlp" else "qkv".index(re.findall(r"(?:to|add)_([qkv])", part)[0])


_WAN_STEPS = [
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
    ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
    ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
    ("condition_embedder.image_embedder.norm2", "img_emb.proj.4"),
    ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
    ("proj_out", "head.head"),
    ("attn1.to_out.0", "self_attn.o"),
    ("attn2.to_out.0", "cross_attn.o"),
    ("attn2.add_k_proj", "cross_attn.k_img"),
    ("attn2.add_v_proj", "cross_attn.v_img"),
    ("attn2.norm_added_k", "cross_attn.norm_k_img"),
    *((f"attn1.to_{x}", f"self_attn.{x}") for x in "qkv"),
    *((f"attn2.to_{x}", f"cross_attn.{x}") for x in "qkv"),
    ("attn1.norm_", "self_attn.norm_"),
    ("attn2.norm_", "cross_attn.norm_"),
    ("norm2", "norm3"),
    ("ffn.net.0.proj", "ffn.0"),
    ("ffn.net.2", "ffn.2"),
]


def wan(state: State) -> dict[str, Tensor]:
    """Wan's transformer."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == "scale_shift_table":
            out["head.modulation"] = tensor
        elif name.endswith("scale_shift_table"):
            out[name.replace("scale_shift_table", "modulation")] = tensor
        else:
            out[_stepped(name, _WAN_STEPS, once=True)] = tensor
    return out


def ltx(state: State) -> dict[str, Tensor]:
    """LTX-Video's transformer."""
    steps = [
        ("proj_in.", "patchify_proj."),
        ("time_embed.", "adaln_single."),
        (".norm_q.", ".q_norm."),
        (".norm_k.", ".k_norm."),
    ]
    return {_stepped(name, steps): tensor for name, tensor in state.items()}


_RESIDUAL_STEPS = [
    ("norm1.gamma", "residual.0.gamma"),
    ("conv1.", "residual.2."),
    ("norm2.gamma", "residual.3.gamma"),
    ("conv2.", "residual.6."),
    ("conv_shortcut.", "shortcut."),
]
_VAE_STEPS = [
    ("mid_block.resnets.0.", "middle.0."),
    ("mid_block.resnets.1.", "middle.2."),
    ("mid_block.attentions.0.", "middle.1."),
    ("conv_in.", "conv1."),
    ("norm_out.", "head.0."),
    ("conv_out.", "head.2."),
]


def wan_vae(state: State) -> dict[str, Tensor]:
    """The autoencoder of Wan 2.1."""
    return {_vae_name(name, 0): tensor for name, tensor in state.items()}


def wan_residual_vae(state: State, num_res_blocks: int) -> dict[str, Tensor]:
    """The autoencoder of Wan 2.2's 5B."""
    return {_vae_name(name, num_res_blocks): tensor for name, tensor in state.items()}


def _vae_name(name: str, num_res_blocks: int) -> str:
    if name.startswith(("quant_conv.", "post_quant_conv.")):
        return name.replace("post_quant_conv", "conv2").replace("quant_conv", "conv1")
    side, _, rest = name.partition(".")
    if match := re.fullmatch(r"down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)", rest):
        rest = f"downsamples.{match[1]}.downsamples.{match[2]}.{_stepped(match[3], _RESIDUAL_STEPS)}"
    elif match := re.fullmatch(r"down_blocks\.(\d+)\.downsampler\.(.+)", rest):
        rest = f"downsamples.{match[1]}.downsamples.{num_res_blocks}.{match[2]}"
    elif match := re.fullmatch(r"down_blocks\.(\d+)\.(.+)", rest):
        rest = f"downsamples.{match[1]}.{_stepped(match[2], _RESIDUAL_STEPS)}"
    elif match := re.fullmatch(r"up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)", rest):
        layer = _stepped(match[3], _RESIDUAL_STEPS)
        flat = 4 * int(match[1]) + int(match[2])
        rest = f"upsamples.{match[1]}.upsamples.{match[2]}.{layer}" if num_res_blocks else f"upsamples.{flat}.{layer}"
    elif match := re.fullmatch(r"up_blocks\.(\d+)\.upsampler\.(.+)", rest):
        rest = f"upsamples.{match[1]}.upsamples.{num_res_blocks + 1}.{match[2]}"
    elif match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.(.+)", rest):
        rest = f"upsamples.{4 * int(match[1]) + 3}.{match[2]}"
    else:
        rest = _stepped(_stepped(rest, _VAE_STEPS), _RESIDUAL_STEPS if rest.startswith("mid_block.resnets") else [])
    return f"{side}.{rest}"


def _stepped(text: str, steps: list[tuple[str, str]], *, once: bool = False) -> str:
    for ours, theirs in steps:
        if ours in text:
            text = text.replace(ours, theirs)
            if once:
                return text
    return text
