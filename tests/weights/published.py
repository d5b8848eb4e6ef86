"""Published models in miniature: folders as diffusers writes them, its own classes with small random weights inside.

Text encoders are stand-ins (a config and a tensor) where a test doesn't run them.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.models.autoencoders.autoencoder_kl_hunyuan_video import AutoencoderKLHunyuanVideo
    from diffusers.models.autoencoders.autoencoder_kl_ltx import AutoencoderKLLTXVideo
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoTransformer3DModel
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

HUNYUAN_TRANSFORMER: dict[str, Any] = {
    "in_channels": 16, "out_channels": 16, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2,
    "num_single_layers": 3, "num_refiner_layers": 1, "text_embed_dim": 11, "pooled_projection_dim": 7,
    "rope_axes_dim": (4, 6, 6),
}  # fmt: skip
HUNYUAN_VAE: dict[str, Any] = {"block_out_channels": (6, 9, 9, 12), "norm_num_groups": 3, "layers_per_block": 1}
WAN_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 6, "out_channels": 6, "text_dim": 10,
    "freq_dim": 16, "ffn_dim": 20, "num_layers": 3, "patch_size": (1, 2, 2),
}  # fmt: skip
WAN_VAE: dict[str, Any] = {
    "base_dim": 4, "z_dim": 6, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "latents_mean": [0.1] * 6,
    "latents_std": [1.5] * 6,
}  # fmt: skip
WAN_RESIDUAL_VAE: dict[str, Any] = {
    **WAN_VAE, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16,
    "decoder_base_dim": 8,
}  # fmt: skip
LTX_TRANSFORMER: dict[str, Any] = {
    "in_channels": 8, "out_channels": 8, "num_attention_heads": 2, "attention_head_dim": 14, "cross_attention_dim": 28,
    "num_layers": 3, "caption_channels": 22,
}  # fmt: skip
# of version 0.9
LTX_VAE: dict[str, Any] = {
    "latent_channels": 8, "block_out_channels": [6, 10, 12, 12], "decoder_block_out_channels": [6, 10, 12, 12],
    "layers_per_block": [1, 1, 1, 1, 1], "decoder_layers_per_block": [1, 1, 1, 1, 1],
}  # fmt: skip
# of version 0.9.1: the decoder is told of noise, and adds some
LTX_NOISY_VAE: dict[str, Any] = {
    **LTX_VAE, "decoder_block_out_channels": [8, 16, 32], "decoder_layers_per_block": [1, 2, 1, 1],
    "decoder_spatio_temporal_scaling": [True, True, True], "decoder_inject_noise": [True, True, True, False],
    "upsample_residual": [True, True, True], "upsample_factor": [2, 2, 2], "timestep_conditioning": True,
}  # fmt: skip
# of version 0.9.5: no noise of its own, and an encoder of the newer kind
LTX_LEVEL_VAE: dict[str, Any] = {
    **LTX_NOISY_VAE, "decoder_inject_noise": [False] * 4, "block_out_channels": [4, 8, 8, 16, 32],
    "down_block_types": ["LTXVideo095DownBlock3D"] * 4, "spatio_temporal_scaling": [True] * 4,
    "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
    "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
}  # fmt: skip
# as published, but for the numbers of tokens between which the shift grows
LTX_SCHEDULER: dict[str, Any] = {
    "use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 4,
    "max_image_seq_len": 64, "shift_terminal": 0.1,
}  # fmt: skip
HUNYUAN_TEXT = {
    "text_encoder": ("LlamaModel", {"hidden_size": 11}),
    "text_encoder_2": ("CLIPTextModel", {"hidden_size": 7}),
}


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """``module`` with every parameter drawn anew, so that none is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            std = 0.3 if parameter.ndim <= 1 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return module.eval().requires_grad_(False)


def hunyuan_video(
    root: Path,
    *,
    pipeline: str = "HunyuanVideoPipeline",
    transformer: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    max_shard_size: str = "5GB",
) -> Path:
    """A HunyuanVideo at ``root``; ``transformer`` are changes to its config, ``text`` other stand-ins."""
    networks = {
        "transformer": randomised(HunyuanVideoTransformer3DModel(**{**HUNYUAN_TRANSFORMER, **(transformer or {})}), 1),
        "vae": randomised(AutoencoderKLHunyuanVideo(**HUNYUAN_VAE), 2),
    }
    for name, network in networks.items():
        network.save_pretrained(root / name, max_shard_size=max_shard_size)
    FlowMatchEulerDiscreteScheduler(shift=7.0).save_pretrained(root / "scheduler")
    stand_ins = text or HUNYUAN_TEXT
    _write_index(
        root,
        pipeline,
        {
            **{name: ["diffusers", type(network).__name__] for name, network in networks.items()},
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            **{name: ["transformers", class_name] for name, (class_name, _) in stand_ins.items()},
            "tokenizer": ["transformers", "LlamaTokenizerFast"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"],
            **({"image_processor": ["transformers", "CLIPImageProcessor"]} if "ImageToVideo" in pipeline else {}),
        },
    )
    _write_stand_ins(root, stand_ins)
    return root


def wan(
    root: Path,
    *,
    pipeline: str = "WanPipeline",
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
    has_experts: bool = False,
    sees_picture: bool = False,
    settings: dict[str, Any] | None = None,
) -> Path:
    """A Wan at ``root``; ``settings`` go into its index as they are."""
    config = {**WAN_TRANSFORMER, **(transformer or {})}
    names = ("transformer", "transformer_2") if has_experts else ("transformer",)
    networks: dict[str, Any] = {n: randomised(WanTransformer3DModel(**config), i) for i, n in enumerate(names)}
    networks["vae"] = randomised(AutoencoderKLWan(**(vae or WAN_VAE)), 5)
    for name, network in networks.items():
        network.save_pretrained(root / name)
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0).save_pretrained(
        root / "scheduler"
    )
    stand_ins: dict[str, Any] = {"text_encoder": ("UMT5EncoderModel", {"d_model": config["text_dim"]})}
    if sees_picture:
        stand_ins["image_encoder"] = ("CLIPVisionModel", {"hidden_size": config["image_dim"]})
    index: dict[str, Any] = {
        **{name: ["diffusers", type(network).__name__] for name, network in networks.items()},
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        **{name: ["transformers", class_name] for name, (class_name, _) in stand_ins.items()},
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "image_encoder": ["transformers", "CLIPVisionModel"] if sees_picture else [None, None],
        "image_processor": ["transformers", "CLIPImageProcessor"] if sees_picture else [None, None],
        "transformer_2": ["diffusers", "WanTransformer3DModel"] if has_experts else [None, None],
        "boundary_ratio": 0.875 if has_experts else None,
        "expand_timesteps": False,
        **(settings or {}),
    }
    _write_index(root, pipeline, index)
    _write_stand_ins(root, stand_ins)
    return root


def ltx_vae(**config: Any) -> Any:
    """An autoencoder of LTX-Video with statistics that matter, told of noise levels in thousandths as all published ones."""
    vae = randomised(AutoencoderKLLTXVideo(**config), 5)
    steps = torch.arange(vae.config.latent_channels) / 10
    vae.latents_mean.copy_(steps - 0.3)
    vae.latents_std.copy_(1.3 - steps)
    if vae.config.timestep_conditioning:
        vae.decoder.timestep_scale_multiplier.fill_(1000.0)
    return vae


def ltx(
    root: Path,
    *,
    pipeline: str = "LTXPipeline",
    transformer: dict[str, Any] | None = None,
    vae: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """An LTX-Video at ``root``; ``settings`` go into its index as they are."""
    config = {**LTX_TRANSFORMER, **(transformer or {})}
    networks: dict[str, Any] = {
        "transformer": randomised(LTXVideoTransformer3DModel(**config), 1),
        "vae": ltx_vae(**(vae or LTX_VAE)),
    }
    for name, network in networks.items():
        network.save_pretrained(root / name)
    FlowMatchEulerDiscreteScheduler(**LTX_SCHEDULER).save_pretrained(root / "scheduler")
    stand_ins: dict[str, Any] = {"text_encoder": ("T5EncoderModel", {"d_model": 22})}
    index: dict[str, Any] = {
        **{name: ["diffusers", type(network).__name__] for name, network in networks.items()},
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        **(settings or {}),
    }
    _write_index(root, pipeline, index)
    _write_stand_ins(root, stand_ins)
    return root


def change_json(file: Path, **changes: Any) -> None:
    """``file`` with other values; None takes a key out."""
    data = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    file.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


def _write_index(root: Path, pipeline: str, index: dict[str, Any]) -> None:
    head = {"_class_name": pipeline, "_diffusers_version": "0.42.1"}
    (root / "model_index.json").write_text(json.dumps({**head, **index}), encoding="utf-8")


def _write_stand_ins(root: Path, parts: dict[str, tuple[str, dict[str, Any]]]) -> None:
    for name, (class_name, config) in parts.items():
        (root / name).mkdir()
        (root / name / "config.json").write_text(
            json.dumps({"architectures": [class_name], **config}), encoding="utf-8"
        )
        save_file({"embedding.weight": torch.zeros(13, 5)}, root / name / "model.safetensors")
    for name in ("tokenizer", "tokenizer_2"):
        (root / name).mkdir()
        (root / name / "tokenizer_config.json").write_text('{"model_max_length": 77}', encoding="utf-8")
