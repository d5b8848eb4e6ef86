"""From a model folder to networks: which class a component is, its config, its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kinema.core.errors import InvalidInput, WeightsError, choices
from kinema.flow.published import PublishedSampler, read_scheduler
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.ltx import LtxAutoencoder
from kinema.models.autoencoders.ltx_config import LtxAutoencoderConfig
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.wan import WanAutoencoder
from kinema.models.autoencoders.wan_config import WanAutoencoderConfig
from kinema.models.text.byte_encoder import ByteTextEncoder, ByteTextEncoderConfig
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.ltx import LtxTransformer
from kinema.models.transformers.ltx_config import LtxTransformerConfig
from kinema.models.transformers.video import VideoTransformer
from kinema.models.transformers.wan import WanTransformer
from kinema.models.transformers.wan_config import WanTransformerConfig
from kinema.weights.configs import PUBLISHED, read_config, translate
from kinema.weights.folder import ModelFolder
from kinema.weights.load import Pieces, empty_module, fill_module, pieces_of
from kinema.weights.sampler import SamplerConfig
from kinema.weights.save import Component
from kinema.weights.single import open_checkpoint

# class -> (config, network); diffusers' names of the same networks are in `kinema.weights.configs`
NETWORKS: dict[str, tuple[type, Callable[[Any], nn.Module]]] = {
    "VideoTransformer": (VideoTransformerConfig, VideoTransformer),
    "VideoAutoencoder": (VideoAutoencoderConfig, VideoAutoencoder),
    "ByteTextEncoder": (ByteTextEncoderConfig, ByteTextEncoder),
    "WanTransformer": (WanTransformerConfig, WanTransformer),
    "WanAutoencoder": (WanAutoencoderConfig, WanAutoencoder),
    "LtxTransformer": (LtxTransformerConfig, LtxTransformer),
    "LtxAutoencoder": (LtxAutoencoderConfig, LtxAutoencoder),
}
# of these the pipelines give levels of their own; the others leave them to the scheduler
_GIVE_LEVELS = ("HunyuanVideo", "LTX")


def load_component(
    folder: ModelFolder,
    component: str,
    *,
    dtype: torch.dtype,
    device: str | torch.device = "cpu",
    on_block: Callable[[str, nn.Module], None] | None = None,
    empty: nn.Module | None = None,
) -> nn.Module:
    """The network of ``component`` with its weights, as `kinema.weights.load.fill_module` makes it.

    ``empty``, if given, is what is filled: `empty_component` gave it. Components of transformers are for
    `kinema.weights.transformers_parts`. Raises: WeightsError.
    """
    build = network_of(folder, component) if empty is None else lambda: empty
    where, pieces = component_pieces(folder, component)
    return fill_module(build, pieces, where=where, component=component, dtype=dtype, device=device, on_block=on_block)


def empty_component(folder: ModelFolder, component: str, *, dtype: torch.dtype) -> nn.Module:
    """What `load_component` gives, before any tensor is read; see `kinema.weights.load.empty_module`. Raises: WeightsError."""
    build, (where, pieces) = network_of(folder, component), component_pieces(folder, component)
    return empty_module(build, pieces, where=where, component=component, dtype=dtype)


def component_pieces(folder: ModelFolder, component: str) -> tuple[Path, Pieces]:
    """(where they lie, our parameters' pieces) of ``component``. Raises: WeightsError."""
    if component in folder.replaced:
        return folder.replaced[component], open_checkpoint(folder.replaced[component]).pieces
    return folder.path / component, pieces_of(folder.tensor_files(component))


def network_of(folder: ModelFolder, component: str) -> Callable[[], nn.Module]:
    """What builds the network of ``component``, without weights. Raises: WeightsError for an unknown class, or a config that isn't its."""
    name, values = translate(folder.class_name(component), folder.config(component), component)
    if name not in NETWORKS:
        raise WeightsError(component, name, f"is a class this version doesn't know; {choices((*NETWORKS, *PUBLISHED))}")
    config_class, network = NETWORKS[name]
    config = read_config(config_class, values, component)
    return lambda: network(config)


def load_sampler(folder: ModelFolder) -> SamplerConfig:
    """How a model of Kinema's is sampled: its ``scheduler`` component, or the plain way if it has none. Raises: WeightsError."""
    if "scheduler" not in folder.components:
        return SamplerConfig()
    return read_config(SamplerConfig, folder.config("scheduler"), "scheduler")


def load_published_sampler(folder: ModelFolder) -> PublishedSampler:
    """How a published model is sampled, from its ``scheduler_config.json``. Raises: WeightsError."""
    try:
        return read_scheduler(folder.config("scheduler"), from_pipeline=folder.pipeline.startswith(_GIVE_LEVELS))
    except WeightsError:
        raise
    except InvalidInput as e:
        raise WeightsError("scheduler", folder.path / "scheduler", f"can't be followed: {e}") from e


def as_component(module: nn.Module) -> Component:
    """What `save_model` takes for a network of Kinema's: its class, its config and its tensors."""
    name = type(module).__name__
    if name not in NETWORKS:
        raise InvalidInput("module", name, f"must be {choices(NETWORKS)}")
    return Component(class_name=name, config=asdict(module.config), module=module)  # type: ignore[arg-type]
