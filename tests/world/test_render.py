from __future__ import annotations

import colorsys
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world import render as module
from kinema.world.render import OUTPUTS, Rendered, render
from kinema.world.sampler import sample
from kinema.world.scene import COLOURS, KINDS, PLACES, TIMES, Scene
from kinema.world.subjects import PAINT
from tests.world.scenes import SMALL, make


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
    scenes = [make(kind, "play", place="beach", time="night", layout=n) for n, kind in enumerate(KINDS)]
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
    scene = make("ball", "walk", camera=camera, direction="left")
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
    assert float(difference.mean()) < 3.5
    assert float((difference > 40).float().mean()) < 0.01


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("colour", COLOURS)
def test_the_subject_s_colour_can_be_read_from_its_pixels(colour: str, time: str) -> None:
    size = VideoShape(frames=1, height_px=64, width_px=64, fps=8)
    for kind, place in (("ball", "park"), ("bird", "beach"), ("cube", "desert")):
        (rendered,) = render([make(kind, colour=colour, place=place, time=time)], size, outputs=["rgb", "masks"])
        assert rendered.masks is not None
        pixels = _frames(rendered)[rendered.masks].float() / 255
        assert _nearest_paint(pixels) == colour, (kind, place)


def _nearest_paint(pixels: Tensor) -> str:
    """The paint that most of the pixels are nearest to in hue, if they have one, else white."""
    votes: dict[str, int] = dict.fromkeys(COLOURS, 0)
    hues = {name: colorsys.rgb_to_hsv(*PAINT[name])[0] for name in COLOURS}
    for r, g, b in pixels.tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(r, g, b)
        if saturation < 0.3:
            votes["white"] += value > 0.45
        elif value > 0.25:
            distance = {n: abs((hue - h + 0.5) % 1 - 0.5) for n, h in hues.items() if n != "white"}
            best = min(distance, key=lambda n: distance[n])
            # Pink is a pale red-violet: what tells it from red and purple is how pale it is.
            votes["pink" if best in ("pink", "red", "purple") and hue > 0.85 and saturation < 0.75 else best] += 1
    return max(votes, key=lambda n: votes[n])


@pytest.mark.parametrize("kind", KINDS)
def test_the_subject_fills_a_third_of_the_frame_and_stays_in_it(kind: str) -> None:
    shape = VideoShape(frames=9, height_px=48, width_px=48, fps=4)
    for camera, action in [("pan_left", "walk"), ("zoom_in", "walk"), ("around_left", "play"), ("zoom_out", "fall")]:
        (rendered,) = render([make(kind, action, camera=camera)], shape, outputs=["masks", "boxes"])
        assert rendered.boxes is not None
        assert rendered.masks is not None
        heights = (rendered.boxes[:, 3] - rendered.boxes[:, 1]).float() / 48
        assert (rendered.boxes >= 0).all()
        assert float(heights.mean()) > 0.35, (camera, action)
        areas = rendered.masks.flatten(1).sum(1).float()
        assert float(areas.min() / areas.max()) > 0.25, (camera, action)


def test_only_what_moves_changes() -> None:
    still = _draw(make("cube", "stand", place="desert"), replace(SMALL, frames=9)).int()
    assert float(((still[1:] - still[:-1]).abs() > 12).float().mean()) < 0.01
    panned = _draw(make("cube", "stand", place="desert", camera="pan_left"), replace(SMALL, frames=9)).int()
    ground = (panned[8, 34:, :] - panned[0, 34:, :]).abs().float()
    assert float((ground > 3).float().mean()) > 0.3  # the ground shows that the camera moves


@pytest.mark.parametrize("time", TIMES)
def test_places_and_times_look_different(time: str) -> None:
    means = [_draw(make(place=place, time=time)).float().mean((0, 1, 2)) for place in PLACES]
    for i, one in enumerate(means):
        assert all(float((one - other).abs().max()) > 8 for other in means[:i])
    other_times = [_draw(make(time=t)).float().mean() for t in TIMES]
    assert other_times[0] > other_times[1] + 20 > other_times[2] + 40


def test_the_shadow_lies_below_the_subject_and_is_apart_when_it_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = VideoShape(frames=1, height_px=96, width_px=96, fps=8)
    middles = {}
    for action in ("fall", "stand"):
        scene = make("ball", action)
        lit = _draw(scene, shape).int().sum(-1)[0]
        with monkeypatch.context() as patch:
            patch.setattr(module, "_SHADOW_STRENGTH", 0.0)
            dark = _draw(scene, shape).int().sum(-1)[0] - lit > 60
        (rendered,) = render([scene], shape, outputs=["masks", "boxes"])
        assert rendered.masks is not None
        assert rendered.boxes is not None
        assert 150 < int(dark.sum()) < 1500
        assert int((dark & rendered.masks[0]).sum()) < 40  # no more than its rim
        touching = (dark[1:] & rendered.masks[0, :-1]).any()
        assert bool(touching) == (action == "stand")
        rows = torch.arange(96)[dark.any(1)]
        middles[action] = float(rows.float().mean())
        assert middles[action] > float(rendered.boxes[0, 3]) - 20
    assert middles["fall"] > 50
    assert middles["stand"] > 50


@pytest.mark.parametrize("seed", [3, 8, 22, 25])
def test_flow_depth_and_pictures_agree(seed: int) -> None:
    # A pixel's colour is found in the next frame where the flow says, except where something else covers it there.
    scene = replace(sample(seed), place="park", time="day")
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
    masks = rearrange(rendered.masks.float(), "t h w -> 1 t h w")
    there = torch.nn.functional.grid_sample(masks[:, 1:], target[None], align_corners=False)[0, 0]
    rim = torch.nn.functional.avg_pool2d(masks[:, :1], 3, 1, 1)[0, 0]
    inside = (target.abs() < 1).all(-1) & (there == masks[0, 0]) & (rim == masks[0, 0])
    moved = (rearrange(follow, "1 c h w -> h w c") - frames[0]).abs().mean(-1)
    unmoved = (frames[1] - frames[0]).abs().mean(-1)
    assert float((moved[inside] > 24).float().mean()) < 0.04
    assert float(flow[0].norm(dim=-1).max()) > 0.5
    assert float(moved[inside].mean()) < 0.5 * float(unmoved[inside].mean())
    assert float(depth[rendered.masks].min()) > 2
    assert torch.isinf(depth[:, 0]).any()


def test_unasked_outputs_are_none_and_unknown_ones_named() -> None:
    (rendered,) = render([make()], SMALL, outputs=["boxes"])
    assert rendered.boxes is not None
    assert rendered.frames is rendered.depth is rendered.masks is rendered.flow is None
    with pytest.raises(InvalidInput, match="normals.*rgb"):
        render([make()], SMALL, outputs=["normals"])


@pytest.mark.gpu
def test_a_gpu_draws_the_same_picture() -> None:
    scenes = [sample(seed) for seed in range(64)]
    shape = VideoShape(frames=5, height_px=96, width_px=96, fps=8)
    pairs = zip(render(scenes, shape), render(scenes, shape, device="cuda"), strict=True)
    apart = torch.stack([(_frames(a).int() - _frames(b).cpu().int()).abs() for a, b in pairs])
    assert float((apart <= 1).float().mean()) >= 0.9999
