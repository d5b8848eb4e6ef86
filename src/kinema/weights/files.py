"""Which files hold a component's tensors. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kinema.core.errors import WeightsError
from kinema.weights.header import TensorInfo, read_header

# of networks, schedulers, tokenizers and picture processors, in the order they are looked for
CONFIG_NAMES = ("config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_LISTED = 8
# A scale of a weight's numbers stands beside it under one of these names.
_SCALES = ("scale_weight", "weight_scale")
# About products in fp8, which here are done in the dtype that weights are loaded as.
_UNUSED = ("scale_input", "input_scale")
_MARKERS = ("scaled_fp8",)
# end of a LoRA's key -> what the tensor is to its layer
LORA_ROLES = {
    ".lora_A.weight": "down", ".lora_A.default.weight": "down", ".lora_down.weight": "down",
    ".lora_B.weight": "up", ".lora_B.default.weight": "up", ".lora_up.weight": "up",
    ".alpha": "alpha", ".diff": "weight", ".diff_b": "bias", ".lora_B.bias": "bias",
}  # fmt: skip


def tensor_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a component's ``folder``: the single one, or the shards that its index names.

    Of several, the one that is no variant, if only one is. Raises: WeightsError for none, several without an index, shards
    that are missing, or pickle files alone (named).
    """
    indices, singles = _candidates(folder)
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
    indices, _ = _candidates(folder)
    return _weight_map(indices[0]) if indices else None


def has_variant(name: str) -> bool:
    """Whether the file ``name`` is of a second set of the same weights, such as ``model.fp16.safetensors`` in another dtype."""
    return ".safetensors" in name and "." in name.removesuffix(".index.json").removesuffix(".safetensors")


def is_lora(names: Iterable[str]) -> bool:
    """Whether tensors of these ``names`` are changes to a network's weights, and no network."""
    return any(name.endswith(end) for name in names for end, role in LORA_ROLES.items() if role != "alpha")


def tensors_in(files: Sequence[Path]) -> dict[str, TensorInfo]:
    """Tensor name -> where it lies, over all ``files`` of a component, read from their headers alone.

    Raises: WeightsError for a file that is no safetensors, is truncated, or disagrees with the index or another file.
    """
    found: dict[str, TensorInfo] = {}
    for file in files:
        for info in read_header(file):
            if info.name in found:
                rule = f"holds {info.name}, and so does {found[info.name].file.name}"
                raise WeightsError(file.parent.name, file, rule)
            found[info.name] = info
    folder = files[0].parent
    index = index_of(folder)
    if index is not None and set(index.values()) & {f.name for f in files}:
        wrong = [n for n, file in index.items() if n not in found or found[n].file.name != file]
        if wrong:
            raise WeightsError(folder.name, folder, f"tensors not where the index says: {listed(wrong)}")
    return found


def split_scales(where: Path, tensors: Mapping[str, TensorInfo]) -> tuple[dict[str, TensorInfo], dict[str, TensorInfo]]:
    """(name of a weight in its file -> its scale, the tensors that are weights). Raises: WeightsError."""
    scales: dict[str, TensorInfo] = {}
    weights: dict[str, TensorInfo] = {}
    for name, info in tensors.items():
        stem, _, leaf = name.rpartition(".")
        if leaf in _UNUSED or name in _MARKERS:
            continue
        weight = tensors.get(f"{stem}.weight") if leaf in _SCALES else None
        if weight is None:
            weights[name] = info
            continue
        if info.numel != 1 and info.shape not in (weight.shape[:1], (*weight.shape[:1], 1)):
            rule = f"{name} has the shape {info.shape}; must be one number, or one for each row of {weight.shape}"
            raise WeightsError("file", where, rule)
        scales[weight.name] = info
    return scales, weights


def listed(names: Sequence[str]) -> str:
    """The first of ``names``, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _candidates(folder: Path) -> tuple[list[Path], list[Path]]:
    """(the indices in ``folder``, its safetensors files); the one that is no variant alone, if there is just one."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    singles = sorted(folder.glob("*.safetensors"))
    plain_indices, plain_singles = ([p for p in paths if not has_variant(p.name)] for paths in (indices, singles))
    if len(plain_indices) == 1:
        return plain_indices, []
    if not plain_indices and len(plain_singles) == 1:
        return [], plain_singles
    return indices, singles


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
