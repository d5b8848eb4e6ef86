from __future__ import annotations

import pytest
import torch

from kinema.world.patterns import _WHERE, paint
from kinema.world.solids import BAND, GRAIN, PLAIN, SPOTS

COLOUR, ACCENT = (0.8, 0.2, 0.1), (0.1, 0.3, 0.9)


def _painted(pattern: str) -> torch.Tensor:
    """(m 3) colours of points all over the unit ball (or the dome)."""
    generator = torch.Generator().manual_seed(5)
    at = torch.nn.functional.normalize(torch.randn(4001, 3, generator=generator), dim=-1)
    planes = [at[:, 0], at[:, 1].abs() * 2 - 1 if pattern == SPOTS else at[:, 1], at[:, 2]]  # spots lie on a dome
    channels = paint(pattern, planes, planes, *[[torch.tensor(c) for c in p] for p in (COLOUR, ACCENT)])
    return torch.stack([c.expand(4001) for c in channels], -1)


@pytest.mark.parametrize("pattern", _WHERE)
def test_a_pattern_shows_both_colours_and_more_of_the_first(pattern: str) -> None:
    second = (_painted(pattern) == torch.tensor(ACCENT)).all(-1).float().mean()
    assert 0.05 < float(second) < 0.5


def test_plain_is_the_first_colour() -> None:
    assert torch.equal(_painted(PLAIN), torch.tensor(COLOUR).expand(4001, 3))


def test_grain_darkens_the_first_colour_alone() -> None:
    bare, wood = _painted(BAND), _painted(BAND + GRAIN)
    accent = (bare == torch.tensor(ACCENT)).all(-1)
    assert torch.equal(wood[accent], bare[accent])
    darker = (wood < bare).all(-1)
    assert 0.15 < float(darker[~accent].float().mean()) < 0.5
    assert torch.equal(wood[~darker], bare[~darker])
