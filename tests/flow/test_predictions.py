from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.flow.paths import PREDICTIONS, FlowMatching, Path, VariancePreserving
from kinema.flow.predictions import to_noise, to_v, to_velocity, to_x0, x0_slope

PATHS = [
    FlowMatching(),
    FlowMatching(sigma_min=1e-5),
    VariancePreserving(),
    VariancePreserving(offset=0.0),
    VariancePreserving(betas="linear"),
    VariancePreserving(betas="scaled_linear", beta_min=0.85, beta_max=12.0, num_timesteps=1000),
]


def kinds(path: Path) -> list[str]:
    return [k for k in PREDICTIONS if k != "v" or path.preserves_variance]


levels = st.lists(st.floats(0.03, 0.97), min_size=3, max_size=3)


@pytest.mark.parametrize("path", PATHS, ids=str)
@settings(max_examples=15)
@given(sigmas=levels, seed=st.integers(0, 10_000))
def test_every_kind_of_prediction_tells_the_same(path: Path, sigmas: list[float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x0, noise = torch.randn(3, 5, generator=generator), torch.randn(3, 5, generator=generator)
    sigma = torch.tensor(sigmas)
    x = path.mix(x0, noise, sigma)
    velocity = path.target(x0, noise, sigma, "velocity")
    for kind in kinds(path):
        said = path.target(x0, noise, sigma, kind)
        torch.testing.assert_close(to_x0(path, said, x, sigma, kind), x0, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(to_noise(path, said, x, sigma, kind), noise, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(to_velocity(path, said, x, sigma, kind), velocity, rtol=2e-3, atol=2e-2)
        if path.preserves_variance:
            torch.testing.assert_close(
                to_v(path, said, x, sigma, kind), path.target(x0, noise, sigma, "v"), rtol=1e-3, atol=1e-3
            )


@pytest.mark.parametrize("path", PATHS, ids=str)
@settings(max_examples=15)
@given(sigmas=levels, seed=st.integers(0, 10_000))
def test_conversions_are_each_others_inverse(path: Path, sigmas: list[float], seed: int) -> None:
    """Of any prediction, not only of one that a mixture explains."""
    generator = torch.Generator().manual_seed(seed)
    x, said = torch.randn(3, 5, generator=generator), torch.randn(3, 5, generator=generator)
    sigma = torch.tensor(sigmas)
    for there, name in ((to_x0, "x0"), (to_noise, "noise"), (to_velocity, "velocity")):
        for kind, back in (("x0", to_x0), ("noise", to_noise), ("velocity", to_velocity)):
            middle = there(path, said, x, sigma, kind)
            again = back(path, middle, x, sigma, name)
            # noise and x0 are told from each other through a division by alpha or s
            scale = float(middle.abs().max()) + 1
            torch.testing.assert_close(again, said, rtol=1e-3, atol=1e-3 * scale)


def test_flow_matching_by_hand() -> None:
    path, sigma = FlowMatching(), torch.tensor([0.25])
    x, velocity = torch.tensor([[3.0]]), torch.tensor([[2.0]])
    assert to_x0(path, velocity, x, sigma).item() == 2.5
    assert to_noise(path, velocity, x, sigma).item() == 4.5
    assert to_velocity(path, torch.tensor([[2.5]]), x, sigma, "x0").item() == pytest.approx(2.0)


def test_levels_a_frame() -> None:
    path, sigma = FlowMatching(), torch.rand(2, 5) * 0.9 + 0.05
    x, velocity = torch.randn(2, 3, 5, 7, 11), torch.randn(2, 3, 5, 7, 11)
    whole = to_x0(path, velocity, x, sigma)
    for t in range(5):
        torch.testing.assert_close(whole[:, :, t], to_x0(path, velocity[:, :, t], x[:, :, t], sigma[:, t]))


def test_half_precision_is_converted_in_fp32() -> None:
    x, said, sigma = torch.randn(2, 3), torch.randn(2, 3).bfloat16(), torch.tensor([0.3, 0.7])
    for convert in (to_x0, to_noise, to_velocity):
        assert convert(FlowMatching(), said, x, sigma).dtype == torch.float32


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_x0_slope_is_how_x0_answers(path: Path) -> None:
    sigma = torch.tensor([0.2, 0.5, 0.8])
    x = torch.randn(3, 1)
    for kind in kinds(path):
        moved = to_x0(path, torch.ones(3, 1), x, sigma, kind) - to_x0(path, torch.zeros(3, 1), x, sigma, kind)
        torch.testing.assert_close(x0_slope(path, sigma, kind), moved[:, 0].abs(), rtol=1e-4, atol=1e-5)


def test_kinds_that_do_not_exist_are_named() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(InvalidInput, match="prediction: 'score': must be one of velocity, noise, x0, v"):
        to_x0(FlowMatching(), x, x, torch.ones(2), "score")
    with pytest.raises(InvalidInput, match="use velocity"):
        to_velocity(FlowMatching(), x, x, torch.ones(2), "v")
    with pytest.raises(InvalidInput, match="use velocity"):
        to_v(FlowMatching(), x, x, torch.ones(2), "velocity")
