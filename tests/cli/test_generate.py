"""`kinema generate` with a fake engine and real files."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinema.cli.fields import read_prompt
from kinema.media.read import read_video

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema
    from tests.conftest import FakeEngine

pytestmark = pytest.mark.usefixtures("fake_engine")


def files(folder: Path | None = None) -> list[str]:
    """Everything in ``folder``, hidden files too: half-written ones are hidden."""
    return sorted(p.name for p in (folder or Path()).iterdir())


def test_a_sentence_becomes_a_file_named_on_stdout(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", "a puppy plays in the park", "--model", toy_model, "--seed", "7", "--out", "a.mp4")
    assert (answer.code, answer.out) == (0, "a.mp4\n")
    assert files() == ["a.mp4"]
    assert "seed 7" in answer.err
    assert read_video("a.mp4").frames.shape == (9, 32, 32, 3)


def test_every_flag_reaches_the_request(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    flags = "--frames 5 --size 48x32 --fps 8 --steps 3 --guidance 1.5 --seed 11 --motion 13 --camera zoom_in --negative blur"
    picture = ["--image", "x.png", "--image", "y.png@0.5"]
    answer = kinema("generate", " ａ puppy ", "--model", toy_model, *picture, *flags.split(), "--out", "a.gif")
    assert answer.code == 0, answer.err
    (request,) = fake_engine.requests
    assert request.to_dict() == {
        "prompt": "a puppy",
        "negative_prompt": "blur",
        "frames": 5,
        "size": "48x32",
        "fps": 8.0,
        "seed": 11,
        "steps": 3,
        "guidance": 1.5,
        "model": toy_model,
        "keyframes": [{"media": "x.png", "at_s": 0.0}, {"media": "y.png", "at_s": 0.5}],
        "camera": "zoom_in",
        "motion": 13,
    }


def test_seconds_and_aspect_choose_the_nearest_that_the_model_makes(kinema: Kinema, toy_model: str) -> None:
    assert (
        kinema("generate", "a", "--model", toy_model, "--seconds", "1.6", "--aspect", "16:9", "--out", "a.mp4").code
        == 0
    )
    assert read_video("a.mp4").frames.shape == (13, 32, 48, 3)


@pytest.mark.parametrize(
    "prompt,name",
    [
        ("A puppy plays, in the park!", "a-puppy-plays-in-the-park-3.mp4"),
        ("一只小狗在公园里玩耍", "一只小狗在公园里玩耍-3.mp4"),
        ("../../etc/passwd", "etc-passwd-3.mp4"),
        ("!?", "clip-3.mp4"),
        ("x" * 99, "x" * 40 + "-3.mp4"),
    ],
)
def test_without_a_name_prompt_and_seed_make_one(kinema: Kinema, toy_model: str, prompt: str, name: str) -> None:
    answer = kinema("generate", prompt, "--model", toy_model, "--seed", "3")
    assert answer.out == f"{name}\n"
    assert files() == [name]


def test_without_a_seed_a_fresh_one_is_shown_and_used(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    for name in ("a.mp4", "b.mp4"):
        assert kinema("generate", "a", "--model", toy_model, "--out", name).code == 0
    first, second = (r.seed for r in fake_engine.requests)
    assert first != second


def test_one_frame_is_a_picture(kinema: Kinema, toy_model: str) -> None:
    assert kinema("generate", "a puppy", "--model", toy_model, "--frames", "1", "--seed", "1").out == "a-puppy-1.png\n"


def test_a_folder_of_pictures(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", "a", "--model", toy_model, "--frames", "5", "--out", "pictures/")
    assert answer.code == 0, answer.err
    assert len(files(Path("pictures"))) == 5
    assert "exists already" in kinema("generate", "a", "--model", toy_model, "--out", "pictures/").err


def test_several_clips_have_numbers_and_seeds_upwards(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    answer = kinema("generate", "a", "--model", toy_model, "--count", "3", "--seed", "5", "--out", "a.mp4", "--json")
    assert files() == ["a-1.mp4", "a-2.mp4", "a-3.mp4"]
    assert [r.seed for r in fake_engine.requests] == [5, 6, 7]
    clips = [e for e in answer.events if e["event"] == "clip"]
    assert [(c["path"], c["seed"]) for c in clips] == [("a-1.mp4", 5), ("a-2.mp4", 6), ("a-3.mp4", 7)]
    assert len({c["digest"] for c in clips}) == 3
    assert {e["sample"] for e in answer.events if e["event"] == "progress"} == {0, 1, 2}


def test_json_is_one_object_a_line_and_nothing_else(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", "a purple tuba", "--model", toy_model, "--out", "a.mp4", "--json")
    assert (answer.code, answer.err) == (0, "")
    kinds = [e["event"] for e in answer.events]
    assert set(kinds) == {"note", "progress", "clip"}
    denoise = [e for e in answer.events if e.get("phase") == "denoise"]
    assert [(e["step"], e["steps"], e["eta_s"]) for e in denoise] == [(1, 3, 2.0), (2, 3, 1.0), (3, 3, 0.0)]
    clip = answer.events[-1] if kinds[-1] == "clip" else pytest.fail("the clip comes last")
    assert (clip["frames"], clip["width_px"], clip["height_px"], clip["fps"]) == (9, 32, 32, 8.0)
    assert clip["recipe"]["request"]["prompt"] == "a purple tuba"


def test_words_that_the_model_does_not_know_are_named(kinema: Kinema, toy_model: str) -> None:
    answer = kinema("generate", "a puppy plays the tuba", "--model", toy_model, "--out", "a.mp4")
    assert "note: toy was not trained on: tuba" in answer.err


def test_the_prompt_comes_from_standard_input(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\ufeff一只小狗\n".encode())))
    assert kinema("generate", "-", "--model", toy_model, "--out", "a.mp4").code == 0
    assert fake_engine.requests[0].prompt == "一只小狗"


@pytest.mark.parametrize(
    "typed, read",
    [("a red car\n", "a red car"), ("a  car\r\n", "a  car"), ("a\n\n", "a\n"), ("a\r", "a\r"), (" a ", " a ")],
)
def test_standard_input_loses_the_newline_at_its_end_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, typed: str, read: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    assert read_prompt("-") == read
    assert read_prompt(typed) == typed


@pytest.mark.parametrize(
    "flags, rule",
    [
        (["--checkpoint", "x.mp4", "--out", "x.mp4"], "is the clip's own file; name another"),
        (["--checkpoint", "./no/../x.mp4", "--out", "x.mp4"], "is the clip's own file; name another"),
        (["--checkpoint", "link.mp4", "--out", "x.mp4"], "is the clip's own file; name another"),
        (["--checkpoint", "a-puppy-3.mp4", "--seed", "3"], "is the clip's own file; name another"),
        (["--checkpoint", "frames/run", "--out", "frames/"], "lies in the clip's own folder; name another place"),
        (["--checkpoint", " "], "must name a file"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_run_is_not_kept_in_the_clip_s_own_file(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, flags: list[str], rule: str, more: list[str]
) -> None:
    Path("no").mkdir()
    Path("link.mp4").symlink_to("x.mp4")
    answer = kinema("generate", "a puppy", "--model", toy_model, *flags, *more)
    assert (answer.code, answer.err) == (2, f"error: checkpoint: {flags[1]!r}: {rule}\n")
    assert files() == ["link.mp4", "no"]
    assert not fake_engine.requests


def test_a_file_is_replaced_with_force_alone(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    Path("a-2.mp4").write_bytes(b"precious")
    call = ("generate", "a", "--model", toy_model, "--count", "2", "--out", "a.mp4")
    answer = kinema(*call)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: out: 'a-2.mp4': exists already; --force replaces it, --out names another\n"
    assert files() == ["a-2.mp4"]
    assert not fake_engine.requests, "refused before anything was made"
    assert kinema(*call, "--force").code == 0
    assert Path("a-2.mp4").read_bytes() != b"precious"


def test_a_dry_run_makes_nothing(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    answer = kinema("generate", "a", "--model", toy_model, "--seed", "5", "--count", "2", "--dry-run", "--json")
    assert answer.code == 0
    (plan,) = answer.events
    assert plan["event"] == "plan"
    assert [c["seed"] for c in plan["clips"]] == [5, 6]
    assert plan["estimate"]["total_flops"] > 0
    assert plan["estimate"]["peak_bytes"] == max(plan["estimate"]["memory_bytes"].values()) > 250e6, "torch's own, too"
    offered = {(way["offload"], way["quantise"]): way["peak_bytes"] for way in plan["placements"]}
    assert offered["none", "none"] == plan["estimate"]["peak_bytes"] >= offered["disk", "none"]
    assert ("disk", "int8") not in offered
    assert plan["shape"] == {"frames": 9, "height_px": 32, "width_px": 32, "fps": 8.0}
    text = kinema("generate", "a", "--model", toy_model, "--seed", "5", "--dry-run")
    assert "32x32, 9 frames at 8 fps" in text.out
    assert f"memory: load {plan['estimate']['memory_bytes']['load'] / 1e9:.2g} GB," in text.out
    assert "--offload disk --quantise none: " in text.out
    assert "--offload none --quantise none: " not in text.out, "that is the plan itself"
    assert files() == []
    assert not fake_engine.requests


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_next_step_and_leaves_no_file(
    kinema: Kinema, toy_model: str, fake_engine: FakeEngine, number: signal.Signals
) -> None:
    pressed = []

    def press() -> None:
        if len(fake_engine.requests) == 2 and not pressed:
            pressed.append(True)
            signal.raise_signal(number)

    fake_engine.on_step = press
    answer = kinema("generate", "a", "--model", toy_model, "--count", "3", "--out", "a.mp4", "--json")
    assert answer.code == 130
    assert answer.err == "error: cancelled during denoise\n"
    assert answer.events[-1] | {"event": "error", "exit_code": 130} == answer.events[-1]
    assert files() == ["a-1.mp4"], "clips that were finished stay, the one at hand leaves nothing"


def test_a_second_ctrl_c_stops_at_once(kinema: Kinema, toy_model: str, fake_engine: FakeEngine) -> None:
    def press() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the step went on")

    fake_engine.on_step = press
    answer = kinema("generate", "a", "--model", toy_model, "--out", "a.mp4")
    assert (answer.code, answer.err.splitlines()[-1]) == (130, "error: interrupted")
    assert files() == []
