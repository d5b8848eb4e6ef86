from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from kinema.world.motion import poses
from kinema.world.nature import KINDS
from kinema.world.pose import Pose
from kinema.world.scene import Scene, Subject
from tests.world.motion.scenes import LONG, every, one, solos, two

FINE_HZ = 240
FINE = torch.arange(0, 4, 1 / FINE_HZ, dtype=torch.float64)
# The largest change between two moments: nothing moves faster than a few heights or turns a second.
LIMITS = dict.fromkeys(("x", "y", "z", "roll", "bend", "squash"), 0.04) | {
    "yaw": 0.06, "tip": 0.05, "turned": 0.12, "gait": 0.2, "effort": 0.08, "lift": 0.08, "reach": 0.05,
}  # fmt: skip


@pytest.mark.parametrize("direction", ["left", "right"])
def test_every_field_of_every_pose_is_continuous(direction: str) -> None:
    for scene in every(direction=direction):
        for pose in poses(scene, FINE):
            for name, limit in LIMITS.items():
                values = getattr(pose, name)
                assert values.shape == FINE.shape
                assert values.dtype == torch.float64, name
                jump = float((values[1:] - values[:-1]).abs().max())
                assert jump < limit, (scene.subject.kind, scene.subject.action, name, jump)
            assert pose.contact.dtype == torch.bool
            for name in ("effort", "lift", "reach"):
                values = getattr(pose, name)
                assert float(values.min()) > -1e-9, (scene.subject, name)
                assert float(values.max()) < 1 + 1e-9, (scene.subject, name)


def test_nothing_sinks_into_the_ground() -> None:
    for scene in every():
        for subject, pose in zip(scene.subjects, poses(scene, FINE), strict=True):
            if KINDS[subject.kind].surface != "water" and subject.action != "toss":
                assert float(pose.y.min()) > -0.035, subject  # a rocket trembles


@pytest.mark.parametrize(
    "scene", [one("puppy", "play"), one("cube", "toss"), two("ball", "collide", "cube"), two("cat", "chase", "ball")]
)
def test_a_moment_is_the_same_at_every_frame_rate_and_in_every_order(scene: Scene) -> None:
    slow, fast = (poses(scene, torch.arange(n, dtype=torch.float64) / fps) for n, fps in ((9, 8), (27, 24)))
    backwards = poses(scene, torch.arange(9, dtype=torch.float64).flip(0) / 8)
    for a, b, c in zip(slow, fast, backwards, strict=True):
        for field in fields(Pose):
            assert torch.allclose(
                getattr(a, field.name).to(torch.float64), getattr(b, field.name)[::3].to(torch.float64), atol=1e-12
            )
            assert torch.equal(getattr(a, field.name), getattr(c, field.name).flip(0))


@pytest.mark.parametrize(
    "kind, action",
    [(k, a) for k, a in solos() if a in ("walk", "run", "roll", "slide", "toss", "fly") and k != "rocket"],
)
@pytest.mark.parametrize("direction, sign", [("left", -1), ("right", 1)])
def test_what_goes_somewhere_goes_the_way_it_says(kind: str, action: str, direction: str, sign: int) -> None:
    (pose,) = poses(one(kind, action, direction=direction), torch.linspace(0, 1.1, 12))
    assert sign * float(pose.x[-1] - pose.x[0]) > 0.3


@pytest.mark.parametrize("kind, action", [(k, a) for k, a in solos() if a in ("walk", "run", "fly")])
@pytest.mark.parametrize("direction, sign", [("left", -1), ("right", 1)])
def test_what_goes_looks_where_it_goes(kind: str, action: str, direction: str, sign: int) -> None:
    (pose,) = poses(one(kind, action, direction=direction), torch.linspace(0.4, 1.0, 7))
    assert float((sign * pose.yaw.cos()).min()) > 0.75


def test_two_scenes_that_mirror_each_other_move_as_mirror_images() -> None:
    for right in every():
        left = Scene.from_dict(right.to_dict())
        left = Scene(subjects=right.mirrored().subjects, place=left.place, time=left.time)
        for a, b in zip(poses(right, FINE[::37]), poses(left, FINE[::37]), strict=True):
            assert torch.allclose(a.x, -b.x, atol=1e-9), right.subject
            for name in ("y", "z", "tip", "squash", "reach"):
                assert torch.allclose(getattr(a, name), getattr(b, name), atol=1e-9), (right.subject, name)


def test_who_stands_in_place_stays_at_home() -> None:
    first = Subject(kind="cup", colour="red", action="stand", x=0.7, z=-1.0)
    second = Subject(kind="tree", colour="green", action="sway", x=-0.7)
    for subject, pose in zip(
        (first, second), poses(Scene(subjects=(first, second), place="park", time="day"), LONG[::50]), strict=True
    ):
        assert torch.equal(pose.x, torch.full_like(pose.x, subject.x))
        assert torch.equal(pose.z, torch.full_like(pose.z, subject.z))
        assert bool(pose.contact.all())
