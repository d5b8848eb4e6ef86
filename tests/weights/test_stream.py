"""Tensors read again and again: as a load reads them, to the bit and to the place in a page, in memory that goes with them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.accel.offload import drop_block
from kinema.core.errors import WeightsError
from kinema.weights import tensors as module
from kinema.weights.header import Piece
from kinema.weights.load import load_module, pieces_of, read_blocks
from kinema.weights.stream import BlockReader
from kinema.weights.tensors import TensorReader
from tests.weights.conftest import make_net

# odd sizes, so that tensors begin anywhere in a page
SHAPES = {"a": (7, 11), "b.norm1": (3,), "c": (1031, 5), "d": (13, 17), "e": ()}


@pytest.fixture
def stored() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_it_reads_what_a_load_reads_from_the_same_place(
    tmp_path: Path, stored: dict[str, Tensor], kept: torch.dtype, wanted: torch.dtype
) -> None:
    save_file({n: t.to(kept) for n, t in stored.items()}, tmp_path / "a.safetensors")
    pieces = pieces_of([tmp_path / "a.safetensors"])
    parts = frozenset({"norm1"})
    loaded = {n: t for _, ts, _ in read_blocks(pieces, dtype=wanted, fp32_parts=parts) for n, t in ts.items()}
    reader = BlockReader(pieces, dtype=wanted, fp32_parts=parts)
    for _ in range(2):
        found = reader(list(SHAPES))
        assert list(found) == list(SHAPES)
        for name, tensor in found.items():
            assert tensor.dtype == loaded[name].dtype == (torch.float32 if "norm1" in name else wanted)
            assert torch.equal(tensor, loaded[name])
            if tensor.dtype == kept:  # mapped: kernels may sum by where numbers lie
                assert tensor.data_ptr() % 64 == loaded[name].data_ptr() % 64
    assert reader(["d"]).keys() == {"d"}


def test_a_mapping_goes_with_its_tensor(tmp_path: Path, stored: dict[str, Tensor]) -> None:
    save_file(stored, tmp_path / "a.safetensors")
    reader = BlockReader(pieces_of([tmp_path / "a.safetensors"]), dtype=torch.float32)
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("open files are counted in Linux's /proc")

    def num_open() -> int:
        return sum(os.path.realpath(p).endswith("a.safetensors") for p in handles.iterdir())

    before = num_open()
    tensors = reader(["a", "c"])
    assert num_open() == before + 2
    del tensors["a"]
    assert num_open() == before + 1
    tensors.clear()
    assert num_open() == before


def test_only_a_tensor_s_own_pages_are_mapped(
    tmp_path: Path, stored: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(stored, tmp_path / "a.safetensors")
    pieces = pieces_of([tmp_path / "a.safetensors"])
    lengths: list[int] = []

    class Counted(mmap.mmap):
        def __new__(cls, fileno: int, length: int, **options: int) -> Counted:
            lengths.append(length)
            return super().__new__(cls, fileno, length, **options)

    monkeypatch.setattr(module.mmap, "mmap", Counted)
    BlockReader(pieces, dtype=torch.float32)(list(SHAPES))
    assert len(lengths) == len(SHAPES)
    for length, shape in zip(lengths, SHAPES.values(), strict=True):
        assert length <= 4 * torch.Size(shape).numel() + mmap.ALLOCATIONGRANULARITY
    assert all(length > 0 for length in lengths), "0 would be the whole file"


def test_without_mappings_every_tensor_has_its_own_memory(tmp_path: Path, stored: dict[str, Tensor]) -> None:
    save_file(stored, tmp_path / "a.safetensors")
    pieces = pieces_of([tmp_path / "a.safetensors"])
    with TensorReader("none") as reader:
        tensor, finite = reader.read(pieces["c"], dtype=torch.float32)
        assert reader._maps == {}
    assert finite
    assert torch.equal(tensor, stored["c"])


def test_what_was_looked_through_is_not_again(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "a.safetensors")
    pieces = pieces_of([tmp_path / "a.safetensors"])
    with TensorReader() as reader:
        assert reader.read(pieces["w"], dtype=torch.float32)[1] is False
        assert reader.read(pieces["w"], dtype=torch.float32, checked=False)[1] is True


@pytest.mark.parametrize("mapping", ["file", "tensor", "none"])
def test_a_file_that_ends_too_early_is_named(tmp_path: Path, stored: dict[str, Tensor], mapping: Any) -> None:
    file = tmp_path / "a.safetensors"
    save_file(stored, file)
    pieces = pieces_of([file])
    os.truncate(file, file.stat().st_size - 512)
    last = max(pieces, key=lambda n: pieces[n].info.end)
    with TensorReader(mapping) as reader, pytest.raises(WeightsError, match=f"ends before {last}"):
        reader.read(Piece(info=pieces[last].info), dtype=torch.float32)


def test_a_dropped_block_counts_as_filled_and_a_file_s_gap_does_not(folder: Path, net: nn.Module) -> None:
    files = [folder / "net" / "diffusion_pytorch_model.safetensors"]
    loaded = load_module(type(net), files, dtype=torch.float32, on_block=drop_block)
    assert all(t.is_meta for t in loaded.state_dict().values())

    def with_a_gap() -> nn.Module:
        module = make_net()
        module.register_buffer("table", torch.empty(3, device="meta"), persistent=False)
        return module

    with pytest.raises(WeightsError, match="tensors that no file fills: table"):
        load_module(with_a_gap, files, dtype=torch.float32, on_block=drop_block)
