"""Judging files: any rate, size and kind; beside a scene; and what is refused."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from kinema.app import judge
from kinema.app.judge import Judged, judge_clip
from kinema.core.errors import InvalidInput, MediaError, WeightsError
from kinema.core.geometry import VideoShape
from kinema.evaluation import judges
from kinema.evaluation.judges import Judges, Verdict
from kinema.evaluation.questions import asked
from kinema.media.write import write_picture, write_video
from kinema.models.judges.clip import ClipJudge
from kinema.models.judges.frame import FrameJudge
from tests.evaluation.fakes import subject, surely, verdict_of
from tests.evaluation.test_floors import truth
from tests.training.judged import CLIP, FRAME
from tests.world.scenes import make, three


class Looking:
    """Judges that say ``say`` of a clip of what shape they are shown, and note the shapes."""

    def __init__(self, say: Callable[[VideoShape], Verdict]) -> None:
        self.say, self.shown = say, list[VideoShape]()

    def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
        count, height, width, _ = frames.shape
        self.shown.append(VideoShape(frames=count, height_px=height, width_px=width, fps=fps))
        return self.say(self.shown[-1])


SCENE = three(camera="pan_left")


def true(shape: VideoShape) -> Verdict:
    """What is true of `SCENE`."""
    return surely(truth(SCENE, shape))


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Looking:
    """Judges that always see `SCENE`."""
    looking = Looking(true)
    monkeypatch.setattr(judges, "load_judges", lambda: looking)
    return looking


def clip(path: Path, *, frames: int, fps: float, size: tuple[int, int] = (48, 32)) -> str:
    """A file of moving stripes."""
    width, height = size
    stripes = (np.arange(width)[None, :, None] + 4 * np.arange(frames)[:, None, None, None]) % 64 * 4
    pixels = np.broadcast_to(stripes, (frames, height, width, 3)).astype(np.uint8)
    write_video(path, pixels, fps=fps)
    return str(path)


@pytest.mark.parametrize(
    "name, frames, fps, shown, rate",
    [
        ("a.mp4", 17, 8, 17, 8),
        ("a.mp4", 49, 24, 17, 8),
        ("a.mov", 60, 30, 16, 8),
        ("a.mp4", 9, 4, 9, 4),  # as it is, and not every frame twice
        ("a.mp4", 8, 2.5, 8, 2.5),
        ("a.gif", 10, 10, 8, 8),
        ("a.webp", 9, 8, 9, 8),
        ("a.png", 1, 1, 1, 8),
        ("a.mp4", 1, 8, 1, 8),
    ],
)
def test_any_rate_and_kind(
    looking: Looking, tmp_path: Path, name: str, frames: int, fps: float, shown: int, rate: float
) -> None:
    found = judge_clip(clip(tmp_path / name, frames=frames, fps=fps))
    assert looking.shown == [VideoShape(frames=shown, height_px=32, width_px=48, fps=rate)]
    assert (found.path, found.agreement) == (tmp_path / name, None)


@pytest.mark.parametrize(
    "size, shown", [((16, 8), (16, 8)), ((640, 320), (512, 256)), ((320, 640), (256, 512)), ((300, 300), (256, 256))]
)
def test_large_clips_are_read_smaller(
    looking: Looking, tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    judge_clip(clip(tmp_path / "a.mp4", frames=2, fps=8, size=size))
    assert (looking.shown[0].width_px, looking.shown[0].height_px) == shown


def test_it_is_compared_with_a_scene(looking: Looking, tmp_path: Path) -> None:
    file = clip(tmp_path / "a.mp4", frames=9, fps=8)
    (tmp_path / "scene.json").write_text(json.dumps(SCENE.to_dict()), encoding="utf-8")
    (tmp_path / "truth.json").write_text(json.dumps({"version": 1, "scene": SCENE.to_dict()}), encoding="utf-8")
    for name in ("scene.json", "truth.json"):
        found = judge_clip(file, scene=str(tmp_path / name))
        assert found.agreement is not None
        assert {row["share"] for row in found.agreement["right"].values()} == {1.0}
        assert found.agreement["errors"]["camera_degrees"]["median"] == 0
        assert found.lines()[-1] == "agrees with the scene"
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["agreement"]["right"]["kind"]["asked"] == 3
    looking.say = lambda shape: replace(true(shape), place="beach", camera="static")
    found = judge_clip(file, scene=str(tmp_path / "scene.json"))
    assert found.lines()[-1] == "differs from the scene in place, camera"


def test_a_slow_clip_is_compared_at_its_own_rate(looking: Looking, tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text(json.dumps(SCENE.to_dict()), encoding="utf-8")
    found = judge_clip(clip(tmp_path / "a.mp4", frames=9, fps=4), scene=str(tmp_path / "scene.json"))
    assert looking.shown[0].fps == 4
    assert found.agreement is not None
    assert {row["median"] for row in found.agreement["errors"].values()} == {0.0}


def test_a_verdict_in_words() -> None:
    seen = verdict_of(asked(make("car", "walk", camera="zoom_in"), language="en", seed=0))
    sure = {"place": 0.91, "time": 0.82, "weather": 0.73, "style": 0.64, "camera": 0.55}
    seen = replace(
        seen, sureness=sure, subjects=(subject("car", "red", "walk", sureness={"kind": 0.9, "colour": 0.4}),)
    )
    judged = Judged(path=Path("a.mp4"), verdict=seen, agreement=None)
    assert judged.lines() == [
        "red car, walk (40%)",
        "park (91%), day (82%), clear (73%), toy (64%); camera zoom_in (55%), motion 40",
    ]
    assert replace(judged, verdict=replace(seen, subjects=())).lines()[0] == "no subject"
    assert "agreement" not in judged.to_dict()
    assert judged.to_dict()["path"] == "a.mp4"


def test_real_judges_say_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Judges(FrameJudge(FRAME), ClipJudge(CLIP))
    monkeypatch.setattr(judges, "load_judges", lambda: real)
    for name, frames in (("a.mp4", 20), ("a.png", 1)):
        found = judge_clip(clip(tmp_path / name, frames=frames, fps=8))
        assert len(json.loads(json.dumps(found.to_dict(), allow_nan=False))["camera_path"]) == frames
        assert "camera" in found.lines()[-1]


def test_a_clip_too_long_is_refused(looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "MAX_SECONDS", 2.0)
    for name, fps in (("a.mp4", 8), ("a.gif", 8), ("slow.mp4", 4)):
        with pytest.raises(InvalidInput, match="can be judged") as caught:
            judge_clip(clip(tmp_path / name, frames=18, fps=fps))
        assert (caught.value.field, caught.value.value) == ("file", str(tmp_path / name))
    judge_clip(clip(tmp_path / "b.mp4", frames=16, fps=8))
    judge_clip(clip(tmp_path / "b.gif", frames=20, fps=10))
    assert [s.frames for s in looking.shown] == [16, 16]


@pytest.mark.usefixtures("looking")
def test_files_that_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video", encoding="utf-8")
    (tmp_path / "empty.mp4").touch()
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    for name in ("missing.mp4", "text.mp4", "empty.mp4", "sound.wav", "."):
        with pytest.raises(MediaError) as caught:
            judge_clip(str(tmp_path / name))
        assert caught.value.field == "file"


def test_the_scene_is_read_before_the_clip(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    (tmp_path / "odd.json").write_text(json.dumps({**SCENE.to_dict(), "place": "moon"}), encoding="utf-8")
    for name, message in (
        ("bad.json", "is no JSON text"),
        ("list.json", "must be an object"),
        ("odd.json", "place: 'moon'"),
        ("missing.json", "is no file"),
    ):
        with pytest.raises(InvalidInput, match=message):
            judge_clip("missing.mp4", scene=str(tmp_path / name))


def test_judges_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = judges.load_judges
    monkeypatch.setattr(judges, "load_judges", lambda: load(tmp_path))
    write_picture(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(WeightsError, match="judges"):
        judge_clip(str(tmp_path / "a.png"))
