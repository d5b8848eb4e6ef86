from __future__ import annotations

import pytest
import torch

from kinema.world.kinds import ROLL_RADIUS, subject_size
from kinema.world.motion import poses
from kinema.world.motion.act import Act
from kinema.world.motion.ground import course, friction, kick_speed
from tests.world.motion.scenes import LONG, STEP_S, one


@pytest.mark.parametrize(
    "kind, action",
    [("ball", "roll"), ("ring", "roll"), ("ball", "run"), ("car", "walk"), ("lorry", "run"), ("train", "walk")],
)
@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("size", [0.7, 1.2])
def test_what_rolls_does_not_slip(kind: str, action: str, direction: str, size: float) -> None:
    scene = one(kind, action, direction=direction, size=size)
    (pose,) = poses(scene, LONG)
    ahead = pose.yaw.cos()
    way, turned = pose.x.diff() * ahead[1:], pose.turned.diff()
    steady = pose.yaw.diff().abs() < 1e-12
    assert float(steady.double().mean()) > 0.7
    radius = ROLL_RADIUS[kind] * subject_size(scene.subject)
    assert torch.allclose(way[steady], turned[steady] * radius, atol=1e-9)
    assert float(turned.abs().max()) > 0


@pytest.mark.parametrize("direction", ["left", "right"])
def test_a_lying_cylinder_rolls_about_its_own_axis(direction: str) -> None:
    scene = one("cylinder", "roll", direction=direction)
    (pose,) = poses(scene, LONG)
    assert torch.allclose(pose.turned.diff() * ROLL_RADIUS["cylinder"], pose.x.diff(), atol=1e-9)
    assert torch.allclose(pose.tip, torch.full_like(pose.tip, torch.pi / 2))


@pytest.mark.parametrize("kind, action", [("ball", "roll"), ("cube", "slide"), ("penguin", "slide")])
def test_friction_slows_evenly_to_rest(kind: str, action: str) -> None:
    scene = one(kind, action)
    line = course(Act(scene=scene, number=0))
    (pose,) = poses(scene, LONG)
    settled = 300 if kind == "penguin" else 0  # it lies down first
    moving = pose.x[settled : int(line.move_s / STEP_S)]
    assert torch.allclose(moving.diff(n=2) / STEP_S**2, torch.tensor(-friction(line), dtype=torch.float64), atol=1e-3)
    assert float(moving.diff()[0]) / STEP_S == pytest.approx(
        kick_speed(line) - friction(line) * (settled + 0.5) * STEP_S, rel=1e-3
    )
    rest = pose.x[int(line.move_s / STEP_S) + 1 : int(line.lap_s / STEP_S)]
    assert float(rest.max() - rest.min()) < 1e-6


def test_running_is_faster_than_walking() -> None:
    walk, run = (poses(one("person", a), torch.tensor([0.2, 1.0]))[0].x for a in ("walk", "run"))
    assert float(run[1] - run[0]) > 1.5 * float(walk[1] - walk[0])


def test_a_tracked_walk_goes_far() -> None:
    (pose,) = poses(one("person", "walk", camera="tracking"), torch.linspace(0, 2, 9))
    assert float(pose.x[-1] - pose.x[0]) > 1.6
