"""Floors: who says the truth is right at any rate and size, every kind of mistake is counted where it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.evaluation.floors import Tally, changed, compare, first_times, floors, match, one_to_one
from kinema.evaluation.judges import WINDOW, Judges, SubjectVerdict, Verdict, looked_at
from kinema.training.judge_data import boxes_of, places_of
from kinema.world.camera import camera_features
from kinema.world.events import events
from kinema.world.geometry import geometry
from kinema.world.render import render
from kinema.world.sampler import sample
from kinema.world.scene import Scene
from kinema.world.score import score_of_flow
from tests.world.scenes import make, pair, three

SHAPE = VideoShape(frames=9, height_px=32, width_px=48, fps=8.0)
SCENES = {
    "one": make("car", "walk", camera="around_left"),
    "three": three(camera="pan_left"),
    "collides": pair("collide", "car", "cube"),
    "mirrored": pair("knock_over", "car", "tower").mirrored(),
}


def truth(scene: Scene, shape: VideoShape = SHAPE) -> Verdict:
    """What a judge that is always right says of ``scene``."""
    numbers = looked_at(shape.frames, shape.fps)
    times_s = tuple(n / shape.fps for n in numbers)
    exact = geometry(scene, shape)
    boxes, places = boxes_of(exact.owner, len(scene.subjects))[:, numbers], places_of(scene, shape)[:, numbers]
    happening = events(scene, (shape.frames - 1) / shape.fps)
    subjects = []
    for n, subject in enumerate(scene.subjects):
        last = min(len(numbers), WINDOW) - 1
        speed = (places[n, last] - places[n, 1]) / (times_s[last] - times_s[1]) if last > 1 else torch.zeros(3)
        subjects.append(
            SubjectVerdict(
                kind=subject.kind, colour=subject.colour, action=subject.action, sureness={}, boxes=boxes[n], places=places[n, 1:WINDOW],
                velocity=tuple(speed.tolist()), events=tuple((e.kind, e.time_s) for e in happening if e.subject == n), kept=1.0,
            )
        )  # fmt: skip
    return Verdict(
        subjects=tuple(reversed(subjects)), place=scene.place, time=scene.time, weather=scene.weather, style=scene.style,
        camera=scene.camera, camera_path=camera_features(scene, numbers, fps=shape.fps),
        motion_score=score_of_flow(exact.flow, fps=shape.fps), background_kept=1.0, times_s=times_s, sureness={},
    )  # fmt: skip


def table(verdict: Verdict, scene: Scene, shape: VideoShape = SHAPE) -> dict[str, Any]:
    tally = Tally()
    compare(verdict, scene, shape, tally)
    return tally.table()


def shares(verdict: Verdict, scene: Scene, shape: VideoShape = SHAPE) -> dict[str, Any]:
    return {name: row["share"] for name, row in table(verdict, scene, shape)["right"].items()}


def with_subject(verdict: Verdict, number: int, **changes: object) -> Verdict:
    subjects = list(verdict.subjects)
    subjects[number] = replace(subjects[number], **changes)  # pyright: ignore[reportArgumentType]
    return replace(verdict, subjects=tuple(subjects))


def test_a_tally_counts_by_attribute() -> None:
    tally = Tally()
    for said in ("red", "red", "blue", "green", "blue"):
        tally.add("colour", said, "red")
    tally.add("kind", "cat", "cat")
    for error in (3.0, 1.0, 2.0):
        tally.measure("metres", error)
    found = tally.table()
    colour = found["right"]["colour"]
    assert (colour["share"], colour["asked"]) == (0.4, 5)
    assert colour["confused"] == {"red -> blue": 2, "red -> green": 1}
    assert list(colour["confused"]) == ["red -> blue", "red -> green"]  # the commonest first
    assert 0 < colour["interval_95"][0] < 0.4 < colour["interval_95"][1] < 1
    assert found["right"]["kind"]["confused"] == {}
    assert found["errors"] == {"metres": {"median": 2.0, "p90": 2.8, "asked": 3}}
    assert Tally().table() == {"right": {}, "errors": {}}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize(
    "shape",
    [
        SHAPE,
        replace(SHAPE, frames=25, fps=24.0, height_px=48, width_px=32),
        replace(SHAPE, frames=5, fps=4.0),
        replace(SHAPE, frames=14, fps=12.5),
        replace(SHAPE, frames=2 * WINDOW),
        replace(SHAPE, frames=2),
        replace(SHAPE, frames=1),
    ],
    ids=str,
)
def test_the_truth_is_right(scene: Scene, shape: VideoShape) -> None:
    found = table(truth(scene, shape), scene, shape)
    assert {name: row["share"] for name, row in found["right"].items()} == dict.fromkeys(found["right"], 1.0)
    assert {"kind", "colour", "count", "place"} <= set(found["right"])
    for name in ("action", "camera", "identity_kept", "background_kept"):  # which a picture doesn't show
        assert (name in found["right"]) == (shape.frames > 1)
    assert found["right"]["kind"]["asked"] == len(scene.subjects)
    assert {name: row["median"] for name, row in found["errors"].items()} == dict.fromkeys(found["errors"], 0.0)
    assert ("position_heights" in found["errors"]) == (shape.frames > 1)
    assert ("velocity_heights_a_second" in found["errors"]) == (shape.frames > 2)


def test_mistakes_are_counted_where_they_are_made() -> None:
    scene = SCENES["three"]  # of which the truth speaks in reverse
    right = truth(scene)
    found = table(with_subject(right, 0, kind="cup", kept=0.2), scene)["right"]
    assert {name for name, row in found.items() if row["share"] != 1} == {"kind", "identity_kept"}
    assert found["kind"]["confused"] == {"cone -> cup": 1}
    found = shares(replace(right, place="room", camera="static", background_kept=0.1), scene)
    assert {name for name, share in found.items() if share != 1} == {"place", "camera", "background_kept"}


def test_errors_are_measured_in_their_units() -> None:
    scene = SCENES["one"]
    right = truth(scene)
    path = right.camera_path.clone()
    path[:, 0] += torch.pi / 6
    path[:, 3:5] += torch.tensor([0.3, 0.4])
    wrong = with_subject(
        replace(right, camera_path=path, motion_score=right.motion_score - 5), 0,
        places=right.subjects[0].places + torch.tensor([0.0, 1.2, 0.5]),
        velocity=tuple(v + d for v, d in zip(right.subjects[0].velocity, (0.6, 0.0, 0.8), strict=True)),
    )  # fmt: skip
    medians = {name: row["median"] for name, row in table(wrong, scene)["errors"].items()}
    assert medians["camera_degrees"] == pytest.approx(30, abs=1e-3)
    assert medians["camera_distances"] == pytest.approx(0.5, abs=1e-3)
    assert medians["position_heights"] == pytest.approx(1.3, abs=1e-3)
    assert medians["velocity_heights_a_second"] == pytest.approx(1.0, abs=1e-3)
    assert medians["motion_score"] == 5
    assert medians["camera_log_zoom"] == 0


def test_a_subject_that_is_not_found_is_a_mistake_in_all_its_words() -> None:
    scene = SCENES["three"]
    right = truth(scene)
    found = table(replace(right, subjects=right.subjects[:2]), scene)["right"]
    assert {name for name, row in found.items() if row["share"] != 1} == {"kind", "colour", "action", "count"}
    assert found["kind"]["confused"] == {"cube -> None": 1}
    assert found["count"]["confused"] == {"3 -> 2": 1}
    nobody = table(replace(right, subjects=()), scene)
    assert nobody["right"]["kind"]["share"] == 0
    assert "position_heights" not in nobody["errors"]


def test_what_one_does_of_itself_is_not_asked_of_who_is_acted_on() -> None:
    scene = SCENES["collides"]
    right = truth(scene)
    assert table(right, scene)["right"]["action"]["asked"] == 1
    assert shares(with_subject(right, 0, action="spin"), scene)["action"] == 1  # the cube, which is run into
    assert shares(with_subject(right, 1, action="spin"), scene)["action"] == 0


def at(*centres: tuple[float, float]) -> list[SubjectVerdict]:
    some = truth(SCENES["one"], replace(SHAPE, frames=3)).subjects[0]
    return [replace(some, boxes=torch.tensor([x, y, 0.1, 0.1]).expand(3, -1)) for x, y in centres]


def boxes_at(*centres: tuple[float, float]) -> Tensor:
    return torch.stack([torch.tensor([x, y, 0.1, 0.1]).expand(3, -1) for x, y in centres])


def matched(found: Sequence[SubjectVerdict], boxes: Tensor, visible: Sequence[int]) -> dict[int, int | None]:
    return {
        n: next((i for i, v in enumerate(found) if v is one), None) for n, one in match(found, boxes, visible).items()
    }


def test_each_subject_is_matched_to_the_nearest_verdict_once() -> None:
    true = boxes_at((0.2, 0.5), (0.4, 0.5), (0.9, 0.1))
    assert matched(at((0.42, 0.5), (0.3, 0.5), (0.85, 0.15)), true, [0, 1, 2]) == {0: 1, 1: 0, 2: 2}
    assert matched(at((0.31, 0.5)), true, [0, 1, 2]) == {0: None, 1: 0, 2: None}
    assert matched(at((0.2, 0.5), (0.21, 0.5)), true, [0]) == {0: 0}
    assert matched(at((0.9, 0.9)), true, [0, 1, 2]) == {0: None, 1: None, 2: None}
    assert matched([], true, [2]) == {2: None}
    assert matched(at((0.2, 0.5)), true, []) == {}


def test_where_a_subject_is_unseen_its_place_does_not_count() -> None:
    true = boxes_at((0.2, 0.5))
    true[0, 1:] = 0
    (moves,) = at((0.2, 0.5))
    far = replace(moves, boxes=torch.tensor([[0.2, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]))
    assert matched([far], true, [0]) == {0: 0}


def test_an_event_is_found_near_its_time() -> None:
    scene = make("cube", "fall")
    shape = replace(SHAPE, frames=17)
    right = truth(scene, shape)
    ((what, when), *_) = right.subjects[0].events
    near = with_subject(right, 0, events=((what, when + 0.14),))
    found = table(near, scene, shape)
    assert found["right"]["event_said"]["share"] == 1
    assert found["errors"]["event_seconds"]["median"] == pytest.approx(0.14)
    late = table(with_subject(right, 0, events=((what, when - 0.16),)), scene, shape)
    assert late["right"]["event"]["share"] < found["right"]["event"]["share"]
    assert late["right"]["event_said"]["share"] == 0
    assert shares(with_subject(right, 0, events=((what, when + 9), ("sip", when))), scene, shape)["event_said"] == 0
    silent = table(with_subject(right, 0, events=()), scene, shape)["right"]
    assert silent["event"]["share"] == 0
    assert "event_said" not in silent
    assert f"{what} -> None" in silent["event"]["confused"]


def test_events_are_matched_one_to_one() -> None:
    true = [("step", 1.0), ("step", 1.1), ("land", 1.0)]
    assert one_to_one(true, [("step", 1.02)]) == {0: 0}
    assert one_to_one(true, [("step", 1.08), ("step", 0.9)]) == {1: 0, 0: 1}
    assert one_to_one(true, [("step", 1.0)] * 3) == {0: 0, 1: 1}  # one of the three stands for nothing
    assert one_to_one(true, [("land", 1.14), ("sip", 1.0)]) == {2: 0}
    assert one_to_one(true, [("land", 1.16)]) == one_to_one(true, []) == one_to_one([], true) == {}


def test_one_who_always_says_that_something_happens_gets_no_full_marks() -> None:
    shape = replace(SHAPE, frames=25)
    scenes = [make("cube", "fall"), make("ball", "jump"), make("puppy", "walk"), pair("collide", "car", "cube")]
    tally = Tally()
    for scene in scenes:
        right = truth(scene, shape)
        assert right.events
        kinds = dict.fromkeys(kind for kind, _, _ in right.events)
        always = tuple((kind, k / 2) for kind in kinds for k in range(7))
        for number in range(right.count):
            compare(with_subject(right, number, events=always), scene, shape, tally)
    found = tally.table()["right"]
    assert found["event_said"]["share"] < 0.5
    assert found["event"]["share"] < 0.9
    honest = Tally()
    for scene in scenes:
        compare(truth(scene, shape), scene, shape, honest)
    rows = honest.table()["right"]
    assert rows["event"]["share"] == rows["event_said"]["share"] == 1


def test_causes_come_before_effects() -> None:
    scene = pair("knock_over", "car", "tower")
    shape = replace(SHAPE, frames=25, fps=12.0)
    right = truth(scene, shape)
    happening = {what: time_s for what, time_s, _ in reversed(right.events)}
    assert happening["collision"] + 0.25 < happening["hit_ground"]
    assert shares(right, scene, shape)["order"] == 1
    swapped = with_subject(
        with_subject(right, 0, events=()), 1, events=tuple((what, 3.0 - time_s) for what, time_s in happening.items())
    )
    assert shares(swapped, scene, shape)["order"] == 0
    assert "order" not in shares(truth(make("cube", "fall"), shape), make("cube", "fall"), shape)


def test_first_times() -> None:
    assert first_times([("step", 0.5), ("land", 0.7), ("step", 0.2), ("step", 0.9)]) == {"step": 0.2, "land": 0.7}


def test_a_changed_scene_differs_in_one_thing() -> None:
    seen = set()
    for seed in range(8):
        scene = sample(seed, difficulty="full")
        others = changed(scene, seed=seed)
        if "background" in others:
            assert replace(others["background"], place=scene.place) == scene
            assert others["background"].place != scene.place
        if "identity" in others:
            other = others["identity"]
            differing = [(a, b) for a, b in zip(scene.subjects, other.subjects, strict=True) if a != b]
            ((one, two),) = differing
            names = [n for n in ("kind", "colour") if getattr(one, n) != getattr(two, n)]
            assert replace(two, kind=one.kind, colour=one.colour) == one
            assert replace(other, subjects=scene.subjects, span=scene.span) == scene
            seen.update(names)
        seen.update(others)
    assert seen == {"identity", "background", "kind", "colour"}
    room = make("cup", place="room")
    assert "background" not in changed(room, seed=0)


def test_a_changed_scene_looks_the_same_elsewhere() -> None:
    """The cut to another subject moves nothing else, so it can't be told by the width of view."""
    scene = SCENES["three"]
    other = changed(scene, seed=2)["identity"]
    one, two = (render([s], SHAPE)[0].frames for s in (scene, other))
    assert one is not None
    assert two is not None
    is_same = (one == two).all(-1).float().mean()
    assert 0.75 < is_same < 1


class Knowing(Judges):
    """A judge that knows the scenes and tells them by their frames; of frames of two scenes it says the first, and what isn't kept."""

    def __init__(self, scenes: Sequence[Scene], shape: VideoShape) -> None:
        self.shape, self.scenes = shape, scenes
        self.known = [(render([s], shape)[0].frames, s, "") for s in scenes]
        for number, scene in enumerate(scenes):
            for name, other in changed(scene, seed=number).items():
                self.known.append((render([other], shape)[0].frames, scene, name))
        self.asked = 0

    def of(self, frame: Tensor, at: int) -> list[tuple[Scene, str]]:
        return [(s, name) for frames, s, name in self.known if frames is not None and torch.equal(frames[at], frame)]

    def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
        self.asked += 1
        (first, *_), (last, *_) = self.of(frames[0], 0), self.of(frames[-1], -1)
        verdict = truth(first[0], replace(self.shape, fps=fps))
        if last[1] == "background":
            return replace(verdict, background_kept=0.1)
        if last[1] == "identity":
            return with_subject(verdict, -1, kept=0.1)
        return verdict


class Blind(Knowing):
    """One that sees no subject and no change."""

    def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
        return replace(truth(self.scenes[0], self.shape), subjects=())


def test_floors_of_one_who_knows_and_of_one_who_is_blind() -> None:
    scenes = [SCENES["one"], make("ball", "jump", colour="blue", place="room"), SCENES["collides"]]
    judge = Knowing(scenes, SHAPE)
    found = floors(judge, scenes, SHAPE)
    assert {name: row["share"] for name, row in found["right"].items()} == dict.fromkeys(found["right"], 1.0)
    asked = {name: row["asked"] for name, row in found["right"].items()}
    assert asked["camera"] == asked["background_kept"] == asked["identity_kept"] == 3
    assert asked["background_changed"] == 2  # there is but one room
    assert judge.asked == 3 + asked["identity_changed"] + 2
    blind = floors(Blind(scenes, SHAPE), scenes, SHAPE)["right"]
    assert blind["identity_changed"]["share"] == blind["background_changed"]["share"] == 0
    assert blind["kind"]["share"] == blind["identity_kept"]["share"] == 0


def test_floors_of_pictures_ask_for_no_change() -> None:
    shape = replace(SHAPE, frames=1)
    found = floors(Knowing([SCENES["one"]], shape), [SCENES["one"]], shape)["right"]
    assert set(found) == {"place", "time", "weather", "style", "count", "kind", "colour"}
    assert found["kind"]["share"] == 1


def test_frames_pass_through_what_comes_after() -> None:
    scenes, seen = [SCENES["one"]], []

    def after(frames: Tensor) -> Tensor:
        seen.append(frames.shape)
        return 255 - frames

    class Negative(Knowing):
        def __call__(self, frames: Tensor, *, fps: float) -> Verdict:
            return super().__call__(255 - frames, fps=fps)

    found = floors(Negative(scenes, SHAPE), scenes, SHAPE, after=after)["right"]
    assert {row["share"] for row in found.values()} == {1.0}
    assert len(seen) == 3
