from __future__ import annotations

import math

import pytest
import torch

from kinema.world.events import EVENTS, events
from kinema.world.motion import poses
from kinema.world.motion.constants import GRAVITY, SEA_CRASH_S, SEA_S
from kinema.world.scene import Scene, Subject
from tests.world.motion.scenes import every, one, pairs, two

EPS_S = 1e-5


def _times(found: list, kind: str) -> torch.Tensor:
    return torch.tensor([e.time_s for e in found if e.kind == kind], dtype=torch.float64)


def test_events_come_in_order_and_within_the_clip() -> None:
    for scene in every():
        found = events(scene, 4.5)
        assert [e.time_s for e in found] == sorted(e.time_s for e in found)
        assert all(0 <= e.time_s < 4.5 for e in found)
        assert all(e.kind in EVENTS for e in found)
        assert all(e.subject is None or 0 <= e.subject < len(scene.subjects) for e in found)
        assert events(scene, 2.0) == [e for e in found if e.time_s < 2.0]


@pytest.mark.parametrize(
    "kind, action, kinds",
    [
        ("puppy", "stand", set()),
        ("puppy", "walk", {"step", "turn"}),
        ("car", "walk", {"turn"}),
        ("puppy", "jump", {"take_off", "land"}),
        ("fish", "jump", {"splash"}),
        ("puppy", "spin", {"full_turn"}),
        ("puppy", "play", {"land"}),
        ("puppy", "fall", {"impact"}),
        ("ball", "roll", {"push", "stop"}),
        ("ball", "toss", {"take_off", "impact"}),
        ("ball", "swing", {"release", "swing_low"}),
        ("tower", "topple", {"topple_start", "hit_ground"}),
        ("rocket", "fly", {"launch", "land"}),
        ("person", "wave", {"wave"}),
    ],
)
def test_each_action_has_its_events(kind: str, action: str, kinds: set[str]) -> None:
    assert {e.kind for e in events(one(kind, action), 4.5)} == kinds


@pytest.mark.parametrize(
    "kind, action, event",
    [("puppy", "jump", "land"), ("puppy", "play", "land"), ("cube", "fall", "impact"), ("ball", "toss", "impact")],
)
def test_landings_are_where_the_foot_meets_the_ground_at_the_speed_they_say(kind: str, action: str, event: str) -> None:
    scene = one(kind, action)
    found = [e for e in events(scene, 5.0) if e.kind == event]
    times = torch.tensor([e.time_s for e in found], dtype=torch.float64)
    (at,), (before,) = poses(scene, times), poses(scene, times - EPS_S)
    assert len(times) >= 4
    assert float(at.y.max()) < 1e-9
    speed = torch.tensor([e.strength for e in found], dtype=torch.float64)
    assert torch.allclose(before.y / EPS_S, speed, atol=GRAVITY * EPS_S)


@pytest.mark.parametrize("kind, action", [("puppy", "walk"), ("person", "run"), ("bird", "walk"), ("horse", "run")])
def test_steps_are_where_the_feet_are_down(kind: str, action: str) -> None:
    scene = one(kind, action)
    times = _times(events(scene, 5.0), "step")
    assert len(times) >= 4
    assert float(poses(scene, times)[0].y.max()) < 1e-6


def test_a_tossed_thing_rests_where_its_events_end_and_a_swing_is_lowest_in_the_middle() -> None:
    scene = one("ball", "swing")
    low = _times(events(scene, 5.0), "swing_low")
    (pose,) = poses(scene, low)
    assert float(pose.x.abs().max()) < 1e-9
    strength = events(scene, 5.0)[1].strength
    (after,) = poses(scene, low + EPS_S)
    way = torch.hypot(after.x - pose.x, after.y - pose.y) / EPS_S
    assert float(way.max()) > strength  # its foot is farther from the pivot than its centre
    assert float(way.max()) == pytest.approx(strength * 1.35, rel=0.1)


@pytest.mark.parametrize("kind, other", list(pairs("knock_over"))[::5])
def test_it_falls_because_it_was_hit(kind: str, other: str) -> None:
    scene = two(kind, "knock_over", other)
    found = [e for e in events(scene, 4.0) if e.kind in ("collision", "topple_start", "hit_ground")]
    assert [e.kind for e in found][:3] == ["collision", "topple_start", "hit_ground"]
    cause, start, end = found[:3]
    assert (cause.subject, cause.other) == (0, 1)
    assert (start.subject, start.other) == (1, 0)
    assert cause.time_s == start.time_s < end.time_s < 2.2
    moments = torch.tensor(
        [start.time_s - 0.05, start.time_s, start.time_s + 0.05, end.time_s - EPS_S, end.time_s], dtype=torch.float64
    )
    tip = poses(scene, moments)[1].tip
    assert tip[:2].tolist() == [0.0, 0.0]
    assert float(tip[2]) > 0
    size = scene.subjects[1].size
    assert float(tip[4] - tip[3]) / EPS_S * size == pytest.approx(end.strength, rel=1e-2)


def test_a_collision_is_when_both_touch() -> None:
    scene = two("ball", "collide", "ball")
    (hit,) = [e for e in events(scene, 4.0) if e.kind == "collision"]
    one_, other = poses(scene, torch.tensor([hit.time_s, hit.time_s - EPS_S], dtype=torch.float64))
    assert float(other.x[0] - one_.x[0]) == pytest.approx(0.9)
    assert float(one_.x[0] - one_.x[1]) / EPS_S == pytest.approx(hit.strength, rel=1e-4)
    stops = [e for e in events(scene, 6.0) if e.kind == "stop"]
    assert {e.subject for e in stops} == {0, 1}
    assert all(e.time_s > hit.time_s for e in stops)


def test_one_drinks_after_lifting_and_pours_after_lifting() -> None:
    drink = [e.kind for e in events(two("person", "drink", "cup", sizes=(1.0, 0.6)), 3.0)]
    assert drink[:3] == ["lift", "sip", "put_down"]
    pour = [e.kind for e in events(two("cup", "pour", "flower", sizes=(0.6, 1.0)), 3.0)]
    assert pour == ["lift", "pour_start", "pour_end", "put_down"]


def test_both_who_chase_are_heard() -> None:
    found = events(two("puppy", "chase", "horse"), 2.0)
    assert {e.subject for e in found} == {0, 1}
    assert {e.kind for e in found} == {"step"}


def test_waves_break_on_the_coast() -> None:
    scene = Scene(subjects=(Subject(kind="person", colour="red", action="stand"),), place="coast", time="day")
    found = events(scene, 4.0)
    assert [e.kind for e in found] == ["wave_crash", "wave_crash"]
    assert [e.time_s for e in found] == pytest.approx([SEA_CRASH_S, SEA_CRASH_S + SEA_S])
    assert found[0].subject is None


def test_a_mirrored_scene_has_the_same_events() -> None:
    for scene in (one("puppy", "walk"), two("car", "collide", "ball")):
        assert events(scene, 3.0) == events(scene.mirrored(), 3.0)
    assert math.isfinite(events(one("cube", "slide"), 3.0)[0].strength)
