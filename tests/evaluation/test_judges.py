"""Reading clips: which frames are looked at, any size and rate, long clips in windows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kinema.core.errors import InvalidInput
from kinema.evaluation import judges
from kinema.evaluation.judges import (
    KEPT,
    SIDE_PX,
    WINDOW,
    Judges,
    Verdict,
    joined,
    looked_at,
    prepared,
)
from kinema.models.judges.clip import CameraSigns, TrackSigns
from kinema.models.judges.frame import MULTIPLE, FrameLogits
from kinema.training.judge_truth import CAMERA_NAMES, KIND_NAMES, WHOLE
from kinema.training.judges import PATH_SCALE
from kinema.world.camera import camera_features
from kinema.world.events import EVENTS
from kinema.world.nature import ACTIONS, COLOURS
from kinema.world.scene import Scene
from kinema.world.score import motion_score
from tests.evaluation.judges_at_random import noise, random_judges
from tests.training.judged import SHAPE
from tests.world.scenes import make, three


class Painted(nn.Module):
    """A frame judge of plain pictures: while there is green, a subject is in the middle.

    Red says of which kind it is, and where; blue its colour.
    """

    def forward(self, frames: Tensor) -> FrameLogits:
        count, rows, columns = len(frames), frames.shape[2] // 8, frames.shape[3] // 8
        red, green, blue = (frames.mean((2, 3)) + 1).mul(127.5).round().long().T

        def said(numbers: Tensor, options: int) -> Tensor:
            return torch.eye(options)[numbers % options] * 30

        heat = torch.full((count, rows, columns), -9.0)
        heat[green > 0, rows // 2, columns // 2] = 3.0
        kind, colour = (
            said(n, k)[:, :, None, None].expand(-1, -1, rows, columns)
            for n, k in ((red, len(KIND_NAMES)), (blue, len(COLOURS)))
        )
        whole = {name: said(red, len(options)) for name, options in WHOLE.items()}
        return FrameLogits(
            heat=heat, kind=kind, colour=colour, box=torch.ones(count, 4, rows, columns),
            features=torch.zeros(count, 1, rows, columns), **whole,
        )  # fmt: skip


class Counting(nn.Module):
    """A clip judge that reads motion off the red of plain pictures: it is what is new in each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[int] = []

    def motion(self, clip: Tensor) -> Tensor:
        self.windows.append(clip.shape[1])
        return ((clip[:, 1:, :1] + 1) * 127.5).mean((3, 4), keepdim=True).round()

    def of_camera(self, motion: Tensor) -> CameraSigns:
        steps = motion.shape[1]
        path = torch.zeros(1, steps, 7)
        path[..., 5] = 0.5 * PATH_SCALE
        camera = torch.zeros(1, len(CAMERA_NAMES))
        camera[:, steps % len(CAMERA_NAMES)] = 30
        return CameraSigns(
            camera=camera, path=path, motion=motion.mean((1, 2, 3, 4)) / 255, sequence=motion[:, :, 0, 0]
        )

    def of_tracks(self, motion: Tensor, frames: Tensor, boxes: Tensor, kinds: Tensor, camera: Tensor) -> TrackSigns:
        n, red = boxes.shape[1], motion[:, None, :, :, 0, 0]  # b n u 1
        events = torch.full((1, n, motion.shape[1], len(EVENTS)), -9.0)
        events[..., EVENTS.index("land")] = (red[..., 0].expand(1, n, -1) == 200) * 18.0 - 9
        return TrackSigns(
            action=torch.eye(len(ACTIONS))[3].expand(1, n, -1) * 30, places=red.expand(1, n, -1, 3), events=events
        )


@pytest.fixture
def plain() -> Judges:
    return Judges(Painted(), Counting())  # pyright: ignore[reportArgumentType]


def painted(*colours: tuple[int, int, int], size: tuple[int, int] = (SIDE_PX, SIDE_PX)) -> Tensor:
    return torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(-1, *size, -1)


@pytest.mark.parametrize(
    "count, fps, numbers",
    [
        (17, 8, list(range(17))),
        (49, 24, list(range(0, 49, 3))),
        (25, 24, list(range(0, 25, 3))),
        (24, 24, list(range(0, 24, 3))),
        (16, 30, [0, 4, 8, 11, 15]),
        (5, 4, [0, 1, 2, 3, 4]),
        (6, 7.5, [0, 1, 2, 3, 4, 5]),
        (14, 12.5, [0, 2, 3, 5, 6, 8, 9, 11, 13]),
        (10, 12, [0, 2, 3, 5, 6, 8, 9]),  # halves are rounded up
        (11, 20, [0, 3, 5, 8, 10]),
        (1, 24, [0]),
        (2, 60, [0]),
        (3, 1e-300, [0, 1, 2]),
        (3, 1e300, [0]),
    ],
)
def test_looked_at(count: int, fps: float, numbers: list[int]) -> None:
    assert looked_at(count, fps) == numbers


@pytest.mark.parametrize("fps", [8, 12.5, 23.976, 24, 25, 29.97, 30, 50, 60, 120])
def test_looked_at_frames_are_the_nearest_to_each_eighth(fps: float) -> None:
    for count in (1, 2, 7, 48, 121):
        numbers = looked_at(count, fps)
        assert numbers == sorted(set(numbers))
        assert numbers[-1] < count
        assert all(abs(n / fps - k / 8) <= 0.5 / fps + 1e-9 for k, n in enumerate(numbers))
        assert len(numbers) / 8 > (count - 1) / fps - 1e-9


@pytest.mark.parametrize(
    "count, fps, field",
    [(0, 8, "frames"), (3, 0, "fps"), (3, -8, "fps"), (3, float("inf"), "fps"), (3, float("nan"), "fps")],
)
def test_what_cannot_be_looked_at_is_named(plain: Judges, count: int, fps: float, field: str) -> None:
    for look in (lambda: looked_at(count, fps), lambda: plain(noise(count), fps=fps)):
        with pytest.raises(InvalidInput) as caught:
            look()
        assert caught.value.field == field


@pytest.mark.parametrize("size", [(9, 73), (801, 100)])
def test_pictures_that_are_too_long_are_refused(plain: Judges, size: tuple[int, int]) -> None:
    for look in (lambda: prepared(painted((0, 0, 0), size=size)), lambda: plain(painted((0, 0, 0), size=size), fps=8)):
        with pytest.raises(InvalidInput, match=f"size: '{size[1]}x{size[0]}': must not be over 8 times"):
            look()
    assert prepared(painted((0, 0, 0), size=(8, 64))).shape == (1, 3, SIDE_PX, 8 * SIDE_PX)


@pytest.mark.parametrize(
    "size, looked", [((96, 96), (96, 96)), ((96, 160), (96, 160)), ((128, 80), (160, 96)), ((480, 640), (96, 128)),
                     ((13, 40), (96, 288)), ((97, 95), (96, 96))],
)  # fmt: skip
def test_pictures_are_prepared_for_the_networks(size: tuple[int, int], looked: tuple[int, int]) -> None:
    pictures = prepared(painted((255, 0, 51), (0, 255, 51), size=size))
    assert pictures.shape == (2, 3, *looked)
    assert all(n % MULTIPLE == 0 for n in looked)
    for picture, colour in zip(pictures, ((1, -1, -0.6), (-1, 1, -0.6)), strict=True):
        assert torch.allclose(picture, torch.tensor(colour).view(3, 1, 1).expand(-1, *looked), atol=1e-5)


@pytest.mark.parametrize("size", [(96, 96), (96, 160), (128, 80), (30, 20)])
def test_any_clip_has_a_verdict(size: tuple[int, int]) -> None:
    verdict = random_judges()(noise(7, *size), fps=24)
    assert verdict.times_s == (0, 0.125, 0.25)
    assert verdict.camera_path.shape == (3, 7)
    assert (verdict.camera_path[0] == 0).all()
    assert verdict.camera in CAMERA_NAMES
    assert 1 <= verdict.motion_score <= 255
    assert all(getattr(verdict, name) in options for name, options in WHOLE.items())
    assert verdict.count == len(verdict.subjects) > 0
    for subject in verdict.subjects:
        assert subject.kind in KIND_NAMES
        assert subject.colour in COLOURS
        assert subject.action in ACTIONS
        assert subject.boxes.shape == (3, 4)
        assert subject.places.shape == (2, 3)
        assert ((subject.boxes[:, :2] >= -1) & (subject.boxes[:, :2] <= 2)).all()


def test_a_verdict_is_ready_for_json() -> None:
    verdict = random_judges()(noise(9), fps=8)
    read = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert read["count"] == len(read["subjects"]) == verdict.count
    assert read["subjects"][0]["kind"] == verdict.subjects[0].kind
    assert len(read["camera_path"]) == len(read["times_s"]) == 9
    assert verdict.to_dict() == random_judges()(noise(9), fps=8).to_dict()  # the same each time


def test_a_clip_without_a_subject(plain: Judges) -> None:
    verdict = plain(painted(*[(5, 0, 7)] * 40), fps=8)
    assert verdict.subjects == verdict.events == ()
    assert verdict.count == 0
    assert verdict.camera_path.shape == (40, 7)
    assert json.dumps(verdict.to_dict())


@pytest.mark.parametrize("fps", [4.0, 30.0])
def test_a_picture_is_a_clip_in_which_nothing_happens(plain: Judges, fps: float) -> None:
    verdict = plain(painted((200, 9, 1)), fps=fps)
    assert verdict.times_s == (0.0,)
    assert (verdict.camera_path == 0).all()
    (subject,) = verdict.subjects
    assert (subject.kind, subject.colour) == (KIND_NAMES[200 % len(KIND_NAMES)], COLOURS[1])
    assert subject.boxes.shape == (1, 4)
    assert subject.velocity == (0, 0, 0)
    assert verdict.events == ()
    assert subject.kept == verdict.background_kept == 1


@pytest.mark.parametrize("fps", [4.0, 6.0, 8.0, 12.5, 24.0, 30.0])
@pytest.mark.parametrize("frames", [3, 2 * WINDOW, 2 * WINDOW - 1, 2 * WINDOW + 20])
def test_times_and_speeds_are_those_of_the_clip(plain: Judges, fps: float, frames: int) -> None:
    each = max(1, round(fps / 8))
    count = (frames - 1) * each + 1
    verdict = plain(painted(*[(min(n, 199), 9, 1) for n in range(count - 1)], (200, 9, 1)), fps=fps)
    (subject,) = verdict.subjects
    assert len(verdict.times_s) == len(subject.boxes) == len(verdict.camera_path)
    last = min(len(verdict.times_s), WINDOW) - 1  # places are those of the first window
    assert len(subject.places) == last
    assert (
        verdict.camera_path[:, 5].diff() - 0.5
    ).abs().max() < 1e-4  # a step a looked-at frame, none left out at seams
    shown = [round(t * fps) for t in verdict.times_s]
    if count <= 200:  # red, and so the place, is the frame's number
        places = [200 if n == count - 1 else n for n in shown[1 : last + 1]]
        assert subject.places[:, 0].tolist() == places
        speed = (places[-1] - places[0]) / (verdict.times_s[last] - verdict.times_s[1])
        assert subject.velocity == pytest.approx((speed,) * 3)
    if shown[-1] == count - 1:
        seconds = (verdict.times_s[-2] + verdict.times_s[-1]) / 2
        assert verdict.events == (("land", pytest.approx(seconds, abs=1e-3), 0),)


def test_windows_share_a_frame_and_count_by_their_length(plain: Judges) -> None:
    clip: Counting = plain.clip  # pyright: ignore[reportAssignmentType]
    frames = painted(*[(51, 9, 1)] * WINDOW, *[(251, 9, 1)] * 4)
    verdict = plain(frames, fps=8)
    assert clip.windows == [WINDOW, 5]
    # 16 steps say one class and 4 another
    assert verdict.camera == CAMERA_NAMES[16 % len(CAMERA_NAMES)]
    assert verdict.sureness["camera"] == pytest.approx(16 / 20, abs=1e-3)
    assert verdict.motion_score == round((16 * 51 + 4 * 251) / 20)
    plain(frames[: WINDOW + 1], fps=8)
    plain(frames[:WINDOW], fps=8)
    assert clip.windows[2:] == [WINDOW, 2, WINDOW]


@pytest.mark.parametrize("fps", [2.0, 4.0, 8.0, 24.0])
def test_motion_is_scored_by_the_second(plain: Judges, fps: float) -> None:
    """What moves as far between looked-at frames at half the rate is half as fast."""
    scores = {8.0: 120, 24.0: 120, 4.0: 1 + 254 * (1 - (135 / 254) ** 0.5), 2.0: 1 + 254 * (1 - (135 / 254) ** 0.25)}
    verdict = plain(painted(*[(120, 9, 1)] * 25), fps=fps)
    assert verdict.motion_score == round(scores[fps])


def test_motion_scores_of_the_world_follow_that_rule() -> None:
    scene = make("car", "stand", camera="pan_right")
    fine = motion_score(scene, replace(SHAPE, frames=9))
    still = (
        1 - (fine - 1) / 254
    )  # of pairs an eighth of a second apart; four times as far apart they would move four times as far
    coarse = motion_score(scene, replace(SHAPE, frames=3, fps=2.0))
    assert abs(1 + 254 * (1 - (still**4) ** (2.0 / 8.0)) - coarse) <= 3


def test_what_changes_on_the_way_is_not_kept(plain: Judges) -> None:
    same = plain(painted(*[(3, 9, 5)] * 17), fps=8)
    assert same.background_kept == same.subjects[0].kept == 1
    assert same.subjects[0].sureness["colour"] == 1
    recoloured = plain(painted(*[(3, 9, 5)] * 8, *[(3, 9, 6)] * 9), fps=8)
    assert recoloured.background_kept == 1
    assert recoloured.subjects[0].kept < KEPT
    elsewhere = plain(painted(*[(3, 9, 5)] * 8, *[(3 + len(KIND_NAMES) * 1, 9, 5)] * 9), fps=8)
    assert elsewhere.subjects[0].kept == 1  # the number of the kind is the same, that of the place another
    assert elsewhere.background_kept < KEPT


def test_all_subjects_have_to_be_kept(plain: Judges) -> None:
    verdict = plain(painted(*[(3, 9, 5)] * 9), fps=8)
    (one,) = verdict.subjects
    others = [replace(one, kept=kept) for kept in (0.75, 0.25, 1.0)]
    assert replace(verdict, subjects=tuple(others)).identity_kept == 0.25
    assert replace(verdict, subjects=()).identity_kept == 0


def test_a_picture_shows_no_camera_and_no_action(plain: Judges) -> None:
    assert plain(painted((200, 9, 1)), fps=8).unseen == ("camera", "action")
    assert plain(painted((200, 9, 1), (200, 9, 1)), fps=60).unseen == ("camera", "action")  # one is looked at
    assert plain(painted((200, 9, 1), (200, 9, 1)), fps=8).unseen == ()


def numbers_of(value: object) -> list[float]:
    """All numbers in JSON, in order."""
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers_of(one)]
    if isinstance(value, (list, tuple)):
        return [n for one in value for n in numbers_of(one)]
    return [float(value)] if isinstance(value, (int, float)) else []


def words_in(value: object) -> list[str]:
    """All words in JSON, in order."""
    if isinstance(value, dict):
        return [w for one in value.values() for w in words_in(one)]
    if isinstance(value, (list, tuple)):
        return [w for one in value for w in words_in(one)]
    return [value] if isinstance(value, str) else []


def check_same(one: Verdict, other: dict[str, Any]) -> None:
    """The same words, and numbers up to the last digit that is told."""
    told = one.to_dict()
    assert words_in(told) == words_in(other)
    assert numbers_of(told) == pytest.approx(numbers_of(other), abs=1.01e-4)


def test_a_long_clip_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    (still,), real = noise(1, 16, 32), random_judges()
    frames = torch.stack([still.roll(t // 30, 1) for t in range(200)])
    sizes, look = [], real.frame.forward

    def counted(pictures: Tensor) -> FrameLogits:
        sizes.append(len(pictures))
        return look(pictures)

    monkeypatch.setattr(real.frame, "forward", counted)
    parts = real(frames, fps=8)
    assert sizes == [64, 64, 64, 8]
    monkeypatch.setattr(judges, "_AT_ONCE", 1000)
    whole = real(frames, fps=8)
    assert sizes[4:] == [200]
    assert whole.count > 0
    assert len(whole.times_s) == 200
    check_same(parts, whole.to_dict())


ELSEWHERE = """
import json, torch
torch.set_num_threads(2)
from kinema.evaluation import judges
from tests.evaluation.test_judges import noise, random_judges
judges._AT_ONCE = 7
print(json.dumps(random_judges()(noise(21), fps=8).to_dict()))
"""


def test_a_verdict_is_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process, with one thread or two, with frames together or apart."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = random_judges()(noise(21), fps=8)
        torch.set_num_threads(2)
        check_same(one, random_judges()(noise(21), fps=8).to_dict())
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(judges, "_AT_ONCE", 1)
    check_same(one, random_judges()(noise(21), fps=8).to_dict())
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, cwd=root, env={**os.environ, "PYTHONHASHSEED": "7"}
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert one.count > 0
    check_same(one, json.loads(told.stdout))


PATHS: dict[str, Scene] = {
    name: replace(make("car", camera=name), elevation_deg=20.0)
    for name in ("around_left", "tilt_up", "tilt_right", "handheld", "push_in", "zoom_out")
} | {"mirrored": three(camera="around_right").mirrored(), "tracking": make("car", "walk", camera="tracking")}


@pytest.mark.parametrize("scene", PATHS.values(), ids=PATHS)
def test_paths_of_windows_are_joined_exactly(scene: Scene) -> None:
    frames = list(range(40))
    true = camera_features(scene, frames, fps=8.0)
    windows = []
    for start in range(0, 39, 16):
        part = frames[start : start + 17]
        windows.append(relative(scene, part).diff(dim=0))
    assert [len(w) for w in windows] == [16, 16, 7]
    assert torch.allclose(joined(windows), true, atol=1e-4)


def relative(scene: Scene, frames: list[int]) -> Tensor:
    """The path of ``frames`` as if the clip began with them."""
    from kinema.world.camera import frame_times, relative_features, scene_camera

    return relative_features(scene_camera(scene, frame_times(frames, 8.0))).float()
