from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from kinema.core.errors import InvalidInput
from kinema.flow.paths import FlowMatching, Path, VariancePreserving, expand

CONTINUOUS = [VariancePreserving(betas=b) for b in ("cosine", "linear", "scaled_linear")]
TABLES = [replace(path, num_timesteps=1000) for path in CONTINUOUS]
WRONG: Any = "square"
ARCS = [*CONTINUOUS, VariancePreserving(offset=0.0), *TABLES]
LINES = [FlowMatching(), FlowMatching(sigma_min=1e-5), FlowMatching(sigma_min=0.1)]


def test_flow_matching_is_the_line_from_data_to_noise() -> None:
    x0, noise = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    path = FlowMatching()
    assert torch.equal(path.mix(x0, noise, torch.zeros(2)), x0)
    assert torch.equal(path.mix(x0, noise, torch.ones(2)), noise)
    assert torch.allclose(path.mix(x0, noise, torch.tensor([0.25, 0.5]))[1], (x0[1] + noise[1]) / 2)
    assert torch.equal(path.target(x0, noise, torch.tensor([0.3, 0.6])), noise - x0)


def test_sigma_min_is_movie_gens_s() -> None:
    x0, noise, t, s = torch.randn(3, 7), torch.randn(3, 7), torch.tensor([0.1, 0.5, 0.9]), 1e-2
    path = FlowMatching(sigma_min=s)
    # X_t = t X_1 + (1 - (1 - s) t) X_0 and V = X_1 - (1 - s) X_0, with data at t = 1; our velocity runs the other way
    expected = t[:, None] * x0 + (1 - (1 - s) * t[:, None]) * noise
    assert torch.allclose(path.mix(x0, noise, 1 - t), expected, atol=1e-6)
    assert torch.allclose(path.target(x0, noise, 1 - t), -(x0 - (1 - s) * noise), atol=1e-6)


@pytest.mark.parametrize("path", ARCS, ids=str)
def test_the_arc_preserves_variance_and_falls_from_data_to_noise(path: VariancePreserving) -> None:
    sigma = torch.linspace(0, 1, 101)
    alpha, s = path.alpha(sigma), path.s(sigma)
    assert torch.allclose(alpha**2 + s**2, torch.ones(101), atol=1e-6)
    assert alpha[0] == 1
    assert s[0] == 0
    assert (alpha.diff() < 0).all()
    assert alpha[-1] < 0.08
    assert path.preserves_variance


@pytest.mark.parametrize("path", [*CONTINUOUS, VariancePreserving(offset=0.0), *LINES], ids=str)
def test_slopes_are_the_derivatives(path: Path) -> None:
    sigma = torch.linspace(0.05, 0.95, 37, dtype=torch.float64, requires_grad=True)
    for value, slope in ((path.alpha, path.d_alpha), (path.s, path.d_s)):
        (expected,) = torch.autograd.grad(value(sigma).sum(), sigma)
        assert torch.allclose(slope(sigma), expected, rtol=1e-9)


@pytest.mark.parametrize("path", TABLES, ids=str)
def test_slopes_between_a_tables_entries_are_the_derivatives(path: Path) -> None:
    sigma = ((torch.arange(20, 980, 37) + 0.5) / 1000).double().requires_grad_()
    for value, slope in ((path.alpha, path.d_alpha), (path.s, path.d_s)):
        (expected,) = torch.autograd.grad(value(sigma).sum(), sigma)
        assert torch.allclose(slope(sigma), expected, rtol=1e-9)


@pytest.mark.parametrize("steps", [2, 97, 1000])
@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize(
    "betas,theirs,low,high",
    [
        ("cosine", "squaredcos_cap_v2", 0.1, 20.0),
        ("linear", "linear", 0.1, 1.9),
        ("scaled_linear", "scaled_linear", 0.085, 1.2),
    ],
)
def test_tables_are_those_of_diffusers(
    betas: Any, theirs: str, low: float, high: float, steps: int, zero_snr: bool
) -> None:
    path = VariancePreserving(betas=betas, beta_min=low, beta_max=high, num_timesteps=steps, zero_terminal_snr=zero_snr)
    reference = DDIMScheduler(
        num_train_timesteps=steps,
        beta_schedule=theirs,
        beta_start=low / steps,
        beta_end=high / steps,
        rescale_betas_zero_snr=zero_snr,
    )
    assert torch.allclose(path.alphas_cumprod.float(), reference.alphas_cumprod, rtol=1e-4, atol=1e-6)
    timesteps = torch.arange(steps)
    at = path.sigma_of(timesteps)
    assert torch.allclose(path.alpha(at) ** 2, path.alphas_cumprod.float(), rtol=1e-4, atol=1e-7)
    assert torch.equal(path.timestep_of(at), timesteps.float())
    if zero_snr:
        assert path.alpha(torch.ones(1)) == 0


def test_a_long_table_follows_the_continuous_path() -> None:
    sigma = torch.linspace(0.01, 0.99, 31)
    for path in CONTINUOUS:
        table = replace(path, num_timesteps=10_000)
        assert torch.allclose(table.alpha(sigma), path.alpha(sigma), atol=1e-3)


def test_little_noise_keeps_its_digits() -> None:
    sigma = torch.logspace(-8, -3, 23)
    for path in (VariancePreserving(), VariancePreserving(betas="linear"), VariancePreserving(offset=0.0)):
        exact = path.s(sigma.double())
        assert torch.allclose(path.s(sigma).double(), exact, rtol=1e-4)
        assert (exact > 0).all()


def test_v_is_salimans_and_hos() -> None:
    path, sigma = VariancePreserving(offset=0.0), torch.tensor([1 / 3])
    x0, noise = torch.tensor([[2.0]]), torch.tensor([[5.0]])
    # the angle is 30 degrees
    assert path.target(x0, noise, sigma, "v").item() == pytest.approx(math.cos(math.pi / 6) * 5 - 0.5 * 2, rel=1e-6)


def test_one_level_a_frame_mixes_each_frame_at_its_own() -> None:
    x0, noise = torch.randn(2, 3, 5, 7, 11), torch.randn(2, 3, 5, 7, 11)
    sigma = torch.rand(2, 5)
    for path in (FlowMatching(), VariancePreserving()):
        whole = path.mix(x0, noise, sigma)
        velocity = path.target(x0, noise, sigma)
        for t in range(5):
            assert torch.allclose(whole[:, :, t], path.mix(x0[:, :, t], noise[:, :, t], sigma[:, t]))
            assert torch.allclose(velocity[:, :, t], path.target(x0[:, :, t], noise[:, :, t], sigma[:, t]))


def test_half_precision_is_mixed_in_fp32() -> None:
    x0, noise, sigma = torch.randn(2, 3).bfloat16(), torch.randn(2, 3).bfloat16(), torch.tensor([0.3, 0.7])
    mixed = FlowMatching().mix(x0, noise, sigma)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, FlowMatching().mix(x0.float(), noise.float(), sigma))


def test_a_table_first_used_for_inference_serves_training_too() -> None:
    path = VariancePreserving(num_timesteps=61)
    with torch.inference_mode():
        path.alpha(torch.rand(3))
    x = torch.randn(3, 5, requires_grad=True)
    path.mix(x, torch.randn(3, 5), torch.rand(3)).square().sum().backward()
    assert x.grad is not None


def test_levels_that_fit_no_frames_are_refused() -> None:
    x = torch.zeros(2, 3, 5, 7, 11)
    assert expand(torch.zeros(2), x).shape == (2, 1, 1, 1, 1)
    assert expand(torch.zeros(2, 5), x).shape == (2, 1, 5, 1, 1)
    for sigma in (torch.zeros(2, 3), torch.zeros(2, 5, 1)):
        with pytest.raises(InvalidInput, match="sigma"):
            expand(sigma, x)
    with pytest.raises(InvalidInput, match="sigma"):
        expand(torch.zeros(2, 3), torch.zeros(2, 3, 5))


@pytest.mark.parametrize(
    "field,make",
    [
        ("sigma_min", lambda: FlowMatching(sigma_min=1.0)),
        ("sigma_min", lambda: FlowMatching(sigma_min=float("nan"))),
        ("betas", lambda: VariancePreserving(betas=WRONG)),
        ("beta_min", lambda: VariancePreserving(betas="linear", beta_min=0.0)),
        ("beta_min", lambda: VariancePreserving(betas="linear", beta_min=3.0, beta_max=2.0)),
        ("beta_max", lambda: VariancePreserving(betas="linear", num_timesteps=20)),
        ("offset", lambda: VariancePreserving(offset=-0.1)),
        ("num_timesteps", lambda: VariancePreserving(num_timesteps=1)),
        ("zero_terminal_snr", lambda: VariancePreserving(zero_terminal_snr=True)),
        ("num_timesteps", lambda: VariancePreserving().alphas_cumprod),
        ("num_timesteps", lambda: VariancePreserving().sigma_of(torch.arange(3))),
        ("num_timesteps", lambda: VariancePreserving().timestep_of(torch.ones(3))),
        ("prediction", lambda: FlowMatching().target(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), "v")),
        ("prediction", lambda: FlowMatching().target(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), "score")),
    ],
)
def test_bad_input_is_named(field: str, make) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.field == field
