"""Published folders without a card: recognised, described, loaded, and refused by name where they don't fit together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import kinema
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest, WeightsError
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.flow.published import TokenShift
from kinema.weights.build import load_component, load_published_sampler
from kinema.weights.families import FAMILIES
from kinema.weights.folder import open_model
from tests.weights import published
from tests.weights.published import change_json

PICTURE_HUNYUAN = {
    "text_encoder": ("LlavaForConditionalGeneration", {"text_config": {"hidden_size": 11}}),
    "text_encoder_2": ("CLIPTextModel", {"hidden_size": 7}),
}
PICTURE_WAN: dict[str, Any] = {"in_channels": 16, "image_dim": 8, "added_kv_proj_dim": 24}


@pytest.fixture(scope="module")
def hunyuan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.hunyuan_video(tmp_path_factory.mktemp("hunyuan") / "hy", max_shard_size="200KB")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.wan(tmp_path_factory.mktemp("wan") / "small")


@pytest.fixture(scope="module")
def ltx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.ltx(tmp_path_factory.mktemp("ltx") / "small", vae=published.LTX_NOISY_VAE)


def test_hunyuan_video_is_described(hunyuan: Path) -> None:
    card = open_model(hunyuan).card
    assert (card.name, card.family, card.fps, card.max_frames) == ("hy", "hunyuan-video", (24.0,), 129)
    assert (card.default_steps, card.default_guidance, card.embedded_guidance) == (50, 6.0, True)
    assert (card.sizes[0], card.compression.align_px, card.text_tokens) == ((1280, 720), 16, 256)
    assert (card.conditions, card.needs) == ((), ())
    assert "Tencent" in card.license
    sizes = {f.parent.name: f.stat().st_size for f in hunyuan.glob("text*/*.safetensors")}
    assert set(card.parameters) == {"transformer", "vae", *sizes}
    assert card.parameters["text_encoder"] == 65
    # without modulation: 24 squares of the width (32) in each of two dual blocks, 12 in each of three single ones
    assert set(card.blocks) == {"transformer"}
    assert card.blocks["transformer"].quantised == (2 * 24 + 3 * 12) * 32**2
    assert card.blocks["transformer"].parameters < card.parameters["transformer"]
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize("kind, channels, tokens", [("latent_concat", 33, 544), ("token_replace", 16, 400)])
def test_hunyuan_video_from_a_picture_is_described(tmp_path: Path, kind: str, channels: int, tokens: int) -> None:
    changes = {"image_condition_type": kind, "in_channels": channels, "guidance_embeds": kind == "token_replace"}
    pipeline = "HunyuanVideoImageToVideoPipeline"
    folder = published.hunyuan_video(tmp_path / "m", pipeline=pipeline, transformer=changes, text=PICTURE_HUNYUAN)
    card = open_model(folder).card
    assert (card.conditions, card.needs, card.text_tokens) == (("keyframes",), ("keyframes",), tokens)
    assert (card.keyframes_at, card.max_frames) == ((0.0,), 125 if kind == "latent_concat" else 129)
    assert ModelCard.from_json(card.to_json()) == card
    assert card.default_guidance == (6.0 if kind == "token_replace" else 1.0)
    request = GenerationRequest(prompt="a", size="64x48", frames=5)
    with pytest.raises(UnsupportedRequest, match="^keyframes: 'none': m can't do without; give a picture"):
        card.check(request)
    assert card.check(request.replace(keyframes=(Keyframe(MediaRef("a.png")),))).frames == 5


@pytest.mark.parametrize(
    "options, version, steps, guidance, guidance_2",
    [
        ({}, "2.1", 50, 5.0, None),
        ({"has_experts": True}, "2.2", 40, 4.0, 3.0),
        ({"pipeline": "WanImageToVideoPipeline", "transformer": {"in_channels": 16}}, "2.1", 50, 5.0, None),
        (
            {"pipeline": "WanImageToVideoPipeline", "transformer": PICTURE_WAN, "sees_picture": True},
            "2.1", 50, 5.0, None,
        ),
        (
            {"pipeline": "WanImageToVideoPipeline", "transformer": {"in_channels": 16}, "has_experts": True},
            "2.2", 40, 3.5, 3.5,
        ),
    ],
)  # fmt: skip
def test_wan_is_described(
    tmp_path: Path, options: dict[str, Any], version: str, steps: int, guidance: float, guidance_2: float | None
) -> None:
    folder = open_model(published.wan(tmp_path / "m", **options))
    card = folder.card
    assert (card.family, card.version, card.license) == ("wan", version, "Apache-2.0")
    assert (card.default_steps, card.default_guidance, card.default_guidance_2) == (steps, guidance, guidance_2)
    assert (card.fps, card.max_frames, card.text_tokens, card.joint_text) == ((16.0,), 81, 512, False)
    assert card.sizes[0] == (832, 480)
    is_picture = "pipeline" in options
    assert card.keyframes_at == (((0.0,) if "sees_picture" in options else (0.0, -1.0)) if is_picture else ())
    assert not card.one_spelling
    assert card.needs == (("keyframes",) if is_picture else ())
    assert folder.settings.get("boundary_ratio") == (0.875 if options.get("has_experts") else None)


def test_the_small_model_of_wan_2_2_is_described(tmp_path: Path) -> None:
    folder = published.wan(tmp_path / "m", vae=published.WAN_RESIDUAL_VAE, settings={"expand_timesteps": True})
    card = open_model(folder).card
    assert (card.version, card.fps, card.max_frames, card.sizes[0]) == ("2.2", (24.0,), 121, (1280, 704))
    assert (card.compression.space, card.compression.align_px) == (16, 32)
    assert (card.conditions, card.needs) == (("keyframes",), ())


@pytest.mark.parametrize("pipeline", ["LTXPipeline", "LTXImageToVideoPipeline"])
def test_ltx_video_is_described(tmp_path: Path, pipeline: str) -> None:
    folder = published.ltx(tmp_path / "m", pipeline=pipeline)
    card = open_model(folder).card
    assert (card.family, card.fps, card.max_frames) == ("ltx-video", (25.0, 24.0, 30.0), 257)
    assert (card.default_steps, card.default_guidance, card.text_tokens, card.joint_text) == (50, 3.0, 128, False)
    assert (card.sizes[0], card.compression.align_px, card.compression.time) == ((704, 512), 32, 8)
    assert (card.conditions, card.needs, card.keyframes_at) == (("keyframes",), (), (0.0,))
    assert card.languages == ("en",)
    assert card.check(GenerationRequest(prompt="a")).frames == 161
    assert card.check(GenerationRequest(prompt="a", fps=30.0, seconds=8.5)).frames == 257
    assert set(card.blocks) == {"transformer"}
    # two attentions of four squares of the width and a feed-forward layer of eight in each of three blocks
    assert card.blocks["transformer"].quantised == 3 * 16 * 28**2
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"guidance_rescale": 1.5}, "guidance_rescale: 1.5.*must be a number from 0 to 1"),
        ({"guidance_rescale": "much"}, "guidance_rescale: much.*must be a number from 0 to 1"),
        ({"decode_timestep": 0.05}, "decode_timestep: 0.05.*goes with an autoencoder that has timestep_conditioning"),
    ],
)
def test_settings_of_ltx_video_that_can_not_be_are_named(tmp_path: Path, settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(WeightsError, match=rule):
        open_model(published.ltx(tmp_path / "m", settings=settings))


def test_any_size_on_the_grid_is_taken_and_no_other(wan: Path) -> None:
    card = open_model(wan).card
    assert card.check(GenerationRequest(prompt="a", size="64x48", frames=9)).width_px == 64
    with pytest.raises(UnsupportedRequest, match="multiple of 16; nearest: 64 or 80"):
        card.check(GenerationRequest(prompt="a", size="72x48", frames=9))
    assert card.check(GenerationRequest(prompt="a")).frames == 81


@pytest.mark.parametrize("component", ["transformer", "vae"])
@pytest.mark.parametrize("family", ["hunyuan", "wan", "ltx"])
def test_networks_are_loaded_to_the_bit(family: str, component: str, request: pytest.FixtureRequest) -> None:
    folder = open_model(request.getfixturevalue(family))
    loaded = load_component(folder, component, dtype=torch.float32).state_dict()
    files = sorted((folder.path / component).glob("*.safetensors"))
    assert len(files) > 1 or (family, component) != ("hunyuan", "transformer"), "the shards are to be tested, too"
    stored = {name: t for file in files for name, t in load_file(file).items()}
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[n], stored[n]) for n in stored)


def test_a_loaded_transformer_gives_the_reference_s_numbers(hunyuan: Path) -> None:
    reference = published.HunyuanVideoTransformer3DModel.from_pretrained(hunyuan / "transformer").eval()
    ours = load_component(open_model(hunyuan), "transformer", dtype=torch.float32)
    g = torch.Generator().manual_seed(3)
    latents, text = torch.randn(2, 16, 3, 6, 10, generator=g), torch.randn(2, 5, 11, generator=g)
    mask, pooled = torch.arange(5) < torch.tensor([[5], [2]]), torch.randn(2, 7, generator=g)
    sigma, guidance = torch.tensor([0.3, 0.9]), torch.tensor([6.0, 3.0])
    with torch.no_grad():
        expected = reference(latents, sigma * 1000, text, mask, pooled, guidance * 1000, return_dict=False)[0]
        actual = ours(latents, sigma, text, mask, pooled, guidance=guidance)
    assert expected.std() > 0.3
    assert (actual - expected).abs().max() < 1e-4


def test_parts_that_are_kept_in_fp32_stay_so(wan: Path) -> None:
    loaded = load_component(open_model(wan), "transformer", dtype=torch.bfloat16).state_dict()
    kept = {n for n, t in loaded.items() if t.dtype == torch.float32}
    assert kept == {n for n in loaded if {"time_embedder", "scale_shift_table", "norm2"} & set(n.split("."))}
    assert {t.dtype for t in loaded.values()} == {torch.float32, torch.bfloat16}


def test_samplers_are_read(hunyuan: Path, wan: Path, ltx: Path) -> None:
    sampler = load_published_sampler(open_model(ltx))
    assert (sampler.solver, sampler.from_pipeline, sampler.last_start) == ("euler", True, 0.1)
    assert isinstance(sampler.shift, TokenShift)
    assert sampler.shift.base_tokens == 4
    assert load_published_sampler(open_model(hunyuan)).shift == 7.0
    assert load_published_sampler(open_model(wan)).solver == "unipc"


def test_the_costs_of_wan_are_those_that_are_counted(wan: Path) -> None:
    folder = open_model(wan)
    cost = folder.card.cost
    transformer = load_component(folder, "transformer", dtype=torch.float32)
    for size in ((2, 4, 6), (3, 8, 8)):
        tokens = size[0] * size[1] * size[2] // 4
        latents, text = torch.randn(1, 6, *size), torch.randn(1, 512, 10)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            transformer(latents, torch.tensor([0.5]), text)
        expected = cost.denoise_constant + cost.denoise_per_token * tokens + cost.denoise_per_token_pair * tokens**2
        assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("config, size", [(published.WAN_VAE, 16), (published.WAN_RESIDUAL_VAE, 32)])
def test_the_costs_of_wan_s_autoencoders_are_those_that_are_counted(
    tmp_path: Path, config: dict[str, Any], size: int
) -> None:
    folder = open_model(published.wan(tmp_path / "m", vae=config))
    cost, vae = folder.card.cost, load_component(folder, "vae", dtype=torch.float32)
    video = torch.rand(1, 3, 17, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        latents = vae.encode(video)[0]  # pyright: ignore[reportCallIssue]
    # a clip's first frame stands alone, and formulas are for those that follow
    assert counter.get_total_flops() / video[0, 0].numel() == pytest.approx(cost.encode_per_pixel, rel=0.1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        vae.decode(latents)  # pyright: ignore[reportCallIssue]
    assert counter.get_total_flops() / video[0, 0].numel() == pytest.approx(cost.decode_per_pixel, rel=0.1)


def test_the_costs_of_ltx_video_are_those_that_are_counted(ltx: Path) -> None:
    folder = open_model(ltx)
    cost = folder.card.cost
    transformer = load_component(folder, "transformer", dtype=torch.float32)
    for size in ((2, 2, 3), (3, 4, 4)):
        tokens = size[0] * size[1] * size[2]
        latents, text = torch.randn(1, 8, *size), torch.randn(1, 128, 22)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            transformer(latents, torch.tensor([0.5]), text, None, spacing=(0.32, 32.0, 32.0))
        expected = cost.denoise_constant + cost.denoise_per_token * tokens + cost.denoise_per_token_pair * tokens**2
        assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("config", [published.LTX_VAE, published.LTX_NOISY_VAE, published.LTX_LEVEL_VAE])
def test_the_costs_of_ltx_video_s_autoencoders_are_those_that_are_counted(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = open_model(published.ltx(tmp_path / "m", vae=config))
    cost, vae = folder.card.cost, load_component(folder, "vae", dtype=torch.float32)
    video = torch.rand(1, 3, 65, 32, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        latents = vae.encode(video)[0]  # pyright: ignore[reportCallIssue]
    # a clip's first frame stands alone, and formulas are for those that follow
    assert counter.get_total_flops() / video[0, 0].numel() == pytest.approx(cost.encode_per_pixel, rel=0.1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        vae.decode(latents)  # pyright: ignore[reportCallIssue]
    assert counter.get_total_flops() / video[0, 0].numel() == pytest.approx(cost.decode_per_pixel, rel=0.1)


def test_what_answers_a_prompt_is_in_the_hash(wan: Path, tmp_path: Path) -> None:
    first = open_model(wan).content_hash()
    folder = published.wan(tmp_path / "same")
    assert open_model(folder).content_hash() == first
    (folder / "tokenizer" / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert open_model(folder).content_hash() != first


def test_a_blob_of_the_hub_s_cache_is_known_by_its_name(tmp_path: Path) -> None:
    folder = published.wan(tmp_path / "m")
    first = open_model(folder).content_hash()
    file = folder / "text_encoder" / "model.safetensors"
    blob = tmp_path / "blobs" / ("0f" * 32)
    blob.parent.mkdir()
    file.rename(blob)
    file.symlink_to(blob)
    second = open_model(folder).content_hash()
    assert second != first, "its name isn't the hash of its bytes here"
    blob.write_bytes(blob.read_bytes())
    os.utime(blob, ns=(1, 1))
    assert open_model(folder).content_hash() == second


def test_opening_a_published_model_loads_no_torch(hunyuan: Path, wan: Path, ltx: Path) -> None:
    code = (
        "import sys\nfrom kinema.weights.folder import open_model\n"
        f"[open_model(m).card for m in ({str(hunyuan)!r}, {str(wan)!r}, {str(ltx)!r})]\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(kinema.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_an_unknown_pipeline_names_those_that_are_known(tmp_path: Path) -> None:
    folder = published.wan(tmp_path / "m")
    change_json(folder / "model_index.json", _class_name="MochiPipeline")
    with pytest.raises(WeightsError, match="^model: 'MochiPipeline': is a pipeline this version doesn't know") as e:
        open_model(folder)
    assert all(name in str(e.value) for name in FAMILIES)


def _lack(component: str) -> Any:
    return lambda m: change_json(m / "model_index.json", **{component: None})


def _index(**changes: Any) -> Any:
    return lambda m: change_json(m / "model_index.json", **changes)


def _config(component: str, **changes: Any) -> Any:
    return lambda m: change_json(m / component / "config.json", **changes)


def _only_pickles(component: str) -> Any:
    return lambda m: (m / component / "diffusion_pytorch_model.safetensors").rename(m / component / "model.bin")


@pytest.mark.parametrize(
    "spoil, rule",
    [
        (_lack("vae"), "has no vae, which a WanPipeline needs"),
        (_index(transformer=["diffusers", "UNet2DModel"]), "transformer: 'UNet2DModel': must be one of WanTransformer"),
        (_config("transformer", text_dim=9), "width of the transformer's text: 9 by its transformer, 10 by its text_encoder"),
        (_config("transformer", in_channels=16), "channels into the transformer: 16 by its transformer, 6 by its vae"),
        (_config("transformer", patch_size=[1, 2]), r"patch_size: \[1, 2\].*three whole numbers"),
        (_config("transformer", num_layers="many"), "num_layers: many.*whole number of at least 1"),
        (_config("vae", hue=3), "has fields that WanAutoencoderConfig lacks: hue"),
        (_config("vae", z_dim=7), "latents_mean"),
        (_config("vae", _class_name="AutoencoderKL"), "is of the class AutoencoderKL, and model_index.json names AutoencoderKLWan"),
        (_index(_class_name=None), r"model_index\.json': names no pipeline .*must be one of KinemaPipeline.*WanPipeline"),
        (_index(boundary_ratio=0.9), "two experts: False by its components, True by its boundary_ratio"),
        (lambda m: (m / "text_encoder" / "config.json").unlink(), r"has no config\.json"),
        (lambda m: (m / "scheduler" / "scheduler_config.json").unlink(), r"has no scheduler_config\.json"),
        (_only_pickles("transformer"), "transformer: .*pickle files can run code and are not read"),
        (lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").unlink(), "vae: .*holds no safetensors"),
        (lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x80\x02"), "no readable safetens"),
        (lambda m: (m / "transformer" / "config.json").write_text("["), "not valid JSON"),
    ],
)  # fmt: skip
def test_folders_that_do_not_fit_together_are_refused(tmp_path: Path, spoil: Any, rule: str) -> None:
    folder = published.wan(tmp_path / "m")
    spoil(folder)
    with pytest.raises(InvalidInput, match=rule) as e:
        open_model(folder)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "spoil, rule",
    [
        (_config("transformer", qk_norm="layer_norm"), "qk_norm: layer_norm.*not supported; must be one of rms_norm"),
        (
            _config("transformer", pooled_projection_dim=8),
            "width of the pooled text: 8 by its transformer, 7 by its text_encoder_2",
        ),
        (
            _config("transformer", image_condition_type="token_replace"),
            "image-to-video: False by its pipeline, True by its transformer",
        ),
        (_config("vae", down_block_types=["DownBlock2D"]), "down_block_types.*must be one of HunyuanVideoDownBlock3D"),
        (_config("vae", spatial_compression_ratio=3), "space_compression"),
        (_config("text_encoder", hidden_size=12), "width of the text: 11 by its transformer, 12 by its text_encoder"),
    ],
)
def test_configs_of_hunyuan_video_that_do_not_fit_are_refused(tmp_path: Path, spoil: Any, rule: str) -> None:
    folder = published.hunyuan_video(tmp_path / "m")
    spoil(folder)
    with pytest.raises(WeightsError, match=rule):
        open_model(folder)


def test_a_config_of_another_size_is_refused_by_tensor(tmp_path: Path) -> None:
    folder = published.wan(tmp_path / "m")
    change_json(folder / "transformer" / "config.json", ffn_dim=24)
    with pytest.raises(WeightsError, match=r"misshapen .*blocks\.0\.ffn\.net\.0\.proj\.weight is 20x24, not 24x24"):
        load_component(open_model(folder), "transformer", dtype=torch.float32)


def test_a_truncated_shard_is_refused_when_the_model_is_opened(tmp_path: Path) -> None:
    folder = published.hunyuan_video(tmp_path / "m", max_shard_size="200KB")
    shard = sorted((folder / "transformer").glob("*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(WeightsError, match="truncated") as e:
        open_model(folder)
    assert shard.name in str(e.value)
    shard.unlink()
    with pytest.raises(WeightsError, match=f"names shards that are missing: {shard.name}"):
        open_model(folder)


def test_absent_components_and_settings_are_told_apart(tmp_path: Path) -> None:
    folder = open_model(published.wan(tmp_path / "m", settings={"expand_timesteps": False}))
    assert "transformer_2" not in folder.components
    assert folder.settings == {"expand_timesteps": False}
    assert folder.pipeline == "WanPipeline"
    index = json.loads((folder.path / "model_index.json").read_text(encoding="utf-8"))
    assert index["transformer_2"] == [None, None]
