"""`open_model`: a model folder by its shipped name, path or hub id, readable without torch. Standard library only.

Layout (diffusers'): ``model_index.json`` (component -> library and class), per component a folder with ``config.json`` and one
safetensors file or shards with an index, and ``card.json``. Components without tensors (a scheduler) hold a config alone.
Published folders have no card: `kinema.weights.families` makes one from what is known of the family.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kinema.core.card import ModelCard
from kinema.core.checks import check_number
from kinema.core.errors import InvalidInput, WeightsError, choices
from kinema.weights import hub
from kinema.weights.digest import digest_file, digest_files
from kinema.weights.families import FAMILIES
from kinema.weights.families.facts import streamed_blocks
from kinema.weights.files import CONFIG_NAMES, PICKLE_SUFFIXES, split_scales, tensor_files, tensors_in
from kinema.weights.header import TensorInfo, read_header
from kinema.weights.single import open_checkpoint, read_tensors

_SHIPPED = Path(__file__).parent / "shipped"
# what these names begin are no networks
_WITHOUT_WEIGHTS = ("scheduler", "tokenizer", "image_processor", "feature_extractor")
_OWN_PIPELINE = "KinemaPipeline"
# of a tokenizer, every one of these can change what a prompt becomes
_TEXT_SUFFIXES = (".json", ".txt", ".model")


@dataclass(frozen=True, kw_only=True)
class LoraFile:
    """A file of changes, how much of them is added, and the network that they are for where the file itself doesn't say."""

    file: Path
    scale: float = 1.0
    component: str = "transformer"

    def __post_init__(self) -> None:
        check_number("lora", self.scale)
        object.__setattr__(self, "scale", float(self.scale))  # 1 and 1.0 are one scale, and one hash

    @classmethod
    def parse(cls, text: str, component: str = "transformer") -> LoraFile:
        """The LoRA that ``FILE`` or ``FILE=SCALE`` names. Raises: InvalidInput."""
        name, equals, scale = text.rpartition("=")
        if not equals or Path(text).is_file():  # a name may have an equals sign of its own
            return cls(file=Path(text), component=component)
        try:
            return cls(file=Path(name), scale=float(scale), component=component)
        except ValueError as e:
            raise InvalidInput("lora", text, "must be FILE or FILE=SCALE, SCALE a number such as 0.8") from e


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model on disk: its card, its components' classes, configs and tensor files.

    ``pipeline`` is the class that ``model_index.json`` names, ``settings`` what it holds besides components, such as
    ``boundary_ratio``. ``replaced`` are components whose tensors come from a file elsewhere; ``loras`` are added to what its
    transformers' files hold, one after another.
    """

    path: Path
    name: str
    components: Mapping[str, tuple[str, str]]
    pipeline: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    replaced: Mapping[str, Path] = field(default_factory=dict)
    loras: tuple[LoraFile, ...] = ()

    @cached_property
    def card(self) -> ModelCard:
        """What the model can do: its own card, or what its family and its configs say. Raises: InvalidInput, WeightsError."""
        card = self._card()
        return replace(card, adapters=self._adapters()) if self.loras else card

    def _card(self) -> ModelCard:
        file = self.path / "card.json"
        if not file.exists() and not self.pipeline:
            rule = f"names no pipeline (_class_name), and there is no card.json; must be {choices((_OWN_PIPELINE, *FAMILIES))}"
            raise WeightsError("model", self.path / "model_index.json", rule)
        if file.exists() or self.pipeline == _OWN_PIPELINE:
            card = ModelCard.read(file)
            return card if card.blocks else replace(card, blocks=streamed_blocks(self))
        if self.pipeline not in FAMILIES:
            rule = f"is a pipeline this version doesn't know; it knows {', '.join(FAMILIES)}"
            raise WeightsError("model", self.pipeline, rule)
        return FAMILIES[self.pipeline](self)

    def config(self, component: str) -> dict[str, Any]:
        """The config of ``component``.

        Raises: WeightsError if the model has no such component, or its config can't be read or is another class's.
        """
        path = self._config_path(component)
        config, name = _read_json(path), self.class_name(component)
        if (own := config.get("_class_name")) not in (None, name):  # those of transformers name none
            raise WeightsError(
                component, path, f"is of the class {own}, and model_index.json names {name}; must be the same"
            )
        return config

    def class_name(self, component: str) -> str:
        """The class that ``component`` is built as, such as ``VideoTransformer``."""
        self._check(component)
        return self.components[component][1]

    def tensor_files(self, component: str) -> tuple[Path, ...]:
        """The files that hold the tensors of ``component``, in shard order. Raises: WeightsError."""
        self._check(component)
        if component in self.replaced:
            return (self.replaced[component],)
        return tensor_files(self.path / component)

    def tensors(self, component: str) -> dict[str, TensorInfo]:
        """Tensor name -> where it lies, read from headers alone; empty for what has none, such as a tokenizer.

        Raises: WeightsError, for a network without files too.
        """
        if component in self.replaced:
            return {info.name: info for info in read_tensors(self.replaced[component])}
        self._check(component)
        has_none = component.startswith(_WITHOUT_WEIGHTS) and not _has_weights(self.path / component)
        return {} if has_none else tensors_in(self.tensor_files(component))

    def weights(self, component: str) -> dict[str, TensorInfo]:
        """What a network's parameters are, by our names: `tensors` without the scales that stand beside quantised ones.

        Of a file elsewhere, whose tensors may be cut, names and shapes are what counts. Raises: WeightsError.
        """
        if component in self.replaced:
            pieces = open_checkpoint(self.replaced[component]).pieces
            return {name: replace(piece.info, name=name, shape=piece.shape) for name, piece in pieces.items()}
        return split_scales(self.path / component, self.tensors(component))[1]

    def with_file(self, component: str, file: str | os.PathLike[str]) -> ModelFolder:
        """The same model with the tensors of ``component`` from a single ``file``; see `kinema.weights.single`.

        Raises: WeightsError for a component that the model lacks, a file that can't be read, or one of another kind.
        """
        if not Path(file).is_file():
            rule = "is a folder; give a single file" if Path(file).is_dir() else "isn't there"
            raise WeightsError(component, Path(file), rule)
        name = self.class_name(component)
        with _named(component):
            checkpoint = open_checkpoint(Path(file))
        if checkpoint.naming.class_name != name:
            rule = f"holds a {checkpoint.naming.description}, and the model's {component} is a {name}"
            raise WeightsError(component, file, rule)
        return replace(self, replaced={**self.replaced, component: checkpoint.file})

    def with_lora(self, lora: LoraFile) -> ModelFolder:
        """The same model with ``lora`` added to its transformer. Whether its keys have a home is found out when it is read.

        Raises: WeightsError for a component that the model lacks, or a file that is no safetensors or truncated.
        """
        self._check(lora.component)
        if lora.file.suffix in PICKLE_SUFFIXES:
            raise WeightsError(
                "lora", lora.file, "pickle files can run code and are not read; convert it to safetensors"
            )
        if lora.file.suffix != ".safetensors":
            raise WeightsError("lora", lora.file, "must be a .safetensors file")
        if not lora.file.is_file():
            raise WeightsError("lora", lora.file, "isn't there")
        with _named("lora"):
            read_header(lora.file)
        return replace(self, loras=(*self.loras, lora))

    def changes(self) -> dict[str, Any]:
        """What of this model isn't in its folder, JSON-ready: the files, and their hashes. Empty for most. Raises: WeightsError."""
        files = {n: {"file": str(f), "hash": f"sha256:{digest_file(f)}"} for n, f in self.replaced.items()}
        loras = [
            {
                "file": str(lora.file),
                "hash": f"sha256:{digest_file(lora.file)}",
                "scale": lora.scale,
                "component": lora.component,
            }
            for lora in self.loras
        ]
        return {**({"files": files} if files else {}), **({"loras": loras} if loras else {})}

    def content_hash(self) -> str:
        """``sha256:`` and the hash of everything that can change a frame: classes, configs, tensors and words of all components.

        Files from elsewhere and LoRAs with their scales count as well.
        The card is left out, so that adding a score to it leaves the hash alone. Files are read once per process and change.
        """
        files: list[Path] = [self.path / "model_index.json"]
        for component, (library, _) in sorted(self.components.items()):
            folder = self.path / component
            if library == "transformers":
                files += [p for p in folder.glob("*") if p.suffix in _TEXT_SUFFIXES]
            else:
                files.append(self._config_path(component))
            if component not in self.replaced and _has_weights(folder):
                files += self.tensor_files(component)
        loras = {f"lora {i} {one.component} {one.scale!r}": one.file for i, one in enumerate(self.loras)}
        return digest_files(self.path, files, {**self.replaced, **loras})

    def _adapters(self) -> dict[str, int]:
        """Component -> the numbers in the LoRAs for it. Raises: WeightsError."""
        counts: dict[str, int] = {}
        for lora in self.loras:
            infos = read_header(lora.file)
            names_both = any(info.name.startswith("transformer_2.") for info in infos)
            for info in infos:
                component = info.name.partition(".")[0] if names_both else lora.component
                counts[component] = counts.get(component, 0) + info.numel
        return counts

    def _check(self, component: str) -> None:
        if component not in self.components:
            raise WeightsError("model", self.name, f"has no {component}; it has {', '.join(self.components)}")

    def _config_path(self, component: str) -> Path:
        self._check(component)
        for name in CONFIG_NAMES:
            if (path := self.path / component / name).is_file():
                return path
        kinds = zip(("scheduler", "tokenizer", "image_processor"), CONFIG_NAMES[1:], strict=True)
        wanted = next((name for kind, name in kinds if component.startswith(kind)), CONFIG_NAMES[0])
        raise WeightsError(component, self.path / component, f"has no {wanted}")


def shipped_models() -> list[str]:
    """Names of the models inside the package."""
    return sorted(p.parent.name for p in _SHIPPED.glob("*/card.json"))


def open_model(
    model: str | os.PathLike[str],
    *,
    files: Mapping[str, str | os.PathLike[str]] | None = None,
    loras: Sequence[LoraFile] = (),
) -> ModelFolder:
    """The model of a shipped name, in a local folder, or of a hub id that was downloaded. No tensor is read, and no network used.

    A hub id is OWNER/NAME or OWNER/NAME@REVISION. ``files`` are for components whose tensors come from elsewhere, which the folder
    then may lack; see `ModelFolder.with_file` and `ModelFolder.with_lora`.
    Raises: InvalidInput naming the models that exist; WeightsError for a folder that isn't a model, or for a single file.
    """
    folder = _find(model)
    for component, file in (files or {}).items():
        folder = folder.with_file(component, file)
    for lora in loras:
        folder = folder.with_lora(lora)
    _ = folder.card  # whoever opens a model asks for it, and what is wrong with it shows at once
    return folder


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Errors within it are about ``field``, which whoever gave a file by itself knows."""
    try:
        yield
    except WeightsError as e:
        raise WeightsError(field, e.value, e.rule) from e


def _find(model: str | os.PathLike[str]) -> ModelFolder:
    name = os.fspath(model)
    if name in shipped_models():
        return _open(_SHIPPED / name, name)
    path = Path(name)
    if path.suffix in PICKLE_SUFFIXES:
        raise WeightsError("model", name, "pickle files can run code and are not read; give a folder with safetensors")
    if path.is_file():
        raise WeightsError("model", name, "is a file; give the folder of a whole model, with a model_index.json")
    if name and path.is_dir():
        return _open(path, path.resolve().name)
    known = ", ".join(shipped_models()) or "none"
    rule = f"is neither a shipped model ({known}) nor a folder with a model_index.json"
    if not hub.is_hub_id(name):
        raise InvalidInput("model", name, rule)
    downloaded = hub.find_downloaded(name)
    if downloaded is None:
        raise InvalidInput("model", name, f"{rule}; `kinema models get {name}` looks for it on the hub")
    return _open(downloaded, name)


def _open(path: Path, name: str) -> ModelFolder:
    if not (path / "model_index.json").is_file():
        raise WeightsError("model", path, "is not a model folder: it has no model_index.json")
    index = _read_json(path / "model_index.json")
    components: dict[str, tuple[str, str]] = {}
    settings: dict[str, Any] = {}
    for key, value in index.items():
        if key.startswith("_") or value in (None, [None, None]):  # a component that this model does without
            continue
        if not isinstance(value, list | dict):
            settings[key] = value
            continue
        is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        if not is_pair or os.path.basename(key) != key or key in ("", ".", ".."):
            raise WeightsError(
                "model_index.json", f"{key}: {value}", "must map a component's folder to [library, class]"
            )
        components[key] = (value[0], value[1])
    pipeline = str(index.get("_class_name") or "")
    return ModelFolder(path=path, name=name, components=components, pipeline=pipeline, settings=settings)


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.index.json"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise WeightsError("model", path, f"can't be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise WeightsError("model", path, f"is not valid JSON: {e}") from e
    if not isinstance(data, dict):
        raise WeightsError("model", path, "must hold a JSON object")
    return data
