"""The engine's LTX-Video beside the reference's pipelines: same folder, same seed, same latents and frames."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.core.errors import UnsupportedRequest, WeightsError
from kinema.core.media_ref import Keyframe
from kinema.core.request import GenerationRequest
from kinema.flow.noise import generator
from kinema.models.autoencoders.work import ignore_work
from kinema.weights.build import load_component
from kinema.weights.folder import open_model
from tests.engine.families import published
from tests.engine.families.published import (
    LTXImageToVideoPipeline,
    Model,
    assert_half_is_as_near,
    compare,
    ltx,
    made_by,
    picture_file,
)
from tests.weights import originals

VAES = published.published
# as none is published
STILL_SCHEDULER: dict[str, Any] = {"shift": 2.5}
request = functools.partial(published.request, size="96x64")


def words(asked: GenerationRequest, **more: Any) -> dict[str, Any]:
    """What differs from the other pipelines in the reference's words."""
    return {
        "guidance_scale": asked.guidance,
        "negative_prompt": asked.negative_prompt,
        "frame_rate": asked.fps or 25,
        **more,
    }


@pytest.fixture(scope="module")
def text_to_video(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return ltx(tmp_path_factory.mktemp("ltx") / "t2v")


def from_picture(model: Model) -> Model:
    """The same folder, and the reference's other pipeline of its parts."""
    pipeline = LTXImageToVideoPipeline(**model.pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    return Model(model.folder, pipeline)


@pytest.mark.parametrize(
    "fields",
    [
        {"guidance": 3.0, "negative_prompt": "dark, blurry"},
        {"guidance": 3.0, "frames": 25, "size": "32x96", "steps": 3, "fps": 24.0},
        {"guidance": 5.0, "frames": 17, "fps": 30.0, "steps": 2},
        {"guidance": 1.0, "frames": 1, "steps": 5},
        {"guidance": 0.5, "negative_prompt": "not heard"},
        {"guidance": 2.5, "prompt": "雪地里, 一个红色的方块 “falls”  &amp; jumps"},
        {"guidance": 2.0, "prompt": "a red car drives along the beach " * 40},
    ],
)
def test_text_to_video(text_to_video: Model, fields: dict[str, Any]) -> None:
    asked = request(**fields)
    compare(text_to_video, asked, **words(asked))


def test_the_rate_is_heard(text_to_video: Model) -> None:
    engine = text_to_video.engine()
    assert len({engine.generate(request(fps=fps)).digest for fps in (24.0, 25.0, 30.0)}) == 3


def test_the_shift_depends_on_the_size(text_to_video: Model) -> None:
    sampler = text_to_video.engine()
    family = made_family(sampler)
    levels = [family.sampler.sigmas(4, tokens=n) for n in (4, 40)]
    assert levels[0][1] < levels[1][1]
    assert levels[0][-2] == pytest.approx(0.1)


def made_family(engine: Any) -> Any:
    run = engine._run([request(steps=2, frames=1)], lambda _: None, None, plan=None)
    return run.latents(engine._load)[0]


@pytest.mark.parametrize(
    "scheduler, transformer",
    [
        (STILL_SCHEDULER, {"num_layers": 1}),
        (
            VAES.LTX_SCHEDULER | {"base_image_seq_len": 1024, "max_image_seq_len": 4096},
            {"attention_head_dim": 15, "cross_attention_dim": 30},
        ),
        (
            VAES.LTX_SCHEDULER | {"shift_terminal": None},
            {"num_attention_heads": 1, "attention_head_dim": 22, "cross_attention_dim": 22},
        ),
    ],
)  # fmt: skip
def test_other_schedulers_and_widths(tmp_path: Path, scheduler: dict[str, Any], transformer: dict[str, Any]) -> None:
    model = ltx(tmp_path / "m", scheduler=scheduler, transformer=transformer)
    asked = request(guidance=3.0)
    compare(model, asked, **words(asked))


def test_a_batch_has_a_generator_for_every_seed(text_to_video: Model) -> None:
    both = request(guidance=3.0), request(guidance=3.0, seed=2**32 - 1, prompt="a bird sings")
    compare(text_to_video, *both, **words(both[0], negative_prompt=["", ""]))


def test_bfloat16_is_as_near_as_the_reference_s(text_to_video: Model) -> None:
    asked = request(guidance=3.0)
    assert_half_is_as_near(text_to_video, asked, guidance_scale=3.0)


@pytest.mark.parametrize("vae", [VAES.LTX_LEVEL_VAE, VAES.LTX_NOISY_VAE], ids=["0.9.5", "0.9.1"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"decode_timestep": 0.05, "decode_noise_scale": 0.025},
        {"decode_timestep": 0.3, "guidance_rescale": 0.7},
    ],
)
def test_decoders_that_are_told_of_noise(tmp_path: Path, vae: dict[str, Any], settings: dict[str, Any]) -> None:
    model = ltx(tmp_path / "m", vae=vae, settings=settings)
    asked = request(guidance=3.0, frames=17)
    # of noise that the decoder adds itself, the reference's is torch's, whatever the seed
    torch.manual_seed(generator(7, 1).initial_seed())
    compare(model, asked, **words(asked, **settings))


def test_noise_is_of_the_seed(tmp_path: Path) -> None:
    model = ltx(tmp_path / "m", vae=VAES.LTX_NOISY_VAE, settings={"decode_timestep": 0.2})
    engine, asked = model.engine(), request(guidance=1.0, frames=1, steps=2)
    clip = engine.generate(asked)
    assert engine.generate(asked).digest == clip.digest
    run = engine._run([asked], lambda _: None, None, plan=None)
    family, latents = run.latents(engine._load)
    first, other = run.requests[0], replace(run.requests[0], seed=8)
    shown = [torch.cat(list(family.decode(latents, "default", r, ignore_work)), dim=2) for r in (first, other)]
    assert (shown[0] - shown[1]).abs().max() > 0.01


@pytest.mark.parametrize(
    "fields", [{"guidance": 3.0, "negative_prompt": "dark"}, {"guidance": 1.0, "frames": 25, "steps": 3, "fps": 30.0}]
)
def test_the_first_frame_is_a_picture(text_to_video: Model, tmp_path: Path, fields: dict[str, Any]) -> None:
    keyframe, image = picture_file(tmp_path / "a.png", 96, 64)
    asked = request(keyframes=(keyframe,), **fields)
    compare(from_picture(text_to_video), asked, **words(asked, image=image))


def test_the_picture_is_told_of_noise_too(tmp_path: Path) -> None:
    settings = {"decode_timestep": 0.05, "decode_noise_scale": 0.025, "guidance_rescale": 0.5}
    model = ltx(tmp_path / "m", picture=True, vae=VAES.LTX_LEVEL_VAE, settings=settings)
    keyframe, image = picture_file(tmp_path / "a.png", 96, 64)
    asked = request(keyframes=(keyframe,), guidance=3.0)
    compare(model, asked, **words(asked, image=image, **settings))


def test_a_batch_may_have_a_picture_in_one(text_to_video: Model, tmp_path: Path) -> None:
    both = [request(keyframes=(picture_file(tmp_path / "a.png", 96, 64)[0],)), request(seed=9)]
    engine = text_to_video.engine()
    latents, frames = made_by(engine, *both)
    for i, alone in enumerate(both):
        own, shown = made_by(engine, alone)
        torch.testing.assert_close(latents[i : i + 1], own, rtol=0, atol=1e-4)
        assert abs(frames[i].astype(int) - shown[0].astype(int)).max() <= 1


@pytest.mark.parametrize("offload", ["component", "layers", "disk"])
def test_weights_that_come_and_go_give_the_same_bits(tmp_path: Path, offload: Any) -> None:
    model = ltx(tmp_path / "m", vae=VAES.LTX_NOISY_VAE, settings={"decode_timestep": 0.1})
    engine = model.engine()
    asked = request(steps=2, keyframes=(picture_file(tmp_path / "a.png", 96, 64)[0],))
    plan = engine.plan(asked)
    clip = engine.generate(asked, plan=plan)
    assert engine.generate(asked, plan=replace(plan, offload=offload)).digest == clip.digest


def test_a_transformer_from_a_single_file_in_original_names(text_to_video: Model, tmp_path: Path) -> None:
    state = load_file(text_to_video.folder / "transformer" / "diffusion_pytorch_model.safetensors")
    file = tmp_path / "ltx.safetensors"
    save_file({f"model.diffusion_model.{n}": t for n, t in originals.ltx(state).items()}, file)
    folder = open_model(text_to_video.folder).with_file("transformer", file)
    loaded = load_component(folder, "transformer", dtype=torch.float32).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[n], state[n]) for n in state)


@pytest.mark.parametrize("component, name", [("transformer", "proj_in.weight"), ("vae", "latents_std")])
def test_a_tensor_that_is_missing_or_unexpected_is_named(tmp_path: Path, component: str, name: str) -> None:
    model = ltx(tmp_path / "m")
    file = model.folder / component / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    for changed, rule in (
        ({n: t for n, t in state.items() if n != name}, f"missing {name}"),
        (state | {"hue.weight": torch.zeros(3)}, "unexpected hue.weight"),
        (state | {name: torch.zeros(3, 5)}, f"misshapen {name} is 3x5"),
        (state | {name: state[name] * torch.nan}, f"NaN or infinity: {name}"),
    ):
        save_file(changed, file)
        with pytest.raises(WeightsError, match=rule) as e:
            model.engine().generate(request(frames=1))
        assert e.value.field == component
        assert "\n" not in str(e.value)


def test_quantised_blocks_are_near(text_to_video: Model) -> None:
    engine, asked = text_to_video.engine(), request(frames=1, guidance=1.0)
    plan = engine.plan(asked)
    exact, int8 = (engine.generate(asked, plan=replace(plan, quantise=q)).frames.astype(int) for q in ("none", "int8"))
    assert 0 < abs(exact - int8).mean() < 6


def test_what_it_can_not_do_is_refused_before_weights_are_read(text_to_video: Model, tmp_path: Path) -> None:
    keyframe, _ = picture_file(tmp_path / "a.png", 96, 64)
    engine = text_to_video.engine()
    for fields, rule in (
        ({"frames": 10}, "^frames: 10: must be 1 \\+ 8k; nearest: 9 or 17"),
        ({"size": "80x64"}, "^width_px: 80: must be a multiple of 32"),
        ({"fps": 23.0}, "^fps: 23.0: .*one of 25, 24, 30"),
        ({"frames": 265}, "^frames: 265: .*at most 257"),
        ({"keyframes": (Keyframe(keyframe.media, -1),)}, "^keyframes: -1: .*takes pictures at 0 s alone"),
        ({"guidance_2": 3.0}, "^guidance_2: 3.0: goes with models of two networks"),
    ):
        with pytest.raises(UnsupportedRequest, match=rule):
            engine.generate(request(**fields))
    assert engine._resident is None


def test_a_scheduler_that_is_not_followed_is_refused(tmp_path: Path) -> None:
    model = ltx(tmp_path / "m", scheduler={"stochastic_sampling": True})
    assert open_model(model.folder).card.family == "ltx-video"
    with pytest.raises(WeightsError, match="stochastic_sampling: True: isn't supported"):
        model.engine().generate(request())
