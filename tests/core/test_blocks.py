"""Blocks told from names alone: against the real networks' lists, at published sizes too."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from kinema.core.blocks import BlockSizes, block_sizes, is_quantised, repeated_blocks
from kinema.core.errors import InvalidInput

TRANSFORMERS = Path(__file__).parents[1] / "models" / "transformers"


def published(file: str, name: str | None = None) -> dict[str, tuple[int, ...]]:
    """Published tensors, name -> shape; the lists have one entry for all blocks of a kind."""
    entries: Any = json.loads((TRANSFORMERS / file).read_text(encoding="utf-8"))
    found: dict[str, tuple[int, ...]] = {}
    for key, entry in (entries[name] if name else entries).items():
        numbers = range(entry["count"]) if "*" in key else [""]
        found |= {key.replace("*", str(i)): tuple(entry["shape"]) for i in numbers}
    return found


def test_published_networks_by_formula() -> None:
    hunyuan = published("hunyuan_video_keys.json")
    assert sum(math.prod(s) for s in hunyuan.values()) == 12_821_012_544
    assert len(repeated_blocks(hunyuan)) == 60
    sizes = block_sizes(hunyuan)
    assert sizes is not None
    # without modulation: 24 squares of the width in a dual block, 12 in a single one
    assert sizes.quantised == (20 * 24 + 40 * 12) * 3072**2
    assert sizes.largest_quantised == 24 * 3072**2
    assert sizes.largest == pytest.approx(36 * 3072**2, rel=1e-3)
    wan = published("wan_keys.json", "T2V 14B")
    sizes = block_sizes(wan)
    assert sizes is not None
    assert len(repeated_blocks(wan)) == 40
    assert sizes.quantised == 40 * sizes.largest_quantised == 40 * (8 * 5120**2 + 2 * 5120 * 13824)


def test_the_blocks_are_the_numbered_parts_nearest_to_the_root() -> None:
    names = [
        "proj_in.weight",
        "context.refiner.blocks.0.norm.weight",
        "blocks.0.ff.net.2.weight",
        "blocks.0.ff.net.2.bias",
        "blocks.10.table",
        "single.0.to_out.0.weight",
        "table",
    ]
    assert repeated_blocks(names) == {
        "blocks.0": ["blocks.0.ff.net.2.weight", "blocks.0.ff.net.2.bias"],
        "blocks.10": ["blocks.10.table"],
        "single.0": ["single.0.to_out.0.weight"],
    }
    assert list(repeated_blocks(["layers.1.w", "layers.0.w"])) == ["layers.1", "layers.0"]
    assert repeated_blocks(["proj.weight", "table"]) == {}


@pytest.mark.parametrize(
    "layer,is_taken",
    [("attn.to_q", True), ("attn.to_out.0", True), ("ff.net.0.proj", True), ("proj_mlp", True), ("proj_out", True),
     ("attn1.norm_q", False), ("norm", False), ("norm1.linear", False), ("norm1_context.linear", False)],
)  # fmt: skip
def test_all_but_what_is_below_a_norm_is_quantised(layer: str, is_taken: bool) -> None:
    assert is_quantised(layer) == is_taken


def test_sizes_by_hand() -> None:
    tensors = {
        "proj.weight": (7, 3),
        "blocks.0.to_q.weight": (5, 3),
        "blocks.0.to_q.bias": (5,),
        "blocks.0.norm.linear.weight": (11, 3),
        "blocks.1.to_q.weight": (13, 5),
        "blocks.1.conv.weight": (2, 2, 2),
    }
    assert block_sizes(tensors) == BlockSizes(parameters=126, quantised=80, largest=73, largest_quantised=65)
    assert block_sizes({"proj.weight": (7, 3)}) is None


def test_sizes_that_contradict_each_other_are_named() -> None:
    with pytest.raises(InvalidInput, match="^largest: 8: must be at most parameters = 7"):
        BlockSizes(parameters=7, quantised=3, largest=8, largest_quantised=1)
    with pytest.raises(InvalidInput, match="^quantised"):
        BlockSizes(parameters=7, quantised=-1, largest=5, largest_quantised=1)
