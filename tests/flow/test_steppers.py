from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.noise import noise
from kinema.flow.paths import FlowMatching, Path, VariancePreserving
from kinema.flow.sample import sample
from kinema.flow.schedules import ddim_sigmas, ddim_timesteps, linear
from kinema.flow.steppers import STEPPERS, Ddim, Euler, Heun, Stepper, UniPC, ddim_std, find_stepper, unipc
from tests.flow.gaussian import Gaussian

ORDERS = {"euler": 1, "heun": 2}
ARC = VariancePreserving(offset=0.0)
STABLE_DIFFUSION = VariancePreserving(betas="scaled_linear", beta_min=0.85, beta_max=12.0, num_timesteps=1000)


def measured_order(errors: list[float]) -> float:
    """The power of the step's size that ``errors`` fall with, from the two finest of steps halved each time."""
    return math.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize(
    "field,answer",
    [
        (lambda x, s: x, lambda x: x * math.exp(-1)),
        (lambda x, s: 2 * s * x, lambda x: x * math.exp(-1)),
        (lambda x, s: 3 * s * s + 0 * x, lambda x: x - 1),
        (lambda x, s: torch.cos(3 * s + 1) * torch.ones_like(x), lambda x: x - (math.sin(4) - math.sin(1)) / 3),
    ],
    ids=["growth", "growth that grows", "cubic", "wave"],
)
def test_known_fields_end_at_known_places_at_the_known_order(name: str, field, answer) -> None:
    start = torch.tensor([[1.3], [-0.4]])
    errors = []
    for steps in (8, 16, 32):
        end = sample(lambda x, s: field(x, s[:, None]), start, linear(steps), stepper=name)
        errors.append((end - answer(start)).abs().max().item())
    assert errors[-1] < 0.1 / 8 ** (ORDERS[name] - 1)
    # Heun's last step is Euler's: a local error of second order, which leaves the global order and adds to the constant
    assert measured_order(errors) == pytest.approx(ORDERS[name], abs=0.25)


@pytest.mark.parametrize("name,low,high", [("euler", 0.9, 1.1), ("heun", 1.8, 2.4)])
@pytest.mark.parametrize("path", [FlowMatching(), ARC], ids=["line", "arc"])
def test_the_best_velocity_carries_each_point_where_it_belongs(path: Path, name: str, low: float, high: float) -> None:
    data, z = Gaussian(path), noise((29,), seeds=[1, 2, 3])
    stepper = {"euler": Euler(path=path), "heun": Heun(path=path)}[name]
    errors = []
    for steps in (16, 32, 64):
        end = sample(data.best, z, linear(steps), stepper=stepper)
        errors.append((end - data.at(z, 0.0)).square().mean().sqrt().item())
    assert low < measured_order(errors) < high
    assert errors[-1] < (0.03 if name == "euler" else 0.002)


@pytest.mark.parametrize(
    "path", [FlowMatching(), FlowMatching(sigma_min=0.01), ARC], ids=["line", "traced line", "arc"]
)
def test_unipc_is_of_third_order_between_levels(path: Path) -> None:
    """Order 2 and a corrector, as its authors prove; the ends, first order each, are left out."""
    data, z, errors = Gaussian(path), noise((29,), seeds=[1, 2, 3]), []
    for steps in (64, 128):
        sigmas = torch.linspace(0.9, 0.1, steps + 1)
        end = sample(data.best, data.at(z, 0.9), sigmas, stepper=UniPC(path=path))
        errors.append((end - data.at(z, 0.1)).square().mean().sqrt().item())
    assert measured_order(errors) == pytest.approx(3, abs=0.25)
    assert errors[-1] < 2e-5


def test_unipc_leaves_alone_what_does_not_move() -> None:
    x, x0, before, after = (
        noise((3, 4, 2, 5), seeds=[1, 2]),
        *(noise((3, 4, 2, 5), seeds=[s, s + 1]) for s in (3, 5, 7)),
    )
    here, there = torch.tensor([[0.7, 0.0, 0.7, 0.3], [0.9] * 4]), torch.tensor([[0.4, 0.0, 0.7, 0.0], [0.5] * 4])
    past = torch.where(here > 0, 0.95, 0.0)
    for more in ({}, {"x0_next": after}):
        end = unipc(FlowMatching(), x, x0, here, there, before=(past, before), **more)
        assert end.isfinite().all()
        moves = (there < here)[:, None, :, None, None].expand_as(x)
        assert torch.equal(end[~moves], x[~moves])
        row = unipc(FlowMatching(), x[:, :, :1], x0[:, :, :1], here[:, 0], there[:, 0], before=(past[:, 0], before[:, :, :1]),
                    **{k: v[:, :, :1] for k, v in more.items()})  # fmt: skip
        assert torch.equal(end[:, :, :1], row)
        # to sigma 0 nothing is left of x, and the predictor is first order
        if not more:
            assert torch.equal(end[0, :, 3], x0[0, :, 3])


@pytest.mark.parametrize("kind", ["velocity", "noise", "x0"])
@pytest.mark.parametrize("name", ["euler", "heun", "ddim", "unipc"])
@pytest.mark.parametrize("path", [FlowMatching(), VariancePreserving(betas="linear")], ids=["line", "arc"])
def test_moments_reach_the_datas_whatever_is_predicted(path: Path, name: str, kind: str) -> None:
    data = Gaussian(path)
    # from almost pure noise: at alpha 0 a prediction of noise says nothing of x0
    sigmas = torch.cat([0.002 + 0.996 * linear(90)[:-1], torch.zeros(1)])
    x = data.at(noise((4001,), seeds=[5]), float(sigmas[0]))
    stepper = {"euler": Euler, "heun": Heun, "ddim": Ddim, "unipc": UniPC}[name](path=path, prediction=kind)
    end = sample(lambda x, s: data.best(x, s, kind), x, sigmas, stepper=stepper)
    assert end.mean().item() == pytest.approx(data.mean, abs=0.03)
    assert end.std().item() == pytest.approx(data.std, abs=0.03)


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("path", [FlowMatching(), ARC], ids=["line", "arc"])
def test_fresh_noise_keeps_the_moments(path: Path, eta: float) -> None:
    data, seeds = Gaussian(path, std=1.5), (7, 8, 9)
    end = sample(data.best, noise((2003,), seeds=seeds), linear(80), stepper=Ddim(path=path, eta=eta, seeds=seeds))
    assert end.mean().item() == pytest.approx(data.mean, abs=0.1)
    assert end.std().item() == pytest.approx(data.std, abs=0.1)
    calm = sample(data.best, noise((2003,), seeds=seeds), linear(80), stepper=Ddim(path=path))
    assert (end - calm).abs().mean() > 0.1


def test_on_flow_matching_ddim_without_fresh_noise_is_euler() -> None:
    data, z = Gaussian(FlowMatching()), noise((13,), seeds=[1, 2])
    torch.testing.assert_close(
        sample(data.best, z, linear(11, shift=3), stepper="ddim"), sample(data.best, z, linear(11, shift=3))
    )


def test_steps_along_a_straight_line_are_exact_however_few() -> None:
    data, z = torch.randn(2, 3, 5), noise((3, 5), seeds=[1, 2])
    for name in STEPPERS:
        for steps in (1, 2, 7):
            end = sample(lambda x, s: (x - data) / s[:, None, None], z, linear(steps, shift=5), stepper=name)
            torch.testing.assert_close(end, data, rtol=0, atol=2e-5)


def fake_network(x: Tensor, level: Tensor) -> Tensor:
    """Something smooth that no path explains."""
    return torch.tanh(1.3 * x + level) - 0.2 * x.roll(1, -1)


@pytest.mark.parametrize("ours,theirs", [("noise", "epsilon"), ("x0", "sample"), ("v", "v_prediction")])
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(
    "spacing,steps,set_alpha_to_one", [("leading", 10, True), ("leading", 25, False), ("trailing", 20, True)]
)
def test_ddim_follows_diffusers(
    ours: str, theirs: Any, eta: float, spacing: Any, steps: int, set_alpha_to_one: bool
) -> None:
    reference = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=theirs,
        timestep_spacing=spacing,
        set_alpha_to_one=set_alpha_to_one,
        steps_offset=0 if set_alpha_to_one else 1,
    )
    reference.set_timesteps(steps)
    seeds = (3, 4)
    start = noise((3, 5), seeds=seeds)

    expected, trace = start, []
    for i, t in enumerate(reference.timesteps):
        said = fake_network(expected, t / 1000)
        extra = {"eta": eta, "variance_noise": noise((3, 5), seeds=seeds, stream=i + 1)} if eta else {}
        expected, their_x0 = reference.step(said, int(t), expected, **extra, return_dict=False)
        trace.append((expected, their_x0))

    path = STABLE_DIFFUSION
    timesteps = ddim_timesteps(1000, steps, spacing=spacing, offset=0 if set_alpha_to_one else 1)
    assert timesteps.tolist() == reference.timesteps.tolist()
    seen: list[tuple[Tensor, Tensor]] = []
    end = sample(
        lambda x, s: fake_network(x, path.timestep_of(s)[:, None, None] / 1000),
        start,
        ddim_sigmas(path, timesteps, is_last_clean=set_alpha_to_one),
        stepper=Ddim(path=path, prediction=ours, eta=eta, seeds=seeds if eta else ()),
        on_step=lambda step, x, x0: seen.append((x, x0)),
    )
    assert len(seen) == steps
    for (x, x0), (their_x, their_x0) in zip(seen, trace, strict=True):
        torch.testing.assert_close(x, their_x, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(x0, their_x0, rtol=5e-3, atol=5e-3)
    torch.testing.assert_close(end, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shift", [1.0, 7.0])
def test_euler_follows_diffusers(shift: float) -> None:
    reference: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    reference.set_timesteps(sigmas=torch.linspace(1, 0, 31)[:-1].tolist())
    start = expected = noise((3, 5), seeds=[1, 2])
    for t in reference.timesteps:
        (expected,) = reference.step(fake_network(expected, t / 1000), t, expected, return_dict=False)
    end = sample(lambda x, s: fake_network(x, s[:, None, None]), start, linear(30, shift=shift))
    torch.testing.assert_close(end, expected, rtol=1e-5, atol=1e-5)


def test_the_variance_of_a_ddim_step_is_the_published_one() -> None:
    path, sigma = VariancePreserving(num_timesteps=1000), torch.tensor([0.5])
    abar, abar_next = (path.alpha(s).double() ** 2 for s in (sigma, torch.tensor([0.4])))
    expected = ((1 - abar_next) / (1 - abar) * (1 - abar / abar_next)).sqrt()
    torch.testing.assert_close(
        ddim_std(path, sigma, torch.tensor([0.4]), 0.5).double(), 0.5 * expected, rtol=1e-4, atol=0
    )
    assert ddim_std(path, torch.zeros(1), torch.zeros(1), 1.0) == 0


@pytest.mark.parametrize("name", STEPPERS)
def test_evaluations_are_counted(name: str) -> None:
    calls: list[float] = []

    def network(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(float(sigma[0]))
        return x

    sample(network, torch.ones(1, 3), linear(5), stepper=name)
    assert len(calls) == STEPPERS[name].evaluations(5)
    assert min(calls) > 0


@pytest.mark.parametrize(
    "field,make",
    [
        ("stepper", lambda: find_stepper("leapfrog")),
        ("prediction", lambda: Euler(prediction="score")),
        ("prediction", lambda: Euler(prediction="v")),
        ("eta", lambda: Ddim(eta=1.5, seeds=(1,))),
        ("eta", lambda: Ddim(eta=float("nan"), seeds=(1,))),
        ("seeds", lambda: Ddim(eta=0.5)),
        ("seeds", lambda: sample(fake, torch.ones(2, 3), linear(2), stepper=Ddim(eta=0.5, seeds=(1,)))),
    ],
)
def test_bad_input_is_named(field: str, make) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.field == field


def fake(x: Tensor, sigma: Tensor) -> Tensor:
    return x


def test_a_name_stands_for_velocity_on_the_line() -> None:
    for name, stepper in STEPPERS.items():
        assert find_stepper(name) is stepper
        assert isinstance(stepper, Stepper)
        assert (stepper.path, stepper.prediction) == (FlowMatching(), "velocity")
    own = Heun(path=ARC)
    assert find_stepper(own) is own
