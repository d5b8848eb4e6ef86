"""LTX-Video's original names of tensors: the transformer. Standard library only.

Source: the published weights and diffusers' names of the same tensors; checked against diffusers' own conversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kinema.weights.header import Piece, TensorInfo

# a part of a name -> ours
_PARTS = {"patchify_proj": "proj_in", "adaln_single": "time_embed", "q_norm": "norm_q", "k_norm": "norm_k"}
_ORIGINALS = {ours: theirs for theirs, ours in _PARTS.items()}


def transformer(tensors: Mapping[str, TensorInfo]) -> dict[str, Piece]:
    """The pieces of our parameters: names alone differ, and few of them."""
    return {_renamed(name, _PARTS): Piece(info=info) for name, info in tensors.items()}


def layers(names: Iterable[str]) -> set[str]:
    """The original names of all layers of a transformer with parameters of our ``names``."""
    return {_renamed(name, _ORIGINALS).rpartition(".")[0] or name for name in names}


def _renamed(name: str, parts: Mapping[str, str]) -> str:
    return ".".join(parts.get(part, part) for part in name.split("."))
