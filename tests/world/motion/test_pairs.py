from __future__ import annotations

import pytest
import torch

from kinema.world.motion import pair_fits, poses
from kinema.world.motion.act import Act
from kinema.world.motion.constants import mass, reach
from kinema.world.motion.cups import drinking, flow, pouring
from kinema.world.motion.pairs import CHASE_SPEED, RESTITUTION, impact, oval, strike
from kinema.world.scene import Scene
from tests.world.motion.scenes import LONG, STEP_S, pairs, two


def _acts(scene: Scene) -> tuple[Act, Act]:
    return Act(scene=scene, number=0), Act(scene=scene, number=1)


@pytest.mark.parametrize("sizes", [(1.0, 1.0), (0.7, 1.1), (1.2, 0.6)])
@pytest.mark.parametrize("kind, other", list(pairs("collide")))
def test_a_collision_keeps_the_momentum(kind: str, other: str, sizes: tuple[float, float]) -> None:
    scene = two(kind, "collide", other, sizes=sizes)
    act, its = _acts(scene)
    hit, after = strike(act, its), impact(act, its)
    m1, m2 = mass(act.subject), mass(its.subject)
    assert m1 * hit.speed == pytest.approx(m1 * after.own + m2 * after.other)
    assert after.other - after.own == pytest.approx(RESTITUTION * hit.speed)
    eps = 1e-6
    times = torch.tensor([hit.hit_s - eps, hit.hit_s, hit.hit_s + eps], dtype=torch.float64)
    one, two_ = poses(scene, times)
    assert float(one.x.diff()[0]) / eps == pytest.approx(hit.speed, rel=1e-4)
    assert float(one.x.diff()[1]) / eps == pytest.approx(after.own, abs=1e-4)
    assert float(two_.x.diff()[1]) / eps == pytest.approx(after.other, rel=1e-4)


@pytest.mark.parametrize("action", ["collide", "knock_over"])
def test_they_touch_when_they_meet_and_never_before(action: str) -> None:
    for kind, other in pairs(action):
        scene = two(kind, action, other, direction="left")
        act, its = _acts(scene)
        hit = strike(act, its)
        assert 0.3 < hit.hit_s < 0.9
        one, two_ = poses(scene, LONG)
        gap = (one.x - two_.x) - reach(act.subject) - reach(its.subject)  # it comes from the right
        assert float(gap.min()) > (-1e-9 if action == "collide" else -0.06)
        assert (gap[hit.hit_s - STEP_S > LONG] > 0).all()
        assert float(gap[int(hit.hit_s / STEP_S)]) < 0.01


def test_the_one_hit_rests_until_then_and_both_come_to_rest() -> None:
    scene = two("ball", "collide", "ball")
    act, its = _acts(scene)
    hit = strike(act, its)
    one, two_ = poses(scene, LONG)
    assert float(two_.x[hit.hit_s > LONG].std()) == 0
    assert float(two_.x[-1]) > float(two_.x[0]) + 0.2
    assert len(one.x[-500:].unique()) == 1
    assert len(two_.x[-500:].unique()) == 1


def test_a_heavy_one_throws_a_light_one_farther_than_the_other_way_round() -> None:
    ways = []
    for sizes in ((1.2, 0.6), (0.6, 1.2)):
        _, other = poses(two("ball", "collide", "ball", sizes=sizes), torch.tensor([0.0, 3.0]))
        ways.append(float(other.x[1] - other.x[0]))
    assert ways[0] > 2 * ways[1]


@pytest.mark.parametrize("kind, other", list(pairs("knock_over")))
def test_what_is_knocked_over_falls_after_the_contact_and_away_from_it(kind: str, other: str) -> None:
    scene = two(kind, "knock_over", other)
    hit = strike(*_acts(scene))
    _, pose = poses(scene, LONG)
    assert (pose.tip[hit.hit_s >= LONG] == 0).all()
    assert float(pose.tip[hit.hit_s + 0.1 <= LONG][0]) > 0.05
    assert float(pose.tip[-1]) > 1.1
    assert (pose.yaw.cos() > 0.99).all()


@pytest.mark.parametrize("kind, other", list(pairs("chase")))
def test_the_pursuer_follows_the_same_path_and_never_catches_up(kind: str, other: str) -> None:
    scene = two(kind, "chase", other)
    path = oval(*_acts(scene))
    times = torch.arange(0, 6, 1 / 60, dtype=torch.float64)
    first, second = poses(scene, times + path.delay_s)[0], poses(scene, times)[1]
    assert torch.allclose(first.x, second.x, atol=1e-9)
    assert torch.allclose(first.z, second.z, atol=1e-9)
    one, two_ = poses(scene, times)
    speed = torch.hypot(one.x.diff(), one.z.diff()) * 60
    assert torch.allclose(speed, torch.tensor(CHASE_SPEED, dtype=torch.float64), rtol=0.02)
    assert float(torch.hypot(one.x - two_.x, one.z - two_.z).min()) > 0.6


def test_a_chasing_ball_rolls_without_slipping() -> None:
    one, two_ = poses(two("car", "chase", "ball"), LONG[:2000])
    assert torch.allclose(two_.turned.diff() * 0.45 / STEP_S, torch.tensor(CHASE_SPEED, dtype=torch.float64))
    assert torch.allclose(one.turned.diff() * 0.20 / STEP_S, torch.tensor(CHASE_SPEED, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["person", "robot", "astronaut"])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_the_hand_lifts_the_cup_before_it_is_tipped(kind: str, direction: str) -> None:
    scene = two(kind, "drink", "cup", direction=direction, sizes=(1.0, 0.6))
    plan = drinking(*_acts(scene))
    figure, cup = poses(scene, LONG[:3100])
    times = LONG[:3100]
    assert (cup.y[times <= plan.lift_s] == 0).all()
    assert cup.contact[times <= plan.lift_s].all()
    assert (cup.roll[times <= plan.mouth_s] == 0).all()
    assert plan.lift_s < plan.mouth_s < plan.sip_s < 1.4
    sip = round((plan.sip_s + 0.1) / STEP_S)
    assert float(cup.y[sip]) > 0.25
    assert float(plan.sign * cup.roll[sip]) > 0.8
    assert float(figure.reach[sip]) == pytest.approx(1.0)
    assert float(figure.reach[0]) == 0.0
    assert float(cup.y[-1]) == 0.0
    assert float(cup.x[-1]) == pytest.approx(plan.cup)


def test_water_flows_only_from_a_tipped_cup_above_the_other() -> None:
    scene = two("cup", "pour", "flower", sizes=(0.6, 1.0))
    act, its = _acts(scene)
    plan = pouring(act, its)
    cup, flower = poses(scene, LONG)
    flowing = flow(LONG, act, its) > 0
    assert 0.5 < plan.flow_s < 1.0
    assert float(cup.roll[flowing].max()) < -0.5
    assert float(cup.y[flowing].min()) > 1.0
    assert float(flower.bend[0]) > 0.3
    assert float(flower.bend[2500].abs()) < 1e-6


def test_small_ones_fit_where_great_ones_do_not() -> None:
    assert pair_fits(two("ball", "collide", "cube"))
    assert not pair_fits(two("train", "knock_over", "tower", sizes=(1.2, 1.2)))
