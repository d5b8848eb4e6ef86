"""Single files that hold one component: safetensors or GGUF, in the original or the published naming, whole or quantised.

Standard library only: what a file is, is known from its header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kinema.core.errors import WeightsError, choices
from kinema.weights.files import PICKLE_SUFFIXES, is_lora, listed, split_scales
from kinema.weights.gguf import read_gguf
from kinema.weights.header import Piece, TensorInfo, read_header
from kinema.weights.keymaps import NAMINGS, Naming, recognise

# Whole checkpoints and other programs put these before every name.
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "vae.")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A single file: what it holds, and the pieces of our parameters in it."""

    file: Path
    naming: Naming
    pieces: Mapping[str, Piece]

    @property
    def num_parameters(self) -> int:
        """Numbers in all pieces."""
        return sum(piece.numel for piece in self.pieces.values())


def open_checkpoint(file: Path) -> Checkpoint:
    """What ``file`` holds; no tensor is read.

    Raises: WeightsError for a pickle, a file that can't be read or is truncated, a LoRA, or names of no known family.
    """
    tensors = _without_prefix(file, {info.name: info for info in read_tensors(file)})
    scales, weights = split_scales(file, tensors)
    naming = recognise(weights)
    if naming is None and is_lora(weights):
        raise WeightsError(
            "file", file, "is a LoRA, which changes a transformer and is none itself; give it with --lora"
        )
    if naming is None:
        known = choices(dict.fromkeys(n.description for n in NAMINGS))
        found = f"tensors of no known family ({listed(sorted(weights))})" if weights else "no tensors"
        rule = f"holds {found}; must be {known}"
        raise WeightsError("file", file, rule)
    pieces = naming.key_map(weights)
    if len({p.info.name for p in pieces.values()}) != len(weights):
        raise _repeated(file)
    return Checkpoint(
        file=file,
        naming=naming,
        pieces={name: replace(piece, scale=scales.get(piece.info.name)) for name, piece in pieces.items()},
    )


def read_tensors(file: Path) -> tuple[TensorInfo, ...]:
    """The tensors in a safetensors or GGUF file. Raises: WeightsError."""
    if file.suffix in PICKLE_SUFFIXES:
        raise WeightsError("file", file, "pickle files can run code and are not read; convert it to safetensors")
    if file.suffix not in (".safetensors", ".gguf"):
        raise WeightsError("file", file, "must be a .safetensors or .gguf file")
    return read_gguf(file).tensors if file.suffix == ".gguf" else read_header(file)


def _without_prefix(file: Path, tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            found = {name.removeprefix(prefix): info for name, info in tensors.items()}
            if len(found) != len(tensors):
                raise _repeated(file)
            return found
    return dict(tensors)


def _repeated(file: Path) -> WeightsError:
    return WeightsError("file", file, "holds the same tensor under two names")
