"""Orders of clips: checked before anything is made; a file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kinema
from kinema.app import clips
from kinema.core.errors import Cancelled, InvalidInput, StorageError
from kinema.core.progress import CancelToken, Progress
from kinema.core.request import MAX_SEED, GenerationRequest
from kinema.media.read import read_video
from kinema.media.recipe import read_recipe

if TYPE_CHECKING:
    from tests.conftest import FakeEngine


def order(model: str, *, count: int = 1, out: str | None = None, **fields: object) -> clips.Order:
    """An order of ``count`` clips of "a puppy"."""
    request = GenerationRequest.from_dict({"prompt": "a puppy", "model": model, **fields})
    return clips.place_order(request, count=count, out=out)


def test_seeds_go_upwards_and_names_are_numbered(toy_model: str) -> None:
    made = order(toy_model, count=3, out="a.b.mp4", seed=5)
    assert [r.seed for r in made.requests] == [5, 6, 7]
    assert made.paths == ("a.b-1.mp4", "a.b-2.mp4", "a.b-3.mp4")
    assert order(toy_model, count=2, out="frames/").paths == ("frames-1/", "frames-2/")


def test_a_fresh_seed_is_drawn_once_for_all(toy_model: str, tmp_path: Path) -> None:
    made = order(toy_model, count=2, out=str(tmp_path / "a.mp4"))
    first, second = (r.seed for r in made.requests)
    assert first is not None
    assert second == first + 1


def test_the_last_seed_must_exist_too(toy_model: str) -> None:
    assert order(toy_model, count=1, out="a.mp4", seed=MAX_SEED).requests[0].seed == MAX_SEED
    with pytest.raises(InvalidInput, match="seed"):
        order(toy_model, count=2, out="a.mp4", seed=MAX_SEED)


def test_what_exists_is_refused(toy_model: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "frames").mkdir()
    assert order(toy_model, out=str(tmp_path / "frames")), "an empty folder is no loss"
    (tmp_path / "frames" / "0001.png").touch()
    for name in ("a.mp4", "frames"):
        with pytest.raises(InvalidInput, match="exists already"):
            order(toy_model, out=str(tmp_path / name))
    with pytest.raises(StorageError, match="does not exist"):
        order(toy_model, out=str(tmp_path / "nowhere" / "a.mp4"))


@given(st.text(max_size=80))
def test_slugs_are_safe_names(prompt: str) -> None:
    name = clips.slug(prompt)
    assert 1 <= len(name) <= 40
    assert all(c.isalnum() or c == "-" for c in name)
    assert not name.startswith("-")


def test_a_clip_carries_its_recipe_and_digest(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    (made,) = clips.fill_order(order(toy_model, out=str(path), frames=1, seed=3), fake_engine)
    assert read_recipe(path) == made.recipe
    assert made.digest == made.recipe["frames"], "what was written is what was made"
    assert (made.seed, made.size_bytes) == (3, path.stat().st_size)
    assert np.array_equal(read_video(path).frames, fake_engine.generate(made_request(toy_model)).frames)


def made_request(model: str) -> GenerationRequest:
    """The request of the test above."""
    return GenerationRequest(prompt="a puppy", model=model, frames=1, seed=3)


def test_events_say_which_clip(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    list(clips.fill_order(order(toy_model, count=2, out=str(tmp_path / "a.mp4")), fake_engine, observer=seen.append))
    assert [e.sample for e in seen if e.phase == "denoise"] == [0, 0, 0, 1, 1, 1]
    assert any(e.phase == "write" and e.step == e.steps == 9 for e in seen)


def test_cancelling_leaves_no_file(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    cancel = CancelToken()
    fake_engine.on_step = cancel.cancel
    with pytest.raises(Cancelled):
        list(clips.fill_order(order(toy_model, out=str(tmp_path / "a.mp4")), fake_engine, cancel=cancel))
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_generate_is_one_call(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    clip = kinema.generate("ａ puppy", model=toy_model, seed=3, out=path, image="x.png", size="48x32")
    assert clip.shape.width_px == 48
    assert read_video(path).frames.shape == clip.frames.shape
    (request,) = fake_engine.requests
    assert (request.prompt, request.keyframes[0].media.ref, request.keyframes[0].at_s) == ("a puppy", "x.png", 0.0)
    kinema.generate("a puppy", model=toy_model, out=path)


def test_generate_without_a_file_writes_none(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    assert kinema.generate("a puppy", model=toy_model, seed=3).shape.frames == 9
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_generate_keeps_no_run_in_the_clip_s_own_file(fake_engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    for out, checkpoint in (("a.mp4", Path("b/../a.mp4")), (Path("a.mp4"), "a.mp4"), ("a/", "a/run")):
        with pytest.raises(InvalidInput, match="^checkpoint: .*own (file|folder); name another"):
            kinema.generate("a", model=toy_model, out=tmp_path / out, checkpoint=tmp_path / checkpoint)
    with pytest.raises(InvalidInput, match="^checkpoint: .*must name a file"):
        kinema.generate("a", model=toy_model, checkpoint="a\0b")
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    assert not fake_engine.requests


def test_generate_knows_its_dtypes_and_devices(toy_model: str) -> None:
    with pytest.raises(InvalidInput, match="^dtype: 'half': must be one of auto, float32, bfloat16$"):
        kinema.generate("a", model=toy_model, dtype="half")
    with pytest.raises(InvalidInput, match="^device: 'gpu': must be one of cpu, cuda$"):
        kinema.generate("a", model=toy_model, device="gpu")


@pytest.mark.parametrize("prompt", ["", 3, None, "a" * 100_000])
def test_generate_refuses_what_is_no_prompt(prompt: object) -> None:
    with pytest.raises(InvalidInput, match="^prompt: "):
        kinema.generate(prompt)  # pyright: ignore[reportArgumentType]


def test_other_names_of_camera_movements_are_understood_where_the_model_knows_the_movement(toy_model: str) -> None:
    with pytest.raises(InvalidInput, match="camera: 'truck_left'"):
        order(toy_model, camera="truck_left")
    card = Path(toy_model, "card.json")
    card.write_text(card.read_text(encoding="utf-8").replace('"zoom_in"', '"pan_left"'), encoding="utf-8")
    assert order(toy_model, camera="truck_left").requests[0].camera == "pan_left"


def test_python_knows_the_cameras_other_names_too(toy_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinema.app import local
    from kinema.weights.folder import open_model
    from tests.conftest import FakeEngine

    card = Path(toy_model, "card.json")
    card.write_text(card.read_text(encoding="utf-8").replace('"zoom_in"', '"pan_left"'), encoding="utf-8")
    engine = FakeEngine(open_model(toy_model))
    monkeypatch.setattr(local, "_LOADED", {(toy_model, local.PLAIN): engine})
    kinema.generate("a puppy", model=toy_model, seed=1, camera="truck_left")
    assert engine.requests[-1].camera == "pan_left"
    with pytest.raises(InvalidInput, match="camera"):
        kinema.generate("a puppy", model=toy_model, seed=1, camera="sideways")
