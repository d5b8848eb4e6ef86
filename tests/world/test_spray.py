from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.camera import frame_times, scene_camera
from kinema.world.events import events
from kinema.world.motion import poses
from kinema.world.motion.constants import SEA_CRASH_S, SEA_S
from kinema.world.render import render
from kinema.world.scene import Scene
from kinema.world.spray import Burst, bursts, see, spray_points
from kinema.world.view import View
from tests.world.scenes import make

CPU = torch.device("cpu")
TIMES = torch.arange(0, 4, 1 / 24, dtype=torch.float64)


def _bursts(scene: Scene, times: Tensor = TIMES) -> list[Burst]:
    return bursts(scene, times, poses(scene, times))


def _view(scene: Scene, times: Tensor) -> View:
    return View.of([scene_camera(scene, times)], height_px=60, width_px=80)


def _shares(scene: Scene, times: Tensor = TIMES) -> Tensor:
    """The largest share of each pixel that any burst has (n h w)."""
    view = _view(scene, times)
    return torch.stack([see(b, view, view.whole(), device=CPU).share for b in _bursts(scene, times)]).amax(0)


@pytest.mark.parametrize("kind", ["person", "cliff"])
def test_waves_break_on_the_coast_when_they_are_said_to(kind: str) -> None:
    scene = make(kind, place="coast", colour="brown")
    seen = torch.stack([b.is_seen for b in _bursts(scene)]).any(0)
    crashes = [e.time_s for e in events(scene, 4.0) if e.kind == "wave_crash"]
    assert crashes == pytest.approx([SEA_CRASH_S, SEA_CRASH_S + SEA_S])
    assert not seen[crashes[0] > TIMES].any()
    for crash in crashes:
        assert seen[(crash + 0.1 < TIMES) & (crash + 0.6 > TIMES)].all()
    assert not seen[(crashes[1] - 0.3 < TIMES) & (crashes[1] > TIMES)].any()  # all has fallen back before the next


def test_spray_rises_and_falls_back() -> None:
    scene = make("cliff", place="lake")
    shares = _shares(scene)
    first = SEA_CRASH_S
    top = torch.tensor([int((s > 0.3).any(1).nonzero()[:1].sum()) if (s > 0.3).any() else 60 for s in shares])
    moments = [int((first + late) * 24) for late in (0.1, 0.5, 1.15)]
    young, high, old = (int(top[m]) for m in moments)
    assert high < young - 4
    assert high < old - 4


def test_the_fish_s_splash_is_where_it_leaves_the_water() -> None:
    scene = make("fish", "jump")
    out, into = _bursts(scene)
    assert out.is_seen.any()
    assert into.is_seen.any()
    (pose,) = poses(scene, TIMES)
    for burst in (out, into):
        young = burst.is_seen & (burst.age_s < 0.06)
        assert float((burst.x[young] - pose.x[young]).abs().max()) < 0.3


def test_most_scenes_have_none() -> None:
    assert _bursts(make("puppy")) == []
    assert _bursts(make("fish", "walk")) == []
    assert all(len(b.x) == len(TIMES) for b in _bursts(make("cliff", place="coast")))


def test_a_moment_s_spray_depends_on_that_moment_alone() -> None:
    scene = make("cliff", place="coast", camera="around_left")
    for n in (20, 30, 90):
        alone = _shares(scene, TIMES[n : n + 1])[0]
        assert torch.equal(alone, _shares(scene)[n])


@pytest.mark.parametrize("camera", ["static", "around_right", "push_in"])
def test_each_point_of_it_is_known_later(camera: str) -> None:
    # Where a pixel's water is a moment later, it is seen with the same launch speeds.
    scene, later_s = make("cliff", place="lake", camera=camera), 0.08
    times = torch.tensor([SEA_CRASH_S + 0.3], dtype=torch.float64)
    view, after = _view(scene, times), _view(scene, times + later_s)
    burst, then = _bursts(scene, times)[0], _bursts(scene, times + later_s)[0]
    found = spray_points(burst, view, after, later_s, device=CPU)
    assert found is not None
    depth, points = found
    now, moved = (see(b, v, v.whole(), device=CPU) for b, v in ((burst, view), (then, after)))
    inside = depth[0].isfinite()
    assert int(inside.sum()) > 20
    axes, eye = after.axes[0].to(torch.float32), after.position[0].to(torch.float32)
    away = torch.stack([p.expand(1, 60, 80)[0][inside] for p in points], -1) - eye
    right, up, forward = (away @ axes.T).unbind(-1)
    scale = float(after.focal_px[0]) / forward
    column, row = 40 + right * scale - 0.5, 30 - up * scale - 0.5
    grid = torch.stack([(column + 0.5) / 40 - 1, (row + 0.5) / 30 - 1], -1)[None, None]
    for name in ("a", "b"):
        expected = getattr(now, name)[0][inside]
        there = torch.nn.functional.grid_sample(getattr(moved, name)[None], grid, align_corners=False)[0, 0, 0]
        within = (grid[0, 0].abs() < 0.97).all(-1)
        assert float((there - expected)[within].abs().max()) < 0.02, name


def test_spray_hides_the_subject_s_pixels_that_it_covers() -> None:
    shape = VideoShape(frames=8, height_px=64, width_px=64, fps=8)
    scene = make("cliff", place="lake", colour="red")
    (rendered,) = render([scene], shape, outputs=["rgb", "masks", "depth"])
    assert rendered.frames is not None
    assert rendered.masks is not None
    mask, before = rendered.masks[0, 7], rendered.masks[0, 4]
    lost = before & ~mask
    assert 20 < int(lost.sum()) < 0.4 * int(before.sum())
    red = rendered.frames[7].float()
    assert float((red[lost][:, 1] / red[lost][:, 0]).median()) > 0.5  # it is no longer red there
    assert float((red[mask][:, 1] / red[mask][:, 0]).median()) < 0.4


def test_nothing_before_it_is_hidden() -> None:
    shape = VideoShape(frames=10, height_px=64, width_px=64, fps=8)
    scene = make("cliff", place="lake", colour="red")
    ball = replace(make("boat", "float").subject, z=1.0, colour="blue")
    both = replace(scene, subjects=(scene.subject, ball), span=3.0)
    (rendered,) = render([both], shape, outputs=["masks"])
    assert rendered.masks is not None
    (alone,) = render([replace(both, subjects=(ball,))], shape, outputs=["masks"])
    assert alone.masks is not None
    assert torch.equal(rendered.masks[1], alone.masks[0])


def test_frame_by_frame_is_as_all_at_once() -> None:
    scene = make("cliff", place="coast", time="sunset", camera="handheld")
    shape = VideoShape(frames=9, height_px=40, width_px=48, fps=8)
    (whole,) = render([scene], shape)
    assert whole.frames is not None
    longer = render([scene], replace(shape, frames=13))[0].frames
    assert longer is not None
    assert torch.equal(whole.frames, longer[:9])
    assert len(frame_times(9, 8)) == 9
