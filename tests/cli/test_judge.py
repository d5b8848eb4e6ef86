"""`kinema world judge`: a verdict in words and as JSON, beside a scene, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torch import Tensor

from kinema.app import judge
from kinema.core.geometry import VideoShape
from kinema.evaluation import judges
from kinema.evaluation.judges import Verdict
from kinema.world.scene import Scene
from tests.cli.test_errors import check_one_line
from tests.evaluation.fakes import surely
from tests.evaluation.test_floors import truth

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema

SAMPLE = "world sample --seed 4 --difficulty core --frames 5 --size 32x32 --out a.mp4".split()


@pytest.fixture(autouse=True)
def _knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges that read the truth from the file beside the clip."""

    def look(frames: Tensor, *, fps: float) -> Verdict:
        scene = Scene.from_dict(json.loads(Path("a.json").read_text(encoding="utf-8"))["scene"])
        shape = VideoShape(frames=len(frames), height_px=frames.shape[1], width_px=frames.shape[2], fps=fps)
        return surely(truth(scene, shape))

    monkeypatch.setattr(judges, "load_judges", lambda: look)


def test_a_clip_is_judged_beside_its_truth(kinema: Kinema) -> None:
    assert kinema(*SAMPLE).code == 0
    scene = json.loads(Path("a.json").read_text(encoding="utf-8"))["scene"]
    subject = scene["subjects"][0]
    answer = kinema("world", "judge", "a.mp4")
    assert answer.code == 0
    first, last = answer.out.splitlines()
    assert first == f"{subject['colour']} {subject['kind']}, {subject['action']} (50%)"
    assert last.startswith(f"{scene['place']} (75%), {scene['time']} (75%)")
    assert kinema("world", "judge", "a.mp4", "--scene", "a.json").out.splitlines()[-1] == "agrees with the scene"
    Path("b.json").write_text(json.dumps({**scene, "time": "night", "camera": "tilt_left"}), encoding="utf-8")
    answer = kinema("world", "judge", "a.mp4", "--scene", "b.json")
    assert answer.out.splitlines()[-1] == "differs from the scene in time, camera"


def test_json(kinema: Kinema) -> None:
    assert kinema(*SAMPLE).code == 0
    (verdict,) = kinema("world", "judge", "a.mp4", "--scene", "a.json", "--json").events
    assert (verdict["event"], verdict["path"], verdict["count"]) == ("verdict", "a.mp4", 1)
    assert len(verdict["camera_path"]) == len(verdict["subjects"][0]["boxes"]) == 5
    assert {row["share"] for row in verdict["agreement"]["right"].values()} == {1.0}
    (verdict,) = kinema("world", "judge", "a.mp4", "--json").events
    assert "agreement" not in verdict


def test_what_is_refused(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinema(*SAMPLE).code == 0
    Path("text.mp4").write_text("this is no video", encoding="utf-8")
    Path("bad.json").write_text("{", encoding="utf-8")
    for name in ("missing.mp4", "text.mp4", "."):
        check_one_line(kinema("world", "judge", name), "error: file: ")
    check_one_line(kinema("world", "judge", "a.mp4", "--scene", "bad.json"), "error: scene: 'bad.json': is no JSON")
    check_one_line(kinema("world", "judge", "a.mp4", "--scene", "no.json"), "error: scene: 'no.json': is no file")
    check_one_line(kinema("world", "judge", "a.mp4", "--scene", "a.mp4"), "error: scene: 'a.mp4': is no JSON")
    check_one_line(kinema("world", "judge"), "error: file: ", "is required")
    monkeypatch.setattr(judge, "MAX_SECONDS", 0.5)
    check_one_line(kinema("world", "judge", "a.mp4"), "error: file: 'a.mp4': lasts", "can be judged")
    (event,) = kinema("world", "judge", "a.mp4", "--json").events
    assert (event["event"], event["field"], event["exit_code"]) == ("error", "file", 2)
