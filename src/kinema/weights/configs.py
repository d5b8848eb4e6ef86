"""Published config files in the words of our configs. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from kinema.core.errors import InvalidInput, WeightsError, choices


@dataclass(frozen=True, kw_only=True)
class Published:
    """How the config of one of diffusers' classes becomes one of ours.

    Attributes:
        network: the class of `kinema.weights.build.NETWORKS` that has the same tensors.
        renamed: their field -> ours; the others have the same name.
        defaults: what the reference takes where a file lacks the field, wherever ours would not take the same.
        only: fields that ours lacks, and the values that it does without being told; a list is a list of these.
    """

    network: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


PUBLISHED: dict[str, Published] = {
    "HunyuanVideoTransformer3DModel": Published(
        network="VideoTransformer", defaults={"guidance_embeds": True}, only={"qk_norm": ("rms_norm",)}
    ),
    "AutoencoderKLHunyuanVideo": Published(
        network="VideoAutoencoder",
        renamed={
            "spatial_compression_ratio": "space_compression",
            "temporal_compression_ratio": "time_compression",
            "mid_block_add_attention": "mid_attention",
        },
        defaults={"scaling_factor": 0.476986},
        only={
            "act_fn": ("silu",),
            "down_block_types": ("HunyuanVideoDownBlock3D",),
            "up_block_types": ("HunyuanVideoUpBlock3D",),
        },
    ),
    "WanTransformer3DModel": Published(network="WanTransformer"),
    "AutoencoderKLWan": Published(network="WanAutoencoder"),
    "LTXVideoTransformer3DModel": Published(network="LtxTransformer"),
    "AutoencoderKLLTXVideo": Published(network="LtxAutoencoder"),
}


def translate(class_name: str, data: Mapping[str, Any], component: str) -> tuple[str, dict[str, Any]]:
    """(our class, its config's values) of a published config; one that isn't published comes back as it is.

    Raises: WeightsError for a setting that our networks don't have.
    """
    if class_name not in PUBLISHED:
        return class_name, dict(data)
    published = PUBLISHED[class_name]
    values = dict(published.defaults)
    for name, value in data.items():
        allowed = published.only.get(name)
        if allowed is None:
            values[published.renamed.get(name, name)] = value
        elif any(v not in allowed for v in (value if isinstance(value, list) else [value])):
            raise WeightsError(component, f"{name}: {value}", f"is not supported; must be {choices(allowed)}")
    if "out_channels" in values and values["out_channels"] is None:
        values["out_channels"] = values.get("in_channels")
    return published.network, values


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


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value
