"""From a model folder to networks: which class a component is, its config, its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import nn

from kinema.core.errors import InvalidInput, WeightsError, choices
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.text.byte_encoder import ByteTextEncoder, ByteTextEncoderConfig
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.weights.folder import ModelFolder
from kinema.weights.load import load_module
from kinema.weights.sampler import SamplerConfig
from kinema.weights.save import Component

# class name in model_index.json -> (config, network)
COMPONENTS: dict[str, tuple[type, Callable[[Any], nn.Module]]] = {
    "VideoTransformer": (VideoTransformerConfig, VideoTransformer),
    "VideoAutoencoder": (VideoAutoencoderConfig, VideoAutoencoder),
    "ByteTextEncoder": (ByteTextEncoderConfig, ByteTextEncoder),
}


def load_component(
    folder: ModelFolder,
    component: str,
    *,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    on_block: Callable[[str, nn.Module], None] | None = None,
) -> nn.Module:
    """The network of ``component`` with its weights, as `kinema.weights.load.load_module` makes it. Raises: WeightsError."""
    name = folder.class_name(component)
    if name not in COMPONENTS:
        raise WeightsError(component, name, f"is a class this version doesn't know; {choices(COMPONENTS)}")
    config_class, network = COMPONENTS[name]
    config = read_config(config_class, folder.config(component), component)
    files = folder.tensor_files(component)
    return load_module(lambda: network(config), files, dtype=dtype, device=device, on_block=on_block)


def load_sampler(folder: ModelFolder) -> SamplerConfig:
    """How the model is sampled: its ``scheduler`` component, or the plain way if it has none. Raises: WeightsError."""
    if "scheduler" not in folder.components:
        return SamplerConfig()
    return read_config(SamplerConfig, folder.config("scheduler"), "scheduler")


def read_config(config_class: type, data: Mapping[str, Any], component: str) -> Any:
    """The frozen config that ``data`` describes; names with a leading underscore are notes. Raises: WeightsError."""
    known = {f.name for f in fields(config_class)}
    values = {k: _as_tuple(v) for k, v in data.items() if not k.startswith("_")}
    if unknown := sorted(set(values) - known):
        raise WeightsError(
            component, "config.json", f"has fields that {config_class.__name__} lacks: {', '.join(unknown)}"
        )
    try:
        return config_class(**values)
    except (InvalidInput, TypeError, ValueError) as e:
        raise WeightsError(component, "config.json", f"does not describe a {config_class.__name__}: {e}") from e


def as_component(module: nn.Module) -> Component:
    """What `save_model` takes for a network of Kinema's: its class, its config and its tensors."""
    name = type(module).__name__
    if name not in COMPONENTS:
        raise InvalidInput("module", name, f"must be {choices(COMPONENTS)}")
    return Component(class_name=name, config=asdict(module.config), module=module)  # type: ignore[arg-type]


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value
