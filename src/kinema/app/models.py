"""The models that can be used here: listed, looked into, downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.core.memory import DTYPE_BYTES
from kinema.core.placement import Placement, placements
from kinema.core.plan import RunPlan
from kinema.core.progress import Observer, ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.machine import memory_room_bytes
from kinema.weights import hub
from kinema.weights.families import FAMILIES
from kinema.weights.folder import ModelFolder, open_model, shipped_models
from kinema.weights.single import Checkpoint, open_checkpoint

# what weights may be loaded as, the usual first
_LOADED_AS = {name: DTYPE_BYTES[name] for name in ("bfloat16", "float32")}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model: the name that ``--model`` takes, where it lies, and what it can do."""

    name: str
    path: Path
    card: ModelCard

    @property
    def num_parameters(self) -> int:
        """Parameters of all components."""
        return sum(self.card.parameters.values())

    @property
    def max_seconds(self) -> float:
        """The longest clip at the default rate."""
        return self.card.max_frames / self.card.fps[0]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict of what a list shows."""
        card = self.card
        return {
            "name": self.name,
            "version": card.version,
            "family": card.family,
            "license": card.license,
            "path": str(self.path),
            "parameters": self.num_parameters,
            "weights_bytes": card.weights_bytes,
            "sizes": [f"{width}x{height}" for width, height in card.sizes],
            "fps": list(card.fps),
            "max_frames": card.max_frames,
            "languages": list(card.languages),
            "conditions": list(card.conditions),
            "needs": list(card.needs),
            "cameras": list(card.cameras),
        }


@dataclass(frozen=True, kw_only=True)
class ComponentEntry:
    """A component of a model: its class, its parameters, what they are stored as and how many bytes they take, scales included."""

    name: str
    class_name: str
    parameters: int
    dtypes: tuple[str, ...]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict, with the bytes in memory by what the weights may be loaded as."""
        memory = {dtype: self.parameters * size for dtype, size in _LOADED_AS.items()}
        return {
            "class": self.class_name,
            "parameters": self.parameters,
            "stored_as": list(self.dtypes),
            "bytes": self.bytes,
            "memory_bytes": memory,
        }


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything about a model that can be known without loading it."""

    entry: ModelEntry
    components: tuple[ComponentEntry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> VideoShape:
        """The clip that the model makes by default."""
        return self.entry.card.shape(GenerationRequest(prompt="-"))

    @property
    def placements(self) -> list[Placement]:
        """The ways to make that clip on this machine's processor, in bfloat16, as `--dry-run` has them: fastest first."""
        card = self.entry.card
        is_guided = card.default_guidance != 1 and not card.embedded_guidance
        mode = "batched" if is_guided else "off"
        plan = RunPlan(dtype="bfloat16", vae_dtype="bfloat16", guidance_mode=mode)
        return placements(card, self.shape, plan, is_guided=is_guided, num_keyframes=int("keyframes" in card.needs))

    @property
    def memory_room_bytes(self) -> int | None:
        """Bytes of memory that there are for it here."""
        return memory_room_bytes()

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Bytes of all weights in memory, by what they are loaded as."""
        return {dtype: self.entry.num_parameters * size for dtype, size in _LOADED_AS.items()}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            **self.entry.to_dict(),
            "components": {c.name: c.to_dict() for c in self.components},
            "memory_bytes": self.memory_bytes,
            "placements": [way.to_dict() for way in self.placements],
            "memory_room_bytes": self.memory_room_bytes,
            "settings": dict(self.settings),
        }


def list_models() -> list[ModelEntry]:
    """The models inside the package."""
    return [find_model(name) for name in shipped_models()]


def list_downloaded() -> tuple[list[ModelEntry], list[str]]:
    """(the models in the hub's cache, a line for each of those that can't be used)."""
    entries: list[ModelEntry] = []
    problems: list[str] = []
    for name in hub.downloaded_models():
        try:
            entries.append(find_model(name))
        except InvalidInput as e:
            problems.append(str(e))
    return entries, problems


def find_model(name: str) -> ModelEntry:
    """The model of a shipped name, in a local folder, or of a hub id that was downloaded. Raises: InvalidInput, WeightsError."""
    return _entry(name, open_model(name))


def inspect_model(name: str) -> Inspection:
    """What can be known of a model without loading it. Raises: InvalidInput, WeightsError."""
    folder = open_model(name)
    components = []
    for component, (_, class_name) in folder.components.items():
        weights = folder.weights(component).values()
        components.append(
            ComponentEntry(
                name=component,
                class_name=class_name,
                parameters=sum(t.numel for t in weights),
                dtypes=tuple(sorted({t.dtype for t in weights})),
                bytes=sum(t.nbytes for t in folder.tensors(component).values()),
            )
        )
    return Inspection(entry=_entry(name, folder), components=tuple(components), settings=folder.settings)


def inspect_file(file: str) -> Checkpoint:
    """What a single file of weights holds. Raises: WeightsError."""
    return open_checkpoint(Path(file))


def look_up(name: str, revision: str | None = None) -> hub.Offer:
    """What the hub has under ``name``; see `kinema.weights.hub.look_up`. Raises: InvalidInput, WeightsError."""
    if revision is not None and "@" in name:
        raise InvalidInput("revision", revision, f"is given twice: the id is {name}")
    return hub.look_up(f"{name}@{revision}" if revision else name, knows=lambda pipeline: pipeline in FAMILIES)


def get_model(offer: hub.Offer, *, observer: Observer = ignore_progress, shows_bars: bool = False) -> ModelEntry:
    """The downloaded model of ``offer``. Raises: InvalidInput, StorageError; what was downloaded stays for the next try."""
    path = hub.download(offer, observer=observer, shows_bars=shows_bars)
    name = offer.model if offer.revision == "main" else f"{offer.model}@{offer.revision}"
    return ModelEntry(name=name, path=path, card=open_model(name).card)


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk of ``path``."""
    return shutil.disk_usage(path).free


def _entry(name: str, folder: ModelFolder) -> ModelEntry:
    return ModelEntry(name=name, path=folder.path, card=folder.card)
