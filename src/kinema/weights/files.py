"""Which files hold a component's tensors. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path

from kinema.core.errors import WeightsError

CONFIG_NAMES = ("config.json", "scheduler_config.json")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def tensor_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a component's ``folder``: the single one, or the shards that its index names.

    Raises: WeightsError for none, several without an index, shards that are missing, or pickle files alone (named).
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    singles = sorted(folder.glob("*.safetensors"))
    if len(indices) > 1:
        raise WeightsError(folder.name, folder, f"has several indices: {_names(indices)}; keep one")
    if indices:
        return _shards(indices[0])
    if len(singles) > 1:
        raise WeightsError(folder.name, folder, f"has several safetensors and no index: {_names(singles)}; keep one")
    if singles:
        return (singles[0],)
    pickles = [p for p in sorted(folder.glob("*")) if p.suffix in PICKLE_SUFFIXES]
    if pickles:
        rule = f"pickle files can run code and are not read ({_names(pickles)}); convert them to safetensors"
        raise WeightsError(folder.name, folder, rule)
    raise WeightsError(folder.name, folder, "holds no safetensors")


def index_of(folder: Path) -> dict[str, str] | None:
    """Tensor name -> file name, as the index of ``folder`` says; None without an index. Raises: WeightsError."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    return _weight_map(indices[0]) if indices else None


def _shards(index: Path) -> tuple[Path, ...]:
    names = sorted(set(_weight_map(index).values()))
    paths = tuple(index.parent / name for name in names)
    missing = [p for p in paths if not p.is_file()]
    if missing:
        raise WeightsError(index.parent.name, index, f"names shards that are missing: {_names(missing)}")
    return paths


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = dict(weight_map)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise WeightsError(index.parent.name, index, f"is not a readable index: {e!r}") from e
    for name, file in files.items():
        # an index must not reach outside its own folder
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise WeightsError(
                index.parent.name, index, f"maps {name} to {file!r}, which is no safetensors file beside it"
            )
    return files


def _names(paths: list[Path]) -> str:
    return ", ".join(p.name for p in paths)
