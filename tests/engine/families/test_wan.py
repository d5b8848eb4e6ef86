"""The engine's Wan beside the reference's pipelines: same folder, same seed, same latents and frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.core.errors import Cancelled, InvalidInput, UnsupportedRequest
from kinema.core.media_ref import Keyframe
from kinema.core.progress import CancelToken, Progress
from tests.engine.families import published
from tests.engine.families.published import (
    Model,
    assert_half_is_as_near,
    compare,
    made_by,
    picture_file,
    request,
    wan,
)

PICTURE: dict[str, Any] = {"in_channels": 16}
SEEN_PICTURE: dict[str, Any] = {**PICTURE, "image_dim": published.IMAGE_DIM, "added_kv_proj_dim": 24}


@pytest.fixture(scope="module")
def text_to_video(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return wan(tmp_path_factory.mktemp("wan") / "t2v")


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return wan(tmp_path_factory.mktemp("wan") / "a14b", boundary=0.875, shift=12.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return wan(tmp_path_factory.mktemp("wan") / "5b", vae=published.published.WAN_RESIDUAL_VAE, expand=True, shift=5.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"guidance": 5.0, "negative_prompt": "dark, blurry"},
        {"guidance": 5.0, "frames": 13, "size": "32x64", "steps": 3},
        {"guidance": 1.0, "frames": 1, "steps": 5},
        {"guidance": 2.5, "prompt": "雪地里, 一个红色的方块 “falls”  &amp; jumps", "steps": 1},
    ],
)
def test_text_to_video(text_to_video: Model, fields: dict[str, Any]) -> None:
    asked = request(**fields)
    compare(text_to_video, asked, guidance_scale=asked.guidance, negative_prompt=asked.negative_prompt)


def test_spatial_tiles_are_the_reference_s(text_to_video: Model) -> None:
    asked = request(size="272x32", steps=1)
    clip = text_to_video.engine(decode="tiles").generate(asked)
    text_to_video.pipeline.vae.enable_tiling()
    try:
        _, frames = text_to_video.reference([7], **text_to_video.asked(asked))
    finally:
        text_to_video.pipeline.vae.disable_tiling()
    assert np.abs(clip.frames.astype(int) - frames[0].astype(int)).max() <= 1
    assert clip.digest != text_to_video.engine().generate(asked).digest


def test_a_batch_has_a_generator_for_every_seed(text_to_video: Model) -> None:
    both = request(guidance=5.0), request(guidance=5.0, seed=2**32 - 1, prompt="a bird sings")
    compare(text_to_video, *both, guidance_scale=5.0)


def test_bfloat16_is_as_near_as_the_reference_s(text_to_video: Model) -> None:
    assert_half_is_as_near(text_to_video, request(guidance=5.0, frames=5), guidance_scale=5.0)


def test_the_negative_prompt_is_heard(text_to_video: Model) -> None:
    engine = text_to_video.engine()
    clips = [engine.generate(request(guidance=5.0, negative_prompt=n)).digest for n in ("", "dark")]
    assert clips[0] != clips[1]


@pytest.mark.parametrize("kind", [PICTURE, SEEN_PICTURE])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_picture_to_video(tmp_path: Path, kind: dict[str, Any], guidance: float) -> None:
    model = wan(tmp_path / "m", picture=True, transformer=kind)
    keyframe, image = picture_file(tmp_path / "a.png")
    asked = request(guidance=guidance, keyframes=(keyframe,), negative_prompt="dark", frames=13)
    compare(model, asked, guidance_scale=guidance, negative_prompt="dark", image=image)


def test_a_batch_from_one_picture(tmp_path: Path) -> None:
    model = wan(tmp_path / "m", picture=True, transformer=SEEN_PICTURE)
    keyframe, image = picture_file(tmp_path / "a.png")
    both = [request(guidance=5.0, seed=s, keyframes=(keyframe,)) for s in (3, 4)]
    compare(model, *both, guidance_scale=5.0, image=image)


def test_batches_may_have_pictures_of_their_own(tmp_path: Path) -> None:
    model = wan(tmp_path / "m", picture=True, transformer=SEEN_PICTURE)
    both = [request(seed=s, keyframes=(picture_file(tmp_path / f"{s}.png", seed=s)[0],)) for s in (3, 4)]
    engine = model.engine()
    latents, frames = made_by(engine, *both)
    for i, alone in enumerate(both):
        own, shown = made_by(engine, alone)
        torch.testing.assert_close(latents[i : i + 1], own, rtol=0, atol=1e-4)
        assert abs(frames[i].astype(int) - shown[0].astype(int)).max() <= 1


@pytest.mark.parametrize(
    "options, num_chunks",
    [({"picture": True, "transformer": SEEN_PICTURE}, 4), ({"expand": True, "shift": 5.0}, 1)],
)
def test_every_chunk_that_the_encoder_is_given_is_told(
    tmp_path: Path, options: dict[str, Any], num_chunks: int
) -> None:
    engine, seen = wan(tmp_path / "m", **options).engine(), list[Progress]()
    both = [request(seed=s, keyframes=(picture_file(tmp_path / "a.png")[0],), steps=1, frames=13) for s in (3, 4)]
    for batch in (both[:1], both):
        seen.clear()
        engine.generate_batch(batch, observer=seen.append)
        last = len(batch) * (1 + num_chunks)
        assert [(e.step, e.steps) for e in seen if e.phase == "encode"] == [(i, last) for i in range(last + 1)]
        decoded = list(dict.fromkeys((e.sample, e.step) for e in seen if e.phase == "decode"))
        assert decoded == [(i, step) for i in range(len(batch)) for step in range(5)]
    token = CancelToken()
    with pytest.raises(Cancelled, match="encode"):
        engine.generate(both[0], observer=lambda e: token.cancel() if e.step == 2 else None, cancel=token)


@pytest.mark.parametrize("kind", [PICTURE, {**SEEN_PICTURE, "pos_embed_seq_len": 34}])
def test_first_and_last_picture(tmp_path: Path, kind: dict[str, Any]) -> None:
    model = wan(tmp_path / "m", picture=True, transformer=kind)
    (first, image), (last, last_image) = (picture_file(tmp_path / f"{at}.png", seed=3 - at, at_s=at) for at in (0, -1))
    compare(
        model, request(guidance=5.0, keyframes=(first, last)), guidance_scale=5.0, image=image, last_image=last_image
    )


@pytest.mark.parametrize(
    "guidance, guidance_2, reference",
    [
        (None, None, {"guidance_scale": 4.0, "guidance_scale_2": 3.0}),
        (5.0, None, {"guidance_scale": 5.0}),
        (2.0, 6.0, {"guidance_scale": 2.0, "guidance_scale_2": 6.0}),
        (1.0, 6.0, {"guidance_scale": 1.0, "guidance_scale_2": 6.0}),
        (3.0, 1.0, {"guidance_scale": 3.0, "guidance_scale_2": 1.0}),
    ],
)
def test_two_experts(
    experts: Model, guidance: float | None, guidance_2: float | None, reference: dict[str, Any]
) -> None:
    asked = request(guidance=guidance, guidance_2=guidance_2, steps=6)
    experts.pipeline.scheduler.set_timesteps(6)
    is_first = experts.pipeline.scheduler.timesteps >= 875
    assert is_first.any()
    assert not is_first.all(), "both serve"
    compare(experts, asked, **reference)


def test_the_recipe_names_both_guidances(experts: Model) -> None:
    engine = experts.engine()
    for fields, both in (({}, (4.0, 3.0)), ({"guidance": 5.0}, (5.0, 5.0)), ({"guidance_2": 2.0}, (4.0, 2.0))):
        recipe = engine.generate(request(**fields, steps=1, frames=1)).recipe["request"]
        assert (recipe["guidance"], recipe["guidance_2"]) == both


def test_two_experts_from_a_picture(tmp_path: Path) -> None:
    model = wan(tmp_path / "m", picture=True, transformer=PICTURE, boundary=0.9, shift=5.0)
    keyframe, image = picture_file(tmp_path / "a.png")
    asked = request(keyframes=(keyframe,), steps=5)
    compare(model, asked, guidance_scale=3.5, guidance_scale_2=3.5, image=image)


def test_levels_for_every_token(small: Model) -> None:
    compare(small, request(size="64x32", guidance=5.0), guidance_scale=5.0)


@pytest.mark.parametrize("fields", [{"guidance": 5.0}, {"guidance": 1.0, "frames": 5, "steps": 5}])
def test_the_first_frame_is_the_picture(small: Model, tmp_path: Path, fields: dict[str, Any]) -> None:
    from_picture = published.WanImageToVideoPipeline(**{**small.pipeline.components, "expand_timesteps": True})
    from_picture.set_progress_bar_config(disable=True)
    keyframe, image = picture_file(tmp_path / "a.png", 64, 32)
    asked = request(size="64x32", keyframes=(keyframe,), **fields)
    compare(Model(small.folder, from_picture), asked, guidance_scale=asked.guidance, image=image)


def test_what_a_model_can_not_do_is_refused_before_weights_are_read(
    text_to_video: Model, experts: Model, small: Model, tmp_path: Path
) -> None:
    keyframe, _ = picture_file(tmp_path / "a.png")
    for model, fields, rule in (
        (text_to_video, {"keyframes": (keyframe,)}, "^keyframes: .*it takes text alone"),
        (text_to_video, {"guidance_2": 3.0}, "^guidance_2: 3.0: goes with models of two networks"),
        (text_to_video, {"frames": 10}, "^frames: 10: must be 1 \\+ 4k; nearest: 9 or 13"),
        (text_to_video, {"size": "40x32"}, "^width_px: 40: must be a multiple of 16"),
        (small, {"size": "64x32", "keyframes": (Keyframe(keyframe.media, -1),)}, "^keyframes: .*takes pictures at 0 s alone"),
    ):  # fmt: skip
        engine = model.engine()
        with pytest.raises(UnsupportedRequest, match=rule):
            engine.generate(request(**fields))
        assert engine._resident is None
    assert replace(small.engine().card, keyframes_at=(0.0, -1.0)).check(request(size="64x32"))
    with pytest.raises(UnsupportedRequest, match="^keyframes: -1: .*needs a picture at 0 s as well"):
        replace(small.engine().card, keyframes_at=(0.0, -1.0)).check(
            request(size="64x32", keyframes=(Keyframe(keyframe.media, -1),))
        )
    with pytest.raises(InvalidInput, match="one within a batch.*3.0 and 2.0"):
        experts.engine().generate_batch([request(), request(guidance_2=2.0)])
