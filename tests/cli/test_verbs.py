"""The other verbs: inspect, models, doctor, world, train; help and version."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinema.app import doctor, train
from kinema.cli.main import GROUPS, VERBS
from kinema.core.progress import Progress
from kinema.core.version import VERSION
from kinema.media.read import read_video
from kinema.media.recipe import read_recipe

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema
    from tests.conftest import FakeEngine

WORDS = [
    [],
    *([word] for word in (*VERBS, *GROUPS)),
    *([group, verb] for group, (_, verbs) in GROUPS.items() for verb in verbs),
]
COMMANDS = [" ".join(words) for words in WORDS if words and words[-1] not in GROUPS]


@pytest.mark.parametrize("words", WORDS, ids=lambda w: " ".join(w) or "kinema")
def test_every_verb_helps(kinema: Kinema, words: list[str]) -> None:
    answer = kinema(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: kinema {' '.join(words)}".rstrip())


@pytest.mark.parametrize("words", WORDS, ids=lambda w: " ".join(w) or "kinema")
def test_helps_name_commands_that_exist(kinema: Kinema, words: list[str]) -> None:
    # lines are broken anywhere
    text = " ".join(kinema(*words, "--help").out.split())
    for named in re.findall(r"`kinema ([^`]+)`", text):
        assert any(f"{named} ".startswith(f"{known} ") for known in COMMANDS), f"`kinema {named}`"


def test_the_version(kinema: Kinema) -> None:
    assert kinema("--version").out == f"kinema {VERSION}\n"


@pytest.mark.usefixtures("fake_engine")
def test_inspect_shows_media_and_recipe(kinema: Kinema, toy_model: str) -> None:
    assert kinema("generate", "a 小狗", "--model", toy_model, "--seed", "3", "--out", "a.mp4").code == 0
    (found,) = kinema("inspect", "a.mp4", "--json").events
    assert found["event"] == "file"
    assert (found["media"]["codec"], found["media"]["frames"], found["media"]["width_px"]) == ("h264", 9, 32)
    assert found["recipe"]["request"]["seed"] == 3
    text = kinema("inspect", "a.mp4").out
    assert "codec: h264" in text
    assert "prompt: a 小狗" in text


def test_inspect_says_that_there_is_no_recipe(kinema: Kinema) -> None:
    Path("a.ppm").write_bytes(b"P6 3 2 255 " + bytes(18))
    assert "recipe: none" in kinema("inspect", "a.ppm").out
    assert kinema("inspect", "a.ppm", "--json").events[0]["recipe"] is None


def test_reproduce_says_whether_the_frames_are_the_same(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine
) -> None:
    assert kinema("generate", "a", "--model", toy_model, "--seed", "3", "--out", "a.mp4").code == 0
    same = kinema("reproduce", "a.mp4", "--model", toy_model)
    assert (same.code, same.out) == (0, "a.mp4: the same frames\n")
    fake_engine.offset = 1
    other = kinema("reproduce", "a.mp4", "--model", toy_model, "--out", "b.mp4", "--json")
    assert other.code == 1
    outcome = other.events[-1]
    assert (outcome["event"], outcome["is_same"]) == ("reproduction", False)
    assert outcome["differences"] == ["versions.kinema: 0.0 then, 0.1 now"]
    assert outcome["expected"] != outcome["found"]
    assert read_recipe("b.mp4") is not None
    assert kinema("reproduce", "a.mp4", "--model", toy_model, "--out", "b.mp4").err.startswith(
        "error: out: 'b.mp4': exists"
    )


def test_reproduce_refuses_other_weights(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    assert kinema("generate", "a", "--model", toy_model, "--seed", "3", "--out", "a.mp4").code == 0
    (Path(toy_model) / "model_index.json").write_text('{"_class_name": "Other"}', encoding="utf-8")
    answer = kinema("reproduce", "a.mp4", "--model", toy_model)
    assert answer.code == 2
    assert "made with other weights" in answer.err
    assert len(fake_engine.requests) == 1


def test_doctor_runs_every_check(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> doctor.Finding:
        raise RuntimeError("no such library")

    monkeypatch.setitem(doctor.CHECKS, "broken", broken)
    answer = kinema("doctor", "--json")
    assert answer.code == 1
    found = {e["name"]: e for e in answer.events}
    assert list(found) == list(doctor.CHECKS)
    assert not found["broken"]["is_well"]
    assert "no such library" in found["broken"]["value"]
    assert all(
        found[name]["is_well"] for name in ("python", "kinema", "torch", "processor", "matrix products", "video")
    )
    assert "GFLOP/s" in found["matrix products"]["value"]


def test_doctor_is_well_when_all_is(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"python": doctor.CHECKS["python"]})
    answer = kinema("doctor")
    assert answer.code == 0
    assert answer.out.startswith("ok  python")


def test_world_sample_writes_clip_and_truth(kinema: Kinema) -> None:
    line = "world sample --seed 7 --out a.mp4 --frames 3 --size 48x32"
    answer = kinema(*line.split())
    assert (answer.code, answer.out) == (0, "a.mp4\na.json\n")
    assert read_video("a.mp4").frames.shape == (3, 32, 48, 3)
    truth = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert (truth["seed"], truth["split"], truth["shape"]["frames"]) == (7, "train", 3)
    assert {"scene", "camera", "captions", "motion_score"} <= set(truth)
    assert kinema(*line.split()).err.startswith("error: out: 'a.mp4': exists already")
    assert kinema(*line.split(), "--force").code == 0
    recipe = kinema("inspect", "a.mp4", "--json").events[0]["recipe"]
    assert recipe["world"]["scene"] == truth["scene"]


def test_world_sample_refuses_to_write_its_truth_over_its_clip(kinema: Kinema) -> None:
    assert kinema("world", "sample", "--out", "a.json").err.startswith("error: out: 'a.json': ")


def test_world_sheet_is_a_row_a_scene(kinema: Kinema) -> None:
    answer = kinema(
        "world", "sheet", "--out", "a.png", "--count", "3", "--first", "5", "--frames", "2", "--size", "24x16", "--json"
    )
    assert answer.code == 0
    sheet = next(e for e in answer.events if e["event"] == "sheet")
    assert len(sheet["captions"]) == 3
    assert [e["step"] for e in answer.events if e["event"] == "progress"] == [1, 2, 3]
    (picture,) = read_video("a.png").frames
    assert picture.shape[0] > 3 * 16


@pytest.mark.parametrize(
    "flags,field",
    [("--device tpu", "device"), ("--budget 0", "budget"), ("--budget nan", "budget"), ("--workers -1", "workers")],
)
@pytest.mark.parametrize("verb", ["mini", "judges"])
def test_training_has_bounds(kinema: Kinema, verb: str, flags: str, field: str) -> None:
    answer = kinema("train", verb, *flags.split())
    assert answer.code == 2
    assert answer.err.startswith(f"error: {field}: ")
    assert list(Path().iterdir()) == []


def test_train_mini_goes_on_from_a_model(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = kinema("train", "mini", "--start", "no-such-model")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith("error: model: 'no-such-model': is neither a shipped model")
    assert list(Path().iterdir()) == []

    def trained(out: str, **how: Any) -> tuple[Path, dict[str, Any]]:
        return Path(out) / "model", {"start": how["start"]}

    monkeypatch.setattr(train, "train_mini", trained)
    for flags, start in ((["--start", "kinema-mini"], "kinema-mini"), ([], None)):
        *_, result = kinema("train", "mini", *flags, "--json").events
        assert result == {"event": "training", "model": "runs/mini/model", "phases": {"start": start}}


def test_train_judges_tells_where_they_are(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(out: str, **how: Any) -> tuple[Path, dict[str, Any]]:
        how["observer"](Progress(phase="train", step=1, steps=2))
        return Path(out) / "judges", {name: how[name] for name in ("budget_minutes", "device", "workers")}

    monkeypatch.setattr(train, "train_judges", trained)
    line = "train judges --out runs/a --budget 3 --workers 2"
    assert kinema(*line.split()).out == "runs/a/judges\n"
    progress, result = kinema(*line.split(), "--json").events
    assert (progress["event"], progress["phase"]) == ("progress", "train")
    card = {"budget_minutes": 3.0, "device": "cpu", "workers": 2}
    assert result == {"event": "training", "judges": "runs/a/judges", "card": card}


@pytest.mark.parametrize("count", ["0", "-1", "257"])
def test_world_sheet_has_bounds(kinema: Kinema, count: str) -> None:
    assert kinema("world", "sheet", "--out", "a.png", "--count", count).err.startswith("error: count: ")
