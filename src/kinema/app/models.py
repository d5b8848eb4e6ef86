"""The models that can be used here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.core.card import ModelCard
from kinema.weights.folder import open_model, shipped_models


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
            "cameras": list(card.cameras),
        }


def list_models() -> list[ModelEntry]:
    """The models inside the package."""
    return [find_model(name) for name in shipped_models()]


def find_model(name: str) -> ModelEntry:
    """The model of a shipped name or in a local folder. Raises: InvalidInput, WeightsError."""
    folder = open_model(name)
    return ModelEntry(name=name, path=folder.path, card=folder.card)
