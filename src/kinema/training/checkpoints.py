"""Checkpoints of a training run: a folder ``step-00000100`` with safetensors and a JSON state, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinema.core.errors import TrainingError, storage_errors

BEST = "best"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a run needs to go on bit for bit. ``tensors`` has one group per file: model, ema, optimizer."""

    step: int
    elapsed_s: float
    recipe: Mapping[str, Any]
    facts: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, Tensor]]


def save(folder: Path, checkpoint: Checkpoint, *, keep: int = 2, is_best: bool = False) -> Path:
    """The path of the checkpoint, once it is on disk; the oldest beyond ``keep`` are removed. Raises: StorageError."""
    path = folder / f"step-{checkpoint.step:08d}"
    _write(path, checkpoint)
    if is_best:
        _write(folder / BEST, checkpoint)
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in ``folder``, if there is one."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path, *, recipe: Mapping[str, Any] | None = None) -> Checkpoint:
    """The checkpoint at ``path``.

    Raises: TrainingError if it can't be read or, given a ``recipe``, was made by another one; the fields that differ are named.
    """
    state = load_state(path)
    try:
        tensors = {name: load_file(path / f"{name}.safetensors") for name in state["groups"]}
    except (OSError, SafetensorError) as e:
        raise _unreadable(path, e) from e
    if recipe is not None:
        differing = differences(state["recipe"], json.loads(json.dumps(recipe)))
        if differing:
            raise TrainingError(
                f"{path}: was made by another recipe: {'; '.join(differing)}; use another folder or that recipe"
            )
    return Checkpoint(
        step=state["step"], elapsed_s=state["elapsed_s"], recipe=state["recipe"], facts=state["facts"], tensors=tensors
    )


def load_state(path: Path) -> dict[str, Any]:
    """The JSON state of the checkpoint at ``path``, without its tensors. Raises: TrainingError."""
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        missing = {"step", "elapsed_s", "recipe", "facts", "groups"} - set(state)
    except (OSError, ValueError) as e:
        raise _unreadable(path, e) from e
    if missing:
        raise _unreadable(path, f"state.json lacks {', '.join(sorted(missing))}")
    return state


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """The leaves of two JSON values that differ, as ``name: old -> new``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = list(old) + [k for k in new if k not in old]
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else str(k))]
    return [] if old == new else [f"{prefix}: {old} -> {new}"]


def _write(path: Path, checkpoint: Checkpoint) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    state = {
        "step": checkpoint.step,
        "elapsed_s": checkpoint.elapsed_s,
        "recipe": checkpoint.recipe,
        "facts": checkpoint.facts,
        "groups": sorted(checkpoint.tensors),
    }
    with storage_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            for name, tensors in checkpoint.tensors.items():
                save_file(
                    {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
                    temporary / f"{name}.safetensors",
                )
            (temporary / "state.json").write_text(json.dumps(state, indent=1, ensure_ascii=False), encoding="utf-8")
            for written in (*temporary.iterdir(), temporary):
                _sync(written)
            if path.exists():  # a folder can't replace a folder: for a moment the older one has another name
                older = path.with_name(f".{path.name}.{os.getpid()}.old")
                path.rename(older)
                temporary.rename(path)
                shutil.rmtree(older, ignore_errors=True)
            else:
                temporary.rename(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _unreadable(path: Path, why: object) -> TrainingError:
    return TrainingError(f"{path}: not a readable checkpoint ({why}); remove it to go on from the one before")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _all(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").exists())
