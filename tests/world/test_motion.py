from __future__ import annotations

import itertools
import math

import pytest
import torch

from kinema.world.events import events
from kinema.world.motion import FALL_HEIGHT, GRAVITY, JUMP_HEIGHT, RESTITUTION, join, pose
from kinema.world.scene import ACTIONS, CAMERA_NAMES, KINDS
from tests.world.scenes import make

STEP_S = 1e-3
LONG = torch.arange(0, 12, STEP_S, dtype=torch.float64)


@pytest.mark.parametrize("action", ["jump", "fall"])
def test_what_flies_obeys_gravity(action: str) -> None:
    at = pose(make("ball", action), LONG)
    accelerations = (at.y[2:] - 2 * at.y[1:-1] + at.y[:-2]) / STEP_S**2
    flying = ~at.contact[2:] & ~at.contact[1:-1] & ~at.contact[:-2]
    smooth = flying & (accelerations < 0)  # a bounce between two moments turns the speed round
    assert smooth.sum() > 500
    assert torch.allclose(accelerations[smooth], torch.tensor(-GRAVITY, dtype=torch.float64), atol=1e-3)
    assert float(at.y.max()) == pytest.approx(FALL_HEIGHT if action == "fall" else JUMP_HEIGHT, abs=1e-3)
    assert float(at.y.min()) == 0.0


def test_a_jump_starts_on_the_ground_and_a_fall_above_it() -> None:
    start = torch.zeros(1)
    assert pose(make("car", "jump"), start).contact.all()
    fall = pose(make("car", "fall"), start)
    assert fall.y.item() == FALL_HEIGHT
    assert not fall.contact.any()


def test_each_bounce_keeps_its_share_of_the_speed() -> None:
    impacts = [e for e in events(make("ball", "fall"), 10.0) if e.kind == "impact"]
    speeds = [e.strength for e in impacts]
    assert speeds[0] == pytest.approx(math.sqrt(2 * GRAVITY * FALL_HEIGHT))
    for before, after in itertools.pairwise(speeds):
        assert after / before == pytest.approx(RESTITUTION)
    at = pose(make("ball", "fall"), torch.tensor([e.time_s for e in impacts], dtype=torch.float64))
    assert float(at.y.max()) < 1e-9


def test_nothing_is_squashed_before_it_hits() -> None:
    (first, *_) = events(make("cube", "fall"), 3.0)
    squash = pose(make("cube", "fall"), LONG).squash
    assert (squash[first.time_s > LONG] == 1).all()
    assert float(squash.min()) < 0.9


@pytest.mark.parametrize("kind", ["ball", "car"])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_what_rolls_does_not_slip(kind: str, direction: str) -> None:
    at = pose(make(kind, "walk", direction=direction), LONG)
    ahead = torch.stack([at.yaw.cos(), -at.yaw.sin()], -1)
    driving = at.travelled[1:] - at.travelled[:-1] > 1e-9
    way = at.x[1:] - at.x[:-1]
    steady = driving & (at.yaw[1:] == at.yaw[:-1])
    assert steady.sum() > 0.8 * len(way)
    assert torch.allclose((way * ahead[1:, 0])[steady], (at.travelled[1:] - at.travelled[:-1])[steady], atol=1e-9)
    assert torch.allclose(ahead[1:, 1][steady], torch.zeros(1, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("direction, sign", [("left", -1), ("right", 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_goes_and_looks_the_way_it_says(kind: str, direction: str, sign: int) -> None:
    at = pose(make(kind, "walk", direction=direction), torch.linspace(0, 1.9, 17))
    assert (sign * (at.x[1:] - at.x[:-1]) > 0).all()
    assert (sign * at.yaw.cos() > 0.9).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_motion_is_continuous_and_stays_about_the_middle_for_a_long_time(action: str) -> None:
    for kind, camera in itertools.product(("bird", "car"), CAMERA_NAMES):
        at = pose(make(kind, action, camera=camera), LONG)
        for name in ("x", "y", "yaw", "roll"):
            values = getattr(at, name)
            assert float((values[1:] - values[:-1]).abs().max()) < 0.03, (kind, camera, name)
        assert float(at.x.abs().max()) < 0.7


def test_a_moment_is_the_same_at_every_frame_rate() -> None:
    scene = make("puppy", "play")
    slow, fast = (pose(scene, torch.arange(n, dtype=torch.float64) / fps) for n, fps in ((9, 8), (27, 24)))
    assert torch.equal(slow.x, fast.x[::3])
    assert torch.equal(slow.roll, fast.roll[::3])


def test_poses_are_joined_in_order() -> None:
    one, two = (pose(make("puppy", a), torch.arange(n) / 8) for a, n in (("walk", 3), ("jump", 5)))
    both = join([one, two])
    assert torch.equal(both.x, torch.cat([one.x, two.x]))
    assert torch.equal(both.contact, torch.cat([one.contact, two.contact]))
    assert join([one]) is one


@pytest.mark.parametrize(
    "action, kinds",
    [
        ("stand", []),
        ("jump", ["take_off", "land"]),
        ("spin", ["full_turn"]),
        ("play", ["land"]),
        ("fall", ["impact"]),
        ("walk", ["step", "turn"]),
    ],
)
def test_events_come_in_order_and_within_the_clip(action: str, kinds: list[str]) -> None:
    found = events(make("puppy", action), 4.5)
    assert {e.kind for e in found} == set(kinds)
    assert [e.time_s for e in found] == sorted(e.time_s for e in found)
    assert all(0 < e.time_s < 4.5 for e in found)
    assert list(events(make("puppy", action), 2.0)) == [e for e in found if e.time_s < 2.0]


@pytest.mark.parametrize("action", ["jump", "play"])
def test_landings_are_where_the_subject_touches_the_ground(action: str) -> None:
    scene = make("puppy", action)
    landings = torch.tensor([e.time_s for e in events(scene, 5.0) if e.kind == "land"], dtype=torch.float64)
    assert len(landings) >= 4
    assert float(pose(scene, landings).y.max()) < 1e-9
    assert float(pose(scene, landings - 0.1).y.min()) > 0.05


def test_a_bird_hops_once_a_step_and_lands_on_it() -> None:
    scene = make("bird", "walk")
    steps = torch.tensor([e.time_s for e in events(scene, 2.0) if e.kind == "step"], dtype=torch.float64)
    assert len(steps) >= 1
    assert float(pose(scene, steps).y.max()) < 1e-9
