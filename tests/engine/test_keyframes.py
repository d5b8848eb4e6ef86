"""Pictures that the clip must show: they enter the latents exactly and stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.core.errors import InvalidInput, MediaError, UnsupportedRequest
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.families.kinema import Kinema
from kinema.engine.families.kinema_conditions import encode_picture
from kinema.engine.scope import run_scope
from kinema.engine.state import GenerationState
from kinema.media.picture import read_picture
from kinema.media.write import write_picture


def at(path: Path, *times_s: float) -> tuple[Keyframe, ...]:
    """``path`` at those times."""
    return tuple(Keyframe(MediaRef(str(path)), t) for t in times_s)


def resident(engine: Engine) -> Kinema:
    """The engine's networks, once it has made a clip."""
    assert engine._resident is not None
    model = engine._resident[1]
    assert isinstance(model, Kinema)
    return model


def latents_of(engine: Engine, path: Path, place: int) -> torch.Tensor:
    """The latents of the picture at latent frame ``place`` of a 48x32 clip, made on as many threads as clips are."""
    with run_scope(engine.plan(GenerationRequest(prompt="any")).threads):
        return encode_picture(resident(engine), read_picture(path, width_px=48, height_px=32), place)


def test_a_picture_at_the_start_is_the_first_latent_frame_exactly(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    states: list[GenerationState] = []
    clip = engine.generate(request_.replace(keyframes=at(picture_file, 0.0)), on_state=states.append)
    wanted = latents_of(engine, picture_file, 0)
    for state in states:
        assert torch.equal(state.latents[0, :, 0], wanted)
        assert not torch.equal(state.latents[0, :, 1], wanted)
    vae = resident(engine).vae
    with torch.inference_mode():
        pixels = vae.decode(vae.denormalise(wanted[None, :, None]))
    alone = ((pixels[0, :, 0].clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.abs(clip.frames[0].astype(int) - alone.astype(int)).max() <= 1, "the clip begins with the decoded picture"
    assert clip.digest != engine.generate(request_).digest


def test_the_first_latent_frame_of_a_picture_is_that_of_the_video_it_begins(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    engine.generate(request_)
    vae = resident(engine).vae
    picture = torch.from_numpy(read_picture(picture_file, width_px=48, height_px=32).copy())
    video = torch.rand(1, 3, 9, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    video[0, :, 0] = picture.permute(2, 0, 1) / 127.5 - 1
    with torch.inference_mode():
        wanted = vae.normalise(vae.encode(video)[0])[0, :, 0]
    assert torch.allclose(latents_of(engine, picture_file, 0), wanted, atol=1e-5)


def test_pictures_at_other_times_hold_their_latent_frame(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    states: list[GenerationState] = []
    engine.generate(request_.replace(keyframes=at(picture_file, 0.0, -1)), on_state=states.append)
    last = states[-1].latents[0]
    assert torch.equal(last[:, 0], latents_of(engine, picture_file, 0))
    assert torch.equal(last[:, 2], latents_of(engine, picture_file, 2))
    assert not torch.equal(last[:, 1], latents_of(engine, picture_file, 1))


def test_a_still_at_a_later_place_is_that_of_a_long_still(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    engine.generate(request_)
    vae = resident(engine).vae
    picture = torch.from_numpy(read_picture(picture_file, width_px=48, height_px=32).copy()).permute(2, 0, 1)
    with torch.inference_mode():
        video = (picture.float() / 127.5 - 1)[None, :, None].expand(-1, -1, 33, -1, -1)
        whole = vae.normalise(vae.encode(video)[0])[0]
    for place in (1, 2):
        assert torch.allclose(latents_of(engine, picture_file, place), whole[:, place], atol=1e-5)
    assert torch.allclose(latents_of(engine, picture_file, 7), whole[:, 7], atol=0.05)


def test_two_pictures_in_one_latent_frame_are_refused(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"^keyframes: .*frames 1 to 4 .* further apart"):
        engine.generate(request_.replace(keyframes=at(picture_file, 0.2, 0.4)))


@pytest.mark.parametrize("time_s", [1.2, -2.0, 99.0])
def test_a_time_outside_the_clip_is_refused(
    engine: Engine, request_: GenerationRequest, picture_file: Path, time_s: float
) -> None:
    with pytest.raises(UnsupportedRequest, match="^keyframes: "):
        engine.generate(request_.replace(keyframes=at(picture_file, time_s)))


def test_bad_pictures_are_refused_before_any_weight_is_read(
    tiny: Path, request_: GenerationRequest, picture_file: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    write_picture(whole, read_picture(picture_file))
    cut.write_bytes(whole.read_bytes()[:1000])
    engine, seen = Engine(tiny, dtype="float32", threads=1), []
    for path in (cut, tmp_path / "none.png", tmp_path):
        with pytest.raises(MediaError):
            engine.generate(request_.replace(keyframes=at(path, 0.0)), observer=seen.append)
    assert not seen


def test_a_reader_may_be_passed_in(tiny: Path, request_: GenerationRequest) -> None:
    asked: list[Any] = []

    def read(media: MediaRef, *, width_px: int, height_px: int) -> np.ndarray:
        asked.append((media.ref, width_px, height_px))
        return np.full((height_px, width_px, 3), 77, np.uint8)

    engine = Engine(tiny, dtype="float32", threads=1, read_picture=read)
    clip = engine.generate(request_.replace(keyframes=(Keyframe(MediaRef("https://example.org/a.png")),)))
    assert asked == [("https://example.org/a.png", 48, 32)]
    assert list(clip.recipe["inputs"]) == ["https://example.org/a.png"]
