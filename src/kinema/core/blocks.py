"""A network's repeated blocks, told from the names and shapes of its tensors: what can be streamed and quantised. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from kinema.core.checks import check_whole
from kinema.core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class BlockSizes:
    """Parameters in all of a network's repeated blocks and in the largest one, and how many of them quantising takes."""

    parameters: int
    quantised: int
    largest: int
    largest_quantised: int

    def __post_init__(self) -> None:
        for f in fields(self):
            check_whole(f.name, getattr(self, f.name), least=0)
        for part, whole in (("quantised", "parameters"), ("largest", "parameters"), ("largest_quantised", "largest")):
            if getattr(self, part) > getattr(self, whole):
                raise InvalidInput(part, getattr(self, part), f"must be at most {whole} = {getattr(self, whole)}")


def repeated_blocks(names: Iterable[str]) -> dict[str, list[str]]:
    """Block -> the names of its tensors, both in their order: the numbered parts nearest to the network's root.

    ``transformer_blocks.3`` is one, and so is everything below it; text refiners and feed-forward layers, which have numbered
    parts deeper down, are none. Empty for a network without numbered parts.
    """
    found: dict[str, list[str]] = {}
    depths = {name: _depth(name) for name in names}
    nearest = min((d for d in depths.values() if d), default=0)
    for name, depth in depths.items():
        if depth and depth == nearest:
            found.setdefault(".".join(name.split(".")[:depth]), []).append(name)
    return found


def is_quantised(layer: str) -> bool:
    """Whether quantising takes the linear layer of this name within a repeated block: all but those below a norm.

    These make shift, scale and gate of a block's input from the noise level: an error there moves every token alike.
    """
    return not any(part.startswith("norm") for part in layer.split("."))


def block_sizes(shapes: Mapping[str, tuple[int, ...]]) -> BlockSizes | None:
    """The sizes of a network with tensors of these ``shapes``; None without repeated blocks."""
    blocks = repeated_blocks(shapes)
    sizes = [
        (
            sum(math.prod(shapes[n]) for n in names),
            sum(math.prod(shapes[n]) for n in names if _is_taken(n, block, shapes)),
        )
        for block, names in blocks.items()
    ]
    if not sizes:
        return None
    largest, of_it = max(sizes)
    return BlockSizes(
        parameters=sum(size for size, _ in sizes),
        quantised=sum(quantised for _, quantised in sizes),
        largest=largest,
        largest_quantised=of_it,
    )


def _is_taken(name: str, block: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    layer, _, leaf = name.removeprefix(f"{block}.").rpartition(".")
    return leaf == "weight" and len(shapes[name]) == 2 and is_quantised(layer)


def _depth(name: str) -> int:
    """Parts of ``name`` up to the first number; 0 without one."""
    return next((i + 1 for i, part in enumerate(name.split(".")) if part.isdigit()), 0)
