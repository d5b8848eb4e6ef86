from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world import render as module
from kinema.world.kinds.paints import PAINT
from kinema.world.nature import COLOURS, KINDS, PLACES, TIMES, WEATHERS
from kinema.world.render import OUTPUTS, Rendered, render
from kinema.world.sampler import sample
from kinema.world.scene import CAMERA_NAMES, Scene
from tests.world.scenes import SMALL, make, pair, three


def _frames(rendered: Rendered) -> Tensor:
    assert rendered.frames is not None
    return rendered.frames


def _draw(scene: Scene, shape: VideoShape = SMALL) -> Tensor:
    return _frames(render([scene], shape)[0])


@pytest.mark.parametrize(
    "frames, height, width, fps", [(1, 31, 53, 8), (3, 61, 17, 23.976), (7, 13, 11, 2), (2, 1, 1, 30)]
)
def test_any_size_length_and_rate(frames: int, height: int, width: int, fps: float) -> None:
    shape = VideoShape(frames=frames, height_px=height, width_px=width, fps=fps)
    pixels = _draw(make(), shape)
    assert pixels.shape == (frames, height, width, 3)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()


def test_a_clip_doesn_t_depend_on_its_batch() -> None:
    scenes = [sample(seed, split=split) for seed in range(4) for split in ("train", "test")]
    together = render(scenes, SMALL)
    for scene, rendered in zip(scenes, together, strict=True):
        assert torch.equal(_draw(scene), _frames(rendered))
    assert render([], SMALL) == []


def test_scenes_drawn_at_once_are_drawn_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a GPU does: all scenes of one place and time in one go, kinds mixed.
    kinds = ("puppy", "cube", "lantern", "windmill", "ring", "flower")
    scenes = [make(kind, place="beach", time="night", layout=n) for n, kind in enumerate(kinds)]
    view_times = module.frame_times(SMALL.frames, SMALL.fps)
    many = module._draw(scenes, view_times, SMALL, torch.device("cpu"))
    for scene, clip in zip(scenes, rearrange(many, "(s t) c h w -> s t c h w", s=len(scenes)), strict=True):
        assert torch.equal(clip, module._draw([scene], view_times, SMALL, torch.device("cpu")))
    monkeypatch.setattr(module, "_CPU_CHUNK_PX", 1)
    for scene, clip in zip(scenes, rearrange(many, "(s t) c h w -> s t h w c", s=len(scenes)), strict=True):
        assert torch.equal((clip.clamp(0, 1) * 255 + 0.5).to(torch.uint8), _draw(scene))  # frame by frame


def test_a_clip_doesn_t_depend_on_the_number_of_threads() -> None:
    scene, shape = sample(5), VideoShape(frames=2, height_px=192, width_px=160, fps=8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = _draw(scene, shape)
        torch.set_num_threads(3)
        three = _draw(scene, shape)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, three)


@pytest.mark.parametrize("seed", range(8))
def test_a_mirrored_scene_is_the_flipped_picture(seed: int) -> None:
    scene = sample(seed)
    assert torch.equal(_draw(scene.mirrored()), _draw(scene).flip(2))


@pytest.mark.parametrize("camera", ["pan_right", "around_left"])
def test_saying_the_other_side_without_the_mirror_moves_the_subject_the_same_way(camera: str) -> None:
    # The flipped flag mirrors the layout alone: what has a name moves as its name says.
    scene = make("ball", "roll", camera=camera, direction="left")
    mirror = scene.mirrored()
    plain = replace(mirror, flipped=False)
    one, two = (render([s], SMALL, outputs=["masks"])[0].masks for s in (mirror, plain))
    assert one is not None
    assert two is not None
    assert float((one == two).float().mean()) > 0.99


def test_longer_clips_and_higher_rates_show_the_same_moments() -> None:
    scene = make("bird", "jump", camera="zoom_in", place="desert", time="sunset")
    slow = _draw(scene, replace(SMALL, frames=3, fps=4))
    fast = _draw(scene, replace(SMALL, frames=7, fps=12))
    assert torch.equal(slow, fast[::3])


@pytest.mark.parametrize("place", PLACES)
def test_edges_are_anti_aliased(place: str) -> None:
    # The picture is close to the mean of one drawn four times as large.
    scene = make("car", place=place)
    size = VideoShape(frames=1, height_px=48, width_px=48, fps=8)
    large = _draw(scene, replace(size, height_px=192, width_px=192)).float()
    mean = rearrange(large, "t (h a) (w b) c -> t h w c (a b)", a=4, b=4).mean(-1)
    difference = (_draw(scene, size).float() - mean).abs().mean(-1)
    assert float(difference.mean()) < (4.5 if place == "room" else 3.5)  # its walls and floor are full of lines
    assert float((difference > 40).float().mean()) < 0.01


@pytest.mark.parametrize("time", TIMES)
def test_the_subject_s_colour_can_be_told_from_all_others(time: str) -> None:
    # The mean of its pixels is nearest to that of another picture of the same colour, in another place.
    size = VideoShape(frames=1, height_px=48, width_px=48, fps=8)

    def mean(colour: str, kind: str, place: str) -> Tensor:
        (rendered,) = render([make(kind, colour=colour, place=place, time=time)], size, outputs=["rgb", "masks"])
        assert rendered.masks is not None
        return _frames(rendered)[rendered.masks[0]].float().mean(0)

    colours = [c for c in COLOURS if c != "black" or time != "night"]
    known = {c: mean(c, "ball", "park") for c in colours}
    for colour in colours:
        found = mean(colour, "cone", "desert")
        assert min(known, key=lambda c: float((known[c] - found).norm())) == colour
    assert set(PAINT) == set(COLOURS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_subject_fills_a_third_of_the_frame_and_stays_in_it(kind: str) -> None:
    shape = VideoShape(frames=9, height_px=48, width_px=48, fps=4)
    for camera in ("static", "pan_left", "zoom_in", "around_left"):
        (rendered,) = render([make(kind, camera=camera)], shape, outputs=["boxes"])
        assert rendered.boxes is not None
        (boxes,) = rendered.boxes
        assert (boxes >= 0).all()
        assert float((boxes[:, 3] - boxes[:, 1]).float().mean()) / 48 > 0.30, camera


def test_only_what_moves_changes() -> None:
    still = _draw(make("cone", "stand", place="desert"), replace(SMALL, frames=9)).int()
    assert float(((still[1:] - still[:-1]).abs() > 12).float().mean()) < 0.01
    panned = _draw(make("cone", "stand", place="desert", camera="pan_left"), replace(SMALL, frames=9)).int()
    ground = (panned[8, 34:, :] - panned[0, 34:, :]).abs().float()
    assert float((ground > 3).float().mean()) > 0.3  # the ground shows that the camera moves


@pytest.mark.parametrize("time", TIMES)
def test_places_times_and_weathers_look_different(time: str) -> None:
    looks = [make("ball", place=place, time=time) for place in PLACES]
    looks += [make("ball", time=time, weather=weather) for weather in WEATHERS[1:]]
    pictures = [_draw(scene, replace(SMALL, frames=1)).float() for scene in looks]
    for i, one in enumerate(pictures):
        assert all(float((one - other).abs().mean()) > 8 for other in pictures[:i]), i
    brightness = [float(_draw(make(time=t)).float().mean()) for t in ("day", "sunset", "night")]
    assert brightness[0] > brightness[1] + 15 > brightness[2] + 30


def test_the_shadow_lies_below_the_subject_and_is_apart_when_it_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = VideoShape(frames=1, height_px=96, width_px=96, fps=8)
    for action in ("fall", "stand"):
        scene = make("ball", action)
        lit = _draw(scene, shape).int().sum(-1)[0]
        with monkeypatch.context() as patch:
            patch.setattr(module, "add_shadow", lambda *args, **kwargs: None)
            dark = _draw(scene, shape).int().sum(-1)[0] - lit > 60
        (rendered,) = render([scene], shape, outputs=["masks", "boxes"])
        assert rendered.masks is not None
        assert rendered.boxes is not None
        (mask,), (box,) = rendered.masks[:, 0], rendered.boxes[:, 0]
        assert 150 < int(dark.sum()) < 1500
        assert int((dark & mask).sum()) < 40  # no more than its rim
        assert bool((dark[1:] & mask[:-1]).any()) == (action == "stand")
        rows = torch.arange(96)[dark.any(1)].float()
        assert float(rows.mean()) > float(box[3]) - 20
        assert float(rows.mean()) > 50


@pytest.mark.parametrize("seed", [3, 8, 22, 25])
def test_flow_depth_and_pictures_agree(seed: int) -> None:
    # A pixel's colour is found in the next frame where the flow says, except where something else covers it there.
    scene = replace(sample(seed, difficulty="core"), place="park", time="day", camera="around_left")
    shape = VideoShape(frames=2, height_px=96, width_px=96, fps=16)
    (rendered,) = render([scene], shape, outputs=OUTPUTS)
    frames, flow, depth = _frames(rendered).float(), rendered.flow, rendered.depth
    assert flow is not None
    assert depth is not None
    assert rendered.masks is not None
    rows, columns = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    target = torch.stack([columns + flow[0, ..., 0], rows + flow[0, ..., 1]], -1) / 48 - 1
    follow = torch.nn.functional.grid_sample(
        rearrange(frames[1], "h w c -> 1 c h w"), target[None], align_corners=False, padding_mode="border"
    )
    # Only what is subject, or is not, in both frames; its rim is a mixture of both.
    masks = rearrange(rendered.masks[0].float(), "t h w -> 1 t h w")
    there = torch.nn.functional.grid_sample(masks[:, 1:], target[None], align_corners=False)[0, 0]
    rim = torch.nn.functional.avg_pool2d(masks[:, :1], 3, 1, 1)[0, 0]
    inside = (target.abs() < 1).all(-1) & (there == masks[0, 0]) & (rim == masks[0, 0])
    moved = (rearrange(follow, "1 c h w -> h w c") - frames[0]).abs().mean(-1)
    unmoved = (frames[1] - frames[0]).abs().mean(-1)
    assert float((moved[inside] > 24).float().mean()) < 0.06
    assert float(flow[0].norm(dim=-1).max()) > 0.5
    assert float(moved[inside].mean()) < 0.6 * float(unmoved[inside].mean())
    assert float(depth[rendered.masks[0]].min()) > 2
    assert torch.isinf(depth[:, 0]).any()


def test_masks_of_several_subjects_are_apart_and_boxes_hold_them() -> None:
    (rendered,) = render([three()], SMALL, outputs=["masks", "boxes", "depth"])
    assert rendered.masks is not None
    assert rendered.boxes is not None
    assert rendered.masks.shape == (3, 5, 44, 52)
    assert int(rendered.masks.sum(0).max()) == 1
    for mask, boxes in zip(rendered.masks, rendered.boxes, strict=True):
        rows, columns = mask[0].nonzero().unbind(1)
        assert boxes[0].tolist() == [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_the_one_in_front_hides_the_other() -> None:
    one = make("house")
    both = replace(one, subjects=(replace(one.subject, z=0.8), replace(make("ball").subject, z=-1.6)))
    (rendered,) = render([both], SMALL, outputs=["masks"])
    assert rendered.masks is not None
    (alone,) = render([replace(both, subjects=both.subjects[1:], span=3.0)], SMALL, outputs=["masks"])
    assert alone.masks is not None
    assert int(rendered.masks[1].sum()) < 0.5 * int(alone.masks[0].sum())


@pytest.mark.parametrize("camera", CAMERA_NAMES)
def test_every_camera_sees_its_subject_all_the_time(camera: str) -> None:
    shape = VideoShape(frames=9, height_px=32, width_px=32, fps=4)
    (rendered,) = render([make("person", "walk", camera=camera)], shape, outputs=["boxes"])
    assert rendered.boxes is not None
    assert (rendered.boxes >= 0).all()


@pytest.mark.parametrize(
    "action, kind, other", [("drink", "person", "cup"), ("pour", "cup", "flower"), ("knock_over", "ball", "tower")]
)
def test_a_pair_s_effects_are_drawn_over_time(action: str, kind: str, other: str) -> None:
    scene = pair(action, kind, other, size=0.6 if other == "cup" else 1.0)
    frames = _draw(scene, VideoShape(frames=5, height_px=48, width_px=48, fps=2)).int()
    assert all(float((a - b).abs().float().mean()) > 0.3 for a, b in itertools.pairwise(frames))


def test_unasked_outputs_are_none_and_unknown_ones_named() -> None:
    (rendered,) = render([make()], SMALL, outputs=["boxes"])
    assert rendered.boxes is not None
    assert (
        rendered.frames is rendered.depth is rendered.masks is rendered.flow is rendered.sketch is rendered.pose is None
    )
    with pytest.raises(InvalidInput, match=r"normals.*rgb"):
        render([make()], SMALL, outputs=["normals"])


@pytest.mark.gpu
def test_a_gpu_draws_the_same_picture() -> None:
    scenes = [sample(seed) for seed in range(64)]
    shape = VideoShape(frames=5, height_px=96, width_px=96, fps=8)
    pairs = zip(render(scenes, shape), render(scenes, shape, device="cuda"), strict=True)
    apart = torch.stack([(_frames(a).int() - _frames(b).cpu().int()).abs() for a, b in pairs])
    assert float((apart <= 1).float().mean()) >= 0.9999
