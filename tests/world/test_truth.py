from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world.camera import CAMERA_FEATURES
from kinema.world.geometry import mask_boxes
from kinema.world.render import render
from kinema.world.sampler import sample
from kinema.world.scene import Scene, Subject
from kinema.world.score import motion_score
from kinema.world.truth import truth
from tests.world.scenes import SMALL, make, pair, three

SHAPE = VideoShape(frames=9, height_px=96, width_px=96, fps=8)


def test_the_truth_is_json_of_the_whole_clip() -> None:
    facts = truth(sample(11), SMALL)
    assert json.loads(json.dumps(facts)) == facts
    assert Scene.from_dict(facts["scene"]) == sample(11)
    assert VideoShape(**facts["shape"]) == SMALL
    assert len(facts["camera"]["frames"]) == 5
    assert len(facts["subjects"]) == len(sample(11).subjects)
    assert all(len(subject["states"]) == len(subject["boxes"]) == 5 for subject in facts["subjects"])
    assert [len(row) for row in facts["camera"]["features"]] == [CAMERA_FEATURES] * 5
    assert {language: list(forms) for language, forms in facts["captions"].items()} == {
        "en": ["short", "full", "dense", "json"],
        "zh": ["short", "full", "dense", "json"],
    }


def _on_picture(camera: dict[str, Any], point: tuple[float, float, float]) -> tuple[float, float]:
    right, up, forward = (sum(a * b for a, b in zip(row, (*point, 1.0), strict=True)) for row in camera["matrix"])
    return 48 + right / forward * camera["focal_px"], 48 - up / forward * camera["focal_px"]


@pytest.mark.parametrize("seed", range(6))
def test_each_subject_s_position_is_seen_inside_its_box(seed: int) -> None:
    # The middle of an upright one that stands alone or in another row; boxes are of what is visible.
    scene = sample(seed, difficulty="core")
    facts = truth(scene, SHAPE)
    (subject,) = facts["subjects"]
    for camera, state, box in zip(facts["camera"]["frames"], subject["states"], subject["boxes"], strict=True):
        x, y, z = state["position"]
        column, row = _on_picture(camera, (x, y + 0.45 * scene.subject.size, z))
        left, top, end, bottom = box
        assert left - 1 <= column <= end + 1
        assert top - 1 <= row <= bottom + 1


def test_each_of_several_subjects_has_its_own_states_and_boxes() -> None:
    scene = three()
    facts = truth(scene, SHAPE)
    for subject, told in zip(scene.subjects, facts["subjects"], strict=True):
        assert all(s["position"] == pytest.approx([subject.x, 0, 0]) and s["contact"] for s in told["states"])
        assert all(s["velocity"] == pytest.approx([0, 0, 0], abs=1e-6) for s in told["states"])
    columns = [[(box[0] + box[2]) / 2 for box in told["boxes"]] for told in facts["subjects"]]
    assert all(a < b < c for a, b, c in zip(*columns, strict=True))
    alone = truth(replace(scene, subjects=scene.subjects[1:2], span=3.3), SHAPE)
    assert alone["subjects"][0] == facts["subjects"][1]


@pytest.mark.parametrize(
    "action, kind, other", [("collide", "ball", "cube"), ("chase", "puppy", "cat"), ("drink", "person", "cup")]
)
def test_a_cause_and_its_effect_are_in_the_states_of_both(action: str, kind: str, other: str) -> None:
    scene = pair(action, kind, other, size=0.6 if other == "cup" else 1.0)
    facts = truth(scene, replace(SHAPE, frames=33, height_px=24, width_px=24, fps=16))
    one, two = ([math.hypot(*state["velocity"]) for state in subject["states"]] for subject in facts["subjects"])
    assert one[1] > 0.1
    starts = [next(i for i, v in enumerate(speeds) if v > 0.05) for speeds in (one, two)]
    assert starts[0] < starts[1] if action != "chase" else starts == [0, 0]
    first = next((e for e in facts["events"] if e["other"] is not None), None)
    assert (first is None) == (action == "chase")
    if first is not None:  # nothing of the other moves before it is touched
        assert first["time_s"] <= starts[1] / 16 + 1e-6 <= first["time_s"] + 0.25


def test_a_scene_whose_subjects_are_never_in_the_picture_has_no_truth() -> None:
    lost = Subject(kind="ball", colour="red", action="stand", x=2.0)
    scene = replace(make(), subjects=(lost,), span=2.0)
    with pytest.raises(InvalidInput, match=r"ball at x=2.*none is ever in the picture.*span") as error:
        truth(scene, SMALL)
    assert error.value.field == "subjects"
    assert render([scene], SMALL, outputs=["boxes"])[0].boxes.eq(-1).all()  # pyright: ignore[reportOptionalMemberAccess]
    half = replace(scene, subjects=(lost, replace(lost, x=0.0)))
    boxes = [subject["boxes"] for subject in truth(half, SMALL)["subjects"]]
    assert boxes[0] == [None] * 5
    assert None not in boxes[1]


@pytest.mark.parametrize("direction", ["left", "right"])
def test_velocity_is_the_change_of_position(direction: str) -> None:
    shape = VideoShape(frames=40, height_px=16, width_px=16, fps=200)
    scene = make("ball", "roll", direction=direction)
    (subject,) = truth(scene, shape)["subjects"]
    sign = 1 if direction == "right" else -1
    for now, later in itertools.pairwise(subject["states"]):
        assert later["position"][0] - now["position"][0] == pytest.approx(now["velocity"][0] / 200, abs=1e-4)
        assert sign * now["velocity"][0] > 0
        assert now["contact"]
        assert now["heading_xz"][0] == pytest.approx(sign)


@pytest.mark.parametrize("seed", [0, 2, 3, 23])
def test_the_truth_of_the_mirrored_scene_is_mirrored(seed: int) -> None:
    scene = sample(seed)
    one, two = truth(scene, SMALL), truth(scene.mirrored(), SMALL)
    assert one["motion_score"] == two["motion_score"]
    assert one["events"] == two["events"]
    for here, there in zip(one["subjects"], two["subjects"], strict=True):
        for a, b in zip(here["states"], there["states"], strict=True):
            assert b["position"] == pytest.approx([-a["position"][0], *a["position"][1:]])
            assert b["velocity"] == pytest.approx([-a["velocity"][0], *a["velocity"][1:]])
            assert b["heading_xz"] == pytest.approx([-a["heading_xz"][0], a["heading_xz"][1]])
        for a, b in zip(here["boxes"], there["boxes"], strict=True):
            assert b == (a and [SMALL.width_px - a[2], a[1], SMALL.width_px - a[0], a[3]])


def test_boxes_hold_the_visible_subject_exactly() -> None:
    mask = torch.zeros(3, 7, 11, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    mask[1, 6, 10] = True
    assert mask_boxes(mask).tolist() == [[3, 2, 9, 5], [10, 6, 11, 7], [-1, -1, -1, -1]]


def test_flow_of_a_still_scene_is_nothing_and_of_a_pan_is_parallax() -> None:
    (still,) = render([make("cube", "jump")], SMALL, outputs=["flow", "masks"])
    assert still.flow is not None
    assert still.masks is not None
    assert float(still.flow[~still.masks[0]].abs().max()) < 1e-3
    (pan,) = render([make("cube", camera="pan_left")], SMALL, outputs=["flow", "depth"])
    assert pan.flow is not None
    assert pan.depth is not None
    assert float(pan.flow[..., 1].abs().max()) < 0.2
    near, far = pan.depth < 4, torch.isinf(pan.depth)
    assert float(pan.flow[..., 0][near].min()) > float(pan.flow[..., 0][far].max()) + 0.5
    assert float(pan.flow[..., 0][far].abs().max()) < 0.01


def test_flow_of_a_zoom_points_away_from_the_middle_in_proportion() -> None:
    (zoom,) = render([make("cube", camera="zoom_in")], SMALL, outputs=["flow", "masks"])
    assert zoom.flow is not None
    assert zoom.masks is not None
    rows, columns = torch.meshgrid(torch.arange(44) + 0.5 - 22, torch.arange(52) + 0.5 - 26, indexing="ij")
    background = ~zoom.masks[0, 0]
    rate = zoom.flow[0][background] / torch.stack([columns, rows], -1)[background]
    assert torch.allclose(rate, rate.mean().expand_as(rate), atol=1e-3)
    assert 0.02 < float(rate.mean()) < 0.04


def test_motion_scores_rank_clips_by_how_much_moves() -> None:
    scenes = [
        make("cube", "stand"),
        make("puppy", "walk"),
        make("puppy", "walk", camera="pan_left"),
        make("puppy", "walk", camera="around_left"),
    ]
    scores = [motion_score(scene, SHAPE) for scene in scenes]
    assert scores == sorted(scores)
    assert len(set(scores)) == 4
    assert scores[0] <= 3
    assert 150 < scores[3] <= 255


def test_motion_scores_hardly_depend_on_size_rate_or_sampling() -> None:
    scene = make("bird", "play", camera="zoom_out")
    score = motion_score(scene, SHAPE)
    assert motion_score(scene, SHAPE) == score
    assert motion_score(scene, replace(SHAPE, height_px=480, width_px=480)) == score
    assert abs(motion_score(scene, replace(SHAPE, frames=27, fps=24)) - score) <= 8


def test_scores_are_whole_numbers_in_range() -> None:
    scores = [motion_score(sample(seed), SHAPE) for seed in range(16)]
    assert all(isinstance(s, int) and 1 <= s <= 255 for s in scores)
    assert max(scores) - min(scores) > 100
