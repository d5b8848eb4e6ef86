"""A clip is made again from the recipe in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.reproduce import differences, reproduce
from kinema.media.recipe import read_recipe
from kinema.media.write import write_picture
from tests.engine.conftest import save_tiny


def recipe_of(path: Path) -> dict[str, Any]:
    """The recipe in the file."""
    recipe = read_recipe(path)
    assert recipe is not None
    return recipe


def test_a_recipe_survives_an_mp4_and_makes_the_clip_again(
    engine: Engine, request_: GenerationRequest, tmp_path: Path, picture_file: Path
) -> None:
    request = request_.replace(
        seed=None, camera="zoom_in", motion=9, keyframes=(Keyframe(MediaRef(str(picture_file)), -1.0),)
    )
    clip = engine.generate(request)
    recipe = recipe_of(clip.save(tmp_path / "a.mp4"))
    assert recipe == clip.recipe
    again = reproduce(recipe, engine=engine)
    assert again.is_same
    assert again.notes == ()
    assert np.array_equal(again.clip.frames, clip.frames)


def test_a_clip_of_a_batch_is_made_again(engine: Engine, request_: GenerationRequest) -> None:
    clips = engine.generate_batch([request_, request_.replace(seed=8, prompt="a blue cube"), request_.replace(seed=9)])
    for clip in clips:
        assert reproduce(clip.recipe, engine=engine).is_same


def test_another_plan_runs_under_the_recipes(engine: Engine, tiny: Path, request_: GenerationRequest) -> None:
    recipe = Engine(tiny, dtype="bfloat16", threads=1).generate(request_).recipe
    again = reproduce(recipe, model=tiny)
    assert again.is_same
    assert again.clip.recipe["plan"]["dtype"] == "bfloat16"


def test_what_differs_is_told(engine: Engine, request_: GenerationRequest) -> None:
    recipe = engine.generate(request_).recipe
    old = {**recipe, "versions": {**recipe["versions"], "torch": "1.0"}, "plan": {**recipe["plan"], "isa": "AVX2"}}
    again = reproduce({**old, "frames": "sha256:" + "0" * 64}, engine=engine)
    assert not again.is_same
    assert again.notes[0].startswith("plan.isa: AVX2 then, ")
    assert again.notes[1].startswith("versions.torch: 1.0 then, ")
    assert differences(recipe, recipe) == ()


def test_other_weights_are_refused(
    engine: Engine, request_: GenerationRequest, tmp_path: Path, tiny_card: ModelCard
) -> None:
    other = save_tiny(tmp_path / "tiny", tiny_card, seed=5)
    with pytest.raises(WeightsError, match="other weights"):
        reproduce(engine.generate(request_).recipe, model=other)


def test_another_picture_is_refused(engine: Engine, request_: GenerationRequest, picture_file: Path) -> None:
    clip = engine.generate(request_.replace(keyframes=(Keyframe(MediaRef(str(picture_file))),)))
    write_picture(picture_file, np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InvalidInput, match="something else"):
        reproduce(clip.recipe, engine=engine)


@pytest.mark.parametrize("change", [{"format": 2}, {"request": None}, {"batch_index": 1}, {"plan": {"colour": 1}}])
def test_a_recipe_of_another_kind_is_refused(engine: Engine, request_: GenerationRequest, change: dict) -> None:
    recipe = {**engine.generate(request_).recipe, **change}
    with pytest.raises(InvalidInput):
        reproduce({k: v for k, v in recipe.items() if v is not None}, engine=engine)
