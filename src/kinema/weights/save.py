"""`save_model`: a model folder in one piece, or none at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.core.card import ModelCard
from kinema.core.errors import StorageError, WeightsError, storage_errors
from kinema.weights.folder import ModelFolder, open_model

# diffusers and transformers look for these stems
_STEMS = {"text_encoder": "model"}
_STEM = "diffusion_pytorch_model"


@dataclass(frozen=True, kw_only=True)
class Component:
    """One folder of a model: the class that it is built as, its config, and its tensors (none for a scheduler)."""

    class_name: str
    config: Mapping[str, Any]
    module: nn.Module | None = None
    library: str = "kinema"


def save_model(
    folder: Path,
    components: Mapping[str, Component],
    *,
    card: ModelCard,
    dtype: torch.dtype = torch.bfloat16,
    int8: Collection[str] = (),
    shard_bytes: int = 16 << 20,
) -> ModelFolder:
    """The model folder written: every component as ``dtype`` in shards of at most ``shard_bytes`` (one tensor may be larger), and the card.

    Weights of the components that ``int8`` names are stored as int8 with a scale for each row.

    The card's ``parameters`` and ``weights_bytes`` are filled in from what is written. A model that stood at ``folder`` is
    replaced in one rename; an error leaves it as it was.

    Raises: StorageError; WeightsError for tensors that aren't finite, naming them.
    """
    folder = Path(os.path.abspath(folder))
    with storage_errors(folder):
        _check_place(folder)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(draft, components, card, dtype, int8, shard_bytes)
            _swap(draft, folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return open_model(folder)


def shard_tensors(tensors: Mapping[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    """``tensors`` in order, cut into dicts of at most ``shard_bytes`` each; a larger tensor stands alone."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def _check_place(folder: Path) -> None:
    if folder.exists() and not (folder / "model_index.json").is_file() and any(folder.iterdir()):
        raise StorageError(f"{folder}: holds something else than a model; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as e:
        raise StorageError(f"{folder.parent}: is a file; choose another folder") from e


def _write(
    draft: Path, components: Mapping[str, Component], card: ModelCard, dtype: torch.dtype, int8: Collection[str], shard_bytes: int,
) -> None:  # fmt: skip
    draft.chmod(0o755)  # mkdtemp's own is private to the user
    index = {name: [c.library, c.class_name] for name, c in components.items()}
    _write_json(draft / "model_index.json", {"_class_name": "KinemaPipeline", **index})
    parameters: dict[str, int] = {}
    for name, component in components.items():
        (draft / name).mkdir()
        _write_json(draft / name / "config.json", {"_class_name": component.class_name, **component.config})
        if component.module is None:
            continue
        parameters[name] = sum(p.numel() for p in component.module.parameters())
        _write_tensors(draft / name, _tensors_of(name, component.module, dtype, is_int8=name in int8), shard_bytes)
    written = sum(p.stat().st_size for p in draft.glob("*/*.safetensors"))
    # how blocks lie is read from what is written, whatever network the card was of before
    card = replace(card, parameters=parameters, weights_bytes=written, blocks={})
    (draft / "card.json").write_text(card.to_json(), encoding="utf-8")


def _tensors_of(component: str, module: nn.Module, dtype: torch.dtype, *, is_int8: bool) -> dict[str, Tensor]:
    given = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    bad = [n for n, t in given.items() if t.is_floating_point() and not bool(torch.isfinite(t.to(dtype)).all())]
    if bad:
        raise WeightsError(
            component, f"{len(bad)} tensors", f"NaN or infinity, so nothing was written: {', '.join(bad[:8])}"
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in given.items():
        if is_int8 and tensor.is_floating_point() and tensor.ndim > 1 and name.endswith(".weight"):
            tensors[name], tensors[f"{name.removesuffix('weight')}scale_weight"] = _as_int8(tensor)
        else:
            tensors[name] = tensor.to(dtype).contiguous() if tensor.is_floating_point() else tensor.contiguous()
    return tensors


def _as_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(whole numbers from -127 to 127, what each row of them is to be multiplied by)."""
    rows = weight.float().flatten(1)
    scale = rows.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (rows / scale[:, None]).round().to(torch.int8).view(weight.shape), scale


def _write_tensors(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int) -> None:
    stem = _STEMS.get(folder.name, _STEM)
    shards = shard_tensors(tensors, shard_bytes)
    if len(shards) == 1:
        _write_shard(folder / f"{stem}.safetensors", shards[0])
        return
    names = [f"{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for file, shard in zip(names, shards, strict=True):
        _write_shard(folder / file, shard)
    weight_map = {tensor: file for file, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(t.nbytes for t in tensors.values())
    _write_json(
        folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
    )


def _write_shard(path: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
        path.chmod(0o644)  # the writer's own is private to the user
    except SafetensorError as e:  # the writer wraps the system's error and loses its number
        raise StorageError(f"{path.parent}: could not be written ({e}); is the disk full?") from e


def _write_json(path: Path, data: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _swap(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(old / "model")
    try:
        draft.rename(folder)
    except BaseException:
        (old / "model").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
