"""One component from a single file: original names, prefixes, fp8 with scales, GGUF; and files of another kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.weights.build import load_component
from kinema.weights.dequantise import dequantise
from kinema.weights.folder import open_model
from kinema.weights.single import open_checkpoint
from tests.weights import ggufs, originals, published

State = dict[str, Tensor]
ORIGINAL = {"hunyuan": originals.hunyuan_video, "wan": originals.wan}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    return {"hunyuan": published.hunyuan_video(root / "hy"), "wan": published.wan(root / "wan")}


def stored(folder: Path, component: str = "transformer") -> State:
    return load_file(folder / component / "diffusion_pytorch_model.safetensors")


def loaded(folder: Path, file: Path, component: str = "transformer", **options: Any) -> State:
    model = open_model(folder).with_file(component, file)
    return dict(load_component(model, component, **{"dtype": torch.float32, **options}).state_dict())


def assert_equal(actual: State, expected: State) -> None:
    assert actual.keys() == expected.keys()
    assert [n for n, t in expected.items() if not torch.equal(actual[n], t)] == []


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
@pytest.mark.parametrize("family", ORIGINAL)
def test_a_transformer_in_its_original_names(
    folders: dict[str, Path], tmp_path: Path, family: str, prefix: str
) -> None:
    state, file = stored(folders[family]), tmp_path / "a.safetensors"
    # other numbers than the folder's, so that it is known where they came from
    state = {name: tensor * 2 for name, tensor in state.items()}
    save_file({prefix + name: t.contiguous() for name, t in ORIGINAL[family](state).items()}, file)
    assert_equal(loaded(folders[family], file), state)
    checkpoint = open_checkpoint(file)
    assert checkpoint.naming.component == "transformer"
    assert checkpoint.num_parameters == sum(t.numel() for t in state.values())


def test_a_transformer_in_published_names(folders: dict[str, Path], tmp_path: Path) -> None:
    state, file = stored(folders["hunyuan"]), tmp_path / "a.safetensors"
    save_file({name: (2 * t).bfloat16() for name, t in state.items()}, file)
    assert_equal(loaded(folders["hunyuan"], file), {n: (2 * t).bfloat16().float() for n, t in state.items()})


@pytest.mark.parametrize("is_residual", [False, True])
def test_an_autoencoder_in_its_original_names(tmp_path: Path, is_residual: bool) -> None:
    settings = {"vae": published.WAN_RESIDUAL_VAE, "settings": {"expand_timesteps": True}} if is_residual else {}
    folder = published.wan(tmp_path / "m", **settings)
    state, file = stored(folder, "vae"), tmp_path / "a.safetensors"
    original = originals.wan_residual_vae(state, 2) if is_residual else originals.wan_vae(state)
    save_file(original, file)
    assert_equal(loaded(folder, file, "vae"), state)


def test_blocks_are_whole_when_they_come_from_fused_tensors(folders: dict[str, Path], tmp_path: Path) -> None:
    file, seen = tmp_path / "a.safetensors", []
    save_file(originals.hunyuan_video(stored(folders["hunyuan"])), file)

    def on_block(name: str, block: torch.nn.Module) -> None:
        seen.append(name)
        assert not any(p.is_meta for p in block.parameters(recurse=name != "")), name

    loaded(folders["hunyuan"], file, on_block=on_block)
    assert len(seen) == len(set(seen))
    assert {"transformer_blocks.0", "transformer_blocks.1", "single_transformer_blocks.2", "proj_out"} <= set(seen)


@pytest.mark.parametrize("leaf", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("family", ORIGINAL)
def test_fp8_with_scales(folders: dict[str, Path], tmp_path: Path, family: str, per_row: bool, leaf: str) -> None:
    original = ORIGINAL[family](stored(folders[family]))
    file: State = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    whole: State = {}
    for name, tensor in original.items():
        if tensor.ndim != 2 or not name.endswith(".weight"):
            file[name] = whole[name] = tensor.contiguous()
            continue
        scale = (tensor.abs().amax(dim=1, keepdim=True) if per_row else tensor.abs().amax()) / 448
        file[name] = (tensor / scale).to(torch.float8_e4m3fn)
        file[name.replace("weight", leaf)] = scale
        file[name.replace("weight", "scale_input")] = torch.tensor(1.0)
        whole[name] = file[name].float() * scale
    path, plain = tmp_path / "fp8.safetensors", tmp_path / "plain.safetensors"
    save_file(file, path)
    save_file({n: t.contiguous() for n, t in whole.items()}, plain)
    actual = loaded(folders[family], path)
    assert_equal(actual, loaded(folders[family], plain))
    reference = stored(folders[family])
    name = "transformer_blocks.1.attn.to_k.weight" if family == "hunyuan" else "blocks.1.attn1.to_k.weight"
    assert 0 < (actual[name] - reference[name]).abs().max() < 0.1 * reference[name].abs().max()


def test_plain_fp8(folders: dict[str, Path], tmp_path: Path) -> None:
    state, path = stored(folders["wan"]), tmp_path / "fp8.safetensors"
    save_file({n: t.to(torch.float8_e4m3fn) for n, t in originals.wan(state).items()}, path)
    actual = loaded(folders["wan"], path, dtype=torch.bfloat16)
    assert_equal(
        {n: t.float() for n, t in actual.items()}, {n: t.to(torch.float8_e4m3fn).float() for n, t in state.items()}
    )


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_gguf(folders: dict[str, Path], tmp_path: Path, kind: str, prefix: str) -> None:
    original = originals.hunyuan_video(stored(folders["hunyuan"]))
    file: dict[str, Any] = {}
    whole: State = {}
    for i, (name, tensor) in enumerate(original.items()):
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            data = ggufs.blocks(tensor.shape, kind, seed=i)
            file[prefix + name] = (tuple(tensor.shape), kind, data)
            whole[name] = dequantise(ggufs.as_tensor(data), kind).reshape(tensor.shape)
        else:
            file[prefix + name] = ggufs.plain(tensor)
            whole[name] = tensor.contiguous()
    path, plain = ggufs.write(tmp_path / "a.gguf", file), tmp_path / "plain.safetensors"
    assert len([n for n, t in file.items() if t[1] == kind]) > 20
    save_file(whole, plain)
    assert_equal(loaded(folders["hunyuan"], path), loaded(folders["hunyuan"], plain))
    halves = loaded(folders["hunyuan"], path, dtype=torch.bfloat16)
    assert_equal(halves, loaded(folders["hunyuan"], plain, dtype=torch.bfloat16))


def test_the_file_is_in_the_model_s_hash_and_parameters(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, file = open_model(folders["wan"]), tmp_path / "a.safetensors"
    save_file(originals.wan({n: t.bfloat16() for n, t in stored(folders["wan"]).items()}), file)
    replaced = folder.with_file("transformer", file)
    assert replaced.content_hash() not in (folder.content_hash(), replaced.with_file("transformer", file).name)
    assert replaced.card.parameters == folder.card.parameters
    assert replaced.card.weights_bytes < folder.card.weights_bytes
    assert replaced.tensor_files("transformer") == (file,)
    before = replaced.content_hash()
    save_file(originals.wan({n: 2 * t.bfloat16() for n, t in stored(folders["wan"]).items()}), file)
    assert replaced.content_hash() != before


def _drop(state: State) -> None:
    del state["blocks.1.self_attn.q.weight"]


def _add(state: State) -> None:
    state["blocks.9.self_attn.q.weight"] = torch.zeros(24, 24)


def _reshape(state: State) -> None:
    state["blocks.1.ffn.0.weight"] = torch.zeros(20, 25)


def _vace(state: State) -> None:
    state["vace_blocks.0.after_proj.bias"] = torch.zeros(24)


def _nan(state: State) -> None:
    state["head.head.bias"][3] = torch.nan


def _lone_scale(state: State) -> None:
    state["blocks.1.hue.scale_weight"] = torch.tensor(1.0)


@pytest.mark.parametrize(
    "change, rule",
    [
        (_drop, r"missing blocks\.1\.attn1\.to_q\.weight"),
        (_add, r"unexpected blocks\.9\.attn1\.to_q\.weight"),
        (_reshape, r"misshapen blocks\.1\.ffn\.net\.0\.proj\.weight is 20x25, not 20x24"),
        (_vace, r"unexpected vace_blocks\.0\.after_proj\.bias"),
        (_nan, r"NaN or infinity: proj_out\.bias"),
        (_lone_scale, r"unexpected blocks\.1\.hue\.scale_weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folders: dict[str, Path], tmp_path: Path, change: Any, rule: str) -> None:
    state, file = {n: t.clone() for n, t in originals.wan(stored(folders["wan"])).items()}, tmp_path / "a.safetensors"
    change(state)
    save_file(state, file)
    with pytest.raises(WeightsError, match=rule) as e:
        loaded(folders["wan"], file)
    assert file.name in str(e.value.value)


def test_a_file_of_another_family_or_component_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(originals.hunyuan_video(stored(folders["hunyuan"])), file)
    rule = (
        r"holds a hunyuan-video transformer \(original names\), and the model's transformer is a WanTransformer3DModel"
    )
    with pytest.raises(WeightsError, match=rule):
        open_model(folders["wan"]).with_file("transformer", file)
    with pytest.raises(WeightsError, match="the model's vae is a AutoencoderKLHunyuanVideo"):
        open_model(folders["hunyuan"]).with_file("vae", file)
    with pytest.raises(WeightsError, match="has no upsampler; it has"):
        open_model(folders["hunyuan"]).with_file("upsampler", file)


def test_files_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"blocks.0.attn.qkv.weight": torch.zeros(3)}, file)
    with pytest.raises(WeightsError, match=r"no known family \(blocks\.0\.attn\.qkv\.weight\); must be one of hunyuan"):
        open_checkpoint(file)
    for name, rule in (
        ("a.pth", "pickle files can run code"),
        ("a.ckpt", "pickle"),
        ("a.zip", "must be a .safetensors"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(WeightsError, match=rule):
            open_checkpoint(tmp_path / name)
    with pytest.raises(WeightsError, match="No such file"):
        open_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    "names",
    [
        ("transformer.blocks.0.attn1.to_q.lora_A.weight", "transformer.blocks.0.attn1.to_q.lora_B.weight"),
        ("lora_unet_blocks_0_ffn_0.lora_down.weight", "lora_unet_blocks_0_ffn_0.alpha"),
        ("diffusion_model.blocks.0.ffn.0.diff", "diffusion_model.blocks.0.ffn.0.diff_b"),
    ],
)
def test_a_lora_is_told_from_a_transformer(folders: dict[str, Path], tmp_path: Path, names: tuple[str, ...]) -> None:
    file = tmp_path / "a.safetensors"
    save_file({name: torch.zeros(2, 3) for name in names}, file)
    rule = "is a LoRA, which changes a transformer and is none itself; give it with --lora"
    with pytest.raises(WeightsError, match=f"^file: .*{rule}"):
        open_checkpoint(file)
    with pytest.raises(WeightsError, match=f"^transformer: .*{rule}"):
        open_model(folders["wan"]).with_file("transformer", file)


def test_a_scale_of_another_length_and_a_name_twice_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    state, file = originals.wan(stored(folders["wan"])), tmp_path / "a.safetensors"
    save_file({**state, "blocks.0.ffn.0.scale_weight": torch.zeros(7)}, file)
    with pytest.raises(WeightsError, match=r"blocks\.0\.ffn\.0\.scale_weight has the shape \(7,\); must be one number"):
        open_checkpoint(file)
    for twice in ("blocks.0.attn1.to_q.weight", "model.diffusion_model.blocks.0.self_attn.q.weight"):
        save_file({**state, twice: torch.zeros(24, 24)}, file)
        with pytest.raises(WeightsError, match="the same tensor under two names"):
            open_checkpoint(file)


def test_a_single_file_is_no_model(folders: dict[str, Path]) -> None:
    file = folders["wan"] / "transformer" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(WeightsError, match="is a file; give the folder of a whole model"):
        open_model(file)
