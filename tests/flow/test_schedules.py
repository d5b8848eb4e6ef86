from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.flow.paths import VariancePreserving
from kinema.flow.schedules import ddim_sigmas, ddim_timesteps, linear, linear_quadratic


@pytest.mark.parametrize("shift", [1.0, 3.0, 7.0, 17.0])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_linear_is_the_published_flow_matching_schedule(steps: int, shift: float) -> None:
    reference = FlowMatchEulerDiscreteScheduler(shift=shift)
    reference.set_timesteps(sigmas=np.linspace(1.0, 0.0, steps + 1)[:-1].tolist())
    torch.testing.assert_close(linear(steps, shift=shift), reference.sigmas, rtol=0, atol=1e-6)


def test_linear_is_even_and_exact_at_both_ends() -> None:
    sigmas = linear(4)
    assert sigmas.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    shifted = linear(13, shift=5.0)
    assert shifted[0] == 1
    assert shifted[-1] == 0


@pytest.mark.parametrize(
    "steps,kept,emulated", [(50, 25, 250), (50, 25, 1000), (64, 32, 1280), (20, 5, 40), (7, 3, 61)]
)
def test_linear_quadratic_is_the_published_one(steps: int, kept: int, emulated: int) -> None:
    # there, threshold_noise is where the straight part ends
    expected = [*linear_quadratic_schedule(steps, kept / emulated, kept), 0.0]
    ours = linear_quadratic(steps, linear_steps=kept, emulated_steps=emulated)
    torch.testing.assert_close(ours, torch.tensor(expected), rtol=0, atol=1e-6)


def test_movie_gens_fifty_steps_begin_as_its_two_hundred_and_fifty() -> None:
    ours, long = linear_quadratic(50), linear(250)
    assert torch.allclose(ours[:26], long[:26], atol=1e-7)
    assert ours[26] < long[26]
    # quadratic from there: second differences are one constant
    bend = ours[25:].double().diff().diff()
    assert torch.allclose(bend, bend.mean().expand_as(bend), atol=1e-6)
    assert bend.mean() < -1e-4


@given(data=st.data(), steps=st.integers(1, 120))
def test_linear_quadratic_falls_from_one_to_zero(data: st.DataObject, steps: int) -> None:
    kept = data.draw(st.integers(0, steps - 1))
    emulated = data.draw(st.integers(steps, 2000))
    sigmas = linear_quadratic(steps, linear_steps=kept, emulated_steps=emulated)
    assert sigmas.shape == (steps + 1,)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_as_many_steps_as_emulated_are_just_linear() -> None:
    torch.testing.assert_close(linear_quadratic(40, emulated_steps=40), linear(40))


@pytest.mark.parametrize("steps", [1, 3, 20, 50, 999])
@pytest.mark.parametrize("spacing,offset", [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)])
def test_ddim_timesteps_are_those_of_diffusers(steps: int, spacing: Any, offset: int) -> None:
    reference = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    reference.set_timesteps(steps)
    ours = ddim_timesteps(1000, steps, spacing=spacing, offset=offset)
    # one step of linspace: numpy starts at 0, torch at the end, where sampling begins
    if (spacing, steps) == ("linspace", 1):
        assert ours.tolist() == [999]
    else:
        assert ours.tolist() == reference.timesteps.tolist()


def test_ddim_sigmas_lead_to_clean_data_or_the_first_entry() -> None:
    path = VariancePreserving(num_timesteps=1000)
    timesteps = ddim_timesteps(1000, 4, spacing="trailing")
    assert ddim_sigmas(path, timesteps).tolist() == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert ddim_sigmas(path, timesteps, is_last_clean=False)[-1].item() == pytest.approx(0.001)


@pytest.mark.parametrize(
    "field,make",
    [
        ("steps", lambda: linear(0)),
        ("steps", lambda: linear(True)),
        ("shift", lambda: linear(3, shift=0)),
        ("steps", lambda: linear_quadratic(-1)),
        ("linear_steps", lambda: linear_quadratic(5, linear_steps=5)),
        ("emulated_steps", lambda: linear_quadratic(5, emulated_steps=4)),
        ("steps", lambda: ddim_timesteps(10, 11)),
        ("spacing", lambda: ddim_timesteps(10, 5, spacing="even")),
        ("offset", lambda: ddim_timesteps(10, 10, offset=1)),
    ],
)
def test_bad_input_is_named(field: str, make) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.field == field
