"""`kinema world`: scenes by seed, file and word, their truth, sheets, edits and timing; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kinema.media.read import read_video
from kinema.world import render

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema

SMALL = ("--frames", "3", "--size", "32x16")
SCENE = {"subjects": [{"kind": "puppy", "colour": "red", "action": "play"}], "place": "park", "time": "day"}


def test_truth_is_printed_and_nothing_is_drawn(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinema("world", "sample", "--seed", "4", "--out", "a.mp4", *SMALL).code == 0
    monkeypatch.setattr(render, "render", lambda *_: pytest.fail("it was rendered"))
    answer = kinema("world", "truth", "--seed", "4", *SMALL)
    assert json.loads(answer.out) == json.loads(Path("a.json").read_text(encoding="utf-8"))
    (event,) = kinema("world", "truth", "--seed", "4", *SMALL, "--json").events
    assert (event["event"], event["difficulty"]) == ("truth", "full")


def test_a_scene_by_hand_and_its_truth_file_are_both_scenes(kinema: Kinema) -> None:
    Path("scene.json").write_text(json.dumps({**SCENE, "camera": "truck_left"}), encoding="utf-8")
    assert (
        kinema("world", "sample", "--scene", "scene.json", "--out", "a.png", "--frames", "1", "--size", "16x16").code
        == 0
    )
    one, two = (json.loads(kinema("world", "truth", "--scene", f, *SMALL).out) for f in ("scene.json", "a.json"))
    assert one["scene"] == two["scene"]
    assert (one["file"], one["scene"]["camera"]) == ("scene.json", "pan_left")
    answer = kinema("reproduce", "a.png")
    assert "kinema world sample --scene scene.json" in answer.err


def test_words_replace_those_of_the_scene(kinema: Kinema) -> None:
    flags = "--kind ball --colour pink --action knock_over --place park --time night --weather snow --style cartoon"
    scene = json.loads(kinema("world", "truth", "--seed", "3", *flags.split(), *SMALL).out)["scene"]
    first = scene["subjects"][0]
    assert (first["kind"], first["colour"], first["action"], first["target"]) == ("ball", "pink", "knock_over", 1)
    assert (scene["place"], scene["time"], scene["weather"], scene["style"]) == ("park", "night", "snow", "cartoon")


@pytest.mark.parametrize(
    "word", ["--kind boat", "--kind fish", "--action pour", "--place room", "--weather fog", "--action fly"]
)
def test_what_is_not_asked_for_gives_way(kinema: Kinema, word: str) -> None:
    flag, value = word.split()
    for seed in range(6):
        (event,) = kinema(
            "world", "truth", "--seed", str(seed), *word.split(), "--frames", "1", "--size", "8x8", "--json"
        ).events
        assert value in (event["scene"].get(flag[2:]), event["scene"]["subjects"][0].get(flag[2:]))


def test_outputs_go_beside_the_clip(kinema: Kinema) -> None:
    line = ("world", "sample", "--seed", "3", "--out", "a.mp4", *SMALL, "--outputs", "depth,masks,flow,sketch,pose")
    answer = kinema(*line)
    assert answer.code == 0
    assert answer.out.split() == [
        "a.mp4", "a.json", "a.depth.npy", "a.masks.npy", "a.flow.npy", "a.sketch.mp4", "a.pose.mp4",
    ]  # fmt: skip
    count = len(json.loads(Path("a.json").read_text(encoding="utf-8"))["subjects"])
    shapes = {name: np.load(f"a.{name}.npy").shape for name in ("depth", "masks", "flow")}
    assert shapes == {"depth": (3, 16, 32), "masks": (count, 3, 16, 32), "flow": (3, 16, 32, 2)}
    assert read_video("a.sketch.mp4").frames.shape == (3, 16, 32, 3)
    Path("a.mp4").unlink()
    assert "a.json" in kinema(*line).err
    assert not Path("a.mp4").exists()


@pytest.mark.parametrize(
    "flag,rows", [("--weathers", 5), ("--places", 10), ("--kinds", 39), ("--cameras", 17), ("--actions", 21)]
)
def test_galleries_have_a_row_a_word(kinema: Kinema, flag: str, rows: int) -> None:
    answer = kinema(
        "world",
        "sheet",
        flag,
        "--first",
        "2",
        "--out",
        "a.png",
        "--frames",
        "1",
        "--size",
        "8x8",
        "--columns",
        "1",
        "--json",
    )
    assert answer.code == 0, answer.err
    sheet = answer.events[-1]
    assert len(sheet["captions"]) == len(sheet["words"]) == rows
    assert read_video("a.png").frames.shape[1] == 2 + rows * 10


def test_an_edit_is_a_folder(kinema: Kinema) -> None:
    answer = kinema("world", "edit", "--seed", "4", "--kind", "recolour", "--out", "e", *SMALL)
    assert (answer.code, answer.out) == (0, "e\n")
    names = ["after.mp4", "before.mp4", "edit.json", "mask.mp4", "mask.npy", "reference.png"]
    assert sorted(p.name for p in Path("e").iterdir()) == names
    facts = json.loads(Path("e/edit.json").read_text(encoding="utf-8"))
    assert set(facts["instructions"]) == {"en", "zh"}
    one, two = (facts[moment]["subjects"][facts["subject"]]["colour"] for moment in ("before", "after"))
    assert one != two
    assert np.load("e/mask.npy").any()
    assert kinema("world", "edit", "--seed", "4", "--out", "e", *SMALL).err.startswith("error: out: 'e': exists")
    assert kinema("world", "edit", "--seed", "4", "--out", "e", *SMALL, "--kind", "time", "--force").code == 0
    assert not Path("e/reference.png").exists()
    Path("mine").mkdir()
    Path("mine/file").touch()
    assert kinema("world", "edit", "--out", "mine", *SMALL, "--force").code == 2
    assert [p.name for p in Path("mine").iterdir()] == ["file"]


def test_bench_is_a_line_of_json(kinema: Kinema) -> None:
    found = json.loads(kinema("world", "bench", "--frames", "1", "--size", "16x16", "--difficulty", "core").out)
    assert found["megapixels_per_s"] > 0
    assert found["least"] <= found["megapixels_per_s"] <= found["most"]


BAD = {
    "sample --out a.mp4 --kind boatt": ("kind: 'boatt'", "boat"),
    "sample --out a.mp4 --camera shaky": ("camera: 'shaky'", "zoom_in"),
    "sample --out a.mp4 --kind boat --place park": ("place: 'park'", "beach, coast, lake"),
    "sample --out a.mp4 --kind house --action run": ("action: 'run'", "stand, spin, jump"),
    "sample --out a.mp4 --place room --weather rain": ("weather: 'rain'", "clear"),
    "sample --out a.mp4 --difficulty hard": ("difficulty: 'hard'", "core, single, full"),
    "sample --out a.mp4 --split all": ("split: 'all'", "train"),
    "sample --out a.mp4 --seed -1": ("seed: -1", "at least 0"),
    "sample --out a.mp4 --size 4x4": ("size: '4x4'", "from 8 to"),
    "sample --out a.mp4 --size 99999x16": ("size: '99999x16'", "from 8 to"),
    "sample --out a.mp4 --size 8192x8192 --frames 100": ("frames: 100", "at most 8 work"),
    "sample --out a.mp4 --frames 0": ("frames: 0", "at least 1"),
    "sample --out a.mp4 --outputs rgb,heat": ("outputs: 'heat'", "depth"),
    "sample --out a.mp4 --scene missing.json": ("scene: 'missing.json'", "is no file"),
    "sheet --out a.png --kinds --places": ("sheet: '--kinds --places'", "one gallery"),
    "sheet --out a.png --kinds --kind car": ("kind: 'car'", "every kind"),
    "sheet --out a.png --columns 0": ("columns: 0", "from 1 to"),
    "edit --out e --kind paint": ("edit: 'paint'", "recolour"),
    "edit --out no/such/e": ("no/such", "does not exist"),
    "bench --device tpu": ("device: 'tpu'", "cpu"),
}


@pytest.mark.parametrize("line", BAD)
def test_what_does_not_go(kinema: Kinema, line: str) -> None:
    answer = kinema("world", *line.split())
    assert answer.code in (1, 2) if "no/such" in line else answer.code == 2, answer.err
    assert answer.err.count("\n") == 1
    for words in BAD[line]:
        assert words in answer.err
    assert list(Path().iterdir()) == []


BAD_SCENES = {
    "": ("scene", "JSON"),
    json.dumps(SCENE)[:-9]: ("scene", "JSON"),
    "[]": ("scene", "object"),
    "[" * 100_000: ("scene", "can't be read"),
    "{}": ("scene.subjects", "required"),
    json.dumps({**SCENE, "planet": "mars"}): ("scene.planet", "unknown field"),
    json.dumps({**SCENE, "place": "moon"}): ("place: 'moon'", "snowfield"),
    json.dumps({**SCENE, "place": ["park"]}): ("place: ", "snowfield"),
    json.dumps({**SCENE, "time": None}): ("time: ", "sunset"),
    json.dumps({**SCENE, "camera": "shaky"}): ("camera: 'shaky'", "zoom_in"),
    json.dumps({**SCENE, "subjects": []}): ("subjects: ", "1 to 3"),
    json.dumps({**SCENE, "subjects": "puppy"}): ("subjects: 'puppy'", "list"),
    json.dumps({**SCENE, "subjects": [{**SCENE["subjects"][0], "kind": "dragon"}]}): (
        "subject.kind: 'dragon'",
        "puppy",
    ),
    json.dumps({**SCENE, "subjects": [{**SCENE["subjects"][0], "size": 10**400}]}): ("subject.size", "0.5 to 1.5"),
    json.dumps({**SCENE, "subjects": [{**SCENE["subjects"][0], "x": float("nan")}]}): ("subject.x", "-2 to 2"),
    json.dumps({**SCENE, "subjects": [{**SCENE["subjects"][0], "x": 2.0}], "span": 99}): ("span: 99", "2 to 5"),
}


@pytest.mark.parametrize("text", BAD_SCENES, ids=range(len(BAD_SCENES)))
def test_scenes_that_are_none(kinema: Kinema, text: str) -> None:
    Path("scene.json").write_text(text, encoding="utf-8")
    answer = kinema("world", "truth", "--scene", "scene.json")
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    for words in BAD_SCENES[text]:
        assert words in answer.err
