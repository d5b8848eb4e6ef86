"""Scores of a model as files: all right, all wrong, refused before any clip is made, and what a stop leaves."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kinema.app import local
from kinema.app.evaluate import PAGE, RESULT, evaluate_world
from kinema.core.card import ModelCard
from kinema.core.errors import Cancelled, InvalidInput, StorageError, WeightsError
from kinema.core.progress import CancelToken, Progress
from kinema.evaluation import conditions, judges, page, questions
from kinema.evaluation.model import Examination
from tests.evaluation.fakes import FakeEngine, examinee_of, fake_engine

Evaluate = Callable[..., dict[str, Any]]
NAMES = ["kind", "colour", "action", "count", "place", "time", "weather", "style", "camera", "all"]


@pytest.fixture
def fake(tmp_path: Path, toy_card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine of the model "fake"."""
    engine = fake_engine(tmp_path / "fake", toy_card)
    monkeypatch.setattr(local, "_LOADED", {("fake", local.PLAIN): engine})
    return engine


@pytest.fixture
def evaluate(fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """`evaluate_world` of the fake model into the folder "out", with judges that know all, or (``honest``) say all wrong."""

    def call(examination: Examination, *, honest: bool = True, **how: Any) -> dict[str, Any]:
        knowing = examinee_of(fake, examination, honest=honest).judges
        monkeypatch.setattr(judges, "load_judges", lambda: knowing)
        return evaluate_world("fake", examination, str(tmp_path / "out"), **how)

    return call


def shares(rows: dict[str, Any]) -> list[float]:
    return [row["share"] for row in rows.values()]


def test_all_is_right_where_the_judges_say_the_truth(evaluate: Evaluate, fake: FakeEngine, tmp_path: Path) -> None:
    examination = Examination(scenes=3, seeds=2, suites=("plain", "held_out"))
    found = evaluate(examination)
    assert list(found["words"]["attributes"]) == NAMES
    assert set(shares(found["words"]["attributes"])) == {1.0}
    assert {(row["asked"], row["scenes"]) for row in found["words"]["attributes"].values()} == {(24, 6)}
    assert set(found["words"]["suites"]) == {"plain", "held_out"}
    assert set(found["words"]["languages"]) == {"en", "zh"}
    assert found["words"]["paired"]["kind"] == {"pairs": 12, "only_en": 0, "only_zh": 0, "gap": 0}
    assert found["words"]["pass"] == {"prompts": 12, "pass@1": 1, "pass@2": 1}
    assert found["words"]["worse"] == []
    assert set(found["floor"]) == {"attributes", "suites"}
    assert {(row["share"], row["asked"]) for row in found["floor"]["attributes"].values()} == {(1.0, 6)}
    assert {name: row["all"]["asked"] for name, row in found["floor"]["suites"].items()} == {"plain": 3, "held_out": 3}
    assert found["kept"]["identity_kept"]["share"] == found["kept"]["floor"]["identity_kept"]["share"] == 1
    assert found["kept"]["floor"]["flicker"] < found["kept"]["flicker"]  # the clips are noise
    assert found["camera"]["floor"]["all"]["share"] == found["motion"]["floor"]["spearman"] == 1
    assert found["camera"]["all"]["share"] == found["motion"]["spearman"] == 1
    assert found["keyframes"]["words"]["all"] == {"share": 1, "interval_95": [0.4385, 1], "asked": 3, "scenes": 3}
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
    assert list(found["words"]["attributes"]) == NAMES
    assert set(shares(found["words"]["attributes"])) == set(shares(found["floor"]["attributes"])) == {0.0}
    assert set(found["floor"]["suites"]) == {"plain", "together"}
    assert found["words"]["paired"]["count"] == {"pairs": 8, "only_en": 0, "only_zh": 0, "gap": 0}
    assert found["words"]["pass"]["pass@2"] == 0
    assert found["camera"]["all"]["share"] == found["keyframes"]["words"]["all"]["share"] == 0
    assert found["kept"]["floor"]["identity_kept"]["share"] == found["camera"]["floor"]["all"]["share"] == 0


def test_what_people_wrote_has_no_floor(evaluate: Evaluate, tmp_path: Path) -> None:
    found = evaluate(Examination(scenes=2, suites=("hand_written",)), with_conditions=False)
    assert found["floor"] == {"attributes": {}, "suites": {}}
    assert set(shares(found["words"]["attributes"])) == {1.0}
    assert found["kept"]["floor"] == {}
    assert (tmp_path / "out" / PAGE).exists()


def test_pictures_have_no_scores_of_what_they_can_not_show(
    evaluate: Evaluate, fake: FakeEngine, tmp_path: Path
) -> None:
    fake.change_card(default_seconds=0)
    found = evaluate(Examination(scenes=2))
    assert {c.shape.frames for c in fake.clips} == {1}
    for rows in (found["words"]["attributes"], found["floor"]["attributes"]):
        assert list(rows) == [name for name in NAMES if name not in ("camera", "action")]
        assert set(shares(rows)) == {1.0}
    assert found["kept"] == {}
    assert not {"camera", "motion", "keyframes"} & set(found)
    assert "Kept" not in (tmp_path / "out" / PAGE).read_text(encoding="utf-8")


def test_clips_are_let_go_before_conditions_are_measured(
    evaluate: Evaluate, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, clips, alive = fake.generate_batch, list[weakref.ref[Any]](), list[int]()

    def forgetful(*args: Any, **how: Any) -> Any:
        fake.batches.clear()
        made = make(*args, **how)
        clips.extend(weakref.ref(clip.frames) for clip in made)
        return made

    def look(*_: object) -> dict[str, Any]:
        fake.batches.clear()
        alive.append(sum(clip() is not None for clip in clips))
        return {}

    monkeypatch.setattr(fake, "generate_batch", forgetful)
    monkeypatch.setattr(conditions, "camera", look)
    monkeypatch.setattr(conditions, "motion", look)
    monkeypatch.setattr(conditions, "first_frame", look)
    evaluate(Examination(scenes=6))
    assert len(clips) == 12
    assert len(alive) == 3
    assert max(alive) <= 1  # the last of them


def test_words_alone(evaluate: Evaluate, fake: FakeEngine) -> None:
    found = evaluate(Examination(scenes=2), with_conditions=False)
    assert not {"camera", "motion", "keyframes"} & set(found)
    assert len(fake.clips) == 4
    assert not any(c.request.keyframes or c.request.camera or c.request.motion for c in fake.clips)


def test_a_model_that_takes_no_conditions(evaluate: Evaluate, fake: FakeEngine) -> None:
    fake.change_card(conditions=(), cameras=())
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
        fake.change_card(vocabulary=vocabulary)
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
    with pytest.raises(WeightsError, match="judges.*aren't there.*kinema train judges"):
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


PARTS = ["model", "examination", "shape", "floor", "words", "kept", "camera", "motion", "keyframes"]


@pytest.mark.parametrize("events, batches, last", [(3, 0, "floor"), (4, 1, "kept"), (5, 2, "kept"), (6, 3, "camera")])
def test_what_is_done_is_kept_when_it_stops(
    evaluate: Evaluate, fake: FakeEngine, tmp_path: Path, events: int, batches: int, last: str
) -> None:
    whole = json.loads(json.dumps(evaluate(Examination(scenes=3))))
    assert list(whole) == PARTS
    fake.batches.clear()
    stop = StopAfter(events)
    with pytest.raises(Cancelled):
        evaluate(Examination(scenes=3), observer=stop, cancel=stop.token)
    assert len(fake.batches) == batches
    assert [p.name for p in (tmp_path / "out").iterdir()] == [RESULT]  # and no page of other scores
    found = json.loads((tmp_path / "out" / RESULT).read_text(encoding="utf-8"))
    assert list(found) == PARTS[: PARTS.index(last) + 1]
    assert found == {name: whole[name] for name in found}


def test_what_stops_before_it_knows_anything_leaves_other_scores_alone(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate(Examination(scenes=2), with_conditions=False)
    texts = [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)]
    stop = StopAfter(2)
    with pytest.raises(Cancelled):
        evaluate(Examination(scenes=3), observer=stop, cancel=stop.token)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [PAGE, RESULT]
    assert [(tmp_path / "out" / name).read_bytes() for name in (RESULT, PAGE)] == texts


def test_a_condition_that_fails_leaves_the_scores_of_the_words(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> dict[str, Any]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(conditions, "motion", fail)
    with pytest.raises(RuntimeError):
        evaluate(Examination(scenes=2))
    assert [p.name for p in (tmp_path / "out").iterdir()] == [RESULT]
    found = json.loads((tmp_path / "out" / RESULT).read_text(encoding="utf-8"))
    assert list(found) == PARTS[: PARTS.index("motion")]
    assert set(shares(found["words"]["attributes"])) == {1.0}


def test_a_page_that_fails_leaves_no_page_of_another_run(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(Examination(scenes=2), with_conditions=False)

    def fail(*_: object) -> str:
        raise StorageError("no space left on the disk")

    monkeypatch.setattr(page, "page", fail)
    with pytest.raises(StorageError):
        evaluate(Examination(scenes=1), with_conditions=False)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [RESULT]
    assert json.loads((tmp_path / "out" / RESULT).read_text(encoding="utf-8"))["examination"]["scenes"] == 1


def test_every_batch_is_told_of(evaluate: Evaluate) -> None:
    events: list[Progress] = []
    evaluate(Examination(scenes=5), observer=events.append)
    told = [(e.step, e.steps) for e in events]
    floor, told = told[:5], told[5:]
    assert floor == [(n, 5) for n in range(1, 6)]
    assert told == [(8, 10), (10, 10), (6, 6), (8, 8), (5, 5)]  # words, cameras, motions, first frames
    assert {e.phase for e in events} == {"evaluate"}
