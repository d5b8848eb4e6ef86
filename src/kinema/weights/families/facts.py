"""What families share: the frozen facts, the checks of a folder's parts, and the card. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kinema.core.blocks import BlockSizes, block_sizes
from kinema.core.card import CostFormula, ModelCard
from kinema.core.errors import InvalidInput, WeightsError, choices
from kinema.core.geometry import Compression
from kinema.weights.configs import read_config, translate

if TYPE_CHECKING:
    from kinema.weights.folder import ModelFolder

# Of these classes a file's names are the network's own, and building one makes no buffer: they can be read block by block.
STREAMED_ENCODERS = ("UMT5EncoderModel", "T5EncoderModel")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the makers of a model say of it; see `ModelCard` for the words.

    ``frames`` is the length of a default clip and, unless ``longest`` says otherwise, the longest that it was trained for; ``fps`` its
    rate, and ``more_fps`` others that the network can be told.
    """

    version: str
    license: str
    sizes: tuple[tuple[int, int], ...]
    fps: float
    frames: int
    steps: int
    guidance: float
    text_tokens: int
    conditions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en", "zh")
    joint_text: bool = True
    embedded_guidance: bool = False
    guidance_2: float | None = None
    keyframes_at: tuple[float, ...] = ()
    longest: int | None = None
    more_fps: tuple[float, ...] = ()
    decodes: tuple[str, ...] = ("default", "exact")
    hidden_latent_frames: int = 0


def make_card(
    folder: ModelFolder,
    family: str,
    facts: Facts,
    *,
    compression: Compression,
    patch: tuple[int, int, int],
    cost: CostFormula,
) -> ModelCard:
    """The card of ``folder``; parameters and bytes are those of its files. Raises: WeightsError."""
    folder.config("scheduler")  # that it is there; the networks' were asked for
    tensors = {name: folder.tensors(name) for name in folder.components}
    return ModelCard(
        name=folder.name,
        version=facts.version,
        family=family,
        license=facts.license,
        parameters={name: sum(t.numel for t in folder.weights(name).values()) for name, own in tensors.items() if own},
        weights_bytes=sum(t.nbytes for own in tensors.values() for t in own.values()),
        sizes=facts.sizes,
        any_size=True,
        compression=compression,
        patch=patch,
        text_tokens=facts.text_tokens,
        joint_text=facts.joint_text,
        fps=(facts.fps, *facts.more_fps),
        default_seconds=facts.frames / facts.fps,
        max_frames=facts.longest or facts.frames,
        default_steps=facts.steps,
        default_guidance=facts.guidance,
        default_guidance_2=facts.guidance_2,
        embedded_guidance=facts.embedded_guidance,
        conditions=facts.conditions,
        needs=facts.needs,
        cameras=(),
        languages=facts.languages,
        cost=cost,
        blocks=streamed_blocks(folder),
        keyframes_at=facts.keyframes_at,
        one_spelling=False,
        decodes=facts.decodes,
        hidden_latent_frames=facts.hidden_latent_frames,
    )


def streamed_blocks(folder: ModelFolder) -> dict[str, BlockSizes]:
    """How the parameters of what can be streamed lie, by the headers of its files: transformers and some text encoders.

    Raises: WeightsError.
    """
    found: dict[str, BlockSizes] = {}
    for name in folder.components:
        is_encoder = folder.class_name(name) in STREAMED_ENCODERS
        if name.startswith("transformer") or is_encoder:
            sizes = block_sizes({n: t.shape for n, t in folder.weights(name).items()})
            if sizes is not None:  # transformers alone are quantised
                found[name] = replace(sizes, quantised=0, largest_quantised=0) if is_encoder else sizes
    return found


def check_classes(folder: ModelFolder, wanted: Mapping[str, tuple[str, ...]]) -> None:
    """Raises: WeightsError for a component of ``wanted`` that is missing, or of none of the classes named there (none: any)."""
    for component, classes in wanted.items():
        if component not in folder.components:
            rule = f"has no {component}, which a {folder.pipeline} needs; it has {', '.join(folder.components) or 'nothing'}"
            raise WeightsError("model", folder.name, rule)
        name = folder.class_name(component)
        if classes and name not in classes:
            raise WeightsError(component, name, f"must be {choices(classes)} in a {folder.pipeline}")


def check_fit(folder: ModelFolder, said: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises: WeightsError where two say different things: ``said`` is what about -> who -> what they say."""
    for what, values in said.items():
        first, *others = values.values()
        if any(value != first for value in others):
            told = ", ".join(f"{value} by its {who}" for who, value in values.items())
            raise WeightsError("model", folder.name, f"{what}: {told}; they must be the same")


def config_of(folder: ModelFolder, component: str, config_class: type) -> Any:
    """Our config of ``component``, which is of ``config_class``. Raises: WeightsError."""
    _, values = translate(folder.class_name(component), folder.config(component), component)
    return read_config(config_class, values, component)


def count(config: Mapping[str, Any], component: str, field: str) -> int:
    """The whole number of at least 1 that ``config`` has under ``field``. Raises: WeightsError."""
    value = config.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WeightsError(component, f"{field}: {value}", "must be a whole number of at least 1 in its config.json")
    return value


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The part of ``config`` under ``name``, where a model of several parts has one; else ``config`` itself."""
    part = config.get(name)
    return part if isinstance(part, Mapping) else config


def compression_of(component: str, **factors: int) -> Compression:
    """The geometry. Raises: WeightsError for factors that can't be."""
    try:
        return Compression(**factors)
    except InvalidInput as e:
        raise WeightsError(component, "config.json", f"describes no autoencoder: {e}") from e
