"""Tensors out of safetensors: mapped or converted, whole or in rows, scaled or not, and headers that lie."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.weights import tensors as module
from kinema.weights.header import Piece, TensorInfo, read_header, read_metadata
from kinema.weights.tensors import DTYPES, TensorReader, is_finite


def saved(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> dict[str, TensorInfo]:
    save_file(tensors, path, metadata=metadata)
    return {info.name: info for info in read_header(path)}


def raw(path: Path, header: Any, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_type_is_read_as_it_lies(path: Path, dtype: torch.dtype) -> None:
    stored = torch.randint(0, 2, (3, 5)).to(dtype) if not dtype.is_floating_point else torch.randn(3, 5).to(dtype)
    infos = saved(path, {"w": stored})
    with TensorReader() as reader:
        tensor, finite = reader.read(Piece(info=infos["w"]))
    assert finite
    assert tensor.dtype == dtype
    assert tensor.view(torch.uint8).equal(stored.view(torch.uint8)), "and it outlives its reader"


@pytest.mark.parametrize(
    "stored", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2]
)
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16, torch.float16])
def test_floats_are_converted_as_torch_converts(path: Path, stored: torch.dtype, wanted: torch.dtype) -> None:
    weight = torch.randn(7, 11).to(stored)
    infos = saved(path, {"w": weight, "count": torch.arange(3)})
    with TensorReader() as reader:
        assert torch.equal(reader.read(Piece(info=infos["w"]), dtype=wanted)[0], weight.to(wanted))
        assert reader.read(Piece(info=infos["count"]), dtype=wanted)[0].tolist() == [0, 1, 2]


def test_scalars_and_empty_tensors_have_their_shapes(path: Path) -> None:
    infos = saved(path, {"scalar": torch.tensor(2.5), "none": torch.zeros(0, 3), "nothing": torch.zeros(3, 0)})
    with TensorReader() as reader:
        for dtype in (torch.float32, torch.bfloat16):
            assert reader.read(Piece(info=infos["scalar"]), dtype=dtype)[0].item() == 2.5
            assert reader.read(Piece(info=infos["none"]), dtype=dtype)[0].shape == (0, 3)
            assert reader.read(Piece(info=infos["nothing"]), dtype=dtype)[0].shape == (3, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [((2, 5),), ((4, 7), (0, 2)), ((0, 7),)])
@pytest.mark.parametrize("chunk", [1, 40, 1 << 20])
def test_rows_are_read_alone_in_chunks_of_any_size(
    path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, rows: Any, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", chunk)
    weight, bias = torch.randn(7, 3, 2), torch.randn(7)
    infos = saved(path, {"weight": weight, "bias": bias})
    with TensorReader() as reader:
        for name, whole in (("weight", weight), ("bias", bias)):
            tensor, _ = reader.read(Piece(info=infos[name], rows=rows), dtype=dtype)
            assert torch.equal(tensor, torch.cat([whole[a:b] for a, b in rows]).to(dtype))


@pytest.mark.parametrize("scale", [torch.tensor(0.25), torch.tensor([0.25]), torch.rand(6), torch.rand(6, 1)])
@pytest.mark.parametrize("rows", [(), ((3, 6), (0, 1))])
def test_scales_are_applied_in_fp32(path: Path, scale: Tensor, rows: Any) -> None:
    weight = torch.randn(6, 4).to(torch.float8_e4m3fn)
    infos = saved(path, {"w": weight, "s": scale})
    whole = weight.float() * (scale if scale.numel() == 1 else scale.reshape(6, 1))
    expected = torch.cat([whole[a:b] for a, b in rows]) if rows else whole
    with TensorReader() as reader:
        piece = Piece(info=infos["w"], rows=rows, scale=infos["s"])
        assert torch.equal(reader.read(piece)[0], expected)
        assert torch.equal(reader.read(piece, dtype=torch.bfloat16)[0], expected.bfloat16())


def test_what_needs_no_conversion_is_mapped_and_the_file_stays_what_it_is(path: Path) -> None:
    weight = torch.randn(64, 64)
    infos = saved(path, {"w": weight})
    before = path.read_bytes()
    with TensorReader() as reader:
        first, _ = reader.read(Piece(info=infos["w"]), dtype=torch.float32)
        second, _ = reader.read(Piece(info=infos["w"], rows=((8, 64),)), dtype=torch.float32)
    assert second.data_ptr() == first.data_ptr() + 8 * 64 * 4, "both lie in one mapping"
    first.zero_()
    assert path.read_bytes() == before
    assert torch.equal(second, torch.zeros(56, 64))


def test_numbers_across_the_borders_of_their_size_are_copied(path: Path) -> None:
    header = {
        "odd": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [3, 19]},
    }
    values = torch.tensor([[1.5, -2.0], [3.25, 0.5]])
    raw(path, header, bytes(3) + values.numpy().tobytes())
    infos = {info.name: info for info in read_header(path)}
    with TensorReader() as reader:
        tensor, _ = reader.read(Piece(info=infos["w"]))
        assert torch.equal(tensor, values)
        assert tensor.data_ptr() % 4 == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_a_number_that_is_not_finite_is_found_wherever_it_stands(
    path: Path, value: float, stored: torch.dtype, wanted: torch.dtype
) -> None:
    for place in (0, 1, 33, 511, 514):
        weight = torch.randn(515).to(stored)
        weight[place] = value
        infos = saved(path, {"w": weight})
        with TensorReader() as reader:
            assert not reader.read(Piece(info=infos["w"]), dtype=wanted)[1], place
            assert reader.read(Piece(info=infos["w"], rows=((2, 30),)), dtype=wanted)[1]
    assert not is_finite(torch.tensor([0.0, float("nan")]).to(torch.float8_e4m3fn))
    assert is_finite(torch.tensor([1, 2]))


def test_a_number_too_large_for_the_dtype_is_not_finite(path: Path) -> None:
    infos = saved(path, {"w": torch.tensor([1.0, 1e6])})
    with TensorReader() as reader:
        assert reader.read(Piece(info=infos["w"]), dtype=torch.float32)[1]
        assert not reader.read(Piece(info=infos["w"]), dtype=torch.float16)[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_file_that_shrank_since_its_header_was_read_is_refused(path: Path, dtype: torch.dtype) -> None:
    infos = saved(path, {"w": torch.randn(50, 50)})
    path.write_bytes(path.read_bytes()[:500])
    with TensorReader() as reader, pytest.raises(WeightsError, match="it ends before w"):
        reader.read(Piece(info=infos["w"]), dtype=dtype)
    path.unlink()
    with TensorReader() as reader, pytest.raises(WeightsError, match="No such file"):
        reader.read(Piece(info=infos["w"]), dtype=dtype)


def test_another_device_gets_what_was_converted_and_checked(path: Path) -> None:
    infos = saved(path, {"w": torch.tensor([1.0, 1e6]), "v": torch.ones(3)})
    with TensorReader() as reader:
        for name, dtype, expected in (
            ("v", torch.float32, True),
            ("w", torch.float32, True),
            ("w", torch.float16, False),
        ):
            tensor, finite = reader.read(Piece(info=infos[name]), dtype=dtype, device="meta")
            assert (tensor.device.type, tensor.dtype, finite) == ("meta", dtype, expected)


def test_metadata_is_read(path: Path) -> None:
    saved(path, {"w": torch.zeros(2)}, {"format": "pt", "note": "ünï"})
    assert read_metadata(path) == {"format": "pt", "note": "ünï"}
    saved(path, {"w": torch.zeros(2)})
    assert read_metadata(path) == {}


W = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header, rule",
    [
        (b"", "would take 0 of 16"),
        (b"{", "would take 1 of 17"),
        (b"{]", "no JSON object"),
        (b"[" * 5000, "no JSON object"),
        (b"[]", "no JSON object of tensors"),
        (b'{"w": 1, "w": 1}', "a name occurs twice"),
        (b'{"\xff": 1}', "no JSON object"),
        ({"w": 7}, "unknown type None"),
        ({"w": {**W, "dtype": "F99"}}, "unknown type F99"),
        ({"w": {**W, "dtype": ["F32"]}}, "unknown type"),
        ({"w": {**W, "shape": [-2]}}, "no proper shape"),
        ({"w": {**W, "shape": [True, 2]}}, "no proper shape"),
        ({"w": {**W, "shape": [1 << 80]}}, "which its shape doesn't fill"),
        ({"w": {**W, "data_offsets": [0, 8, 8]}}, "no proper shape and offsets"),
        ({"w": {**W, "data_offsets": [0, 4]}}, "has 4 bytes, which its shape doesn't fill"),
        ({"w": {**W, "data_offsets": [8, 16]}}, "starts at byte"),
        ({"w": W, "v": W}, "starts at byte"),
        ({"w": W, "v": {**W, "data_offsets": [16, 24]}}, "starts at byte"),
        ({}, "tensors end at byte"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, "tensors end at byte"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "tensors end at byte"),
    ],
)
def test_headers_that_lie_are_refused(path: Path, header: Any, rule: str) -> None:
    raw(path, header, bytes(8))
    with pytest.raises(WeightsError, match=rule) as e:
        read_header(path)
    assert "no readable safetensors file" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_header_of_an_impossible_size_is_not_read_into_memory(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 60) + bytes(100))
    with pytest.raises(WeightsError, match="of 108 bytes"):
        read_header(path)
    with path.open("wb") as file:  # a sparse file: no disk is taken
        file.write(struct.pack("<Q", 200_000_000))
        file.truncate(300_000_000)
    with pytest.raises(WeightsError, match="its header would take 200000000"):
        read_header(path)
