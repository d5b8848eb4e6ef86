"""The best of several clips: which seeds are made, which one is kept, and what is looked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from kinema.app import clips
from kinema.app.best import MOST, BestOf, judged_best_of
from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.core.request import MAX_SEED, GenerationRequest
from kinema.evaluation.best import Scorer, question_of
from kinema.evaluation.judges import Judges, Verdict
from kinema.media.recipe import read_recipe
from kinema.world.sampler import words_of
from kinema.world.scene import Scene, Subject
from tests.evaluation.fakes import USUAL, surely, verdict_of

if TYPE_CHECKING:
    from kinema.core.card import ModelCard
    from tests.conftest import FakeEngine

WORDS = words_of(["core", "full"])


def scores(engine: FakeEngine, of_seeds: Mapping[int, Any]) -> Callable[[GenerationRequest], Callable[..., Any]]:
    """A score for each seed, whatever the clip shows."""
    return lambda request: lambda frames, fps: of_seeds[engine.requests[-1].seed or 0]


@pytest.fixture
def engine(toy_model: str) -> FakeEngine:
    from kinema.weights.folder import open_model
    from tests.conftest import FakeEngine

    return FakeEngine(open_model(toy_model))


def test_the_best_is_kept_with_its_own_seed(engine: FakeEngine, toy_model: str, tmp_path: Path) -> None:
    request = GenerationRequest(prompt="a puppy", model=toy_model, seed=7)
    order = clips.place_order(request, count=2, out=str(tmp_path / "a.mp4"))
    best = BestOf(engine, count=3, step=2, score_of=scores(engine, {7: 1, 9: 3, 11: 3, 8: 2, 10: 0, 12: 1}))
    made = list(clips.fill_order(order, best))
    assert [r.seed for r in engine.requests] == [7, 9, 11, 8, 10, 12]
    assert [m.seed for m in made] == [9, 8]  # the first of equals
    recipe = read_recipe(made[0].path)
    assert recipe is not None
    assert recipe["request"]["seed"] == 9
    again = engine.generate(GenerationRequest.from_dict(recipe["request"]))
    assert again.digest == recipe["frames"]


def test_seeds_go_round_and_fresh_ones_are_drawn(engine: FakeEngine, toy_model: str) -> None:
    request = GenerationRequest(prompt="a puppy", model=toy_model, seed=MAX_SEED)
    BestOf(engine, count=2, score_of=lambda request: lambda frames, fps: 0).generate(request)
    assert [r.seed for r in engine.requests] == [MAX_SEED, 0]
    engine.requests.clear()
    for _ in range(2):
        BestOf(engine, count=2, score_of=lambda request: lambda frames, fps: 0).generate(request.replace(seed=None))
    seeds = [cast("int", r.seed) for r in engine.requests]
    assert seeds[1] - seeds[0] == seeds[3] - seeds[2] == 1
    assert seeds[0] != seeds[2]


@pytest.mark.parametrize("count", [0, -1, MOST + 1])
def test_counts_have_bounds(engine: FakeEngine, count: int) -> None:
    with pytest.raises(InvalidInput, match="best_of"):
        BestOf(engine, count=count, score_of=lambda request: lambda frames, fps: 0)


@pytest.mark.parametrize(
    "prompt, subjects, whole",
    [
        (
            "a red car drives along the beach at sunset, the camera zooms in",
            [{"kind": "car", "colour": "red", "action": "walk"}],
            {"place": "beach", "time": "sunset", "camera": "zoom_in"},
        ),
        ("夜晚，一只蓝色的小狗在公园里跳跃", [{"kind": "puppy", "colour": "blue", "action": "jump"}], {"place": "park", "time": "night"}),
        ("two green balls", [{"kind": "ball", "colour": "green"}] * 2, {}),
        ("a snowy street at night", [], {"place": "street", "time": "night", "weather": "snow"}),
    ],
)  # fmt: skip
def test_what_a_prompt_asks_for(prompt: str, subjects: list[dict[str, str]], whole: dict[str, str]) -> None:
    found = question_of(prompt, WORDS)
    assert [dict(s) for s in found.subjects] == subjects
    assert dict(found.whole) == whole


def test_models_without_a_vocabulary_are_not_judged(engine: FakeEngine, toy_card: ModelCard) -> None:
    assert judged_best_of(engine, 2, card=toy_card, step=3).step == 3
    with pytest.raises(InvalidInput, match="^best_of: 2: .*kinema-mini's words alone; leave --best-of out for toy$"):
        judged_best_of(engine, 2, card=replace(toy_card, vocabulary={}))


def test_a_prompt_that_names_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="best_of"):
        question_of("something beautiful", WORDS)


def test_more_of_what_was_asked_for_scores_higher_and_sureness_decides_between_equals() -> None:
    question = question_of("a red car at night", WORDS)
    said = verdict_of(question)
    car = replace(said.subjects[0], sureness=dict.fromkeys(("kind", "colour", "action"), 0.9))
    true = replace(said, subjects=(car,), sureness=dict.fromkeys(USUAL, 0.9))
    wrong = replace(true, time="day")
    unsure = replace(true, sureness=dict.fromkeys(USUAL, 0.4))

    def score(said: Verdict) -> tuple[float, float]:
        judges = cast("Judges", lambda frames, fps: said)
        return Scorer(judges, question)(np.zeros((2, 4, 4, 3), np.uint8), fps=8)

    assert score(true) > score(unsure) > score(wrong)
    assert score(true)[0] == 1
    assert score(replace(true, subjects=())) == (pytest.approx(1 / 3), pytest.approx(0.9))
    assert score(replace(wrong, subjects=())) == (0.0, 0.0)


def test_pictures_are_not_scored_by_what_they_can_not_show() -> None:
    still = VideoShape(frames=1, height_px=32, width_px=32, fps=8.0)
    for prompt, wanted in (("the camera zooms in", (0.0, 0.0)), ("a red car, the camera zooms in", (1.0, 0.5))):
        question = question_of(prompt, WORDS)
        assert question.whole == {"camera": "zoom_in"}
        said = surely(verdict_of(question, shape=still))
        judges = cast("Judges", lambda frames, fps, said=said: said)
        assert Scorer(judges, question)(np.zeros((1, 4, 4, 3), np.uint8), fps=8) == wanted


def test_true_scenes_are_asked_for_as_their_captions_say() -> None:
    from kinema.evaluation.questions import asked

    scene = Scene(subjects=(Subject(kind="puppy", colour="red", action="walk"),), place="park", time="night")
    whole = asked(scene, language="en", seed=0)
    found = question_of(whole.prompt, WORDS)
    assert [dict(s) for s in found.subjects] == [dict(s) for s in whole.subjects]
    assert json.dumps(dict(found.whole)) in json.dumps({k: whole.whole[k] for k in found.whole})
