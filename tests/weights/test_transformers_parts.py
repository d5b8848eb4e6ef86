"""Text encoders and tokenizers through transformers' classes: by name, from safetensors, strictly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from kinema.accel.offload import apply_offload
from kinema.core.errors import MissingPackage, WeightsError
from kinema.weights.folder import ModelFolder
from kinema.weights.stream import BlockReader
from kinema.weights.transformers_parts import (
    ENCODERS,
    IMAGE_PROCESSORS,
    TOKENIZERS,
    empty_encoder,
    load_encoder,
    load_image_processor,
    load_tokenizer,
)
from tests.weights import published

with published.warnings.catch_warnings():
    published.warnings.simplefilter("ignore")
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIZES: dict[str, Any] = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "LlamaModel": ("LlamaConfig", {**SIZES, "vocab_size": 23, "num_key_value_heads": 1}),
    "CLIPTextModel": (
        "CLIPTextConfig", {**SIZES, "vocab_size": 23, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3},
    ),
    "UMT5EncoderModel": ("UMT5Config", {"vocab_size": 23, "d_model": 12, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 2}),
    "CLIPVisionModel": ("CLIPVisionConfig", {**SIZES, "image_size": 8, "patch_size": 4}),
}  # fmt: skip


def folder_of(root: Path, class_name: str, library: str = "transformers") -> ModelFolder:
    return ModelFolder(path=root, name="m", components={"part": (library, class_name)})


def made(root: Path, class_name: str) -> Any:
    torch.manual_seed(0)
    config_name, settings = MADE[class_name]
    model = getattr(transformers, class_name)(getattr(transformers, config_name)(**settings)).eval()
    model.save_pretrained(root / "part")
    return model


def inputs(class_name: str) -> dict[str, Tensor]:
    if class_name == "CLIPVisionModel":
        return {"pixel_values": torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))}
    return {
        "input_ids": torch.tensor([[1, 5, 7, 2], [1, 9, 2, 3]]),
        "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
    }


@pytest.mark.parametrize("class_name", MADE)
def test_encoders_give_what_was_saved(tmp_path: Path, class_name: str, capfd: pytest.CaptureFixture[str]) -> None:
    model = made(tmp_path, class_name)
    capfd.readouterr()
    loaded = load_encoder(folder_of(tmp_path, class_name), "part", dtype=torch.float32)
    assert "%" not in capfd.readouterr().err, "no bar is drawn"
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    given = inputs(class_name)
    with torch.no_grad():
        assert torch.equal(loaded(**given).last_hidden_state, model(**given).last_hidden_state)
    halves = load_encoder(folder_of(tmp_path, class_name), "part", dtype=torch.bfloat16)
    assert {p.dtype for p in halves.parameters() if p.ndim > 1} == {torch.bfloat16}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_encoder_that_is_read_block_by_block_gives_the_same_bits(tmp_path: Path, dtype: torch.dtype) -> None:
    made(tmp_path, "UMT5EncoderModel")
    folder = folder_of(tmp_path, "UMT5EncoderModel")
    whole, given = load_encoder(folder, "part", dtype=dtype), inputs("UMT5EncoderModel")
    # files have the table of words under either name, or both
    for change in (
        lambda s: None,
        lambda s: s.update({"encoder.embed_tokens.weight": s.pop("shared.weight")}),
        lambda s: s.update({"shared.weight": s["encoder.embed_tokens.weight"].clone()}),
    ):
        _rewrite(tmp_path, change)
        network, pieces = empty_encoder(folder, "part", dtype=dtype)
        assert all(p.is_meta and p.dtype == dtype for p in network.parameters())
        assert not network.training
        assert network.encoder.embed_tokens is network.shared, "one table, read once"
        with apply_offload(network, "disk", device="cpu", read=BlockReader(pieces, dtype=dtype)), torch.no_grad():
            assert torch.equal(network(**given).last_hidden_state, whole(**given).last_hidden_state)
    with pytest.raises(WeightsError, match="is not loaded; must be of transformers and one of UMT5EncoderModel"):
        empty_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=dtype)
    (tmp_path / "part" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="can't be loaded as a UMT5EncoderModel"):
        empty_encoder(folder, "part", dtype=dtype)


@pytest.mark.parametrize(
    "change, rule",
    [
        (lambda s: s.pop("shared.weight"), r"missing shared\.weight, encoder\.embed_tokens\.weight"),
        (lambda s: s.update({"hue.weight": torch.zeros(2)}), r"unexpected hue\.weight"),
        (lambda s: s.update({"shared.weight": torch.zeros(13, 12)}), r"misshapen shared\.weight is 13x12, not 23x12"),
    ],
)
def test_what_does_not_fit_one_that_is_read_block_by_block_is_named(tmp_path: Path, change: Any, rule: str) -> None:
    made(tmp_path, "UMT5EncoderModel")
    _rewrite(tmp_path, change)
    with pytest.raises(WeightsError, match=rule):
        empty_encoder(folder_of(tmp_path, "UMT5EncoderModel"), "part", dtype=torch.float32)


def test_nothing_is_told_where_torchao_is_installed(tmp_path: Path) -> None:
    """transformers imports it with its networks; in a process of its own, since it tells once."""
    pytest.importorskip("torchao")
    made(tmp_path, "UMT5EncoderModel")
    code = f"""
import sys
from pathlib import Path
import torch
from kinema.weights.folder import ModelFolder
from kinema.weights.transformers_parts import load_encoder

folder = ModelFolder(path=Path({str(tmp_path)!r}), name="m", components={{"part": ("transformers", "UMT5EncoderModel")}})
load_encoder(folder, "part", dtype=torch.float32)
print("torchao" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=200)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_every_class_of_the_lists_exists() -> None:
    assert [
        name for name in (*ENCODERS, *TOKENIZERS, *IMAGE_PROCESSORS.values()) if not hasattr(transformers, name)
    ] == []


@pytest.mark.parametrize(
    "library, class_name",
    [("transformers", "GPT2Model"), ("transformers", "pipeline"), ("torch", "load"), ("os", "system")],
)
def test_no_other_class_is_looked_up(tmp_path: Path, library: str, class_name: str) -> None:
    for load in (lambda f: load_encoder(f, "part", dtype=torch.float32), lambda f: load_tokenizer(f, "part")):
        with pytest.raises(
            WeightsError, match=rf"{library}\.{class_name}.*is not loaded; must be of transformers and one of"
        ):
            load(folder_of(tmp_path, class_name, library))


def test_a_tokenizer_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not loaded"):
        load_encoder(folder_of(tmp_path, "CLIPTokenizer"), "part", dtype=torch.float32)


def _rewrite(root: Path, change: Any) -> None:
    file = root / "part" / "model.safetensors"
    state = {n: t.clone() for n, t in load_file(file).items()}
    change(state)
    file.unlink()
    save_file(state, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "change, rule",
    [
        (lambda s: s.pop("layers.1.mlp.up_proj.weight"), r"missing layers\.1\.mlp\.up_proj\.weight"),
        (lambda s: s.update({"layers.7.hue": torch.zeros(2)}), r"unexpected layers\.7\.hue"),
        (lambda s: s.update({"norm.weight": torch.zeros(13)}), r"misshapen norm\.weight"),
        (lambda s: s["norm.weight"].fill_(torch.nan), r"not finite norm\.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, change: Any, rule: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, "LlamaModel")
    _rewrite(tmp_path, change)
    capfd.readouterr()
    with pytest.raises(WeightsError, match=rule) as e:
        load_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=torch.float32)
    assert capfd.readouterr().err == ""
    assert "\n" not in str(e.value)
    assert e.value.field == "part"


def test_broken_files_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "LlamaModel")
    file = tmp_path / "part" / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="truncated"):
        load_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=torch.float32)
    file.rename(tmp_path / "part" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pickle files can run code"):
        load_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=torch.float32)
    file.write_bytes(data)
    (tmp_path / "part" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="can't be loaded as a LlamaModel"):
        load_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=torch.float32)


def test_code_that_a_folder_brings_is_not_run(tmp_path: Path) -> None:
    made(tmp_path, "LlamaModel")
    part = tmp_path / "part"
    config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    (part / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (part / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    load_encoder(folder_of(tmp_path, "LlamaModel"), "part", dtype=torch.float32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("class_name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_tokenizers_give_the_same_numbers(tmp_path: Path, class_name: str) -> None:
    words = {w: i for i, w in enumerate("<unk> a red car drives along the beach <pad>".split())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    made.save_pretrained(tmp_path / "part")
    loaded = load_tokenizer(folder_of(tmp_path, class_name), "part")
    text = ["a red car", "the blue car drives along the beach"]
    assert loaded(text, padding=True)["input_ids"] == made(text, padding=True)["input_ids"]


def test_a_tokenizer_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    with pytest.raises(WeightsError, match="has no vocabulary; must hold one of tokenizer.json"):
        load_tokenizer(folder_of(tmp_path, "CLIPTokenizer"), "part")
    (tmp_path / "part" / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="can't be loaded as a CLIPTokenizer"):
        load_tokenizer(folder_of(tmp_path, "CLIPTokenizer"), "part")


@pytest.mark.parametrize("class_name", IMAGE_PROCESSORS)
def test_image_processors_give_the_same_numbers(tmp_path: Path, class_name: str) -> None:
    sizes = {"size": {"shortest_edge": 7}, "crop_size": {"height": 6, "width": 5}}
    made = CLIPImageProcessorPil(**sizes, image_mean=[0.1, 0.2, 0.3])  # pyright: ignore[reportCallIssue]
    made.save_pretrained(tmp_path / "part")
    loaded = load_image_processor(folder_of(tmp_path, class_name), "part")
    picture = np.random.default_rng(0).integers(0, 256, (17, 11, 3), dtype=np.uint8)
    ours, theirs = (p([picture], return_tensors="pt")["pixel_values"] for p in (loaded, made))
    assert torch.equal(ours, theirs)
    assert ours.shape == (1, 3, 6, 5)


def test_an_image_processor_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    with pytest.raises(WeightsError, match="has no preprocessor_config.json"):
        load_image_processor(folder_of(tmp_path, "CLIPImageProcessor"), "part")
    (tmp_path / "part" / "preprocessor_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="can't be loaded as a CLIPImageProcessorPil"):
        load_image_processor(folder_of(tmp_path, "CLIPImageProcessor"), "part")
    with pytest.raises(WeightsError, match="is not loaded; must be of transformers and one of CLIPImageProcessor"):
        load_image_processor(folder_of(tmp_path, "ViTImageProcessor"), "part")


@pytest.mark.parametrize(
    "load, class_name, file",
    [
        (lambda folder: load_encoder(folder, "part", dtype=torch.float32), "CLIPTextModel", None),
        (lambda folder: load_tokenizer(folder, "part"), "CLIPTokenizer", "tokenizer.json"),
        (lambda folder: load_image_processor(folder, "part"), "CLIPImageProcessor", "preprocessor_config.json"),
    ],
)
def test_without_transformers_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any, class_name: str, file: str | None
) -> None:
    if file is None:
        made(tmp_path, class_name)
    else:
        (tmp_path / "part").mkdir()
        (tmp_path / "part" / file).write_text("{}", encoding="utf-8")
    for module in [m for m in sys.modules if m.partition(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackage, match=r"^part: '\w+': needs transformers: pip install 'kinema\[text\]'$"):
        load(folder_of(tmp_path, class_name))


def test_a_tokenizer_that_needs_sentencepiece_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "spiece.model").write_bytes(b"words")
    with pytest.raises(MissingPackage, match=r"needs sentencepiece: pip install 'kinema\[text\]'$"):
        load_tokenizer(folder_of(tmp_path, "T5Tokenizer"), "part")
