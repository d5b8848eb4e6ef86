"""The engine's HunyuanVideo beside the reference's pipelines: same folder, same seed, same latents and frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.core.errors import UnsupportedRequest
from kinema.engine.families import hunyuan_video as hunyuan_video_family
from kinema.engine.families.published import without_padding
from tests.engine.families.published import (
    Model,
    assert_half_is_as_near,
    compare,
    hunyuan_video,
    picture_file,
    request,
)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return hunyuan_video(tmp_path_factory.mktemp("hy") / "m", transformer={"guidance_embeds": True})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return hunyuan_video(tmp_path_factory.mktemp("hy") / "m", transformer={"guidance_embeds": False})


@pytest.mark.parametrize(
    "fields",
    [
        {"guidance": 6.0},
        {"guidance": 1.0, "frames": 1, "steps": 5},
        {"guidance": 5.3, "size": "32x64", "steps": 4, "prompt": "雪地里, 一个红色的方块 “falls”  down"},
    ],
)
def test_embedded_guidance(distilled: Model, fields: dict[str, Any]) -> None:
    asked = request(**fields)
    compare(distilled, asked, guidance_scale=asked.guidance)


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_without_padding_the_clip_is_the_same(
    kind: str, distilled: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, of whose kernels nothing is known here."""
    rows, lengths = hunyuan_video_family.text_rows, []

    def without(*sides: Any, **how: Any) -> list[dict[str, torch.Tensor | None]]:
        padded = rows(*sides, **how)
        bare = [without_padding(side) for side in padded]
        lengths.append((padded[0]["text"].shape[1], bare[0]["text"].shape[1]))  # pyright: ignore[reportOptionalMemberAccess]
        assert bare[0]["text_mask"] is None
        return bare

    monkeypatch.setattr(hunyuan_video_family, "text_rows", without)
    if kind == "text":
        compare(distilled, request(guidance=6.0), guidance_scale=6.0)
    else:
        model = hunyuan_video(tmp_path / "m", picture="token_replace", transformer={"guidance_embeds": False})
        keyframe, image = picture_file(tmp_path / "a.png")
        asked = request(keyframes=(keyframe,), guidance=4.0, negative_prompt="dark")
        compare(model, asked, true_cfg_scale=4.0, negative_prompt="dark", image=image, num_frames=9)
    assert all(bare < padded for padded, bare in lengths)
    two = {"text": torch.zeros(2, 3, 4), "text_mask": torch.ones(2, 3, dtype=torch.bool), "pooled": None}
    assert without_padding(two) is two


def test_long_clips_are_decoded_in_the_reference_s_tiles(distilled: Model) -> None:
    compare(distilled, request(frames=25, guidance=6.0), guidance_scale=6.0)
    distilled.pipeline.vae.use_framewise_decoding = False
    try:
        asked = request(frames=25, guidance=6.0)
        reference = distilled.reference([7], **distilled.asked(asked, guidance_scale=6.0))
    finally:
        distilled.pipeline.vae.use_framewise_decoding = True
    clips = [distilled.engine(decode=mode).generate(asked) for mode in ("exact", "frugal")]
    assert [clip.recipe["plan"]["decode"] for clip in clips] == ["exact", "frugal"]
    assert np.abs(clips[0].frames.astype(int) - reference[1][0].astype(int)).max() <= 1
    assert clips[1].digest == clips[0].digest
    assert np.abs(distilled.engine().generate(asked).frames.astype(int) - reference[1][0].astype(int)).max() > 1


def test_spatial_tiles_are_the_reference_s(distilled: Model) -> None:
    asked = request(frames=5, size="272x32", steps=1)
    engine = distilled.engine()
    clip = engine.generate(asked, plan=replace(engine.plan(asked), decode="tiles"))
    distilled.pipeline.vae.enable_tiling()
    try:
        _, frames = distilled.reference([7], **distilled.asked(asked, guidance_scale=6.0))
    finally:
        distilled.pipeline.vae.disable_tiling()
    assert np.abs(clip.frames.astype(int) - frames[0].astype(int)).max() <= 1
    assert clip.digest != engine.generate(asked).digest


def test_a_batch_has_a_generator_for_every_seed(distilled: Model) -> None:
    compare(distilled, request(seed=3), request(seed=4, prompt="a bird sings"), guidance_scale=6.0)


def test_bfloat16_is_as_near_as_the_reference_s(distilled: Model) -> None:
    assert_half_is_as_near(distilled, request(frames=5, guidance=6.0), guidance_scale=6.0)


@pytest.mark.parametrize("guidance, negative", [(1.0, ""), (5.0, "dark"), (3.0, "")])
def test_true_guidance(plain: Model, guidance: float, negative: str) -> None:
    asked = request(guidance=guidance, negative_prompt=negative)
    compare(plain, asked, true_cfg_scale=guidance, negative_prompt=negative)


def test_a_batch_with_true_guidance(plain: Model) -> None:
    both = [request(seed=s, guidance=4.0) for s in (3, 4)]
    compare(plain, *both, true_cfg_scale=4.0, negative_prompt=["", ""])


@pytest.mark.parametrize("kind", ["token_replace", "latent_concat"])
@pytest.mark.parametrize("guidance, negative", [(1.0, ""), (4.0, "dark")])
def test_picture_to_video(tmp_path: Path, kind: str, guidance: float, negative: str) -> None:
    model = hunyuan_video(tmp_path / "m", picture=kind, transformer={"guidance_embeds": False})
    keyframe, image = picture_file(tmp_path / "a.png")
    asked = request(keyframes=(keyframe,), guidance=guidance, negative_prompt=negative)
    # of what is made with the picture on the channel axis, the reference drops four frames
    frames = 13 if kind == "latent_concat" else 9
    compare(model, asked, true_cfg_scale=guidance, negative_prompt=negative, image=image, num_frames=frames)
    other = model.engine().generate(asked.replace(keyframes=(picture_file(tmp_path / "b.png", seed=5)[0],)))
    assert other.digest != model.engine().generate(asked).digest


def test_picture_to_video_with_embedded_guidance(tmp_path: Path) -> None:
    model = hunyuan_video(tmp_path / "m", picture="token_replace", transformer={"guidance_embeds": True})
    keyframe, image = picture_file(tmp_path / "a.png")
    compare(model, request(keyframes=(keyframe,), frames=21, steps=4), guidance_scale=6.0, image=image)


def test_the_first_latent_frame_stays_the_picture(tmp_path: Path) -> None:
    model = hunyuan_video(tmp_path / "m", picture="token_replace", transformer={"guidance_embeds": True})
    keyframe, _ = picture_file(tmp_path / "a.png")
    states: list[Any] = []
    model.engine().generate(request(keyframes=(keyframe,), steps=3), on_state=states.append)
    assert len(states) == 3
    assert all(torch.equal(s.latents[:, :, 0], states[0].latents[:, :, 0]) for s in states)


def test_guidance_is_rounded_as_the_reference_rounds_it(distilled: Model) -> None:
    """In bf16 6000 isn't 6000, and what it becomes is what the reference tells the network."""
    engine, asked = distilled.engine(dtype="bfloat16"), request(frames=1, steps=1, guidance=6.0)
    told: list[torch.Tensor] = []
    engine.generate(asked)
    family: Any = engine._resident and engine._resident[1]
    family.transformer.register_forward_pre_hook(lambda _, __, given: told.append(given["guidance"]), with_kwargs=True)
    engine.generate(asked)
    assert 1000 * told[0] == torch.tensor([6.0], dtype=torch.bfloat16) * 1000
    assert 1000 * told[0] != 6000


def test_what_a_model_can_not_do_is_refused_before_weights_are_read(distilled: Model, tmp_path: Path) -> None:
    engine = distilled.engine()
    keyframe, _ = picture_file(tmp_path / "a.png")
    with pytest.raises(UnsupportedRequest, match="^negative_prompt: 'dark': .*guidance built in"):
        engine.generate(request(negative_prompt="dark"))
    with pytest.raises(UnsupportedRequest, match="^keyframes: .*text alone"):
        engine.generate(request(keyframes=(keyframe,)))
    assert engine._resident is None
