"""LoRA files of every naming come to the same updates, those of diffusers' own conversion; what has no home is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kinema.core.errors import WeightsError
from kinema.models.layers.low_rank import LowRank
from kinema.weights.lora import Update, read_lora
from tests.weights import published

with published.warnings.catch_warnings():
    published.warnings.simplefilter("ignore")
    from diffusers.loaders.lora_conversion_utils import (
        _convert_hunyuan_video_lora_to_diffusers,
        _convert_musubi_wan_lora_to_diffusers,
        _convert_non_diffusers_ltxv_lora_to_diffusers,
        _convert_non_diffusers_wan_lora_to_diffusers,
    )

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
HUNYUAN, WAN, LTX = "HunyuanVideoTransformer3DModel", "WanTransformer3DModel", "LTXVideoTransformer3DModel"
RANK = 3


def shapes_of(class_name: str, **config: Any) -> Shapes:
    with torch.device("meta"):
        network = getattr(published, class_name)(**config)
    return {name: tuple(t.shape) for name, t in network.state_dict().items()}


@pytest.fixture(scope="module")
def hunyuan() -> Shapes:
    """One block of each kind at the published width, which diffusers' conversion takes for granted."""
    return shapes_of(
        HUNYUAN, num_layers=1, num_single_layers=1, num_refiner_layers=1, text_embed_dim=11, pooled_projection_dim=7
    )


@pytest.fixture(scope="module")
def wan() -> Shapes:
    return shapes_of(WAN, **{**published.WAN_TRANSFORMER, "image_dim": 9, "added_kv_proj_dim": 24})


def pair(out: int, width: int, names: tuple[str, str] = ("lora_A", "lora_B")) -> State:
    return {f"{names[0]}.weight": torch.randn(RANK, width), f"{names[1]}.weight": torch.randn(out, RANK)}


def saved(tmp_path: Path, state: State, metadata: dict[str, str] | None = None) -> Path:
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "lora.safetensors", metadata=metadata)
    return tmp_path / "lora.safetensors"


def cloned(state: State) -> State:
    """``state`` for diffusers' conversion, which scales some tensors where they are."""
    return {name: tensor.clone() for name, tensor in state.items()}


def dense(update: Update) -> Tensor:
    return update.dense() if isinstance(update, LowRank) else update


def acting(update: Update) -> Tensor:
    """A dense update, or what a low-rank one makes of a few vectors: at full width the whole matrix would take seconds."""
    if not isinstance(update, LowRank):
        return update
    vectors = torch.randn(update.down.shape[1], 3, generator=torch.Generator().manual_seed(0))
    return update.scale * update.up @ (update.down @ vectors)


def reference_updates(converted: State) -> dict[str, Update]:
    """What PEFT adds for tensors in diffusers' naming: B A, its alpha being the rank."""
    state = {name.removeprefix("transformer."): t for name, t in converted.items()}
    out: dict[str, Update] = {}
    for name, down in state.items():
        if name.endswith(".lora_A.weight"):
            layer = name.removesuffix(".lora_A.weight")
            out[f"{layer}.weight"] = LowRank(down=down, up=state[f"{layer}.lora_B.weight"])
        elif name.endswith(".lora_B.bias"):
            out[f"{name.removesuffix('.lora_B.bias')}.bias"] = down
    return out


def assert_same(ours: dict[str, Update], theirs: dict[str, Update]) -> None:
    assert ours.keys() == theirs.keys()
    for name, update in theirs.items():
        actual, expected = acting(ours[name]), acting(update)
        assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-5 * float(expected.std())), name


LAYERS = {
    "double_blocks.0.img_attn_qkv": (9216, 3072), "double_blocks.0.img_attn_proj": (3072, 3072),
    "double_blocks.0.img_mlp.fc1": (12288, 3072), "double_blocks.0.img_mlp.fc2": (3072, 12288),
    "double_blocks.0.img_mod.linear": (18432, 3072), "double_blocks.0.txt_attn_qkv": (9216, 3072),
    "double_blocks.0.txt_attn_proj": (3072, 3072), "double_blocks.0.txt_mlp.fc2": (3072, 12288),
    "single_blocks.0.linear1": (21504, 3072), "single_blocks.0.linear2": (3072, 15360),
    "single_blocks.0.modulation.linear": (9216, 3072), "txt_in.c_embedder.linear_2": (3072, 3072),
    "txt_in.individual_token_refiner.blocks.0.self_attn_proj": (3072, 3072), "time_in.mlp.2": (3072, 3072),
    "vector_in.out_layer": (3072, 3072), "final_layer.linear": (64, 3072),
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "transformer.", "diffusion_model."])
def test_hunyuan_video_in_original_names(tmp_path: Path, hunyuan: Shapes, prefix: str) -> None:
    state = {f"{prefix}{layer}.{n}": t for layer, shape in LAYERS.items() for n, t in pair(*shape).items()}
    ours = read_lora(saved(tmp_path, state), hunyuan, class_name=HUNYUAN)
    expected = reference_updates(_convert_hunyuan_video_lora_to_diffusers(cloned(state)))
    assert len(expected) == len(LAYERS) + 2 + 2 + 3
    assert_same(ours, expected)


def test_hunyuan_video_in_kohya_s_names(tmp_path: Path, hunyuan: Shapes) -> None:
    plain: State = {}
    kohya: State = {}
    for i, (layer, shape) in enumerate(LAYERS.items()):
        weights = pair(*shape)
        plain |= {f"{layer}.{n}": t for n, t in weights.items()}
        flat = f"lora_unet_{layer.replace('.', '_')}"
        kohya[f"{flat}.lora_down.weight"] = weights["lora_A.weight"]
        kohya[f"{flat}.lora_up.weight"] = weights["lora_B.weight"] / (i + 1)
        kohya[f"{flat}.alpha"] = torch.tensor(float(RANK * (i + 1)))
    expected = reference_updates(_convert_hunyuan_video_lora_to_diffusers(cloned(plain)))
    assert_same(read_lora(saved(tmp_path, kohya), hunyuan, class_name=HUNYUAN), expected)


def test_a_fused_bias_is_cut_as_its_weight_is(tmp_path: Path, hunyuan: Shapes) -> None:
    state = {f"single_blocks.0.linear1.{n}": t for n, t in pair(21504, 3072).items()}
    bias = state["single_blocks.0.linear1.diff_b"] = torch.randn(21504)
    updates = read_lora(saved(tmp_path, state), hunyuan, class_name=HUNYUAN)
    block = "single_transformer_blocks.0"
    assert torch.equal(dense(updates[f"{block}.attn.to_v.bias"]), bias[6144:9216])
    assert torch.equal(dense(updates[f"{block}.proj_mlp.bias"]), bias[9216:])
    assert len(updates) == 8
    weight = {"single_blocks.0.linear1.diff": torch.zeros(1000, 3072)}
    with pytest.raises(WeightsError, match="a LoRA for another model"):
        read_lora(saved(tmp_path, weight), hunyuan, class_name=HUNYUAN)


def test_the_last_modulation_has_its_halves_the_other_way_round(tmp_path: Path, hunyuan: Shapes) -> None:
    state = {f"final_layer.adaLN_modulation.1.{n}": t for n, t in pair(6144, 3072).items()}
    (update,) = read_lora(saved(tmp_path, state), hunyuan, class_name=HUNYUAN).values()
    assert isinstance(update, LowRank)
    up = state["final_layer.adaLN_modulation.1.lora_B.weight"]
    assert torch.equal(update.up, torch.cat([up[3072:], up[:3072]]))
    assert torch.equal(update.down, state["final_layer.adaLN_modulation.1.lora_A.weight"])


def wan_layers() -> dict[str, tuple[int, int]]:
    layers = {}
    for i in range(3):
        layers |= {f"blocks.{i}.{kind}_attn.{n}": (24, 24) for kind in ("self", "cross") for n in "qkvo"}
        layers |= {f"blocks.{i}.cross_attn.{n}_img": (24, 24) for n in "kv"}
        layers |= {f"blocks.{i}.ffn.0": (20, 24), f"blocks.{i}.ffn.2": (24, 20)}
    return layers


@pytest.mark.parametrize("names", [("lora_A", "lora_B"), ("lora_down", "lora_up")])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_wan_in_original_names(tmp_path: Path, wan: Shapes, names: tuple[str, str], has_alpha: bool) -> None:
    state: State = {}
    for layer, shape in wan_layers().items():
        state |= {f"diffusion_model.{layer}.{n}": t for n, t in pair(*shape, names).items()}
        state[f"diffusion_model.{layer}.diff_b"] = torch.randn(shape[0])
        if has_alpha:
            state[f"diffusion_model.{layer}.alpha"] = torch.tensor(1.5)
    for layer, shape in {
        "time_projection.1": (144, 24), "head.head": (24, 24), "text_embedding.0": (24, 10), "text_embedding.2": (24, 24),
        "time_embedding.0": (24, 16), "time_embedding.2": (24, 24), "img_emb.proj.1": (9, 9), "img_emb.proj.3": (24, 9),
    }.items():  # fmt: skip
        state |= {f"diffusion_model.{layer}.{n}": t for n, t in pair(*shape, names).items()}
    expected = reference_updates(_convert_non_diffusers_wan_lora_to_diffusers(cloned(state)))
    assert len(expected) == 2 * 36 + 8
    assert_same(read_lora(saved(tmp_path, state), wan, class_name=WAN), expected)


def test_wan_in_kohya_s_names(tmp_path: Path, wan: Shapes) -> None:
    state: State = {}
    for i, (layer, shape) in enumerate(wan_layers().items()):
        flat = f"lora_unet_{layer.replace('.', '_')}"
        state |= {f"{flat}.{n}": t for n, t in pair(*shape, ("lora_down", "lora_up")).items()}
        state[f"{flat}.alpha"] = torch.tensor(0.5 + i)
    expected = reference_updates(_convert_musubi_wan_lora_to_diffusers(cloned(state)))
    assert len(expected) == 36
    assert_same(read_lora(saved(tmp_path, state), wan, class_name=WAN), expected)


def test_ltx_video_in_every_naming(tmp_path: Path) -> None:
    shapes = shapes_of(LTX, **published.LTX_TRANSFORMER)
    layers = {
        f"transformer_blocks.{i}.{a}.{n}": (28, 28)
        for i in range(3)
        for a in ("attn1", "attn2")
        for n in ("to_q", "to_out.0")
    }
    layers |= {"transformer_blocks.2.ff.net.0.proj": (112, 28)}
    state = {f"diffusion_model.{layer}.{n}": t for layer, shape in layers.items() for n, t in pair(*shape).items()}
    expected = reference_updates(_convert_non_diffusers_ltxv_lora_to_diffusers(cloned(state)))
    assert len(expected) == 13
    assert_same(read_lora(saved(tmp_path, state), shapes, class_name=LTX), expected)
    # of layers that the makers name otherwise, and flat names of either
    for flat, ours in (
        ("diffusion_model.patchify_proj", "proj_in.weight"),
        (
            "diffusion_model.adaln_single.emb.timestep_embedder.linear_2",
            "time_embed.emb.timestep_embedder.linear_2.weight",
        ),
        ("lora_unet_adaln_single_linear", "time_embed.linear.weight"),
        ("lora_unet_transformer_blocks_1_attn2_to_k", "transformer_blocks.1.attn2.to_k.weight"),
    ):
        out, width = shapes[ours]
        own = {f"{flat}.{n}": t for n, t in pair(out, width, ("lora_down", "lora_up")).items()}
        assert list(read_lora(saved(tmp_path, own), shapes, class_name=LTX)) == [ours]
    with pytest.raises(WeightsError, match="blocks.0.self_attn.q"):
        read_lora(
            saved(tmp_path, {f"blocks.0.self_attn.q.{n}": t for n, t in pair(28, 28).items()}), shapes, class_name=LTX
        )


@pytest.mark.parametrize("prefix", ["transformer.", "base_model.model.", ""])
def test_published_names(tmp_path: Path, wan: Shapes, prefix: str) -> None:
    state = {f"{prefix}blocks.1.attn2.to_out.0.{n}": t for n, t in pair(24, 24).items()}
    state |= {f"{prefix}condition_embedder.time_proj.{n}": t for n, t in pair(144, 24).items()}
    assert_same(read_lora(saved(tmp_path, state), wan, class_name=WAN), reference_updates(_bare(state, prefix)))
    flat = {f"lora_unet_blocks_1_ffn_net_0_proj.{n}": t for n, t in pair(20, 24, ("lora_down", "lora_up")).items()}
    assert list(read_lora(saved(tmp_path, flat), wan, class_name=WAN)) == ["blocks.1.ffn.net.0.proj.weight"]


def _bare(state: State, prefix: str) -> State:
    return {n.removeprefix(prefix): t for n, t in state.items()}


@pytest.mark.parametrize(
    "metadata, scale",
    [
        ({}, 1.0),
        ({"transformer.r": RANK, "transformer.lora_alpha": 6}, 2.0),
        ({"transformer.lora_alpha": 6, "transformer.use_rslora": True}, 6 / RANK**0.5),
        ({"transformer.lora_alpha": 6, "transformer.alpha_pattern": {"attn1.to_q": 9}}, 3.0),
        ({"transformer.lora_alpha": 6, "transformer.alpha_pattern": {"attn2.to_q": 9}}, 2.0),
        ({"transformer_2.lora_alpha": 6}, 1.0),
    ],
)
def test_what_the_file_says_of_its_scale_is_kept(
    tmp_path: Path, wan: Shapes, metadata: dict[str, Any], scale: float
) -> None:
    state = {f"transformer.blocks.0.attn1.to_q.{n}": t for n, t in pair(24, 24).items()}
    file = saved(tmp_path, state, {"lora_adapter_metadata": json.dumps(metadata)})
    (update,) = read_lora(file, wan, class_name=WAN).values()
    assert isinstance(update, LowRank)
    assert update.scale == pytest.approx(scale)


def test_dense_differences_of_weights_norms_and_tables(tmp_path: Path, wan: Shapes) -> None:
    table, head, norm = torch.randn(1, 6, 24), torch.randn(1, 2, 24), torch.randn(24)
    state = {
        "diffusion_model.blocks.0.modulation.diff": table,
        "diffusion_model.head.modulation.diff": head,
        "diffusion_model.blocks.2.norm3.diff": norm,
        "diffusion_model.blocks.2.norm3.diff_b": 2 * norm,
    }
    updates = read_lora(saved(tmp_path, state), wan, class_name=WAN)
    expected = {
        "blocks.0.scale_shift_table": table, "scale_shift_table": head, "blocks.2.norm2.weight": norm,
        "blocks.2.norm2.bias": 2 * norm,
    }  # fmt: skip
    assert updates.keys() == expected.keys()
    assert all(torch.equal(dense(updates[n]), t) for n, t in expected.items())


def test_a_convolution_s_pair_is_a_matrix(tmp_path: Path, wan: Shapes) -> None:
    down, up = torch.randn(RANK, 6, 1, 2, 2), torch.randn(24, RANK, 1, 1, 1)
    state = {"diffusion_model.patch_embedding.lora_A.weight": down, "diffusion_model.patch_embedding.lora_B.weight": up}
    (update,) = read_lora(saved(tmp_path, state), wan, class_name=WAN).values()
    assert torch.allclose(dense(update), up.flatten(1) @ down.flatten(1), atol=1e-5)


def test_each_expert_gets_its_own(tmp_path: Path, wan: Shapes) -> None:
    state = {f"transformer.blocks.0.attn1.to_q.{n}": t for n, t in pair(24, 24).items()}
    state |= {f"transformer_2.blocks.1.attn1.to_q.{n}": t for n, t in pair(24, 24).items()}
    file = saved(tmp_path, state)
    assert list(read_lora(file, wan, class_name=WAN)) == ["blocks.0.attn1.to_q.weight"]
    assert list(read_lora(file, wan, class_name=WAN, component="transformer_2")) == ["blocks.1.attn1.to_q.weight"]
    file = saved(tmp_path, {n: t for n, t in state.items() if n.startswith("transformer.")})
    assert list(read_lora(file, wan, class_name=WAN, component="transformer_2")) == ["blocks.0.attn1.to_q.weight"]
    file = saved(tmp_path, {n: t for n, t in state.items() if n.startswith("transformer_2.")})
    with pytest.raises(WeightsError, match="holds nothing for the transformer"):
        read_lora(file, wan, class_name=WAN)


Q = "transformer.blocks.0.attn1.to_q"
GOOD = {f"{Q}.lora_A.weight": torch.zeros(RANK, 24), f"{Q}.lora_B.weight": torch.zeros(24, RANK)}


@pytest.mark.parametrize(
    "changes, rule",
    [
        ({f"{Q}.lora_B.weight": None}, r"blocks\.0\.attn1\.to_q has down alone"),
        ({f"{Q}.lora_A.weight": None, f"{Q}.lora_B.weight": None, f"{Q}.alpha": torch.tensor(1.0)}, "has alpha alone"),
        ({f"{Q}.lora_A.weight": torch.zeros(0, 24), f"{Q}.lora_B.weight": torch.zeros(24, 0)}, "is no product"),
        ({f"{Q}.lora_A.weight": torch.zeros(24)}, "is no product"),
        ({f"{Q}.alpha": torch.zeros(2)}, r"an alpha of \(2,\); must be one number"),
        ({f"{Q}.lora_B.weight": torch.zeros(24, 5)}, r"\(24, 5\) times \(3, 24\) is no product"),
        (
            {f"{Q}.lora_B.weight": torch.zeros(30, RANK)},
            r"for a weight of \(30, 24\).*has \(24, 24\): a LoRA for another",
        ),
        ({f"{Q}.lora_A.weight": torch.zeros(RANK, 12)}, r"for a weight of \(24, 12\).*a LoRA for another model"),
        ({f"{Q}.lora_A.weight": torch.full((RANK, 24), torch.nan)}, "lora_A.weight has NaN or infinity"),
        ({f"{Q}.dora_scale": torch.zeros(24)}, "dora_scale is of no kind that is read"),
        ({f"{Q}.lokr_w1": torch.zeros(24)}, "lokr_w1 is of no kind that is read"),
        ({f"{Q}.diff": torch.zeros(24, 24)}, "has a low-rank and a dense change of the same weight"),
        ({f"{Q}.diff_b": torch.zeros(7)}, r"for a weight of \(7,\).*has \(24,\)"),
        ({f"{Q}.lora_down.weight": torch.zeros(RANK, 24)}, "its layer has another down"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, wan: Shapes, changes: dict[str, Any], rule: str) -> None:
    state = {n: t for n, t in {**GOOD, **changes}.items() if t is not None}
    with pytest.raises(WeightsError, match=rule) as e:
        read_lora(saved(tmp_path, state), wan, class_name=WAN)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "layer",
    [
        "transformer.blocks.7.attn1.to_q", "diffusion_model.blocks.0.self_attn.hue", "text_encoder.layers.0.q_proj",
        "lora_unet_blocks_9_self_attn_q", "lora_te_text_model_q", "double_blocks.0.img_attn_qkv", "hue",
    ],
)  # fmt: skip
def test_a_key_without_a_home_is_named(tmp_path: Path, wan: Shapes, layer: str) -> None:
    state = {**GOOD, **{f"{layer}.{n}": t for n, t in pair(24, 24).items()}}
    with pytest.raises(WeightsError, match=f"{layer}.lora_[AB].weight has no home in this model"):
        read_lora(saved(tmp_path, state), wan, class_name=WAN)


def test_broken_files_are_refused(tmp_path: Path, wan: Shapes) -> None:
    for name in ("a.pt", "a.bin"):
        with pytest.raises(WeightsError, match="pickle"):
            read_lora(tmp_path / name, wan, class_name=WAN)
    broken = ["{", "[]", '{"transformer.lora_alpha": "many"}', '{"transformer.alpha_pattern": [1]}']
    for text in (*broken, '{"transformer.lora_alpha": NaN}', '{"transformer.alpha_pattern": {"to_q": Infinity}}'):
        with pytest.raises(WeightsError, match="broken adapter metadata"):
            read_lora(saved(tmp_path, GOOD, {"lora_adapter_metadata": text}), wan, class_name=WAN)
    with pytest.raises(WeightsError, match="is a DoRA"):
        read_lora(
            saved(tmp_path, GOOD, {"lora_adapter_metadata": '{"transformer.use_dora": true}'}), wan, class_name=WAN
        )
    file = saved(tmp_path, GOOD)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="truncated"):
        read_lora(file, wan, class_name=WAN)
    with pytest.raises(WeightsError, match="holds nothing for the transformer"):
        read_lora(saved(tmp_path, {}), wan, class_name=WAN)
