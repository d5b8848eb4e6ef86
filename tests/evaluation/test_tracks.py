"""From frames to subjects: peaks become exact boxes, boxes become tracks, gaps are filled, and change over time shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kinema.evaluation.judges import KEPT
from kinema.evaluation.tracks import Detection, Track, agreement, detections, tracks
from kinema.models.judges.frame import FrameLogits
from kinema.training.judge_truth import cells_of, edges_of, heat_of, truth_of
from tests.training.judged import SHAPE, chosen_shards
from tests.world.scenes import make, three

KINDS, COLOURS = 5, 3


def logits(frames: int = 1, rows: int = 6, columns: int = 10) -> FrameLogits:
    """Logits of pictures in which nothing is seen."""
    whole = torch.zeros(frames, 2)
    return FrameLogits(
        heat=torch.full((frames, rows, columns), -9.0), kind=torch.zeros(frames, KINDS, rows, columns),
        colour=torch.zeros(frames, COLOURS, rows, columns), box=torch.zeros(frames, 4, rows, columns),
        place=whole, time=whole, weather=whole, style=whole, features=torch.zeros(frames, 1, rows, columns),
    )  # fmt: skip


def put(
    into: FrameLogits, frame: int, row: int, column: int, *, heat: float, edges: list[float], kind: int = 0
) -> None:
    into.heat[frame, row, column] = heat
    into.box[frame, :, row, column] = torch.tensor(edges)
    into.kind[frame, kind, row, column] = 9.0


def seen(
    x: float, y: float = 0.5, *, kind: int = 0, colour: int = 0, heat: float = 0.9, size: float = 0.2
) -> Detection:
    one_hot = torch.eye(KINDS)[kind], torch.eye(COLOURS)[colour]
    return Detection(heat=heat, box=torch.tensor([x, y, size, 2 * size]), kind=one_hot[0], colour=one_hot[1])


def path(track: Track) -> list[float]:
    return [round(x, 4) for x in track.boxes[:, 0].tolist()]


def test_a_peak_is_a_subject_with_an_exact_box() -> None:
    maps = logits(frames=2)
    # in cells: 4.0 to 9.5 across, 0.25 to 3.5 down
    put(maps, 1, 2, 6, heat=2.0, edges=[2.5, 2.25, 3.0, 1.0], kind=3)
    put(maps, 1, 3, 6, heat=1.0, edges=[9, 9, 9, 9])  # the slope of the same peak
    none, one = detections(maps)
    assert none == []
    assert len(one) == 1
    assert one[0].box.tolist() == pytest.approx([6.75 / 10, 1.875 / 6, 5.5 / 10, 3.25 / 6])
    assert one[0].heat == pytest.approx(0.8808, abs=1e-4)
    assert int(one[0].kind.argmax()) == 3
    assert float(one[0].colour.sum()) == pytest.approx(1)


def test_the_clearest_three_are_kept_and_what_is_unclear_is_nobody() -> None:
    maps = logits()
    for column, heat in ((0, 0.5), (2, 3.0), (4, -0.8), (6, 1.0), (8, 2.0)):
        put(maps, 0, 1, column, heat=heat, edges=[0.5] * 4)
    put(maps, 0, 5, 9, heat=-1.0, edges=[0.5] * 4)
    found = detections(maps)[0]
    assert [round(float(d.box[0]) * 10 - 0.5) for d in found] == [2, 8, 6]
    empty = logits()
    put(empty, 0, 1, 4, heat=-1.0, edges=[0.5] * 4)
    assert detections(empty) == [[]]


@pytest.mark.parametrize("height, width", [(48, 64), (64, 32)])
def test_what_is_trained_is_what_is_read(tmp_path: Path, height: int, width: int) -> None:
    shape = replace(SHAPE, height_px=height, width_px=width)
    shards = chosen_shards(tmp_path, three(), make("car", "walk"), shape=shape)
    tensors, metadata = shards.read(next(iter(shards.buckets)), range(2))
    truth = truth_of(tensors, metadata, [False, True])
    truth = replace(truth, boxes=truth.boxes[:, :, ::4])
    maps = logits(4, height // 8, width // 8)
    cells, size = cells_of(truth, maps), maps.heat.shape[1:]
    maps.heat[:] = heat_of(truth, size).logit(1e-4)
    picture, row, column, there = (c.flatten() for c in cells)
    maps.box[picture[there], :, row[there], column[there]] = edges_of(truth, cells, size)[there]
    found = detections(maps)
    for i in range(2):
        count = len(metadata[i]["scene"]["subjects"])
        for key, frame in enumerate(found[2 * i : 2 * i + 2]):
            true = truth.boxes[i, :count, key]
            assert len(frame) == count
            for detection in frame:
                nearest = (true - detection.box).abs().amax(-1).min()
                assert nearest < 1e-4


def test_a_gap_is_filled_linearly_and_the_ends_stay() -> None:
    frames = [[], [seen(0.2)], [seen(0.3)], [], [], [], [seen(0.5, 0.7)], []]
    (track,) = tracks(frames)
    assert path(track) == [0.2, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5]
    assert track.boxes[4].tolist() == pytest.approx([0.4, 0.6, 0.2, 0.4])
    assert track.heat == pytest.approx(3 * 0.9 / 8)
    assert track.kept == pytest.approx(1)  # it is there shortly before the end


def test_who_is_seen_too_seldom_is_nobody() -> None:
    assert tracks([[seen(0.5)], *[[]] * 9]) == []
    assert tracks([[]] * 5) == []
    assert len(tracks([[seen(0.5)]])) == 1
    assert len(tracks([[seen(0.5)]] * 3 + [[]] * 7)) == 1


def test_tracks_that_cross_keep_their_kinds() -> None:
    steps = [t / 16 for t in range(17)]
    frames = [[seen(0.1 + 0.8 * s, kind=1), seen(0.9 - 0.8 * s, 0.52, kind=2, heat=0.8)] for s in steps]
    for frame in frames[::2]:
        frame.reverse()  # the order within a frame means nothing
    right, left = tracks(frames)
    assert [int(t.kind.argmax()) for t in (right, left)] == [1, 2]
    assert path(right) == [round(0.1 + 0.8 * s, 4) for s in steps]
    assert path(left) == [round(0.9 - 0.8 * s, 4) for s in steps]
    assert right.kept == left.kept == pytest.approx(1)


def test_one_hidden_behind_another_for_a_while_comes_back() -> None:
    steps = range(9)
    frames = [[seen(0.1 + 0.1 * t, kind=1), seen(0.5, 0.52, kind=2)] for t in steps]
    for t in (3, 4, 5):
        del frames[t][1]
    runner, still = sorted(tracks(frames), key=lambda track: int(track.kind.argmax()))
    assert path(runner) == [round(0.1 + 0.1 * t, 4) for t in steps]
    assert path(still) == [0.5] * 9


def test_the_surest_come_first_and_no_more_than_three() -> None:
    frame = [seen(0.1 + 0.2 * n, heat=h) for n, h in enumerate((0.5, 0.9, 0.4, 0.7))]
    found = tracks([frame] * 4)
    assert [round(t.heat, 4) for t in found] == [0.9, 0.7, 0.5]


def test_a_far_jump_is_another_subject() -> None:
    found = tracks([[seen(0.1)]] * 5 + [[seen(0.9)]] * 5)
    assert sorted(path(t)[0] for t in found) == [0.1, 0.9]


def test_words_are_means_weighted_by_heat() -> None:
    (track,) = tracks(
        [[seen(0.5, colour=1, heat=0.6)], [seen(0.5, colour=1, heat=0.6)], [seen(0.5, colour=2, heat=0.3)]]
    )
    assert track.colour.tolist() == pytest.approx([0, 0.8, 0.2])


@pytest.mark.parametrize("first", [0, 1])
def test_one_who_is_gone_after_six_frames_is_not_kept(first: int) -> None:
    (track,) = tracks([[seen(0.5)] if first <= t < first + 6 else [] for t in range(17)])
    assert track.kept < KEPT
    (late,) = tracks([[seen(0.5)] if t >= 6 else [] for t in range(17)])
    assert late.kept == pytest.approx(1)  # who comes later and stays


def test_one_who_is_gone_while_another_appears_elsewhere_is_not_kept() -> None:
    for gone in (8, 11):
        found = tracks([[seen(0.1)]] * gone + [[seen(0.9)]] * (17 - gone))
        assert len(found) == 2
        assert min(track.kept for track in found) < KEPT


def test_one_hidden_for_a_while_is_kept() -> None:
    (track,) = tracks([[] if 6 <= t < 11 else [seen(0.5)] for t in range(17)])
    assert track.kept > KEPT


def slowly(probabilities: Tensor) -> float:
    """`agreement` as its docstring says it."""
    count, worst = len(probabilities), 1.0
    least = min(max(2, round(count / 4)), max(1, count // 2))
    for start in range(count):
        for end in range(start + least, min(count, start + count - least) + 1):
            during, rest = probabilities[start:end], torch.cat([probabilities[:start], probabilities[end:]])
            worst = min(worst, float((during.mean(0) * rest.mean(0)).sqrt().sum()))
    return worst


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12, 13, 17, 31])
def test_agreement_is_the_least_of_all_whiles(count: int) -> None:
    rng = torch.Generator().manual_seed(count)
    for scale in (0.3, 3.0, 30.0):
        probabilities = (scale * torch.randn(count, KINDS, generator=rng)).softmax(-1)
        assert agreement(probabilities) == pytest.approx(slowly(probabilities), abs=1e-5)


@pytest.mark.parametrize("count", [4, 5, 9, 17])
def test_one_odd_frame_is_less_than_a_while(count: int) -> None:
    for odd in range(count):
        assert agreement(rows(*[int(t == odd) for t in range(count)])) > KEPT


def rows(*numbers: int) -> Tensor:
    return torch.eye(KINDS)[list(numbers)]


def test_agreement_of_what_stays_is_one() -> None:
    for count in (1, 2, 3, 17):
        assert agreement(rows(*[2] * count)) == pytest.approx(1)
        assert agreement(torch.full((count, KINDS), 1 / KINDS)) == pytest.approx(1)


@pytest.mark.parametrize(
    "numbers", [[0] * 8 + [1] * 9, [0] * 6 + [1] * 5 + [0] * 6, [0, 1], [0] * 5 + [1] * 12, [0] * 13 + [1] * 4]
)
def test_agreement_of_a_swap_is_near_zero(numbers: list[int]) -> None:
    assert agreement(rows(*numbers)) < 0.5
    assert agreement(rows(*numbers).flip(0)) < 0.5


def test_agreement_hardly_minds_one_odd_frame() -> None:
    assert agreement(rows(*[0] * 8, 1, *[0] * 8)) > 0.75


def test_a_subject_that_becomes_another_is_not_kept() -> None:
    (recoloured,) = tracks([[seen(0.5, colour=1)]] * 8 + [[seen(0.5, colour=2)]] * 9)
    assert recoloured.kept < 0.01
    (replaced,) = tracks([[seen(0.5, kind=1)]] * 8 + [[seen(0.52, kind=2)]] * 9)
    assert replaced.kept < 0.01
    (same,) = tracks([[seen(0.3 + 0.02 * t, colour=1)] for t in range(17)])
    assert same.kept > 0.99
