"""Text encoder training: labels say what captions say, it learns, and a stopped run goes on to the same end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import Cancelled
from kinema.models.text.byte_encoder import ByteTextEncoder
from kinema.training.budget import Budget
from kinema.training.optim import OptimRecipe
from kinema.training.text import UNSAID, Captions, train_text, trained_text
from kinema.world.scene import Scene, Subject
from tests.training.toys import LOOP, TEXT, StopAt, all_tensors


def test_labels_are_what_the_captions_say() -> None:
    captions = Captions(TEXT)
    batch = captions.batch(3, size=96)
    assert len(batch) == 96
    for i, text in enumerate(batch.texts):
        for name, values in captions.values.items():
            value = values[int(batch.labels[name][i])]
            if value != UNSAID and name not in ("count", "relation"):
                words = captions.words[re.sub(r"_[0-9]$", "", name)][value]
                assert any(word in text.lower() for word in words), (text, name, value)
    for name in ("kind_1", "action_1", "place", "count"):
        assert (batch.labels[name] > 0).float().mean() > 0.5, name
    for name in ("kind_2", "kind_3", "weather", "style", "relation"):
        assert (batch.labels[name] > 0).any(), name


def test_every_subject_has_labels_of_its_own() -> None:
    captions = Captions(TEXT)
    puppy = Subject(kind="puppy", colour="red", action="stand", x=-0.8)
    ball = Subject(kind="ball", colour="blue", action="spin", x=0.8, material="metal")
    scene = Scene(subjects=(puppy, ball), place="park", time="day", weather="rain", camera="tilt_left", style="cartoon")
    text = "A cartoon: a metal blue ball spins to the right of a puppy in the rain, tilt left"
    assert captions.named(scene, text) == {
        "kind_1": "puppy",
        "kind_2": "ball",
        "colour_2": "blue",
        "material_2": "metal",
        "action_2": "spin",
        "count": "2",
        "weather": "rain",
        "camera": "tilt_left",
        "style": "cartoon",
        "relation": "left_of",
    }


def test_a_level_of_one_subject_asks_for_one() -> None:
    captions = Captions(replace(TEXT, difficulty="core"))
    assert "kind_1" in captions.values
    assert "kind_2" not in captions.values
    assert set(captions.batch(0).labels["count"].tolist()) == {1}


def test_batches_depend_on_step_and_split_alone() -> None:
    one, two = Captions(TEXT), Captions(TEXT)
    one.batch(0)
    assert one.batch(5).texts == two.batch(5).texts
    assert one.batch(5).texts != one.batch(6).texts
    assert Captions(TEXT, split="validation").batch(5).texts != two.batch(5).texts


def test_it_learns_to_read(tmp_path: Path) -> None:
    loop = replace(
        LOOP, budget=Budget(steps=16), optim=OptimRecipe(lr=1e-2), log_every_steps=1, validate_every_steps=1000
    )
    train_text(replace(TEXT, loop=loop, batch=16, difficulty="core"), folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    assert set(trained_text(tmp_path)) == set(ByteTextEncoder(TEXT.config).state_dict())


def test_a_stopped_run_ends_as_one_that_went_through(tmp_path: Path) -> None:
    through = train_text(TEXT, folder=tmp_path / "through")
    stop = StopAt(4)
    with pytest.raises(Cancelled):
        train_text(TEXT, folder=tmp_path / "stopped", observer=stop, cancel=stop.token)
    resumed = train_text(TEXT, folder=tmp_path / "stopped")
    one, two = all_tensors(through.checkpoint), all_tensors(resumed.checkpoint)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
