from __future__ import annotations

import itertools
import math

import pytest
import torch

from kinema.world.motion import poses
from kinema.world.motion.act import Act, headroom
from kinema.world.motion.air import fall_hits, fly, pendulum, rocket_climb, rocket_times, tossed
from kinema.world.motion.constants import FALL_HEIGHT, GRAVITY, JUMP_HEIGHT, RESTITUTION, tall
from tests.world.motion.scenes import LONG, STEP_S, one


@pytest.mark.parametrize("action", ["jump", "fall", "toss"])
def test_what_flies_obeys_gravity(action: str) -> None:
    (pose,) = poses(one("ball", action), LONG)
    flying = ~pose.contact[2:] & ~pose.contact[1:-1] & ~pose.contact[:-2]
    accelerations = pose.y.diff(n=2) / STEP_S**2
    smooth = flying & (accelerations < 0)  # a bounce between two moments turns the speed round
    assert smooth.sum() > 500
    assert torch.allclose(accelerations[smooth], torch.tensor(-GRAVITY, dtype=torch.float64), atol=1e-3)
    assert float(pose.y.min()) == 0.0


def test_a_jump_starts_on_the_ground_and_a_fall_above_it() -> None:
    start = torch.zeros(1)
    assert poses(one("car", "jump"), start)[0].contact.all()
    (fall,) = poses(one("car", "fall"), start)
    assert fall.y.item() == FALL_HEIGHT
    assert not fall.contact.any()
    assert float(poses(one("ball", "jump"), LONG)[0].y.max()) == pytest.approx(JUMP_HEIGHT, abs=1e-3)


def test_bounces_lose_height_by_the_square_of_the_restitution() -> None:
    scene = one("ball", "fall")
    hits = fall_hits(Act(scene=scene, number=0))
    assert hits[0][1] == pytest.approx(math.sqrt(2 * GRAVITY * FALL_HEIGHT))
    (pose,) = poses(scene, LONG)
    tops = [FALL_HEIGHT]
    for (start, before), (end, after) in itertools.pairwise(hits[:5]):
        assert after / before == pytest.approx(RESTITUTION)
        here = (start < LONG) & (end > LONG)
        tops.append(float(pose.y[here].max()))
    for before, after in itertools.pairwise(tops):
        assert after / before == pytest.approx(RESTITUTION**2, rel=2e-3)
    (at_hits,) = poses(scene, torch.tensor([time for time, _ in hits], dtype=torch.float64))
    assert float(at_hits.y.max()) < 1e-9


def test_nothing_is_squashed_before_it_hits() -> None:
    scene = one("cube", "fall")
    first = fall_hits(Act(scene=scene, number=0))[0][0]
    (pose,) = poses(scene, LONG)
    assert (pose.squash[first > LONG] == 1).all()
    assert float(pose.squash.min()) < 0.9


@pytest.mark.parametrize("kind", ["ball", "ring"])
def test_a_throw_is_a_parabola_with_its_apex_in_the_middle(kind: str) -> None:
    scene = one(kind, "toss")
    throw = tossed(Act(scene=scene, number=0))
    first = throw.flights[0]
    apex_s = first.air_s / 2
    (pose,) = poses(scene, torch.tensor([0.0, apex_s, 2 * apex_s], dtype=torch.float64))
    assert float(pose.y[1]) == pytest.approx(first.speed**2 / (2 * GRAVITY))
    assert float(pose.y[2]) == pytest.approx(0.0, abs=1e-9)
    assert float(pose.x[1] - pose.x[0]) == pytest.approx(throw.speeds[0] * apex_s)
    assert float(pose.x[2] + pose.x[0]) == pytest.approx(2 * float(pose.x[1]))
    (end,) = poses(scene, torch.tensor([throw.lap_s - 0.1], dtype=torch.float64))
    assert float(end.x) == pytest.approx(throw.end)


def test_a_thrown_cube_tumbles_once_about_its_middle() -> None:
    (pose,) = poses(one("cube", "toss"), LONG[:2000])
    centre_y = pose.y + 0.4 * 1.02 * pose.roll.cos()
    flying = ~pose.contact[:900]
    assert torch.allclose(
        centre_y[:900][flying].diff(n=2) / STEP_S**2, torch.tensor(-GRAVITY, dtype=torch.float64), atol=1e-3
    )
    assert float(pose.roll[-1]) == pytest.approx(-2 * math.pi)


@pytest.mark.parametrize("kind", ["ball", "cube", "ring", "lantern"])
def test_a_pendulum_keeps_its_rope_and_its_period(kind: str) -> None:
    scene = one(kind, "swing")
    hung = pendulum(Act(scene=scene, number=0))
    (pose,) = poses(scene, LONG)
    reach = hung.rope + tall(scene.subject)
    assert torch.allclose(
        torch.hypot(pose.x - hung.pivot[0], pose.y - hung.pivot[1]), torch.tensor(reach, dtype=torch.float64)
    )
    crossings = LONG[1:][(pose.x[1:] > 0) != (pose.x[:-1] > 0)]
    assert float(crossings[2] - crossings[0]) == pytest.approx(hung.period_s, abs=2 * STEP_S)
    assert hung.period_s == pytest.approx(_period(hung.length, hung.angle), rel=2e-4)


def _period(length: float, angle: float) -> float:
    """The exact period by the arithmetic-geometric mean."""
    a, b = 1.0, math.cos(angle / 2)
    for _ in range(8):
        a, b = (a + b) / 2, math.sqrt(a * b)
    return 2 * math.pi * math.sqrt(length / GRAVITY) / a


def test_a_rocket_accelerates_evenly_and_stays_in_the_picture() -> None:
    scene = one("rocket", "fly")
    act = Act(scene=scene, number=0)
    lift, burnt, top, *_ = rocket_times(act)
    (pose,) = poses(scene, LONG)
    climbing = pose.y[(lift < LONG) & (burnt > LONG)].diff(n=2) / STEP_S**2
    assert torch.allclose(climbing[5:-5], climbing[10], rtol=1e-3)
    assert float(climbing[10]) > 0.5
    (peak,) = poses(scene, torch.tensor([top], dtype=torch.float64))
    assert float(peak.y) == pytest.approx(rocket_climb(act))
    assert float(pose.y.max()) + tall(scene.subject) < headroom(scene) + 0.05
    assert bool(pose.contact[0])


def test_a_flight_looks_along_its_path() -> None:
    for kind in ("bird", "duck", "aeroplane"):
        fields = fly(LONG, Act(scene=one(kind, "fly", direction="left"), number=0))
        dx, dz = fields["x"].diff(), fields["z"].diff()
        yaw = (fields["yaw"][1:] + fields["yaw"][:-1]) / 2
        speed = torch.hypot(dx, dz)
        assert torch.allclose(yaw.cos(), dx / speed, atol=1e-4)
        assert torch.allclose(-yaw.sin(), dz / speed, atol=1e-4)
