"""Bad input: one line that names field, value and what would work; exit code 2; no file; a JSON object with --json."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kinema.cli.errors import EXTRAS, problem_of
from kinema.core.errors import Cancelled, StorageError, TrainingError, UnsupportedRequest
from kinema.core.request import MAX_PROMPT_BYTES
from kinema.media.files import AtomicFile
from kinema.media.write import write_picture
from kinema.world import render

if TYPE_CHECKING:
    from tests.cli.conftest import Answer, Kinema
    from tests.conftest import FakeEngine

BAD_USAGE = {
    "generate a --foo": ("option", "--foo", "unknown"),
    "generate a --seeed 3": ("option", "--seeed", "--seed"),
    "generate a --seed x": ("--seed", "x", "must be a valid integer"),
    "generate a --fps 1.x": ("--fps", "1.x", "must be a valid number"),
    "generate a --seed": ("--seed", "none", "needs a value"),
    "generate a b c": ("argument", "b c", "in quotes"),
    "generate": ("prompt", "none", "is required"),
    "generat a": ("command", "generat", "kinema --help"),
    "world sample": ("--out", "none", "is required"),
    "": ("command", "none", "kinema --help"),
    "world": ("command", "none", "kinema world --help"),
    "train": ("command", "none", "kinema train --help"),
    "inspect": ("file", "none", "is required"),
}
BAD_REQUESTS = {
    "--seed -1": ("seed", "from 0 to"),
    "--fps nan": ("fps", "must be a number"),
    "--fps 7": ("fps", "8"),
    "--size 33x32": ("size", "nearest: 32x32"),
    "--size 3": ("size", "WIDTHxHEIGHT"),
    "--aspect 16-9": ("aspect_ratio", "16:9"),
    "--frames 6": ("frames", "nearest: 5 or 9"),
    "--frames 21": ("frames", "at most 17"),
    "--frames 5 --seconds 1": ("frames", "not both"),
    "--seconds 99": ("seconds", "at most 2.12 s"),
    "--camera shaky": ("camera", "static, zoom_in"),
    "--motion 256": ("motion", "from 1 to 255"),
    "--steps 0": ("steps", "from 1 to"),
    "--count 0": ("count", "from 1 to"),
    "--count 2 --seed 9223372036854775807": ("seed", "at most"),
    "--image=": ("media", "must be a path"),
    "--image a.png@9": ("keyframes", "must lie within"),
    "--quality best": ("quality", "standard"),
    "--out a.xyz": ("path", ".mp4"),
    "--out a.png": ("path", "picture"),
    "--out=": ("out", "must name a file"),
}


def check_one_line(answer: Answer, *words: str) -> None:
    """``answer`` is a refusal in one line that holds ``words``."""
    assert answer.code == 2, answer.err
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert answer.err.endswith("\n")
    for word in words:
        assert word in answer.err


@pytest.mark.parametrize("line", BAD_USAGE)
def test_what_the_parser_refuses(kinema: Kinema, line: str) -> None:
    answer = kinema(*line.split())
    check_one_line(answer, *BAD_USAGE[line])
    assert answer.out == ""
    (event,) = (
        kinema(*line.split(), "--json").events if line not in ("", "world", "train", "generate a --seed") else ({},)
    )
    if event:
        field, value, rule = BAD_USAGE[line]
        assert (event["event"], event["exit_code"], event["field"], event["value"]) == ("error", 2, field, value)
        assert rule in event["rule"]


@pytest.mark.parametrize("flags", BAD_REQUESTS)
def test_what_the_model_can_not_do(kinema: Kinema, toy_model: str, fake_engine: FakeEngine, flags: str) -> None:
    field, rule = BAD_REQUESTS[flags]
    answer = kinema("generate", "a", "--model", toy_model, *flags.split())
    check_one_line(answer, f"error: {field}: ", rule)
    assert list(Path().iterdir()) == []
    assert not fake_engine.requests, "refused before anything was made"


@pytest.mark.parametrize(
    "prompt,rule",
    [("", "is empty"), (" \t ", "is empty"), ("a" * 100_000, f"at most {MAX_PROMPT_BYTES}"), ("\udcff", "Unicode")],
)
def test_prompts(kinema: Kinema, prompt: str, rule: str) -> None:
    check_one_line(kinema("generate", prompt), "error: prompt: ", rule)


@pytest.mark.parametrize(
    "data,rule",
    [
        (b"", "is empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"a" * 100_000, f"at most {MAX_PROMPT_BYTES}"),
        ("狗".encode() * 1_000_000, f"at most {MAX_PROMPT_BYTES}"),
    ],
)
def test_standard_input(kinema: Kinema, monkeypatch: pytest.MonkeyPatch, data: bytes, rule: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    check_one_line(kinema("generate", "-"), "error: prompt: ", rule)


def test_models_that_are_not_there(kinema: Kinema, tmp_path: Path) -> None:
    check_one_line(kinema("generate", "a", "--model", "no-such-model"), "error: model: 'no-such-model': ")
    check_one_line(kinema("models", "inspect", "no-such-model"), "error: model: 'no-such-model': ")
    check_one_line(kinema("generate", "a", "--model", str(tmp_path)), "model_index.json")


@pytest.mark.usefixtures("fake_engine")
def test_places_that_can_not_be_written(kinema: Kinema, toy_model: str) -> None:
    check_one_line(
        kinema("generate", "a", "--model", toy_model, "--out", "no/such/folder/a.mp4"),
        "no/such/folder",
        "does not exist",
    )
    Path("file").write_text("x", encoding="utf-8")
    check_one_line(kinema("generate", "a", "--model", toy_model, "--out", "file/a.mp4"), "file")


@pytest.mark.parametrize("verb", ["inspect", "reproduce"])
def test_files_that_can_not_be_read(kinema: Kinema, verb: str) -> None:
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("this is no video", encoding="utf-8")
    for name in ("missing.mp4", "empty.mp4", "text.mp4", "."):
        check_one_line(kinema(verb, name), "error: file: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_is_refused_and_not_waited_for(kinema: Kinema) -> None:
    os.mkfifo("pipe")
    check_one_line(kinema("inspect", "pipe"), "error: file: 'pipe': ", "regular file")


def test_a_path_is_the_same_text_in_json(kinema: Kinema) -> None:
    Path("folder" * 42).mkdir()
    (event,) = kinema("inspect", "folder" * 42, "--json").events
    assert event["value"] == "folder" * 42
    assert event["message"].startswith("file: '...")


def test_places_are_tried_before_the_work(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kinema("generate", "a", "--model", toy_model, "--seed", "3", "--out", "a.mp4").code == 0
    for out in ("b.xyz", "b.png", "no/b.mp4"):
        check_one_line(kinema("reproduce", "a.mp4", "--model", toy_model, "--out", out), "error: ")
    assert len(fake_engine.requests) == 1
    monkeypatch.setattr(render, "render", lambda *_: pytest.fail("it was rendered"))
    for verb in ("sample", "sheet"):
        check_one_line(kinema("world", verb, "--out", "b.xyz"), "error: path: 'b.xyz': ")
    assert [p.name for p in Path().iterdir()] == ["a.mp4"]


@pytest.mark.usefixtures("fake_engine")
def test_a_clip_made_again_may_go_into_a_folder(kinema: Kinema, toy_model: str) -> None:
    line = ("generate", "a", "--model", toy_model, "--seed", "3", "--frames", "5", "--out", "a.mp4")
    assert kinema(*line).code == 0
    assert kinema("reproduce", "a.mp4", "--model", toy_model, "--out", "pictures/").code == 0
    assert len(list(Path("pictures").iterdir())) == 5


def test_a_truth_is_not_left_without_its_clip(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: AtomicFile) -> None:
        raise StorageError(f"{self.target}: no space left on the disk")

    monkeypatch.setattr(AtomicFile, "commit", no_room)
    check_one_line(kinema("world", "sample", "--out", "a.png", "--frames", "1", "--size", "16x16"), "no space")
    assert list(Path().iterdir()) == []


def test_a_clip_without_a_recipe_is_not_reproduced(kinema: Kinema) -> None:
    assert kinema("world", "sheet", "--out", "a.png", "--count", "1", "--frames", "1", "--size", "16x16").code == 0
    check_one_line(kinema("reproduce", "a.png"), "error: file: 'a.png': ", "recipe")


@pytest.mark.parametrize(
    "recipe,words",
    [
        ({"world": {"seed": 7, "split": "test"}}, "kinema world sample --seed 7 --split test"),
        ({"format": 1}, "names no model"),
        ({"format": 1, "model": 3}, "names no model"),
        ({"format": 99, "model": {"name": "toy"}}, "another format"),
        ({"format": 1, "model": {"name": "toy"}}, "has no request"),
        (
            {"format": 1, "model": {"name": "toy"}, "request": 3, "plan": {}, "frames": ""},
            "its request must be an object",
        ),
        (
            {"format": 1, "model": {"name": "toy"}, "request": {}, "plan": [], "frames": ""},
            "its plan must be an object",
        ),
    ],
)
@pytest.mark.usefixtures("fake_engine")
def test_recipes_that_can_not_be_followed(
    kinema: Kinema, toy_model: str, recipe: dict[str, object], words: str
) -> None:
    write_picture("a.png", np.zeros((3, 5, 3), np.uint8), recipe=recipe)
    check_one_line(kinema("reproduce", "a.png", "--model", toy_model), words)


def test_an_error_is_told_as_json_too(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", "a", "--model", toy_model, "--motion", "999", "--json")
    check_one_line(answer, "motion")
    (event,) = answer.events
    assert event == {
        "event": "error",
        "exit_code": 2,
        "message": "motion: 999: must be from 1 to 255",
        "field": "motion",
        "value": "999",
        "rule": "must be from 1 to 255",
    }


@pytest.mark.parametrize(
    "error,code,words",
    [
        (UnsupportedRequest("size", "3x3", "must be larger"), 2, "size: '3x3': must be larger"),
        (StorageError("x: no space"), 2, "no space"),
        (TrainingError("diverged"), 1, "diverged"),
        (Cancelled("cancelled during decode"), 130, "during decode"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (
            ModuleNotFoundError("No module named 'transformers'", name="transformers.models"),
            2,
            "pip install 'kinema[text]'",
        ),
        (PermissionError(13, "Permission denied", "/x"), 2, "file: /x: Permission denied"),
        (ValueError("two\nlines"), 1, "internal: ValueError"),
        (ImportError("cannot import name", name="kinema.core"), 1, "internal: ImportError"),
    ],
)
def test_every_kind_of_error_has_a_code_and_a_line(error: BaseException, code: int, words: str) -> None:
    problem = problem_of(error)
    assert problem.exit_code == code
    assert words in problem.message


def test_every_extra_that_is_named_brings_what_is_missing() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    distributions = {"cv2": "opencv-python-headless", "scenedetect": "scenedetect-headless"}
    for module, extra in EXTRAS.items():
        listed = re.search(rf"^{extra} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
        assert listed, extra
        assert f'"{distributions.get(module, module.replace("_", "-"))}' in listed[1], module


def test_a_bug_shows_its_traceback_on_demand(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug\nof two lines")

    fake_engine.on_step = fail
    answer = kinema("generate", "a", "--model", toy_model, "--out", "a.mp4")
    assert answer.code == 1
    last = answer.err.splitlines()[-1]
    assert last.startswith("error: internal: ZeroDivisionError: a bug of two lines")
    assert list(Path().iterdir()) == []
    monkeypatch.setenv("KINEMA_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        kinema("generate", "a", "--model", toy_model, "--out", "a.mp4")
