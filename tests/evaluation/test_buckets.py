"""Scores by size and length: every shape of the card is asked for, and those that do worse are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kinema.core.card import ModelCard
from kinema.evaluation.buckets import by_bucket, shapes_of
from kinema.evaluation.judges import Verdict
from kinema.evaluation.model import Examination
from tests.evaluation.fakes import FakeClip, FakeEngine, Knowing, examinee_of, fake_engine, mistaken


@pytest.fixture
def engine(tmp_path: Path, toy_card: ModelCard) -> FakeEngine:
    return fake_engine(tmp_path / "fake", toy_card, sizes=((32, 32), (48, 32)), default_seconds=1, max_frames=17)


def test_every_size_as_a_picture_at_its_usual_length_and_at_its_longest(toy_card: ModelCard) -> None:
    card = replace(toy_card, sizes=((32, 32), (48, 32)), default_seconds=1, max_frames=17)
    found = [(s.width_px, s.height_px, s.frames) for s in shapes_of(card)]
    assert found == [(w, 32, n) for w in (32, 48) for n in (1, 9, 17)]
    # a model of pictures has one length, and one whose clips are short no longer one than it can make
    assert {s.frames for s in shapes_of(replace(card, default_seconds=0, max_frames=1))} == {1}
    assert {s.frames for s in shapes_of(replace(card, default_seconds=60))} == {1, 17}


def test_each_shape_is_asked_for_and_stands_beside_its_floor(engine: FakeEngine) -> None:
    examinee = examinee_of(engine, Examination(scenes=3))
    found = by_bucket(examinee, 2)
    assert list(found["buckets"]) == ["32x32x1", "32x32x9", "32x32x17", "48x32x1", "48x32x9", "48x32x17"]
    made = [(c.shape.width_px, c.shape.frames) for c in engine.clips]
    assert made == [(w, n) for w in (32, 48) for n in (1, 9, 17) for _ in range(2)]
    assert len({c.request.prompt for c in engine.clips}) == 2
    for bucket, row in found["buckets"].items():
        assert ("camera" in row["shares"]) == (not bucket.endswith("x1"))
        for part in ("shares", "floor"):
            assert {(r["share"], r["asked"]) for r in row[part].values()} == {(1.0, 2)}
    assert found["behind"] == []


def test_a_shape_that_does_worse_is_named(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    examinee = examinee_of(engine, Examination(scenes=3))
    judge = Knowing._of_asked

    def of_asked(self: Knowing, clip: FakeClip) -> Verdict:
        said = judge(self, clip)
        return mistaken(said) if (clip.shape.width_px, clip.shape.frames) == (48, 17) else said

    monkeypatch.setattr(Knowing, "_of_asked", of_asked)
    found = by_bucket(examinee, 2)
    assert {row["where"]["bucket"] for row in found["behind"]} == {"48x32x17"}
    assert {(row["share"], row["rest"], row["asked"]) for row in found["behind"]} == {(0.0, 1.0, 2)}
    names: Sequence[str] = [row["attribute"] for row in found["behind"]]
    assert set(names) == set(found["buckets"]["48x32x17"]["shares"])
