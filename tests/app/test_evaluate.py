"""Scores of a model as files: all right, all wrong, refused before any clip is made, and stopped without half a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kinema.app import local
from kinema.app.evaluate import PAGE, RESULT, evaluate_world
from kinema.core.card import ModelCard
from kinema.core.errors import Cancelled, InvalidInput, StorageError, WeightsError
from kinema.core.progress import CancelToken, Progress
from kinema.evaluation import judges, page, questions
from kinema.evaluation.model import Examination
from tests.evaluation.fakes import FakeEngine, examinee_of, fake_engine

Evaluate = Callable[..., dict[str, Any]]
NAMES = ["kind", "colour", "action", "place", "time", "weather", "style", "camera", "all"]


@pytest.fixture
def fake(tmp_path: Path, toy_card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine of the model "fake"."""
    engine = fake_engine(tmp_path / "fake", toy_card)
    monkeypatch.setattr(local, "_LOADED", {"fake": engine})
    return engine


@pytest.fixture
def evaluate(fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """`evaluate_world` of the fake model into the folder "out", with judges that know all, or (``honest``) say all wrong."""

    def call(examination: Examination, *, honest: bool = True, card: Any = None, **how: Any) -> dict[str, Any]:
        knowing = examinee_of(fake, examination, honest=honest, judge_card=card).judges
        monkeypatch.setattr(judges, "load_judges", lambda: knowing)
        return evaluate_world("fake", examination, str(tmp_path / "out"), **how)

    return call


def shares(rows: dict[str, Any]) -> list[float]:
    return [row["share"] for row in rows.values()]


def test_all_is_right_where_the_judges_say_the_truth(evaluate: Evaluate, fake: FakeEngine, tmp_path: Path) -> None:
    examination = Examination(scenes=3, seeds=2, suites=("plain", "held_out"))
    floor = {"kind": {"share": 0.99, "interval_95": [0.97, 1.0], "asked": 256}}
    found = evaluate(examination, card={"floors": {"core": floor, "full": {}}})
    assert list(found["words"]["attributes"]) == NAMES
    assert set(shares(found["words"]["attributes"])) == {1.0}
    assert {row["asked"] for row in found["words"]["attributes"].values()} == {24}
    assert set(found["words"]["suites"]) == {"plain", "held_out"}
    assert set(found["words"]["languages"]) == {"en", "zh"}
    assert found["words"]["paired"]["kind"] == {"pairs": 12, "only_en": 0, "only_zh": 0, "gap": 0}
    assert found["words"]["pass"] == {"prompts": 12, "pass@1": 1, "pass@2": 1}
    assert found["words"]["worse"] == []
    assert found["floor"] == floor
    assert found["kept"]["identity_kept"]["share"] == 1
    assert found["camera"]["all"]["share"] == found["motion"]["spearman"] == 1
    assert found["keyframes"]["words"]["all"] == {"share": 1, "interval_95": [0.4385, 1], "asked": 3}
    assert found["model"] == {"name": "toy", "version": "1", "hash": fake.folder.content_hash()}
    assert found["shape"] == str(fake.clips[0].shape)
    assert found["examination"] == asdict(examination)
    folder = tmp_path / "out"
    assert sorted(p.name for p in folder.iterdir()) == [PAGE, RESULT]

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    text = (folder / RESULT).read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == json.loads(json.dumps(found))
    assert (folder / PAGE).read_text(encoding="utf-8").count("<figure>") == 24


def test_nothing_is_right_where_they_say_its_opposite(evaluate: Evaluate) -> None:
    found = evaluate(Examination(scenes=2, suites=("plain", "together", "hand_written"), seeds=2), honest=False)
    assert set(found["words"]["attributes"]) == {*NAMES, "count"}
    assert set(shares(found["words"]["attributes"])) == {0.0}
    assert found["words"]["paired"]["count"] == {"pairs": 4, "only_en": 0, "only_zh": 0, "gap": 0}
    assert found["words"]["pass"]["pass@2"] == 0
    assert found["camera"]["all"]["share"] == found["keyframes"]["words"]["all"]["share"] == 0
    assert found["floor"] == {}


def test_words_alone(evaluate: Evaluate, fake: FakeEngine) -> None:
    found = evaluate(Examination(scenes=2), with_conditions=False)
    assert not {"camera", "motion", "keyframes"} & set(found)
    assert len(fake.clips) == 4
    assert not any(c.request.keyframes or c.request.camera or c.request.motion for c in fake.clips)


def test_a_model_that_takes_no_conditions(evaluate: Evaluate, fake: FakeEngine) -> None:
    fake.folder = replace(fake.folder, card=replace(fake.card, conditions=(), cameras=()))
    found = evaluate(Examination(scenes=2))
    assert not {"camera", "motion", "keyframes"} & set(found)
    assert set(shares(found["words"]["attributes"])) == {1.0}
    assert {c.request.camera for c in fake.clips} == {None}


def test_the_same_examination_gives_the_same_scores_and_replaces_the_files(evaluate: Evaluate, tmp_path: Path) -> None:
    one = evaluate(Examination(scenes=2))
    texts = [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)]
    assert evaluate(Examination(scenes=2)) == one
    assert [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)] == texts


@pytest.fixture
def known(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges that know three plain scenes."""
    knowing = examinee_of(fake).judges
    monkeypatch.setattr(judges, "load_judges", lambda: knowing)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("with_conditions", [True, False])
def test_what_can_not_be_asked_is_known_before_any_clip(
    fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_conditions: bool
) -> None:
    monkeypatch.setattr(questions, "_MOST_LOOKED_AT", 300)
    for examination, vocabulary, field in (
        (Examination(size="64x64"), {}, "size"),
        (Examination(steps=0), {}, "steps"),
        (Examination(suites=("hand_written",)), {"kind": {"lantern": ["lantern"]}, "time": {}}, "suite"),
        (Examination(), {"kind": {}}, "suite"),
    ):
        fake.folder = replace(fake.folder, card=replace(fake.card, vocabulary=vocabulary))
        with pytest.raises(InvalidInput) as caught:
            evaluate_world("fake", examination, str(tmp_path / "out"), with_conditions=with_conditions)
        assert caught.value.field == field
    assert fake.batches == []
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("known")
def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="model: 'no-such-model'"):
        evaluate_world("no-such-model", Examination(), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("fake")
def test_judges_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = judges.load_judges
    monkeypatch.setattr(judges, "load_judges", lambda: load(tmp_path))
    with pytest.raises(WeightsError, match="judges.*can't be read"):
        evaluate_world("fake", Examination(), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("known")
def test_a_place_that_can_not_be_written_is_known_before_any_clip(fake: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for out, message in (("file", "is a file"), ("file/scores", "does not exist"), ("x" * 300, "name is too long")):
        with pytest.raises(StorageError, match=message):
            evaluate_world("fake", Examination(scenes=3), str(tmp_path / out))
    assert fake.batches == []
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.usefixtures("known")
def test_a_folder_that_is_read_only(fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # root may write anywhere
    with pytest.raises(StorageError, match="not writable"):
        evaluate_world("fake", Examination(scenes=3), str(tmp_path / "out"))
    assert fake.batches == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.usefixtures("known")
def test_a_folder_without_permission(fake: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(StorageError, match="not writable"):
        evaluate_world("fake", Examination(scenes=3), str(tmp_path / "out"))
    assert fake.batches == []


class StopAfter:
    """An observer that cancels at its ``count``-th event."""

    def __init__(self, count: int) -> None:
        self.count, self.token = count, CancelToken()

    def __call__(self, event: Progress) -> None:
        self.count -= 1
        if self.count == 0:
            self.token.cancel()


@pytest.mark.parametrize("batches", [1, 2, 3])  # words, cameras, motions
def test_it_stops_between_batches_and_leaves_no_half_file(
    evaluate: Evaluate, fake: FakeEngine, tmp_path: Path, batches: int
) -> None:
    evaluate(Examination(scenes=3))
    texts = [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)]
    fake.batches.clear()
    stop = StopAfter(batches)
    with pytest.raises(Cancelled):
        evaluate(Examination(scenes=3), observer=stop, cancel=stop.token)
    assert len(fake.batches) == batches
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [PAGE, RESULT]
    assert [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)] == texts


def test_a_page_that_fails_leaves_no_scores_of_another_run(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise StorageError("no space left on the disk")

    monkeypatch.setattr(page, "page", fail)
    with pytest.raises(StorageError):
        evaluate(Examination(scenes=1), with_conditions=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_every_batch_is_told_of(evaluate: Evaluate) -> None:
    events: list[Progress] = []
    evaluate(Examination(scenes=5), observer=events.append)
    told = [(e.step, e.steps) for e in events]
    assert told == [(8, 10), (10, 10), (6, 6), (8, 8), (5, 5)]  # words, cameras, motions, first frames
    assert {e.phase for e in events} == {"evaluate"}
