from __future__ import annotations

import math

import pytest
import torch

from kinema.world.kinds import FRONT_EDGE, subject_size
from kinema.world.motion import poses
from kinema.world.motion.constants import GRAVITY
from kinema.world.motion.tipping import SHAPES, TOPPLE_S, fall_of
from kinema.world.nature import KINDS
from tests.world.motion.scenes import LONG, one


def test_all_that_topples_has_a_shape_and_an_edge() -> None:
    topples = {kind for kind, facts in KINDS.items() if "topple" in facts.actions}
    assert topples <= SHAPES.keys()
    assert SHAPES.keys() <= FRONT_EDGE.keys()


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("size", [0.6, 1.2])
def test_a_fall_keeps_its_energy_until_it_lands_and_then_lies_still(kind: str, size: float) -> None:
    subject = one(kind, "topple", size=size).subject
    fall, big = fall_of(subject), subject_size(subject)
    edge, centre = FRONT_EDGE[kind] * big, SHAPES[kind][0] * big
    arm, balance = math.hypot(edge, centre), math.atan2(edge, centre)
    inertia = 4 / 3 * arm**2
    energy = 0.5 * inertia * fall.speeds**2 + GRAVITY * arm * (fall.angles - balance).cos()
    assert float(energy.max() - energy.min()) < 1e-6 * float(energy.max())
    assert float(fall.angle(torch.tensor([fall.land_s], dtype=torch.float64))) == pytest.approx(fall.lying, abs=1e-6)
    angle = fall.angle(LONG)
    assert float(angle.max()) <= fall.lying + 1e-6
    assert torch.equal(angle[LONG > 3], torch.full_like(angle[LONG > 3], fall.lying))
    assert TOPPLE_S + fall.land_s < 1.35


@pytest.mark.parametrize("direction, sign", [("left", -1), ("right", 1)])
def test_a_tower_falls_to_the_side_it_faces(direction: str, sign: int) -> None:
    (pose,) = poses(one("tower", "topple", direction=direction), LONG)
    assert (pose.tip[LONG < TOPPLE_S] == 0).all()
    assert (sign * pose.yaw.cos() > 0.9).all()
    assert float(sign * pose.x[0]) < -0.2  # so that it lies about the middle
