"""The judges' networks: any picture size, each clip for itself, subjects that don't disturb each other."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.models.judges.clip import ClipJudge, ClipJudgeConfig, TrackSigns
from kinema.models.judges.frame import STRIDE, FrameJudge, FrameJudgeConfig

FRAME = FrameJudgeConfig(
    num_kinds=5, num_colours=7, num_places=3, num_times=2, num_weathers=11, num_styles=13,
    widths=(8, 16, 24), depths=(1, 1, 1), features=16,
)  # fmt: skip
CLIP = ClipJudgeConfig(
    num_cameras=7, num_actions=5, num_events=3, frame_features=16, num_kinds=11, pair_widths=(8, 13, 17), width=19, depth=3
)  # fmt: skip

Network = TypeVar("Network", bound=nn.Module)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=rng(seed)) * 2 - 1


def filled(network: Network) -> Network:
    """``network`` with every weight random, heads and blocks' ends too, so that nothing is hidden behind a zero."""
    generator = rng(1)
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / max(1, parameter[0].numel()) ** 0.5)
    return network.requires_grad_(False)


@pytest.fixture
def frame() -> FrameJudge:
    return filled(FrameJudge(FRAME))


@pytest.fixture
def clip() -> ClipJudge:
    return filled(ClipJudge(CLIP))


@pytest.mark.parametrize("height, width", [(48, 80), (80, 48), (16, 16)])
def test_every_cell_of_a_picture_is_spoken_of(frame: FrameJudge, height: int, width: int) -> None:
    logits = frame(random(2, 3, height, width))
    cells = (height // STRIDE, width // STRIDE)
    assert logits.heat.shape == (2, *cells)
    assert logits.kind.shape == (2, 5, *cells)
    assert logits.colour.shape == (2, 7, *cells)
    assert logits.box.shape == (2, 4, *cells)
    assert logits.features.shape == (2, 16, *cells)
    assert [getattr(logits, name).shape[1] for name in ("place", "time", "weather", "style")] == [3, 2, 11, 13]
    assert (logits.box > 0).all()


def test_a_picture_is_judged_for_itself(frame: FrameJudge) -> None:
    pictures = random(2, 3, 48, 80)
    both, *each = (frame(p) for p in (pictures, pictures[:1], pictures[1:]))
    for field in fields(both):
        alone = torch.cat([getattr(one, field.name) for one in each])
        assert torch.allclose(getattr(both, field.name), alone, atol=1e-5), field.name


def test_fresh_weights_come_from_the_generator_alone_and_say_nothing() -> None:
    states = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        frame, clip = FrameJudge(FRAME), ClipJudge(CLIP)
        frame.init_weights(rng(5))
        clip.init_weights(rng(5))
        states.append({**frame.state_dict(), **clip.state_dict()})
        with torch.no_grad():
            assert frame(random(2, 3, 48, 80)).heat.sigmoid().max() < 0.3
            motion = clip.motion(random(1, 4, 3, 48, 80))
            camera = clip.of_camera(motion)
            tracks = clip.of_tracks(
                motion, random(1, 4, 16, 6, 10), torch.full((1, 2, 4, 4), 0.5), random(1, 2, 11), camera.sequence
            )
        assert (camera.camera == 0).all()
        assert (tracks.action == 0).all()
        assert tracks.events.sigmoid().max() < 0.1
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def test_motion_of_a_pair_is_the_same_in_any_clip(clip: ClipJudge) -> None:
    frames = random(2, 7, 3, 48, 80)
    whole = clip.motion(frames)
    assert whole.shape == (2, 6, 13, 6, 10)
    for start, stop in ((0, 2), (2, 5), (4, 7)):
        assert torch.allclose(clip.motion(frames[:, start:stop]), whole[:, start : stop - 1], atol=1e-5)
    assert torch.allclose(clip.motion(frames[1:]), whole[1:], atol=1e-5)


def test_folding_each_frame_once_is_a_convolution_over_both(clip: ClipJudge) -> None:
    frames = random(1, 3, 3, 32, 48)
    first, second = clip.each.weight.chunk(2)
    assert clip.each.bias is not None
    bias = clip.each.bias.view(2, -1).sum(0)
    folded = F.pixel_unshuffle(frames[0], 2)
    both = torch.cat([folded[:-1], folded[1:]], 1)
    slow = clip.pair_layers(F.conv2d(both, torch.cat([first, second], 1), bias, stride=2, padding=2))
    assert torch.allclose(clip.motion(frames)[0], slow, atol=1e-5)
    assert not torch.allclose(clip.motion(frames.flip(1)).flip(1)[0], slow, atol=1e-2)  # before isn't after


def test_camera_of_a_clip_is_judged_for_itself(clip: ClipJudge) -> None:
    motion = clip.motion(random(2, 6, 3, 48, 80))
    both = clip.of_camera(motion)
    assert [both.camera.shape, both.path.shape, both.motion.shape] == [(2, 7), (2, 5, 7), (2,)]
    for i in range(2):
        alone = clip.of_camera(motion[i : i + 1])
        for field in fields(both):
            assert torch.allclose(getattr(both, field.name)[i], getattr(alone, field.name)[0], atol=1e-5)


class Look:
    """Two clips of six frames, with three subjects each."""

    def __init__(self, clip: ClipJudge) -> None:
        self.clip = clip
        self.motion, self.frames = random(2, 5, 13, 6, 10), random(2, 6, 16, 6, 10, seed=1)
        self.boxes = 0.5 + 0.1 * random(2, 3, 6, 4, seed=2)
        self.boxes[:, :, :, 0] += torch.tensor([-0.3, 0.0, 0.35]).view(1, 3, 1)
        self.kinds, self.camera = random(2, 3, 11, seed=3), random(2, 5, 19, seed=4)

    def tracks(self, clips: slice = slice(None), numbers: tuple[int, ...] = (0, 1, 2)) -> TrackSigns:
        boxes, kinds = self.boxes[clips][:, list(numbers)], self.kinds[clips][:, list(numbers)]
        return self.clip.of_tracks(self.motion[clips], self.frames[clips], boxes, kinds, self.camera[clips])


def are_alike(one: TrackSigns, other: TrackSigns, pairs: list[tuple[int, int]]) -> bool:
    """Whether track ``a`` of ``one`` does what track ``b`` of ``other`` does, for all (a, b)."""
    return all(
        torch.allclose(getattr(one, f.name)[:, a], getattr(other, f.name)[:, b], atol=1e-5)
        for f in fields(one)
        for a, b in pairs
    )


def test_tracks_of_a_clip_are_judged_for_themselves(clip: ClipJudge) -> None:
    look = Look(clip)
    both = look.tracks()
    assert [both.action.shape, both.places.shape, both.events.shape] == [(2, 3, 5), (2, 3, 5, 3), (2, 3, 5, 3)]
    for i in range(2):
        alone = look.tracks(slice(i, i + 1))
        for field in fields(both):
            assert torch.allclose(getattr(both, field.name)[i], getattr(alone, field.name)[0], atol=1e-5)


def test_the_order_of_tracks_means_nothing(clip: ClipJudge) -> None:
    look = Look(clip)
    assert are_alike(look.tracks(), look.tracks(numbers=(2, 0, 1)), [(0, 1), (1, 2), (2, 0)])


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_track_of_nobody_changes_nothing(clip: ClipJudge, empty: int) -> None:
    look = Look(clip)
    others = tuple(n for n in range(3) if n != empty)
    look.boxes[:, empty] = 0
    assert are_alike(look.tracks(), look.tracks(numbers=others), [(n, i) for i, n in enumerate(others)])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_who_is_alone_among_nobodies_is_alone(clip: ClipJudge, number: int) -> None:
    look = Look(clip)
    look.boxes[:, [n for n in range(3) if n != number]] = 0
    assert are_alike(look.tracks(), look.tracks(numbers=(number,)), [(number, 0)])


def test_each_sees_the_nearest_other(clip: ClipJudge) -> None:
    look = Look(clip)
    before = look.tracks()
    look.kinds[:, 2] += 3  # the first is nearest to the second, the second to the first
    after = look.tracks()
    assert are_alike(before, after, [(0, 0), (1, 1)])
    assert not are_alike(before, after, [(2, 2)])
    look.kinds[:, 1] += 3
    last = look.tracks()
    assert not are_alike(after, last, [(0, 0)])
    assert not are_alike(after, last, [(2, 2)])


def test_a_track_sees_what_is_at_its_centre(clip: ClipJudge) -> None:
    look = Look(clip)
    look.boxes[:] = torch.tensor(
        [0.75, 0.25, 0.2, 0.2]
    )  # of 10 x 6 cells: in the middle of column 7, between rows 0 and 2
    before = look.tracks(numbers=(0,))
    elsewhere = torch.ones(6, 10, dtype=torch.bool)
    elsewhere[0:3, 6:9] = False
    look.motion[..., elsewhere] += 5
    look.frames[..., elsewhere] += 5
    assert are_alike(before, look.tracks(numbers=(0,)), [(0, 0)])
    look.motion[..., 1, 7] += 5
    assert not are_alike(before, look.tracks(numbers=(0,)), [(0, 0)])
