"""A model folder is written whole, in shards, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from kinema.core.card import ModelCard
from kinema.core.errors import StorageError, WeightsError
from kinema.weights.folder import open_model
from kinema.weights.load import load_module
from kinema.weights.save import Component, save_model, shard_tensors


def _filled(net: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    net.load_state_dict(state)
    return net


def _net(net: nn.Module) -> dict[str, Component]:
    return {"net": Component(class_name="Net", config={"width": 5}, module=net)}


def test_shards_and_index_load_back_bit_equal(tmp_path: Path, net: nn.Module, card: ModelCard) -> None:
    model = save_model(tmp_path / "m", _net(net), card=card, dtype=torch.float32, shard_bytes=150)
    files = model.tensor_files("net")
    assert len(files) > 2
    index = json.loads((tmp_path / "m/net/diffusion_pytorch_model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["weight_map"].keys() == net.state_dict().keys()
    loaded = load_module(type(net), files, dtype=torch.float32)
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in net.state_dict().items())


def test_shards_keep_to_their_size_and_order() -> None:
    tensors = {f"t{i}": torch.zeros(n) for i, n in enumerate((3, 5, 11, 2, 7))}
    shards = shard_tensors(tensors, 4 * 8)
    assert [list(s) for s in shards] == [["t0", "t1"], ["t2"], ["t3"], ["t4"]]


def test_the_card_tells_what_was_written(tmp_path: Path, net: nn.Module, card: ModelCard) -> None:
    model = save_model(tmp_path / "m", _net(net), card=card)
    assert model.card.parameters == {"net": sum(p.numel() for p in net.parameters())}
    assert model.card.weights_bytes == sum(f.stat().st_size for f in model.tensor_files("net"))
    loaded = load_module(type(net), model.tensor_files("net"), dtype=torch.float32)
    assert torch.equal(loaded.state_dict()["scale"], net.state_dict()["scale"].bfloat16().float())


def test_int8_rows_come_back_within_half_a_step(tmp_path: Path, card: ModelCard) -> None:
    def build() -> nn.Module:
        return nn.ModuleDict({"a": nn.Linear(6, 5), "b": nn.Conv3d(3, 4, (1, 2, 2)), "n": nn.LayerNorm(6)})

    net = build()
    with torch.no_grad():
        net["a"].weight[2] = 0  # pyright: ignore[reportIndexIssue, reportCallIssue, reportArgumentType]
    model = save_model(tmp_path / "m", _net(net), card=card, dtype=torch.float32, int8=("net",), shard_bytes=60)
    sizes = {info.name: info.dtype for info in model.tensors("net").values()}
    assert {n for n, d in sizes.items() if d == "I8"} == {"a.weight", "b.weight"}
    assert model.card.parameters == {"net": sum(p.numel() for p in net.parameters())}
    loaded = load_module(build, model.tensor_files("net"), dtype=torch.float32).state_dict()
    for name, tensor in net.state_dict().items():
        step = tensor.flatten(1).abs().amax(1) / 127 if name in ("a.weight", "b.weight") else torch.zeros(len(tensor))
        error = (loaded[name] - tensor).abs().flatten(1 if tensor.ndim > 1 else 0)
        assert loaded[name].dtype == torch.float32
        assert bool((error <= (0.5001 * step)[:, None] if tensor.ndim > 1 else error == 0).all()), name
    # what is rounded already stays as it is
    again = save_model(
        tmp_path / "n", _net(_filled(build(), loaded)), card=card, dtype=torch.float32, int8=("net",), shard_bytes=60
    )
    twice = load_module(build, again.tensor_files("net"), dtype=torch.float32).state_dict()
    assert all(torch.allclose(twice[n], t, rtol=1e-6, atol=0) for n, t in loaded.items())


def test_int8_without_its_scale_is_refused(tmp_path: Path, card: ModelCard) -> None:
    model = save_model(tmp_path / "m", _net(nn.Sequential(nn.Linear(6, 5))), card=card, int8=("net",))
    file = model.tensor_files("net")[0]
    save_file({n: t for n, t in load_file(file).items() if n != "0.scale_weight"}, file)
    with pytest.raises(WeightsError, match="without a scale: 0.weight"):
        load_module(lambda: nn.Sequential(nn.Linear(6, 5)), [file], dtype=torch.float32)


def test_same_weights_give_the_same_bytes(tmp_path: Path, net: nn.Module, card: ModelCard) -> None:
    hashes = {save_model(tmp_path / n, _net(net), card=card, shard_bytes=150).content_hash() for n in ("a", "b")}
    assert len(hashes) == 1


def test_a_model_is_replaced_whole(folder: Path, net: nn.Module, card: ModelCard) -> None:
    before = open_model(folder).content_hash()
    with torch.no_grad():
        net.get_parameter("scale").add_(1)
    after = save_model(folder, _net(net), card=card)
    assert after.content_hash() != before
    assert list(after.components) == ["net"]
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_tensors_that_are_not_finite_leave_the_old_model(folder: Path, net: nn.Module, card: ModelCard) -> None:
    before = open_model(folder).content_hash()
    with torch.no_grad():
        net.get_parameter("scale")[2] = float("nan")
    with pytest.raises(WeightsError, match="NaN or infinity.*scale"):
        save_model(folder, _net(net), card=card)
    assert open_model(folder).content_hash() == before
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, net: nn.Module, card: ModelCard) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"x")
    with pytest.raises(StorageError, match="something else"):
        save_model(tmp_path / "photos", _net(net), card=card)
    assert (tmp_path / "photos" / "cat.png").is_file()


def test_a_place_that_can_not_be_written_is_a_storage_error(tmp_path: Path, net: nn.Module, card: ModelCard) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StorageError):
        save_model(tmp_path / "file" / "m", _net(net), card=card)
