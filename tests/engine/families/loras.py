"""LoRA files for small models, and what they make of weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

State = dict[str, Tensor]
WAN_LAYERS = {"blocks.0.attn1.to_q": (24, 24), "blocks.2.ffn.net.2": (24, 20), "proj_out": (24, 24)}
TEXT_LAYERS = {"transformer_blocks.1.attn.to_q": (32, 32), "single_transformer_blocks.2.proj_mlp": (128, 32)}
KINEMA_LAYERS = {"single_transformer_blocks.1.attn.to_k": (24, 24)}


def low_rank(file: Path, *, layers: dict[str, tuple[int, int]], seed: int = 1, prefix: str = "transformer.") -> State:
    """A LoRA of rank 2 in diffusers' naming, written to ``file``: layer -> (out, in)."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for layer, (out, width) in layers.items():
        state[f"{prefix}{layer}.lora_A.weight"] = torch.randn(2, width, generator=generator) * 0.5
        state[f"{prefix}{layer}.lora_B.weight"] = torch.randn(out, 2, generator=generator) * 0.5
    save_file(state, file)
    return state


def added(folder: Path, target: Path, state: State, scale: float, *, component: str = "transformer") -> Path:
    """A copy of ``folder`` whose files hold what the LoRA ``state`` makes of them."""
    shutil.copytree(folder, target)
    (file,) = (target / component).glob("*.safetensors")
    weights = load_file(file)
    for name, down in state.items():
        if name.endswith(".lora_A.weight"):
            layer = name.removesuffix(".lora_A.weight").partition(".")[2]
            change = state[name.replace("lora_A", "lora_B")] @ down
            weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + scale * change
    save_file(weights, file)
    return target
