from __future__ import annotations

import math

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.flow.paths import FlowMatching, VariancePreserving
from kinema.flow.predictions import to_x0
from kinema.flow.times import (
    bin_index,
    bin_means,
    exponential_shift_for_tokens,
    logit_normal,
    min_snr_weight,
    shift_for_tokens,
    shift_sigmas,
    snr,
    time_bins,
    uniform,
    uniform_weight,
)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("mean,std", [(0.0, 1.0), (0.7, 0.5)])
def test_the_logit_is_normal(mean: float, std: float, stratified: bool) -> None:
    sigma = logit_normal(40_000, mean=mean, std=std, generator=generator(), stratified=stratified)
    logit = torch.logit(sigma.double())
    assert logit.mean().item() == pytest.approx(mean, abs=0.02)
    assert logit.std().item() == pytest.approx(std, abs=0.02)
    # a third moment, which a uniform or lopsided draw would not have
    assert ((logit - mean) ** 3).mean().abs().item() < 0.06
    assert sigma.dtype == torch.float32


def test_levels_stay_inside_even_when_the_logit_is_far_out() -> None:
    sigma = logit_normal(1000, mean=0.0, std=50.0, generator=generator())
    assert ((sigma > 0) & (sigma < 1)).all()


@pytest.mark.parametrize("stratified", [False, True])
def test_uniform_is_even(stratified: bool) -> None:
    sigma = uniform(30_000, generator=generator(), stratified=stratified)
    assert sigma.mean().item() == pytest.approx(0.5, abs=0.01)
    assert sigma.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert ((sigma >= 0) & (sigma < 1)).all()


@pytest.mark.parametrize("n", [1, 2, 17])
def test_strata_hold_one_each_in_random_order(n: int) -> None:
    sigma = uniform(n, generator=generator(3), stratified=True)
    assert sorted((sigma * n).long().tolist()) == list(range(n))
    if n == 17:
        assert (sigma.diff() < 0).any()
        normal = logit_normal(n, generator=generator(3), stratified=True)
        rank = torch.special.ndtr(torch.logit(normal.double()))
        assert sorted((rank * n).long().tolist()) == list(range(n))


@pytest.mark.parametrize("stratified", [False, True])
def test_the_generator_alone_decides(stratified: bool) -> None:
    first, again, other = (logit_normal(7, generator=generator(s), stratified=stratified) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(sigma=st.floats(0, 1), shift=st.floats(0.1, 20))
def test_shift_keeps_the_ends_moves_towards_noise_and_back(sigma: float, shift: float) -> None:
    level = torch.tensor([0.0, sigma, 1.0], dtype=torch.float64)
    moved = shift_sigmas(level, shift)
    assert moved[0] == 0
    assert moved[2] == pytest.approx(1)
    assert (moved[1] >= level[1] - 1e-12) == (shift >= 1) or moved[1] == pytest.approx(sigma)
    assert shift_sigmas(moved, 1 / shift)[1] == pytest.approx(sigma, abs=1e-9)


def test_shift_is_a_shift_of_the_log_snr() -> None:
    sigma, path = torch.linspace(0.1, 0.9, 9).double(), FlowMatching()
    assert torch.allclose(snr(path, shift_sigmas(sigma, 3.0)) * 9, snr(path, sigma))


@pytest.mark.parametrize("shift", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_shift_is_named(shift: float) -> None:
    with pytest.raises(InvalidInput, match="shift"):
        shift_sigmas(torch.ones(2), shift)


def test_shift_for_tokens() -> None:
    # Stable Diffusion 3: 1024 px have 16 times the tokens of 256 px
    assert shift_for_tokens(4096, base_tokens=256) == 4
    assert shift_for_tokens(300, base_tokens=300, base_shift=3.0) == 3
    with pytest.raises(InvalidInput, match="tokens"):
        shift_for_tokens(0, base_tokens=256)
    for tokens in (256, 1500, 4096, 9000):
        assert exponential_shift_for_tokens(tokens) == pytest.approx(math.exp(calculate_shift(tokens)))
    with pytest.raises(InvalidInput, match="max_tokens"):
        exponential_shift_for_tokens(7, base_tokens=5, max_tokens=5)


def test_averaging_tokens_undoes_the_shift() -> None:
    """What shift_for_tokens is for: the mean of n equal noisy values is as uncertain as one at the unshifted level."""
    sigma, n = torch.tensor([0.6]).double(), 9
    shifted = shift_sigmas(sigma, shift_for_tokens(n, base_tokens=1))
    # x / (1 - sigma) estimates the value with an error of sigma / (1 - sigma), over sqrt(n) for a mean of n
    assert torch.allclose(shifted / (1 - shifted) / math.sqrt(n), sigma / (1 - sigma))


def test_min_snr_has_its_published_forms() -> None:
    path, sigma, gamma = VariancePreserving(betas="linear"), torch.linspace(0.02, 0.98, 23), 5.0
    ratio = snr(path, sigma)
    assert (ratio > gamma).any()
    assert (ratio < gamma).any()
    clipped = ratio.clamp_max(gamma)
    for kind, expected in (("x0", clipped), ("noise", clipped / ratio), ("v", clipped / (ratio + 1))):
        torch.testing.assert_close(min_snr_weight(path, sigma, prediction=kind), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", [FlowMatching(), VariancePreserving()], ids=["line", "arc"])
def test_min_snr_weighs_x0_alike_whatever_is_predicted(path) -> None:
    sigma, x, error = torch.tensor([0.1, 0.5, 0.9]), torch.randn(3, 7), torch.randn(3, 7)
    for kind in ("velocity", "noise", "x0"):
        said = torch.randn(3, 7)
        x0_error = (to_x0(path, said + error, x, sigma, kind) - to_x0(path, said, x, sigma, kind)).square().mean(1)
        loss = min_snr_weight(path, sigma, prediction=kind) * error.square().mean(1)
        expected = snr(path, sigma).clamp_max(5.0) * x0_error
        torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-5)
    assert torch.equal(uniform_weight(path, sigma), torch.ones(3))


def test_time_bins_are_middles_of_the_bins_they_index() -> None:
    middles = time_bins(7)
    assert torch.allclose(middles, (torch.arange(7) + 0.5) / 7)
    assert bin_index(middles, 7).tolist() == list(range(7))
    assert bin_index(torch.tensor([0.0, 1.0, 0.4999, 0.5]), 2).tolist() == [0, 1, 0, 1]
    with pytest.raises(InvalidInput, match="num_bins"):
        time_bins(0)


def test_bin_means() -> None:
    losses, sigma = torch.tensor([1.0, 3.0, 10.0, 20.0]), torch.tensor([0.1, 0.2, 0.95, 1.0])
    means = bin_means(losses, sigma, 3)
    assert means[0] == 2
    assert means[1].isnan()
    assert means[2] == 15
