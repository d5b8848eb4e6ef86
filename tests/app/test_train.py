"""Training runs: what is refused, and judges from scenes to a folder, on a recipe small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kinema.app import train
from kinema.core.errors import Cancelled, InvalidInput
from kinema.core.geometry import VideoShape
from kinema.core.progress import CancelToken, Progress
from kinema.evaluation.judges import load_judges
from kinema.training import judge_data, judges, speed
from kinema.training.budget import Budget
from kinema.training.judge_data import JudgeScenes
from kinema.training.judges import JudgeRecipe
from kinema.training.prepare import SceneRange
from tests.training.judged import CLIP, FRAME
from tests.training.toys import LOOP

MINUTES = {"frame": 9.0, "clip": 11.0}  # of twenty


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> JudgeScenes:
    """Four clips, two pictures, small networks and a step a minute instead of the real ones."""
    clip = VideoShape(frames=5, height_px=32, width_px=32, fps=8.0)
    scenes = JudgeScenes(
        train=(
            SceneRange(split="train", shape=clip, count=4, difficulty="core"),
            SceneRange(split="train", shape=replace(clip, frames=1), count=2, difficulty="core", first_seed=9),
        ),
        validation=(SceneRange(split="validation", shape=clip, count=2, difficulty="core"),),
    )
    frame_loop, clip_loop = (replace(LOOP, budget=Budget(minutes=MINUTES[name])) for name in ("frame", "clip"))
    recipe = JudgeRecipe(
        frame_loop=frame_loop, clip_loop=clip_loop, frame=FRAME, clip=CLIP, clips=2, pictures=2, dtype="float32"
    )
    monkeypatch.setattr(judge_data, "JUDGE_SCENES", scenes)
    monkeypatch.setattr(judges, "JudgeRecipe", lambda: recipe)

    def by_steps(*, steps: int | None = None, minutes: float = 0.0) -> Budget:
        return Budget(steps=steps or round(minutes) - 7)

    monkeypatch.setattr(judges, "Budget", by_steps)
    monkeypatch.setattr(speed, "matmul_peak", lambda device, dtype: 1e12)
    return scenes


def test_judges_are_trained_saved_and_loaded(small: JudgeScenes, tmp_path: Path) -> None:
    phases: list[str] = []
    how: dict[str, Any] = {"budget_minutes": 20.0, "observer": lambda event: phases.append(event.phase)}
    folder, card = train.train_judges(str(tmp_path / "out"), **how)
    assert folder == tmp_path / "out" / "judges"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["cache", "judges", "run"]
    loaded = load_judges(folder)
    assert (loaded.frame.config, loaded.clip.config) == (FRAME, CLIP)
    assert loaded.card["data"][0]["count"] == asdict(small.train[0])["count"] == 4
    assert set(loaded.card) == set(card) == {"data", "fingerprint", "device", "training"}
    steps = {name: facts["steps"] for name, facts in card["training"].items()}
    assert steps == {name: minutes - 7 for name, minutes in MINUTES.items()}
    assert loaded(torch.zeros(5, 32, 32, 3, dtype=torch.uint8), fps=8).motion_score >= 1
    assert {"render", "train"} <= set(phases)
    # the same call finds nothing left to do
    again, same = train.train_judges(str(tmp_path / "out"), **how)
    assert {name: facts["steps"] for name, facts in same["training"].items()} == steps
    for name, tensor in load_judges(again).frame.state_dict().items():
        assert torch.equal(tensor, loaded.frame.state_dict()[name])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("phase", ["render", "train"])
def test_a_stop_leaves_no_judges_and_the_same_call_goes_on(tmp_path: Path, phase: str) -> None:
    token = CancelToken()

    def stop(event: Progress) -> None:
        if event.phase == phase:
            token.cancel()

    with pytest.raises(Cancelled):
        train.train_judges(str(tmp_path), budget_minutes=20.0, observer=stop, cancel=token)
    assert not (tmp_path / "judges").exists()
    folder, _ = train.train_judges(str(tmp_path), budget_minutes=20.0)
    assert sorted(p.name for p in folder.iterdir()) == ["judges.json", "judges.safetensors"]


@pytest.mark.parametrize("run", [train.train_judges, train.train_mini])
@pytest.mark.parametrize(
    "bad, field",
    [
        ({"budget_minutes": 0.0}, "budget"),
        ({"budget_minutes": float("nan")}, "budget"),
        ({"budget_minutes": float("inf")}, "budget"),
        ({"device": "tpu"}, "device"),
        ({"workers": -1}, "workers"),
    ],
)
def test_bounds(run: Callable[..., object], tmp_path: Path, bad: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(str(tmp_path / "out"), **{"budget_minutes": 1.0, **bad})
    assert caught.value.field == field
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no CUDA device here"):
        train.train_judges(str(tmp_path), budget_minutes=1.0, device="cuda")
