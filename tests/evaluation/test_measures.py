"""Measures against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kinema.evaluation.measures import flicker, path_errors, psnr, spearman
from kinema.world.camera import camera_features
from tests.world.scenes import make

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    "one, other, wanted",
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [9, 8, -7], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 - 6 * 2 / (4 * 15)
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 8 / math.sqrt(10 * 9.5)),  # ranks 1 2 3.5 5 3.5
        ([1, 1, 2, 2], [1, 2, 3, 4], 4 / math.sqrt(4 * 5)),  # ranks 1.5 1.5 3.5 3.5
        ([1, 1, 2], [2, 1, 1], -0.5),  # ranks 1.5 1.5 3 and 3 1.5 1.5
        ([4, 4, 4], [1, 2, 3], 0.0),
        ([1, 2, 3], [7, 7, 7], 0.0),
        ([5], [6], 0.0),
    ],
)
def test_spearman(one: list[float], other: list[float], wanted: float) -> None:
    assert spearman(one, other) == pytest.approx(wanted)


@given(ROWS)
def test_spearman_is_even_bounded_and_blind_to_scale(rows: list[tuple[int, int]]) -> None:
    one, other = [a for a, _ in rows], [b for _, b in rows]
    found = spearman(one, other)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert spearman(other, one) == pytest.approx(found)
    assert spearman([a**3 for a in one], [math.exp(b) for b in other]) == pytest.approx(found)
    assert spearman(one, [-b for b in other]) == pytest.approx(-found)
    assert spearman(one, one) == pytest.approx(1.0 if len(set(one)) > 1 else 0.0)


def grey(*levels: float) -> Tensor:
    """A clip of plain frames."""
    return torch.tensor(levels).to(torch.uint8)[:, None, None, None].expand(-1, 2, 3, 3).contiguous()


def test_psnr() -> None:
    assert psnr(grey(7, 9), grey(7, 9)) == 99.0
    assert psnr(grey(0), grey(255)) == pytest.approx(0.0)
    assert psnr(grey(100, 100), grey(110, 110)) == pytest.approx(10 * math.log10(255**2 / 100))
    assert psnr(grey(100, 100), grey(110, 100)) == pytest.approx(10 * math.log10(255**2 / 50))
    assert psnr(grey(110), grey(100)) == psnr(grey(100), grey(110))


@pytest.mark.parametrize(
    "levels, wanted",
    [
        ((50, 50, 50, 50), 0),
        ((10, 30, 50, 70), 0),
        ((70, 50, 30, 10), 0),
        ((50, 60, 50, 60), 20),
        ((0, 0, 255, 0), (255 + 510) / 2),
        ((50, 60, 80), 10),
        ((50, 200), 0),
        ((50,), 0),
    ],
)
def test_flicker_is_what_changes_and_changes_back(levels: tuple[int, ...], wanted: float) -> None:
    assert flicker(grey(*levels)) == pytest.approx(wanted, abs=1e-4)


def test_flicker_of_a_part_counts_by_its_share() -> None:
    frames = grey(50, 50, 50).clone()
    frames[1, 0, 0] = 80  # one of six pixels
    assert flicker(frames) == pytest.approx(60 / 6, abs=1e-4)


def test_path_errors() -> None:
    path = camera_features("around_left", range(9))
    assert path_errors(path, path) == {"degrees": 0, "distances": 0, "log_zoom": 0}
    off = path.clone()
    off[:, 1] += math.radians(3)
    off[:, 0] -= math.radians(2)
    off[:, 3] += 0.3
    off[:, 5] -= 0.4
    off[:, 6] -= 0.2
    found = path_errors(off, path)
    assert found == pytest.approx({"degrees": 3, "distances": 0.5, "log_zoom": 0.2}, rel=1e-4)
    assert path_errors(off[:5], path) == pytest.approx(path_errors(off[:5], path[:5]))


def test_a_wrong_camera_is_far_from_the_wanted_one() -> None:
    scene = make(camera="tilt_up")
    wanted = camera_features(scene, range(17))
    still = camera_features(replace(scene, camera="static"), range(17))
    found = path_errors(still, wanted)
    assert found["degrees"] > 1
    assert found["distances"] == found["log_zoom"] == 0
