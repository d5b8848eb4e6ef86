"""Strict loading: what fits is bit-equal, what doesn't is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kinema.core.errors import WeightsError
from kinema.weights.folder import open_model
from kinema.weights.load import block_of, blocks_of, load_module, pieces_of, read_blocks

Change = Callable[[dict[str, Tensor]], None]


def _files(folder: Path) -> tuple[Path, ...]:
    return open_model(folder).tensor_files("net")


def _rewrite(folder: Path, change: Change) -> None:
    file = _files(folder)[0]
    tensors = {name: t.clone() for name, t in load_file(file).items()}
    change(tensors)
    file.unlink()
    save_file(tensors, file)


def test_loads_bit_equal_in_eval_mode_without_gradients(folder: Path, net: nn.Module) -> None:
    loaded = load_module(type(net), _files(folder), dtype=torch.float32)
    assert loaded.state_dict().keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    x = torch.randn(2, 3)
    assert torch.equal(loaded(x), net(x))


def test_converts_floats_alone(folder: Path, net: nn.Module) -> None:
    loaded = load_module(type(net), _files(folder), dtype=torch.bfloat16)
    assert loaded.state_dict()["proj_in.weight"].dtype == torch.bfloat16
    assert loaded.state_dict()["count"].dtype == torch.int64


def test_blocks_come_one_by_one_and_are_whole_when_they_come(folder: Path, net: nn.Module) -> None:
    seen: list[str] = []

    def on_block(name: str, block: nn.Module) -> None:
        seen.append(name)
        own = block.parameters(recurse=name != "")
        assert not any(p.is_meta for p in own), name

    load_module(type(net), _files(folder), dtype=torch.float32, on_block=on_block)
    assert sorted(seen) == ["", "blocks.0", "blocks.1", "blocks.2", "proj_in"]


def test_blocks_hold_every_tensor_once(folder: Path, net: nn.Module) -> None:
    names = [n for _, tensors, _ in read_blocks(pieces_of(_files(folder))) for n in tensors]
    assert sorted(names) == sorted(net.state_dict())


@pytest.mark.parametrize(
    "name, block",
    [
        ("transformer_blocks.3.attn.to_q.weight", "transformer_blocks.3"),
        ("decoder.up_blocks.1.resnets.0.conv.weight", "decoder.up_blocks.1"),
        ("norm_out.linear.bias", "norm_out"),
        ("scale", ""),
    ],
)
def test_block_names(name: str, block: str) -> None:
    assert block_of(name) == block


def test_no_block_lies_within_another() -> None:
    names = [
        "enc.conv.weight",
        "enc.blocks.0.weight",
        "blocks.1.weight",
        "enc.blocks.1.a.0.bias",
        "blocks.1.b.2.bias",
        "w",
    ]
    assert blocks_of(names) == {
        "enc": ["enc.conv.weight", "enc.blocks.0.weight", "enc.blocks.1.a.0.bias"],
        "blocks.1": ["blocks.1.weight", "blocks.1.b.2.bias"],
        "": ["w"],
    }
    assert list(blocks_of(["enc.blocks.0.weight", "enc.blocks.1.weight"])) == ["enc.blocks.0", "enc.blocks.1"]


def _drop(tensors: dict[str, Tensor]) -> None:
    del tensors["blocks.1.bias"], tensors["scale"]


def _add(tensors: dict[str, Tensor]) -> None:
    tensors["blocks.3.bias"] = torch.zeros(5)


def _reshape(tensors: dict[str, Tensor]) -> None:
    tensors["proj_in.weight"] = torch.zeros(5, 4)


def _spoil(value: float) -> Change:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["blocks.2.weight"][3, 2] = value

    return change


@pytest.mark.parametrize(
    "change, rule",
    [
        (_drop, r"missing scale, blocks\.1\.bias"),
        (_add, r"unexpected blocks\.3\.bias"),
        (_reshape, r"misshapen proj_in\.weight is 5x4, not 5x3"),
        (_spoil(float("nan")), r"NaN or infinity: blocks\.2\.weight"),
        (_spoil(float("-inf")), r"NaN or infinity: blocks\.2\.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder: Path, net: nn.Module, change: Change, rule: str) -> None:
    _rewrite(folder, change)
    with pytest.raises(WeightsError, match=rule) as e:
        load_module(type(net), _files(folder), dtype=torch.float32)
    assert e.value.field == "net"
    assert "\n" not in str(e.value)


def test_all_problems_are_told_at_once(folder: Path, net: nn.Module) -> None:
    _rewrite(folder, lambda t: (_drop(t), _add(t), _reshape(t), None)[-1])
    with pytest.raises(WeightsError, match=r"missing .*; unexpected .*; misshapen "):
        load_module(type(net), _files(folder), dtype=torch.float32)


def test_a_value_too_large_for_the_dtype_is_refused(folder: Path, net: nn.Module) -> None:
    _rewrite(folder, _spoil(1e6))
    with pytest.raises(WeightsError, match="infinity"):
        load_module(type(net), _files(folder), dtype=torch.float16)


def test_a_buffer_that_no_file_fills_is_refused(folder: Path, net: nn.Module) -> None:
    def build() -> nn.Module:
        module = type(net)()
        module.register_buffer("table", torch.arange(3), persistent=False)
        return module

    with pytest.raises(WeightsError, match="no file fills: table"):
        load_module(build, _files(folder), dtype=torch.float32)


@pytest.mark.parametrize("keep", [0, 5, 200, -11])
def test_a_truncated_file_is_refused_by_name(folder: Path, net: nn.Module, keep: int) -> None:
    file = _files(folder)[0]
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="no readable safetensors") as e:
        load_module(type(net), _files(folder), dtype=torch.float32)
    assert file.name in str(e.value.value)


def test_a_pickle_under_a_safe_name_is_refused(folder: Path, net: nn.Module) -> None:
    torch.save(net.state_dict(), _files(folder)[0])
    with pytest.raises(WeightsError, match="no readable safetensors"):
        load_module(type(net), _files(folder), dtype=torch.float32)


def test_an_index_must_agree_with_its_shards(folder: Path, net: nn.Module) -> None:
    file = _files(folder)[0]
    index = dict.fromkeys(net.state_dict(), file.name)
    path = folder / "net" / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    load_module(type(net), _files(folder), dtype=torch.float32)
    path.write_text(json.dumps({"weight_map": {**index, "ghost": file.name}}), encoding="utf-8")
    with pytest.raises(WeightsError, match="not where the index says: ghost"):
        load_module(type(net), _files(folder), dtype=torch.float32)
    path.write_text(json.dumps({"weight_map": {"scale": "gone.safetensors"}}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"shards that are missing: gone\.safetensors"):
        _files(folder)
    path.write_text(json.dumps({"weight_map": {"scale": "../../etc/x.safetensors"}}), encoding="utf-8")
    with pytest.raises(WeightsError, match="no safetensors file beside it"):
        _files(folder)
