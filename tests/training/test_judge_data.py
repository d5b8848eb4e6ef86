"""What judges learn from: boxes, places, camera and motion of every clip, and the same of its mirror image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.geometry import VideoShape
from kinema.training.judge_data import boxes_of, places_of, prepare_judged
from kinema.training.prepare import SceneRange
from kinema.world.camera import camera_features
from kinema.world.geometry import geometry
from kinema.world.render import render
from kinema.world.scene import MAX_SUBJECTS, Scene
from kinema.world.score import motion_score
from tests.training.judged import SHAPE, chosen_shards
from tests.world.random_scenes import random_scene
from tests.world.scenes import make, pair, three

SCENES = {
    "goes right": make("car", "walk"),
    "goes left": make("puppy", "run", direction="left", camera="tracking"),
    "three": three(camera="around_left"),
    "collides": pair("collide", "car", "cube"),
    "mirrored": pair("knock_over", "car", "tower").mirrored(),
    "swings": make("ball", "swing", camera="pan_right"),
}


def test_boxes_are_shares_of_the_picture() -> None:
    owner = torch.full((2, 10, 20), -1, dtype=torch.int16)
    owner[0, 2:7, 4:5] = 0  # rows 2 to 7 of 10, column 4 of 20
    owner[0, 0:10, 10:20] = 2
    owner[1, 9, 19] = 2
    boxes = boxes_of(owner, 3)
    assert torch.allclose(boxes[0, 0], torch.tensor([4.5 / 20, 4.5 / 10, 1 / 20, 5 / 10]))
    assert torch.allclose(boxes[2, 0], torch.tensor([0.75, 0.5, 0.5, 1.0]))
    assert torch.allclose(boxes[2, 1], torch.tensor([19.5 / 20, 9.5 / 10, 1 / 20, 1 / 10]))
    assert (boxes[0, 1] == 0).all()
    assert (boxes[1] == 0).all()


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_mirror_image_has_mirrored_boxes_and_places(scene: Scene) -> None:
    count = len(scene.subjects)
    boxes, mirrored = (boxes_of(geometry(s, SHAPE).owner, count) for s in (scene, scene.mirrored()))
    assert (boxes[..., 2] > 0).all()
    assert torch.allclose(mirrored[..., 0], 1 - boxes[..., 0], atol=1e-6)
    assert torch.equal(mirrored[..., 1:], boxes[..., 1:])
    places, mirrored = places_of(scene, SHAPE), places_of(scene.mirrored(), SHAPE)
    assert torch.equal(mirrored, places * torch.tensor([-1.0, 1.0, 1.0]))


@pytest.mark.parametrize("direction, sign", [("right", 1), ("left", -1)])
def test_places_go_where_the_picture_shows(direction: str, sign: int) -> None:
    scene = make("car", "walk", direction=direction)
    for shown in (scene, scene.mirrored().mirrored(), replace(scene.mirrored(), flipped=False).mirrored()):
        side = places_of(shown, SHAPE)[0, :, 0].diff() * sign
        box = boxes_of(geometry(shown, SHAPE).owner, 1)[0, :, 0].diff() * sign
        assert (side > 0).all()
        assert (box > 0).all()


def test_places_rise_and_come_near() -> None:
    falling = places_of(make("cube", "fall"), SHAPE)[0]
    assert falling[0, 1] > falling[2, 1] > -0.01
    one, other, third = places_of(three(), SHAPE)[:, 0]
    assert one[0] < other[0] < third[0]


def test_shards_hold_the_truth(tmp_path: Path) -> None:
    scenes = (three(camera="around_left"), make("car", "walk", camera="handheld").mirrored())
    shards = chosen_shards(tmp_path, *scenes)
    tensors, metadata = shards.read(next(iter(shards.buckets)), range(2))
    assert [Scene.from_dict(m["scene"]) for m in metadata] == list(scenes)
    for i, scene in enumerate(scenes):
        frames = render([scene], SHAPE)[0].frames
        assert frames is not None
        assert torch.equal(tensors["frames"][i], frames)
        count = len(scene.subjects)
        assert torch.equal(tensors["places"][i, :count], places_of(scene, SHAPE))
        assert torch.equal(tensors["camera"][i], camera_features(scene, range(SHAPE.frames), fps=SHAPE.fps))
        assert abs(float(tensors["motion"][i]) - motion_score(scene, SHAPE)) <= 8
        exact = boxes_of(geometry(scene, SHAPE).owner, count)
        pixels = torch.tensor([SHAPE.width_px, SHAPE.height_px] * 2)
        assert (
            (tensors["boxes"][i, :count] - exact) * pixels
        ).abs().max() <= 4.0  # two pixels of half the size: a cone has a thin tip
        for name in ("boxes", "places"):
            assert tensors[name].shape[1] == MAX_SUBJECTS
            assert (tensors[name][i, count:] == 0).all()


def test_shards_and_their_size_change_no_sample(tmp_path: Path) -> None:
    scenes = SceneRange(split="train", shape=replace(SHAPE, frames=3), count=3, difficulty="full", per_shard=3)
    observed: list[object] = []
    one = prepare_judged(tmp_path, scenes, observer=observed.append)
    other = prepare_judged(tmp_path, replace(scenes, per_shard=2), observer=observed.append)
    assert len(observed) == 3
    assert prepare_judged(tmp_path, scenes, observer=observed.append).path == one.path != other.path
    assert len(observed) == 3  # nothing is drawn twice
    (a, meta_a), (b, meta_b) = (s.read(scenes.bucket, range(3)) for s in (one, other))
    assert meta_a == meta_b
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_pictures_are_clips_of_one_frame(tmp_path: Path) -> None:
    shape = VideoShape(frames=1, height_px=32, width_px=48, fps=8.0)
    shards = chosen_shards(tmp_path, *(random_scene(seed) for seed in range(3)), shape=shape)
    tensors, _ = shards.read(next(iter(shards.buckets)), range(3))
    assert tensors["boxes"].shape == (3, MAX_SUBJECTS, 1, 4)
    assert (tensors["camera"] == 0).all()
