"""`kinema generate` and `kinema reproduce` with folders of published families, from the shell's words to the file."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kinema.app import local
from kinema.engine.choose import DtypeChoice, current_isa
from kinema.engine.families.wan import Wan
from kinema.media.picture import read_picture
from kinema.media.recipe import read_recipe
from tests.engine.families.published import Model, hunyuan_video, ltx, picture_file, wan

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema

SMALL = "--frames 5 --size 48x32 --steps 3 --seed 7".split()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No engine of another test, and a measurement of dtypes that says float32 to all."""
    monkeypatch.setattr(local, "_LOADED", {})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("kinema.engine.choose.measure_dtypes", _float32)


def _float32(threads: int, *, device: str = "cpu") -> DtypeChoice:
    return DtypeChoice(dtype="float32", vae_dtype="float32", isa=current_isa(device))


def test_wan_with_two_experts(kinema: Kinema, tmp_path: Path) -> None:
    model = wan(tmp_path / "a14b", boundary=0.875, shift=12.0)
    prompt = "雪地里, a  red “cube” falls"
    flags = ["--model", str(model.folder), *SMALL, "--guidance", "3", "--guidance-2", "2", "--negative", "dark"]
    made = kinema("generate", prompt, *flags, "--out", "frames/", "--json")
    assert made.code == 0, made.err
    _, frames = model.reference(
        [7], prompt=prompt, negative_prompt="dark", num_frames=5, width=48, height=32, num_inference_steps=3,
        guidance_scale=3.0, guidance_scale_2=2.0,
    )  # fmt: skip
    assert_near("frames", frames)
    assert kinema("generate", prompt, *flags, "--out", "a.mp4").code == 0
    request = (read_recipe("a.mp4") or {})["request"]
    assert (request["prompt"], request["guidance"], request["guidance_2"]) == (prompt, 3.0, 2.0)
    again = kinema("reproduce", "a.mp4", "--model", str(model.folder))
    assert (again.code, again.out) == (0, "a.mp4: the same frames\n"), again.err
    nowhere = kinema("reproduce", "a.mp4")
    assert nowhere.code == 2
    assert "error: model: 'a14b': is neither" in nowhere.err
    assert "where its folder is, --model FOLDER says" in nowhere.err
    refused = kinema("generate", "a", "--model", str(model.folder), *SMALL, "--image", "x.png")
    assert refused.code == 2
    assert "keyframes" in refused.err


def test_a_run_that_was_broken_off_goes_on(kinema: Kinema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = wan(tmp_path / "wan")
    flags = [
        "a cube",
        "--model",
        str(model.folder),
        *SMALL[:-2],
        "--guidance",
        "3",
        "--checkpoint",
        "run",
        "--out",
        "frames/",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Wan, "decode", _killed)
        assert kinema("generate", *flags).code != 0
    assert [p.name for p in Path().iterdir()] == ["run"]
    done = kinema("generate", *flags, "--json")
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path().iterdir()) == ["frames"]
    assert not any(e.get("phase") == "denoise" and e["step"] < 3 for e in done.events), "all steps were done before"
    seed = next(e["seed"] for e in done.events if "seed" in e)
    _, frames = model.reference(
        [seed], prompt="a cube", num_frames=5, width=48, height=32, num_inference_steps=3, guidance_scale=3.0
    )
    assert_near("frames", frames)
    refused = kinema("generate", "a cube", "--count", "2", "--checkpoint", "run")
    assert refused.code == 2
    assert "error: checkpoint: " in refused.err


def _killed(*_: object) -> None:
    raise RuntimeError("killed")


def test_hunyuan_video_from_a_picture(kinema: Kinema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hunyuan_video(tmp_path / "i2v", picture="token_replace", transformer={"guidance_embeds": True})
    keyframe, image = picture_file(tmp_path / "first.png")
    flags = ["--model", str(model.folder), *SMALL]
    made = kinema("generate", "the car drives", *flags, "--image", keyframe.media.ref, "--out", "frames/")
    assert made.code == 0, made.err
    _, frames = model.reference(
        [7], prompt="the car drives", image=image, num_frames=5, width=48, height=32, num_inference_steps=3,
        guidance_scale=6.0,
    )  # fmt: skip
    assert_near("frames", frames)
    without = kinema("generate", "the car drives", *flags)
    assert without.code == 2
    assert "can't do without; give a picture" in without.err
    planned = kinema("generate", "the car drives", *flags, "--image", keyframe.media.ref, "--dry-run")
    assert planned.code == 0
    assert "decode: default" in planned.out
    assert "disk:" not in planned.out
    monkeypatch.setattr("kinema.core.memory.FRUGAL_BYTES", 0)
    planned = kinema(
        "generate", "the car drives", *flags, "--image", keyframe.media.ref, "--dry-run", "--decode", "frugal"
    )
    assert re.search(r"^disk: \S+ GB of temporary files in the decode$", planned.out, re.M)


def test_ltx_video(kinema: Kinema, tmp_path: Path) -> None:
    model = ltx(tmp_path / "ltx")
    size = "--frames 9 --size 96x64 --steps 3 --seed 7 --fps 24".split()
    flags = ["--model", str(model.folder), *size, "--guidance", "4", "--negative", "dark"]
    made = kinema("generate", "a  red car", *flags, "--out", "frames/")
    assert made.code == 0, made.err
    _, frames = model.reference(
        [7], prompt="a  red car", negative_prompt="dark", num_frames=9, width=96, height=64, num_inference_steps=3,
        guidance_scale=4.0, frame_rate=24,
    )  # fmt: skip
    assert_near("frames", frames)
    assert kinema("generate", "a  red car", *flags, "--out", "a.mp4").code == 0
    again = kinema("reproduce", "a.mp4", "--model", str(model.folder))
    assert (again.code, again.out) == (0, "a.mp4: the same frames\n"), again.err
    inspected = kinema("models", "inspect", str(model.folder))
    assert inspected.code == 0, inspected.err
    for line in (
        "ltx-video 0.9",
        "AutoencoderKLLTXVideo",
        "up to 257 frames at 25, 24, 30 fps",
        "conditions: keyframes",
    ):
        assert line in inspected.out
    refused = kinema("generate", "a", "--model", str(model.folder), "--frames", "10")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "frames: 10: must be 1 + 8k; nearest: 9 or 17" in refused.err


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_the_judges_do_not_choose_among_its_clips(kinema: Kinema, tmp_path: Path, more: list[str]) -> None:
    folder = wan(tmp_path / "wan").folder
    refused = kinema("generate", "a red car", "--model", str(folder), *SMALL, "--best-of", "2", *more)
    rule = "needs the judges, who know kinema-mini's words alone; leave --best-of out for wan"
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith(f"error: best_of: 2: {rule}")
    assert list(Path().iterdir()) == []


def test_typed_or_piped_a_prompt_makes_the_same_clip(
    kinema: Kinema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--model", str(wan(tmp_path / "wan").folder), *SMALL]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a red car\n")))
    assert kinema("generate", "a red car", *flags, "--out", "typed.mp4").code == 0
    assert kinema("generate", "-", *flags, "--out", "piped.mp4").code == 0
    typed, piped = (read_recipe(f"{name}.mp4") or {} for name in ("typed", "piped"))
    assert typed["request"]["prompt"] == piped["request"]["prompt"] == "a red car"
    assert typed["frames"] == piped["frames"]


def assert_near(folder: str, wanted: np.ndarray) -> None:
    """Asserts that the folder's pictures are ``wanted`` (1 t h w c) up to a grey level."""
    frames = np.stack([read_picture(path) for path in sorted(Path(folder).iterdir())])
    assert np.abs(frames.astype(int) - wanted[0].astype(int)).max() <= 1


def test_a_model_from_python(tmp_path: Path) -> None:
    model: Model = wan(tmp_path / "t2v")
    clip = local.generate(
        "a bird sings", model=str(model.folder), frames=5, size="32x32", steps=2, seed=3, guidance=4.0
    )
    _, frames = model.reference(
        [3], prompt="a bird sings", num_frames=5, width=32, height=32, num_inference_steps=2, guidance_scale=4.0
    )
    assert np.abs(clip.frames.astype(int) - frames[0].astype(int)).max() <= 1
