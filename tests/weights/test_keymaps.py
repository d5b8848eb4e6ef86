"""Original names become ours, tensor for tensor as diffusers' own conversion has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.weights.header import Piece, TensorInfo
from kinema.weights.keymaps import NAMINGS, KeyMap, hunyuan_video, ltx, recognise, wan
from tests.weights import originals, published

with published.warnings.catch_warnings():
    published.warnings.simplefilter("ignore")
    from diffusers.loaders.single_file_utils import (
        convert_hunyuan_video_transformer_to_diffusers,
        convert_ltx_transformer_checkpoint_to_diffusers,
        convert_wan_transformer_to_diffusers,
        convert_wan_vae_to_diffusers,
    )

State = dict[str, Tensor]


def mapped(state: State, key_map: KeyMap) -> State:
    """What ``key_map`` makes of tensors in memory."""
    infos = {name: TensorInfo(name, "F32", tuple(t.shape), Path("x"), 0, 0) for name, t in state.items()}
    return {name: taken(state, piece) for name, piece in key_map(infos).items()}


def taken(state: Mapping[str, Tensor], piece: Piece) -> Tensor:
    whole = state[piece.info.name].reshape(piece.info.shape)
    tensor = torch.cat([whole[start:stop] for start, stop in piece.rows]) if piece.rows else whole
    assert tuple(tensor.shape) == piece.shape
    return tensor


def assert_same(ours: State, theirs: State) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].shape == tensor.shape, name
        # the tensors may be wide ones whose columns are all alike
        assert torch.equal(ours[name].reshape(len(tensor), -1)[:, :3], tensor.reshape(len(tensor), -1)[:, :3]), name


def wide(*shape: int) -> Tensor:
    """A random tensor whose rows differ and whose columns are one: of full size, but without its memory."""
    return torch.randn(shape[0], *(1 for _ in shape[1:])).expand(shape)


def original_hunyuan_video() -> State:
    """Two blocks of each kind at the published width, which diffusers' conversion takes for granted."""
    width, mlp, text, refiner = 3072, 7168, 5, "txt_in.individual_token_refiner.blocks"
    state: State = {"img_in.proj.weight": wide(width, 16, 1, 2, 2)}
    layers = {
        "time_in.mlp.0": (width, 256), "time_in.mlp.2": (width, width), "guidance_in.mlp.0": (width, 256),
        "guidance_in.mlp.2": (width, width), "vector_in.in_layer": (width, 7), "vector_in.out_layer": (width, width),
        "txt_in.input_embedder": (width, text), "txt_in.t_embedder.mlp.0": (width, 256),
        "txt_in.t_embedder.mlp.2": (width, width), "txt_in.c_embedder.linear_1": (width, text),
        "txt_in.c_embedder.linear_2": (width, width), "final_layer.linear": (64, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }  # fmt: skip
    for i in range(2):
        layers |= {
            f"{refiner}.{i}.norm1": (width,), f"{refiner}.{i}.norm2": (width,),
            f"{refiner}.{i}.self_attn_qkv": (3 * width, width), f"{refiner}.{i}.self_attn_proj": (width, width),
            f"{refiner}.{i}.mlp.fc1": (mlp, width), f"{refiner}.{i}.mlp.fc2": (width, mlp),
            f"{refiner}.{i}.adaLN_modulation.1": (2 * width, width),
            f"single_blocks.{i}.linear1": (3 * width + mlp, width), f"single_blocks.{i}.linear2": (width, width + mlp),
            f"single_blocks.{i}.modulation.linear": (3 * width, width),
        }  # fmt: skip
        state |= {f"single_blocks.{i}.{n}_norm.weight": torch.randn(128) for n in "qk"}
        for stream in ("img", "txt"):
            layers |= {
                f"double_blocks.{i}.{stream}_mod.linear": (6 * width, width),
                f"double_blocks.{i}.{stream}_attn_qkv": (3 * width, width),
                f"double_blocks.{i}.{stream}_attn_proj": (width, width),
                f"double_blocks.{i}.{stream}_mlp.fc1": (mlp, width),
                f"double_blocks.{i}.{stream}_mlp.fc2": (width, mlp),
            }
            state |= {f"double_blocks.{i}.{stream}_attn_{n}_norm.weight": torch.randn(128) for n in "qk"}
    for name, shape in layers.items():
        state[f"{name}.weight"] = wide(*shape)
        state[f"{name}.bias"] = torch.randn(shape[0])
    state["img_in.proj.bias"] = torch.randn(width)
    return state


def test_hunyuan_video_s_transformer() -> None:
    state = original_hunyuan_video()
    ours = mapped(state, hunyuan_video.transformer)
    assert_same(ours, convert_hunyuan_video_transformer_to_diffusers(dict(state)))
    assert not [n for n in ours if n in state]


def test_hunyuan_video_s_transformer_at_another_width() -> None:
    network = published.randomised(published.HunyuanVideoTransformer3DModel(**published.HUNYUAN_TRANSFORMER))
    state = network.state_dict()
    assert_same(mapped(originals.hunyuan_video(state), hunyuan_video.transformer), state)


@pytest.mark.parametrize("picture", [{}, {"image_dim": 9, "added_kv_proj_dim": 24}])
def test_wan_s_transformer(picture: dict[str, Any]) -> None:
    network = published.randomised(published.WanTransformer3DModel(**published.WAN_TRANSFORMER, **picture))
    state = network.state_dict()
    original = originals.wan(state)
    assert not [n for n in original if n in state and not n.startswith("patch_embedding")]
    assert_same(convert_wan_transformer_to_diffusers(dict(original)), state)
    assert_same(mapped(original, wan.transformer), state)


def test_wan_s_positions_of_two_pictures_have_a_name_too() -> None:
    config = {**published.WAN_TRANSFORMER, "image_dim": 9, "added_kv_proj_dim": 24, "pos_embed_seq_len": 5}
    state = published.randomised(published.WanTransformer3DModel(**config)).state_dict()
    original = originals.wan(state)
    assert "img_emb.emb_pos" in original
    assert_same(mapped(original, wan.transformer), state)


def test_an_axis_of_one_that_gguf_dropped_is_put_back() -> None:
    state = published.randomised(published.WanTransformer3DModel(**published.WAN_TRANSFORMER)).state_dict()
    squeezed = {n: t.squeeze(0) if "modulation" in n else t for n, t in originals.wan(state).items()}
    assert squeezed["head.modulation"].ndim == 2
    assert_same(mapped(squeezed, wan.transformer), state)


def test_wan_2_1_s_autoencoder() -> None:
    state = published.randomised(published.AutoencoderKLWan(**published.WAN_VAE)).state_dict()
    original = originals.wan_vae(state)
    assert_same(convert_wan_vae_to_diffusers(dict(original)), state)
    assert_same(mapped(original, wan.autoencoder), state)


def test_wan_2_2_s_autoencoder() -> None:
    state = published.randomised(published.AutoencoderKLWan(**published.WAN_RESIDUAL_VAE)).state_dict()
    original = originals.wan_residual_vae(state, published.WAN_RESIDUAL_VAE["num_res_blocks"])
    # names as the makers' file has them
    assert {
        "encoder.downsamples.0.downsamples.0.residual.0.gamma",
        "encoder.downsamples.1.downsamples.2.time_conv.weight",
        "decoder.upsamples.0.upsamples.3.resample.1.weight",
        "decoder.upsamples.2.upsamples.0.shortcut.bias",
        "decoder.middle.1.to_qkv.weight",
        "conv1.weight",
    } <= original.keys()
    assert_same(mapped(original, wan.residual_autoencoder), state)


def test_ltx_video_s_transformer() -> None:
    network = published.randomised(published.LTXVideoTransformer3DModel(**published.LTX_TRANSFORMER))
    state = network.state_dict()
    original = originals.ltx(state)
    assert {
        "patchify_proj.bias",
        "adaln_single.linear.weight",
        "transformer_blocks.2.attn2.q_norm.weight",
    } <= original.keys()
    assert_same(convert_ltx_transformer_checkpoint_to_diffusers(dict(original)), state)
    assert_same(mapped(original, ltx.transformer), state)
    layers = {name.rpartition(".")[0] or name for name in original}
    assert {layer for layer in layers if not layer.endswith("scale_shift_table")} <= ltx.layers(state)


def test_every_kind_of_file_is_told_from_all_others() -> None:
    hunyuan = published.HunyuanVideoTransformer3DModel(**published.HUNYUAN_TRANSFORMER).state_dict()
    wan_transformer = published.WanTransformer3DModel(**published.WAN_TRANSFORMER).state_dict()
    vae = published.AutoencoderKLWan(**published.WAN_VAE).state_dict()
    residual = published.AutoencoderKLWan(**published.WAN_RESIDUAL_VAE).state_dict()
    ltx_transformer = published.LTXVideoTransformer3DModel(**published.LTX_TRANSFORMER).state_dict()
    states = [
        originals.hunyuan_video(hunyuan),
        hunyuan,
        published.AutoencoderKLHunyuanVideo(**published.HUNYUAN_VAE).state_dict(),
        originals.ltx(ltx_transformer),
        ltx_transformer,
        published.AutoencoderKLLTXVideo(**published.LTX_VAE).state_dict(),
        originals.wan(wan_transformer),
        wan_transformer,
        originals.wan_vae(vae),
        originals.wan_residual_vae(residual, 2),
        vae,
    ]
    for state, naming in zip(states, NAMINGS, strict=True):
        assert recognise(state) is naming
        assert [n for n in NAMINGS if all(mark in state for mark in n.marks)] == [naming]
    assert recognise(residual) is NAMINGS[-1]
    assert recognise({"blocks.0.attn.qkv.weight": 0}) is None


@pytest.mark.parametrize("key_map", [hunyuan_video.transformer, wan.transformer, wan.autoencoder, ltx.transformer])
def test_unknown_names_stay_what_they_are(key_map: KeyMap) -> None:
    names = ["vace_blocks.0.after_proj.bias", "double_blocks.0.hue.weight", "blocks.0.hue.weight", "model_ema", "a.b"]
    assert sorted(mapped({n: torch.zeros(3, 3) for n in names}, key_map)) == sorted(names)
