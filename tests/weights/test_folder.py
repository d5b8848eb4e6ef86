"""Finding models and reading what they are, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kinema
from kinema.core.blocks import block_sizes
from kinema.core.errors import InvalidInput, WeightsError
from kinema.weights.folder import open_model, shipped_models
from kinema.weights.header import read_header


def test_opens_a_folder_and_reads_its_card_and_configs(folder: Path) -> None:
    model = open_model(folder)
    assert model.name == "toy"
    assert model.card.name == "toy"
    assert model.components == {"net": ("kinema", "Net"), "scheduler": ("kinema", "Scheduler")}
    assert model.config("net") == {"_class_name": "Net", "width": 5}
    assert model.config("scheduler")["shift"] == 3.0


def test_unknown_model_names_what_exists() -> None:
    with pytest.raises(InvalidInput, match="neither a shipped model .* nor a folder") as e:
        open_model("kinema-maxi")
    assert e.value.value == "kinema-maxi"
    for name in shipped_models():
        assert name in str(e.value)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no model_index.json"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "x.ckpt"])
def test_a_pickle_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsError, match="pickle"):
        open_model(tmp_path / name)


def test_pickles_inside_a_component_are_refused_by_name(folder: Path) -> None:
    for file in (folder / "net").glob("*.safetensors"):
        file.unlink()
    (folder / "net" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"pickle.*diffusion_pytorch_model\.bin.*safetensors"):
        open_model(folder).tensor_files("net")


def test_missing_component_config_and_tensors_are_named(folder: Path) -> None:
    model = open_model(folder)
    with pytest.raises(WeightsError, match="has no vae; it has net, scheduler"):
        model.config("vae")
    with pytest.raises(WeightsError, match="holds no safetensors"):
        model.tensor_files("scheduler")
    (folder / "net" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        model.config("net")


def _copies(folder: Path, *names: str) -> None:
    """The safetensors of ``net`` once more under these names, or an index of them all."""
    file = folder / "net" / "diffusion_pytorch_model.safetensors"
    for name in names:
        if name.endswith(".json"):
            index = {"weight_map": {info.name: file.name for info in read_header(file)}}
            (file.parent / name).write_text(json.dumps(index), encoding="utf-8")
        else:
            shutil.copyfile(file, file.parent / name)


@pytest.mark.parametrize(
    "others",
    [
        ("diffusion_pytorch_model.fp16.safetensors",),
        ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bf16.safetensors"),
        ("diffusion_pytorch_model.fp16-00001-of-00001.safetensors", "a.fp16.safetensors.index.json"),
        ("diffusion_pytorch_model.safetensors.index.json", "a.fp16.safetensors", "a.fp16.safetensors.index.json"),
    ],
)
def test_of_several_files_the_one_that_is_no_variant_is_taken(folder: Path, others: tuple[str, ...]) -> None:
    plain = open_model(folder).tensors("net")
    _copies(folder, *others)
    model = open_model(folder)
    assert [f.name for f in model.tensor_files("net")] == ["diffusion_pytorch_model.safetensors"]
    assert model.tensors("net") == plain


def test_several_files_of_which_none_stands_out_are_refused(folder: Path) -> None:
    _copies(folder, "a.safetensors", "a.fp16.safetensors")
    with pytest.raises(WeightsError, match=r"several safetensors and no index: a\.fp16\.safetensors, a\.safetensors, "):
        open_model(folder).tensor_files("net")
    for name in ("a.safetensors", "diffusion_pytorch_model.safetensors"):
        (folder / "net" / name).rename(folder / "net" / name.replace(".", ".bf16.", 1))
    with pytest.raises(WeightsError, match="several safetensors and no index"):
        open_model(folder).tensor_files("net")
    for name in ("a", "b"):
        (folder / "net" / f"{name}.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError, match="several indices"):
        open_model(folder).tensor_files("net")


def test_a_config_of_another_class_is_refused(folder: Path) -> None:
    file = folder / "net" / "config.json"
    file.write_text('{"_class_name": "Other"}', encoding="utf-8")
    rule = r"^net: .*config\.json'.*is of the class Other, and model_index\.json names Net; must be the same"
    with pytest.raises(WeightsError, match=rule):
        open_model(folder).config("net")
    file.write_text('{"width": 5}', encoding="utf-8")
    assert open_model(folder).config("net") == {"width": 5}


@pytest.mark.parametrize("name", [None, ""])
def test_an_index_without_a_pipeline_says_so(folder: Path, name: str | None) -> None:
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": name}), encoding="utf-8")
    assert open_model(folder).card.name == "toy", "its own card is enough"
    (folder / "card.json").unlink()
    with pytest.raises(WeightsError, match=r"model_index\.json': names no pipeline .*must be one of KinemaPipeline"):
        open_model(folder)


def test_broken_json_is_refused(folder: Path) -> None:
    (folder / "net" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="not valid JSON"):
        open_model(folder).config("net")
    (folder / "model_index.json").write_text("[]", encoding="utf-8")
    with pytest.raises(WeightsError, match="JSON object"):
        open_model(folder)


@pytest.mark.parametrize("key", ["../net", "a/b", "..", ""])
def test_an_index_can_not_name_a_folder_outside(folder: Path, key: str) -> None:
    (folder / "model_index.json").write_text(json.dumps({key: ["kinema", "Net"]}), encoding="utf-8")
    with pytest.raises(WeightsError, match="component's folder"):
        open_model(folder)


def test_content_hash_follows_every_byte_that_matters_and_no_other(folder: Path) -> None:
    first = open_model(folder).content_hash()
    assert first.startswith("sha256:")
    assert len(first) == 71
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, "scores": {"psnr": 30}}), encoding="utf-8")
    assert open_model(folder).content_hash() == first
    weights = next((folder / "net").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    second = open_model(folder).content_hash()
    assert second != first
    (folder / "scheduler" / "config.json").write_text('{"shift": 4.0}', encoding="utf-8")
    assert open_model(folder).content_hash() not in (first, second)


def test_opening_a_model_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom kinema.weights.folder import open_model\n"
        f"m = open_model({str(folder)!r}); m.content_hash(); m.config('net')\nassert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(kinema.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_how_blocks_lie_is_read_from_headers_where_the_card_does_not_say() -> None:
    folder = open_model("kinema-mini")
    assert not json.loads((folder.path / "card.json").read_text(encoding="utf-8")).get("blocks")
    sizes = folder.card.blocks["transformer"]
    shapes = {name: info.shape for name, info in folder.weights("transformer").items()}
    assert sizes == block_sizes(shapes)
    assert 0.5 * folder.card.parameters["transformer"] < sizes.parameters < folder.card.parameters["transformer"]
    assert sizes.largest < sizes.parameters / 2
