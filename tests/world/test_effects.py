from __future__ import annotations

import pytest
import torch

from kinema.world.effects import effects
from kinema.world.motion import poses
from kinema.world.motion.act import Act
from kinema.world.motion.air import pendulum, rocket_times
from kinema.world.motion.cups import pouring
from kinema.world.scene import Scene
from kinema.world.solids import Solid, gather
from tests.world.motion.scenes import every, one, two

TIMES = torch.arange(0, 4, 1 / 24, dtype=torch.float64)


def _effects(scene: Scene, times: torch.Tensor = TIMES) -> list[Solid]:
    return effects(scene, times, poses(scene, times))


def _size(solid: Solid) -> torch.Tensor:
    return solid.matrix[..., :3].square().sum(-2).sqrt().amax(-1)


def test_every_scene_has_few_and_always_the_same_solids() -> None:
    for scene in every():
        now, alone = _effects(scene), _effects(scene, TIMES[7:8])
        assert len(now) <= 8
        assert [s.shape for s in now] == [s.shape for s in alone]
        if now:
            many = gather(now)
            assert many.matrix.shape == (len(TIMES), len(now), 3, 4)
            assert bool(many.matrix.isfinite().all())
            assert torch.allclose(many.matrix[7], gather(alone).matrix[0], atol=1e-12)


@pytest.mark.parametrize("scene", [one("puppy", "walk"), one("ball", "roll"), two("car", "collide", "ball")])
def test_most_need_none(scene: Scene) -> None:
    assert _effects(scene) == []


@pytest.mark.parametrize("kind", ["ball", "cube", "ring", "lantern"])
def test_the_rope_runs_from_the_beam_to_the_top_of_what_hangs(kind: str) -> None:
    scene = one(kind, "swing")
    hung = pendulum(Act(scene=scene, number=0))
    beam, rope = _effects(scene)
    (pose,) = poses(scene, TIMES)
    ends = [rope.matrix[..., 3] + side * rope.matrix[..., 1] for side in (-1, 1)]
    assert torch.allclose(ends[1][:, :2], torch.tensor(hung.pivot, dtype=torch.float64).expand(len(TIMES), 2))
    foot = torch.stack([pose.x, pose.y], -1)
    assert torch.allclose((ends[0][:, :2] - foot).norm(dim=-1), (ends[0][:, :2] - foot).norm(dim=-1)[0])
    assert float(beam.matrix[0, 1, 3]) == pytest.approx(hung.pivot[1] + 0.03)


def test_water_falls_only_while_it_is_poured() -> None:
    scene = two("cup", "pour", "flower", sizes=(0.6, 1.0))
    plan = pouring(Act(scene=scene, number=0), Act(scene=scene, number=1))
    stream, pool = _effects(scene)
    long = stream.matrix[:, :, 1].norm(dim=-1)
    assert float(long[plan.flow_s > TIMES].max()) < 1e-3
    assert float(long[(plan.flow_s + 0.6 < TIMES) & (plan.stop_s > TIMES)].min()) > 0.4
    assert float(_size(pool)[plan.flow_s > TIMES].max()) < 1e-3
    assert float(_size(pool)[-1]) > 0.2


def test_a_rocket_burns_below_its_foot_and_smokes_at_its_start() -> None:
    scene = one("rocket", "fly")
    lift, burnt, *_ = rocket_times(Act(scene=scene, number=0))
    outer, inner, *smoke = _effects(scene)
    (pose,) = poses(scene, TIMES)
    burning = (lift + 0.2 < TIMES) & (burnt > TIMES)
    assert (outer.matrix[burning][:, 1, 3] < pose.y[burning] + 0.1).all()
    assert (_size(outer)[burning] > _size(inner)[burning]).all()
    assert float(_size(outer)[0]) < 0.1
    assert max(float(_size(s)[0]) for s in smoke) < 1e-3
    assert min(float(_size(s)[burning].max()) for s in smoke) > 0.1


def test_a_boat_leaves_foam_behind_it() -> None:
    for direction, sign in (("left", -1), ("right", 1)):
        scene = one("boat", "walk", direction=direction)
        (pose,) = poses(scene, TIMES[:24])
        wake = _effects(scene, TIMES[:24])[:2]
        assert all((sign * (pose.x - s.matrix[:, 0, 3]) > 0.3).all() for s in wake)
