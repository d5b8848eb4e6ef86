from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.flow.noise import noise
from kinema.flow.published import PublishedSampler, TokenShift, read_scheduler, timestep_at
from kinema.flow.sample import sample, walk
from kinema.flow.schedules import linear
from kinema.flow.steppers import Euler, State, UniPC

STEPS = [1, 2, 3, 5, 20, 50]
SHIFTS = [1.0, 3.0, 5.0, 7.0, 12.0]
SHAPE = (3, 5, 2, 7)
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.32.0", "shift": 7.0}
UNIPC = {
    "_class_name": "UniPCMultistepScheduler",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
    "disable_corrector": [],
    "solver_p": None,
    "timestep_spacing": "linspace",
}


def reference(config: dict[str, Any], steps: int, *, from_pipeline: bool, mu: float | None = None) -> Any:
    """The reference's scheduler, set as the reference's pipelines set it."""
    classes = {c.__name__: c for c in (FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler)}
    scheduler: Any = classes[config["_class_name"]].from_config(config)
    extra: dict[str, Any] = {} if mu is None else {"mu": mu}
    if from_pipeline:
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.0, steps + 1)[:-1], **extra)
    else:
        scheduler.set_timesteps(steps, **extra)
    return scheduler


def configs(shift: float) -> dict[str, tuple[dict[str, Any], bool]]:
    """Name -> (config, whether the pipeline gives levels)."""
    return {
        "euler, levels of HunyuanVideo's pipeline": ({**EULER, "shift": shift}, True),
        "euler, its own levels": ({**EULER, "shift": shift}, False),
        "unipc, its own levels": ({**UNIPC, "flow_shift": shift}, False),
        "unipc, levels of a pipeline": ({**UNIPC, "flow_shift": shift}, True),
    }


CASES = sorted(configs(1.0))


@pytest.mark.parametrize("case", CASES)
def test_levels_and_timesteps_have_the_references_bits(case: str) -> None:
    for shift in (*SHIFTS, 0.7, 2.5, 8.0, 17.0):
        config, from_pipeline = configs(shift)[case]
        ours = read_scheduler(config, from_pipeline=from_pipeline)
        for steps in (*range(1, 61), 100, 250, 999):
            theirs = reference(config, steps, from_pipeline=from_pipeline)
            assert torch.equal(ours.sigmas(steps), theirs.sigmas), (shift, steps)
            assert torch.equal(ours.timesteps(steps), theirs.timesteps.float()), (shift, steps)


def trajectories(
    config: dict[str, Any], from_pipeline: bool, steps: int, *, only: slice = slice(None)
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """(our states, the reference's) of the samples ``only``, after every step.

    First with outputs that nothing explains, drawn beforehand, then with a network that answers to x and to its timestep.
    """
    ours = read_scheduler(config, from_pipeline=from_pipeline)
    sigmas, timesteps = ours.sigmas(steps), ours.timesteps(steps)
    start, outputs = noise(SHAPE, seeds=[1, 2]), noise((steps, *SHAPE), seeds=[3, 4]).transpose(0, 1)

    def drawn(x: Tensor, t: Tensor) -> Tensor:
        return outputs[int((timesteps > t).sum())][only]

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(1.3 * x + t / 1000) - 0.2 * x.roll(1, -1)

    for model in (drawn, network):
        theirs = reference(config, steps, from_pipeline=from_pipeline)
        x, expected = start[only], []
        for t in theirs.timesteps:
            x = theirs.step(model(x, t), t, x, return_dict=False)[0]
            expected.append(x)
        seen: list[Tensor] = []
        sample(
            lambda x, s, model=model: model(x, timestep_at(s, sigmas, timesteps)[0]),
            start[only],
            sigmas,
            stepper=ours.stepper,
            on_step=lambda i, x, x0, seen=seen: seen.append(x),
        )
        yield seen, expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("steps", STEPS)
def test_trajectories_are_the_references(case: str, shift: float, steps: int) -> None:
    for seen, expected in trajectories(*configs(shift)[case], steps):
        for x, y in zip(seen, expected, strict=True):
            assert (x - y).abs().max() <= 1e-6 * y.abs().max()


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("tokens", [256, 1560, 4096, 7080])
@pytest.mark.parametrize("from_pipeline", [True, False])
@pytest.mark.parametrize("terminal", [None, 0.1])
def test_a_shift_may_grow_with_the_tokens(steps: int, tokens: int, from_pipeline: bool, terminal: float | None) -> None:
    config = {
        **EULER,
        "use_dynamic_shifting": True,
        "base_shift": 0.95,
        "max_shift": 2.05,
        "base_image_seq_len": 1024,
        "shift_terminal": terminal if steps > 1 else None,
    }
    ours = read_scheduler(config, from_pipeline=from_pipeline)
    mu = calculate_shift(tokens, 1024, 4096, 0.95, 2.05)
    theirs = reference(config, steps, from_pipeline=from_pipeline, mu=mu)
    torch.testing.assert_close(ours.sigmas(steps, tokens=tokens), theirs.sigmas, rtol=1e-6, atol=2e-7)
    torch.testing.assert_close(ours.timesteps(steps, tokens=tokens), theirs.timesteps, rtol=1e-6, atol=2e-4)
    with pytest.raises(InvalidInput, match="tokens"):
        ours.sigmas(steps)


def by_tokens(terminal: float | None) -> dict[str, Any]:
    """LTX-Video's config."""
    sizes = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "max_image_seq_len": 4096}
    return {**EULER, "shift": 1.0, "use_dynamic_shifting": True, "shift_terminal": terminal, **sizes}


def reference_by_tokens(terminal: float | None, steps: int, tokens: int) -> Any:
    """The reference's scheduler, set as LTX-Video's pipelines set it."""
    scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(by_tokens(terminal))
    mu = calculate_shift(tokens, 1024, 4096, 0.95, 2.05)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return scheduler


@pytest.mark.parametrize("terminal", [None, 0.1])
@pytest.mark.parametrize("steps", [2, 3, 8, 30, 50])
def test_levels_of_ltx_video_s_pipeline(steps: int, terminal: float | None) -> None:
    ours = read_scheduler(by_tokens(terminal), from_pipeline=True)
    for tokens in (1, 1024, 7392):
        theirs = reference_by_tokens(terminal, steps, tokens)
        torch.testing.assert_close(ours.sigmas(steps, tokens=tokens), theirs.sigmas, rtol=1e-6, atol=2e-7)
        torch.testing.assert_close(ours.timesteps(steps, tokens=tokens), theirs.timesteps, rtol=1e-6, atol=2e-4)


def test_one_step_is_never_stretched() -> None:
    config = {**EULER, "shift_terminal": 0.1}
    assert read_scheduler(config, from_pipeline=True).sigmas(1).tolist() == [1.0, 0.0]
    assert read_scheduler(config, from_pipeline=True).sigmas(4)[-2] == pytest.approx(0.1)


def test_frozen_frames_are_told_timestep_0_and_change_nothing() -> None:
    """Wan 2.2 TI2V's image-to-video: the first latent frame is known and stands at timestep 0."""
    ours = read_scheduler({**UNIPC, "flow_shift": 5.0}, from_pipeline=False)
    steps = 6
    sigmas, timesteps = ours.sigmas(steps), ours.timesteps(steps)
    start, known = noise((3, 4, 2, 5), seeds=[1, 2]), noise((3, 4, 2, 5), seeds=[5, 6])
    frozen = torch.tensor([True, False, False, False]).view(1, 1, 4, 1, 1).expand(2, 1, 4, 1, 1)
    told: list[Tensor] = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x + x.mean(2, keepdim=True)) - t[:, None, :, None, None] / 1000

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        told.append(timestep_at(sigma, sigmas, timesteps))
        return network(x, told[-1])

    end = sample(predict, start, sigmas, stepper=ours.stepper, frozen=frozen, known=known)

    theirs = reference({**UNIPC, "flow_shift": 5.0}, steps, from_pipeline=False)
    x, mask = start, (~frozen).float()
    for step, t in enumerate(theirs.timesteps):
        levels = (mask[:, 0, :, 0, 0] * t).float()
        assert torch.equal(told[step], levels)
        x = theirs.step(network((1 - mask) * known + mask * x, levels), t, x, return_dict=False)[0]
    expected = (1 - mask) * known + mask * x
    assert (end - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert torch.equal(end[:, :, 0], known[:, :, 0])


def test_what_is_made_is_read_from_the_config() -> None:
    unipc = read_scheduler({**UNIPC, "sample_max_value": 1.0, "beta_end": 0.02, "sigma_max": None}, from_pipeline=False)
    assert unipc == PublishedSampler(solver="unipc", shift=3.0)
    assert unipc.stepper == UniPC()
    euler = read_scheduler({**EULER, "num_train_timesteps": 500}, from_pipeline=True)
    assert euler == PublishedSampler(solver="euler", shift=7.0, num_timesteps=500, from_pipeline=True)
    assert euler.stepper == Euler()
    torch.testing.assert_close(euler.sigmas(9), linear(9, shift=7.0))
    torch.testing.assert_close(euler.timesteps(9), euler.sigmas(9)[:-1] * 500)
    dynamic = read_scheduler({**EULER, "use_dynamic_shifting": True, "max_shift": 2.0}, from_pipeline=True)
    assert dynamic.shift == TokenShift(max_log_shift=2.0)


@pytest.mark.parametrize(
    "field,change",
    [
        ("_class_name", {"_class_name": "DDIMScheduler"}),
        ("_class_name", {"_class_name": None}),
        ("shift", {"shift": 0}),
        ("shift", {"shift": "seven"}),
        ("shift", {"shift": float("nan")}),
        ("shift", {"shift": True}),
        ("num_train_timesteps", {"num_train_timesteps": 0}),
        ("num_train_timesteps", {"num_train_timesteps": 1000.0}),
        ("invert_sigmas", {"invert_sigmas": True}),
        ("stochastic_sampling", {"stochastic_sampling": True}),
        ("use_karras_sigmas", {"use_karras_sigmas": True}),
        ("time_shift_type", {"use_dynamic_shifting": True, "time_shift_type": "linear"}),
        ("base_shift", {"use_dynamic_shifting": True, "base_shift": None}),
        ("base_image_seq_len", {"use_dynamic_shifting": True, "base_image_seq_len": 0.5}),
        ("shift_terminal", {"shift_terminal": 1.0}),
        ("wobble", {"wobble": 0.3}),
        ("flow_shift", {"flow_shift": 3.0}),
        ("prediction_type", {**UNIPC, "prediction_type": "epsilon"}),
        ("use_flow_sigmas", {**UNIPC, "use_flow_sigmas": False}),
        ("solver_order", {**UNIPC, "solver_order": 3}),
        ("solver_type", {**UNIPC, "solver_type": "bh1"}),
        ("predict_x0", {**UNIPC, "predict_x0": False}),
        ("lower_order_final", {**UNIPC, "lower_order_final": False}),
        ("disable_corrector", {**UNIPC, "disable_corrector": [0]}),
        ("solver_p", {**UNIPC, "solver_p": "heun"}),
        ("thresholding", {**UNIPC, "thresholding": True}),
        ("final_sigmas_type", {**UNIPC, "final_sigmas_type": "sigma_min"}),
        ("use_dynamic_shifting", {**UNIPC, "use_dynamic_shifting": True}),
        ("flow_shift", {**UNIPC, "flow_shift": -1}),
        ("shift", {**UNIPC, "shift": 3.0}),
    ],
)
def test_what_is_not_supported_is_named(field: str, change: dict[str, Any]) -> None:
    config = change if "prediction_type" in change else {**EULER, **change}
    with pytest.raises(InvalidInput, match="must|remove") as caught:
        read_scheduler(config, from_pipeline=True)
    assert caught.value.field == f"scheduler.{field}"


@pytest.mark.parametrize("field", ["prediction_type", "use_flow_sigmas"])
def test_a_missing_field_is_the_references_default(field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        read_scheduler({k: v for k, v in UNIPC.items() if k != field}, from_pipeline=False)


@pytest.mark.parametrize("value", [None, False, 0, [], ""])
def test_an_unknown_field_that_is_off_is_let_through(value: object) -> None:
    assert read_scheduler({**EULER, "wobble": value}, from_pipeline=True).shift == 7.0


@pytest.mark.parametrize("steps", [0, -1, True])
def test_a_bad_number_of_steps_is_named(steps: int) -> None:
    with pytest.raises(InvalidInput, match="steps"):
        read_scheduler(EULER, from_pipeline=True).sigmas(steps)


def test_a_published_run_can_be_gone_on_with() -> None:
    ours = read_scheduler(UNIPC, from_pipeline=False)
    sigmas, start = ours.sigmas(7), noise(SHAPE, seeds=[8])

    def network(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.sin(2 * x) - sigma.view(-1, 1, 1, 1, 1)

    whole = sample(network, start, sigmas, stepper=ours.stepper)
    for state in walk(network, State(step=0, x=start), sigmas, stepper=ours.stepper):
        for on in walk(network, state, sigmas, stepper=ours.stepper):
            last = on
        assert torch.equal(last.x, whole)
