"""Small transformers of both families with random weights, what they are called with, and their weights in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.models.transformers.wan import WanTransformer
from kinema.models.transformers.wan_config import WanTransformerConfig
from kinema.weights.load import Pieces, pieces_of

HUNYUAN = VideoTransformerConfig(
    in_channels=3,
    out_channels=5,
    num_attention_heads=2,
    attention_head_dim=12,
    num_layers=2,
    num_single_layers=3,
    num_refiner_layers=1,
    mlp_ratio=3.0,
    guidance_embeds=True,
    text_embed_dim=7,
    pooled_projection_dim=11,
    rope_axes_dim=(4, 4, 4),
)
WAN = WanTransformerConfig(
    patch_size=(1, 2, 2),
    num_attention_heads=3,
    attention_head_dim=12,
    in_channels=5,
    out_channels=3,
    text_dim=7,
    freq_dim=10,
    ffn_dim=46,
    num_layers=4,
)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hunyuan": lambda: VideoTransformer(HUNYUAN),
    "shared modulation": lambda: VideoTransformer(
        replace(HUNYUAN, shared_modulation=True, num_refiner_layers=0, guidance_embeds=False, num_single_layers=1)
    ),
    "wan": lambda: WanTransformer(WAN),
    "wan with image": lambda: WanTransformer(replace(WAN, image_dim=13, added_kv_proj_dim=36, num_layers=1)),
}


def random_network(build: Callable[[], nn.Module]) -> nn.Module:
    """A network with every number drawn, so that no gate is closed."""
    generator = torch.Generator().manual_seed(3)
    network = build()
    with torch.no_grad():
        for parameter in network.parameters():
            std = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def run(network: nn.Module, device: str = "cpu") -> Tensor:
    """What ``network`` makes of random inputs, the same ones at every call."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    config: Any = network.config
    latents, sigma = draw(2, config.in_channels, 3, 4, 6), torch.tensor([0.3, 0.7], device=device)
    with torch.inference_mode():
        if isinstance(network, WanTransformer):
            image = None if config.image_dim is None else draw(2, 5, config.image_dim)
            return network(latents, sigma, draw(2, 11, config.text_dim), image=image)
        guidance = torch.tensor([6.0, 4.0], device=device) if config.guidance_embeds else None
        text, pooled = draw(2, 11, config.text_embed_dim), draw(2, config.pooled_projection_dim)
        mask = torch.arange(11, device=device) < torch.tensor([[11], [7]], device=device)
        return network(latents, sigma, text, mask, pooled, guidance=guidance)


def saved(network: nn.Module, folder: Path, dtype: torch.dtype) -> Pieces:
    """The weights of ``network`` in two files below ``folder``."""
    tensors = {name: tensor.to(dtype) for name, tensor in network.state_dict().items()}
    folder.mkdir(exist_ok=True)
    names = list(tensors)
    files = [folder / "a.safetensors", folder / "b.safetensors"]
    for file, share in zip(files, (names[::2], names[1::2]), strict=True):
        save_file({name: tensors[name] for name in share}, file)
    return pieces_of(files)
