"""`kinema evaluate world`: options, JSON, what is refused, and Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinema.app import local
from kinema.core.card import ModelCard
from kinema.core.progress import CancelToken
from kinema.evaluation import judges
from kinema.evaluation.model import Examination
from tests.cli.test_errors import check_one_line
from tests.evaluation.fakes import FakeEngine, examinee_of, fake_engine

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema

SMALL = ("evaluate", "world", "--model", "fake", "--scenes", "2")


@pytest.fixture
def fake(tmp_path: Path, toy_card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine of the model "fake", whose judges know what is asked of two scenes."""
    engine = fake_engine(tmp_path / "fake", toy_card)
    monkeypatch.setattr(local, "_LOADED", {("fake", local.PLAIN): engine})
    examination = Examination(scenes=2, suites=("plain", "held_out"))
    knowing = examinee_of(engine, examination).judges
    monkeypatch.setattr(judges, "load_judges", lambda: knowing)
    return engine


def test_scores_are_told_and_written(kinema: Kinema, fake: FakeEngine) -> None:
    answer = kinema(*SMALL, "--out", "here", "--words")
    assert (answer.code, answer.out) == (0, "here/scores.html\n")
    lines = answer.err.splitlines()
    names = [line.split()[0] for line in lines if line.endswith(" 100.0%  34% to 100% (floor 100%)")]
    assert names == ["kind", "colour", "action", "count", "place", "time", "weather", "style", "camera", "all"]
    assert sorted(p.name for p in Path("here").iterdir()) == ["scores.html", "scores.json"]
    assert len(fake.clips) == 4


@pytest.mark.usefixtures("fake")
def test_json(kinema: Kinema) -> None:
    answer = kinema(*SMALL, "--json")
    assert answer.code == 0
    *_, last = answer.events
    assert {e["event"] for e in answer.events} == {"progress", "note", "scores"}
    assert last.pop("event") == "scores"
    assert last == json.loads(Path("scores/scores.json").read_text(encoding="utf-8"))
    assert {"words", "camera", "motion", "keyframes", "floor"} <= set(last)


def test_options_reach_the_examination(kinema: Kinema, fake: FakeEngine) -> None:
    flags = "--suites plain,held_out --seeds 2 --buckets 1 --size 48x32 --steps 2 --guidance 1.5 --words --json"
    (*_, last) = kinema(*SMALL, *flags.split()).events
    assert last["examination"] == {
        "split": "test", "difficulty": "core", "suites": ["plain", "held_out"], "scenes": 2, "seeds": 2, "buckets": 1,
        "languages": ["en", "zh"],
        "size": "48x32", "steps": 2, "guidance": 1.5,
    }  # fmt: skip
    requests = [c.request for c in fake.clips]
    assert len(requests) == 16 + len(last["buckets"]) > 16
    assert {(r.size, r.steps, r.guidance) for r in requests[:16]} == {("48x32", 2, 1.5)}
    assert {(r.steps, r.guidance) for r in requests} == {(2, 1.5)}
    assert last["words"]["pass"]["prompts"] == 8


BAD = {
    "--split all": ("error: split: 'all': ", "train, validation, test"),
    "--difficulty hard": ("error: difficulty: 'hard': ", "core, single, full"),
    "--suites odd": ("error: suites: 'odd': ", "plain, held_out, together, hand_written"),
    "--suites plain,plain": ("error: suites: 'plain': ", "twice"),
    "--suites=": ("error: suites: '': ", "plain"),
    "--scenes 0": ("error: scenes: 0: ", "from 1 to"),
    "--scenes x": ("error: --scenes: x", "integer"),
    "--buckets -1": ("error: buckets: -1: ", "from 0 to"),
    "--seeds -3": ("error: seeds: -3: ", "from 1 to"),
    "--suites held_out --split train": ("error: suite: 'held_out': ", "name the split test"),
    "--size 64x64": ("error: size: '64x64': ", "nearest"),
    "--steps 0": ("error: steps: 0: ", "from 1 to"),
    "--guidance nan": ("error: guidance: nan: ", "number"),
    "--model no-such-model": ("error: model: 'no-such-model': ",),
    "--out file": ("error: file: ", "is a file"),
    "--out file/scores": ("error: file/scores: ",),
}


@pytest.mark.parametrize("flags", BAD)
def test_what_is_refused(kinema: Kinema, fake: FakeEngine, flags: str) -> None:
    Path("file").touch()
    check_one_line(kinema(*SMALL, *flags.split()), *BAD[flags])
    assert [p.name for p in Path().iterdir()] == ["file"]
    assert fake.batches == []


@pytest.mark.usefixtures("fake")
def test_a_refusal_in_json(kinema: Kinema) -> None:
    (event,) = kinema(*SMALL, "--split", "all", "--json").events
    assert (event["event"], event["field"], event["value"], event["exit_code"]) == ("error", "split", "all", 2)


def test_what_people_wrote_is_told_without_a_floor(kinema: Kinema, fake: FakeEngine, monkeypatch: Any) -> None:
    knowing = examinee_of(fake, Examination(scenes=2, suites=("hand_written",))).judges
    monkeypatch.setattr(judges, "load_judges", lambda: knowing)
    answer = kinema(*SMALL, "--suites", "hand_written", "--words")
    assert answer.code == 0
    assert "kind       100.0%  51% to 100%" in answer.err.splitlines()


def test_ctrl_c_leaves_what_is_known_and_no_page(
    kinema: Kinema, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = fake.generate_batch

    def stopped(requests: Any, *, cancel: CancelToken, **how: Any) -> Any:
        made = make(requests, cancel=cancel, **how)
        cancel.cancel()
        return made

    monkeypatch.setattr(fake, "generate_batch", stopped)
    answer = kinema(*SMALL)
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.splitlines()[-1].startswith("error: cancelled")
    assert [p.name for p in Path("scores").iterdir()] == ["scores.json"]
    found = json.loads(Path("scores/scores.json").read_text(encoding="utf-8"))
    assert "floor" in found
    assert "words" not in found
