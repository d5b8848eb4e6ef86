"""Text encoder training: labels say what captions say, it learns, and a stopped run goes on to the same end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import Cancelled
from kinema.models.text.byte_encoder import ByteTextEncoder
from kinema.training.budget import Budget
from kinema.training.optim import OptimRecipe
from kinema.training.text import UNSAID, Captions, train_text, trained_text
from tests.training.toys import LOOP, TEXT, StopAt, all_tensors


def test_labels_are_what_the_captions_say() -> None:
    captions = Captions(TEXT)
    batch = captions.batch(3, size=64)
    assert len(batch) == 64
    for i, text in enumerate(batch.texts):
        for name, values in captions.values.items():
            value = values[int(batch.labels[name][i])]
            said = value != UNSAID
            if said:
                assert any(word in text.lower() for word in captions.words[name][value]), (text, name, value)
    for name in ("kind", "action", "place"):
        assert (batch.labels[name] > 0).float().mean() > 0.5, name


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
    train_text(replace(TEXT, loop=loop, batch=16), folder=tmp_path)
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
