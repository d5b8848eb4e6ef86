"""`open_model`: a model folder by its shipped name or path, readable without torch. Standard library only.

Layout (diffusers'): ``model_index.json`` (component -> library and class), ``card.json``, and per component a folder with
``config.json`` and one safetensors file or shards with an index. Components without tensors (a scheduler) hold a config alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, WeightsError
from kinema.weights.digest import digest_files
from kinema.weights.files import CONFIG_NAMES, PICKLE_SUFFIXES, tensor_files

_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model on disk: its card, its components' classes, configs and tensor files."""

    path: Path
    name: str
    card: ModelCard
    components: Mapping[str, tuple[str, str]]

    def config(self, component: str) -> dict[str, Any]:
        """The config of ``component``. Raises: WeightsError if the model has no such component or its config can't be read."""
        return _read_json(self._config_path(component))

    def class_name(self, component: str) -> str:
        """The class that ``component`` is built as, such as ``VideoTransformer``."""
        self._check(component)
        return self.components[component][1]

    def tensor_files(self, component: str) -> tuple[Path, ...]:
        """The safetensors files of ``component``, in shard order. Raises: WeightsError."""
        self._check(component)
        return tensor_files(self.path / component)

    def content_hash(self) -> str:
        """``sha256:`` and the hash of everything that can change a frame: classes, configs and tensors of all components.

        The card is left out, so that adding a score to it leaves the hash alone. Files are read once per process and change.
        """
        files: list[Path] = [self.path / "model_index.json"]
        for component in sorted(self.components):
            files.append(self._config_path(component))
            if _has_tensors(self.path / component):
                files += self.tensor_files(component)
        return digest_files(self.path, files)

    def _check(self, component: str) -> None:
        if component not in self.components:
            raise WeightsError("model", self.name, f"has no {component}; it has {', '.join(self.components)}")

    def _config_path(self, component: str) -> Path:
        self._check(component)
        for name in CONFIG_NAMES:
            if (path := self.path / component / name).is_file():
                return path
        raise WeightsError(component, self.path / component, f"has no {CONFIG_NAMES[0]}")


def shipped_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(p.parent.name for p in _SHIPPED.glob("*/card.json"))


def open_model(model: str | os.PathLike[str]) -> ModelFolder:
    """The model of a shipped name or in a local folder. No tensor is read.

    Raises: InvalidInput naming the models that exist; WeightsError for a folder that isn't a model, or for a pickle file.
    """
    name = os.fspath(model)
    if name in shipped_models():
        return _open(_SHIPPED / name, name)
    path = Path(name)
    if path.suffix in PICKLE_SUFFIXES:
        raise WeightsError("model", name, "pickle files can run code and are not read; give a folder with safetensors")
    if not name or not path.is_dir():
        known = ", ".join(shipped_models()) or "none"
        raise InvalidInput("model", name, f"is neither a shipped model ({known}) nor a folder with a model_index.json")
    return _open(path, path.resolve().name)


def _open(path: Path, name: str) -> ModelFolder:
    if not (path / "model_index.json").is_file():
        raise WeightsError("model", path, "is not a model folder: it has no model_index.json")
    components: dict[str, tuple[str, str]] = {}
    for key, value in _read_json(path / "model_index.json").items():
        if key.startswith("_"):
            continue
        is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        if not is_pair or os.path.basename(key) != key or key in ("", ".", ".."):
            raise WeightsError(
                "model_index.json", f"{key}: {value}", "must map a component's folder to [library, class]"
            )
        components[key] = (value[0], value[1])
    return ModelFolder(path=path, name=name, card=ModelCard.read(path / "card.json"), components=components)


def _has_tensors(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.index.json"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise WeightsError("model", path, f"can't be read: {e.strerror}") from e
    except ValueError as e:
        raise WeightsError("model", path, f"is not valid JSON: {e}") from e
    if not isinstance(data, dict):
        raise WeightsError("model", path, "must hold a JSON object")
    return data
