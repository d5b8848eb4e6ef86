from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.derived import pose_map, sketch
from kinema.world.render import render
from kinema.world.scene import Scene
from tests.world.scenes import SMALL, make, three


def _dark(picture: Tensor) -> Tensor:
    return picture[..., 0] < 128


def test_a_sketch_outlines_jumps_of_depth_and_borders_of_subjects() -> None:
    depth = torch.full((1, 10, 12), 5.0)
    depth[:, :2] = torch.inf
    depth[:, 4:7, 3:8] = 3.0
    owner = torch.full((1, 10, 12), -1)
    owner[:, 8, 10] = 0
    dark = _dark(sketch(depth, owner))[0]
    expected = torch.zeros(10, 12, dtype=torch.bool)
    expected[1] = True  # the sky's edge
    expected[3, 3:8] = expected[6, 3:8] = True
    expected[4:7, 2] = expected[4:7, 7] = True
    expected[8, 9:11] = expected[7:9, 10] = True
    assert torch.equal(dark, expected)


def test_a_flat_ground_has_no_edges_but_its_subjects() -> None:
    (rendered,) = render([make("ball", place="desert")], SMALL, outputs=["sketch", "masks"])
    assert rendered.sketch is not None
    assert rendered.masks is not None
    dark, mask = _dark(rendered.sketch), rendered.masks[0]
    assert 20 < int(dark[0].sum()) < 0.25 * mask[0].numel()
    near = torch.nn.functional.max_pool2d(mask.float()[:, None], 3, 1, 1)[:, 0] > 0
    below = dark[:, 30:]
    assert not (below & ~near[:, 30:]).any()
    assert set(rendered.sketch.unique().tolist()) == {20, 255}


def _hues(picture: Tensor) -> set[tuple[int, ...]]:
    return {tuple(c) for c in picture.flatten(0, 2).unique(dim=0).tolist()} - {(0, 0, 0)}


def test_a_pose_map_has_a_hue_for_each_subject_and_lies_on_it() -> None:
    scene = three()
    (rendered,) = render([scene], SMALL, outputs=["pose", "masks"])
    assert rendered.pose is not None
    assert rendered.masks is not None
    assert len(_hues(rendered.pose)) == 3
    assert len(_hues(pose_map(make(), SMALL))) == 1
    for mask in rendered.masks:
        near = torch.nn.functional.max_pool2d(mask.float()[:, None], 5, 1, 2)[:, 0] > 0
        inside = rendered.pose[near]
        assert (inside.amax(-1) > 0).any()
    away = torch.nn.functional.max_pool2d(rendered.masks.any(0).float()[:, None], 5, 1, 2)[:, 0] == 0
    assert not rendered.pose[away].any()


def test_a_pose_map_moves_with_the_limbs_and_is_mirrored() -> None:
    shape = VideoShape(frames=4, height_px=48, width_px=48, fps=8)
    walking, still = (pose_map(make("person", action), shape) for action in ("run", "stand"))
    change = [float((m[1:] != m[:-1]).any(-1).float().mean()) for m in (walking, still)]
    assert change[0] > 3 * change[1]
    scene = make("horse", "walk", camera="pan_left")
    assert torch.equal(pose_map(scene.mirrored(), shape), pose_map(scene, shape).flip(2))
    (drawn,) = render([scene.mirrored()], shape, outputs=["pose", "sketch", "depth"])
    (plain,) = render([scene], shape, outputs=["sketch"])
    assert drawn.pose is not None
    assert torch.equal(drawn.pose, pose_map(scene.mirrored(), shape))
    assert drawn.sketch is not None
    assert plain.sketch is not None
    # An edge is drawn on its left and upper pixel, so a mirrored one may stand a pixel aside.
    one, two = _dark(drawn.sketch), _dark(plain.sketch).flip(2)
    assert abs(int(one.sum()) - int(two.sum())) < 0.1 * int(one.sum())


def test_effects_have_no_pose() -> None:
    def strokes(scene: Scene) -> int:
        return int(pose_map(scene, replace(SMALL, frames=1, fps=1)).any(-1).sum())

    flying, standing = (strokes(make("rocket", action, place="desert")) for action in ("fly", "stand"))
    assert flying < 1.5 * standing
