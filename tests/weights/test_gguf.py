"""GGUF: numbers and containers against ggml's own package, and files that lie."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.weights.dequantise import dequantise
from kinema.weights.gguf import read_gguf
from kinema.weights.header import BLOCKS, Piece
from kinema.weights.tensors import TensorReader
from tests.weights import ggufs

# made with the package that ggml's authors publish; "source" names it
REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "gguf_reference.json").read_text(encoding="utf-8"))


def floats(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32)


@pytest.fixture
def reference_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.gguf"
    path.write_bytes(base64.b64decode(REFERENCE["file"]))
    return path


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_have_the_reference_s_numbers(kind: str) -> None:
    entry = REFERENCE["blocks"][kind]
    raw, expected = ggufs.as_tensor(base64.b64decode(entry["raw"])), floats(entry["values"])
    assert expected.std() > 0
    assert len(expected) == 3 * BLOCKS[kind][0]
    assert torch.equal(dequantise(raw, kind), expected)


def test_a_file_of_the_reference_is_read(reference_file: Path) -> None:
    found = read_gguf(reference_file)
    assert found.metadata["general.architecture"] == "wan"
    assert found.metadata["general.name"] == "ünï"
    assert [found.metadata[f"a.{n}"] for n in "bcdefg"] == [7, 0.5, True, None, None, -3]
    infos = {info.name: info for info in found.tensors}
    assert infos.keys() == {*REFERENCE["tensors"], "count"}
    with TensorReader() as reader:
        for name, entry in REFERENCE["tensors"].items():
            tensor, is_finite = reader.read(Piece(info=infos[name]), dtype=torch.float32)
            assert is_finite
            assert list(tensor.shape) == entry["shape"], name
            assert torch.equal(tensor.flatten(), floats(entry["values"])), name
        assert reader.read(Piece(info=infos["count"]))[0].tolist() == [0, 1, 2, 3, 4]


def test_rows_of_quantised_tensors_are_read_alone(reference_file: Path) -> None:
    infos = {info.name: info for info in read_gguf(reference_file).tensors}
    with TensorReader() as reader:
        for name in ("eight", "five_one"):
            whole = reader.read(Piece(info=infos[name]))[0]
            rows, _ = reader.read(Piece(info=infos[name], rows=((1, 2), (0, 1))), dtype=torch.bfloat16)
            assert torch.equal(rows, whole[[1, 0]].bfloat16())


@pytest.mark.parametrize("version", [2, 3])
def test_versions_two_and_three_are_read(tmp_path: Path, version: int) -> None:
    weight = torch.randn(3, 7)
    path = ggufs.write(tmp_path / "a.gguf", {"w": ggufs.plain(weight)}, version=version)
    (info,) = read_gguf(path).tensors
    with TensorReader() as reader:
        assert torch.equal(reader.read(Piece(info=info))[0], weight)


def test_every_cut_of_a_file_is_refused(reference_file: Path) -> None:
    data = reference_file.read_bytes()
    end = max(info.end for info in read_gguf(reference_file).tensors)  # behind it there is padding
    for keep in [*range(0, end, 13), end - 1]:
        reference_file.write_bytes(data[:keep])
        with pytest.raises(WeightsError, match="no readable gguf") as e:
            read_gguf(reference_file)
        assert "\n" not in str(e.value)


HUGE = struct.pack("<Q", 1 << 62)
ONE = struct.pack("<IQQ", 3, 1, 0)
META = struct.pack("<IQQ", 3, 0, 1)


@pytest.mark.parametrize(
    "data, rule",
    [
        (b"GGML" + bytes(60), "doesn't begin with GGUF"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "its version is 50331648"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "its version is 1"),
        (b"GGUF" + struct.pack("<I", 3) + HUGE + HUGE + bytes(60), r"claims \d+ entries"),
        (b"GGUF" + META + HUGE + bytes(60), r"claims \d+ entries"),
        (b"GGUF" + META + ggufs.text("k") + ggufs.value(8, HUGE) + bytes(60), r"claims \d+ entries"),
        (b"GGUF" + META + ggufs.text("k") + ggufs.value(9, struct.pack("<I", 8) + HUGE) + bytes(60), r"claims \d+"),
        (b"GGUF" + META + ggufs.text("k") + ggufs.value(9, struct.pack("<I", 12) + HUGE) + bytes(60), r"claims \d+"),
        (b"GGUF" + META + ggufs.text("k") + ggufs.value(9, struct.pack("<IQ", 9, 1)) + bytes(60), "list of the type 9"),
        (b"GGUF" + META + ggufs.text("k") + ggufs.value(77, b"") + bytes(60), "unknown type 77"),
        (b"GGUF" + META + struct.pack("<Q", 2) + b"\xff\xfe" + bytes(60), "header is broken"),
        (b"GGUF" + META + ggufs.text("general.alignment") + ggufs.value(4, bytes(4)) + bytes(60), "alignment is 0"),
        (b"GGUF" + ONE + ggufs.entry("w", [1] * 9, 0, 0) + bytes(60), "w has 9 axes"),
        (b"GGUF" + ONE + ggufs.entry("w", [1 << 40, 1 << 40], 0, 0) + bytes(60), "it ends at byte"),
        (b"GGUF" + ONE + ggufs.entry("w", [4, 4], 0, 1 << 60) + bytes(60), "it ends at byte"),
        (b"GGUF" + ONE + ggufs.entry("w", [2, 33], 8, 0) + bytes(600), "w has rows of 33 numbers, where Q8_0"),
        (b"GGUF" + ONE + ggufs.entry("w", [], 8, 0) + bytes(600), "w has rows of 1 numbers, where Q8_0"),
        (b"GGUF" + ONE + ggufs.entry("w", [2, 256], 19, 0) + bytes(600), "kind 19, which this version doesn't read"),
    ],
)
def test_hostile_files_are_refused_at_once(tmp_path: Path, data: bytes, rule: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(WeightsError, match=rule):
        read_gguf(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_tensors_that_overlap_or_repeat_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    for second, rule in (("v", "w and v overlap|v and w overlap"), ("w", "overlap|occurs twice")):
        head = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + ggufs.entry("w", [4], 0, 0)
        path.write_bytes(head + ggufs.entry(second, [4], 0, 8) + bytes(200))
        with pytest.raises(WeightsError, match=rule):
            read_gguf(path)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + ggufs.entry("w", [4], 0, 0)
    path.write_bytes(head + ggufs.entry("w", [4], 0, 32) + bytes(200))
    with pytest.raises(WeightsError, match="a name occurs twice"):
        read_gguf(path)


@pytest.mark.parametrize("shape", [[3, 5], [-4, -2], []])
def test_an_original_shape_must_hold_the_numbers(tmp_path: Path, shape: list[int]) -> None:
    numbers = struct.pack("<IQ", 5, len(shape)) + struct.pack(f"<{len(shape)}i", *shape)
    metadata = {"comfy.gguf.orig_shape.w": ggufs.value(9, numbers)}
    path = ggufs.write(tmp_path / "a.gguf", {"w": ggufs.plain(torch.zeros(2, 4))}, metadata)
    with pytest.raises(WeightsError, match=r"w has the original shape .*its numbers don't fill"):
        read_gguf(path)
