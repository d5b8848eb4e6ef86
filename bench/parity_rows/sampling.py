"""Schedulers and the noise that a run starts from: levels, timesteps and whole trajectories beside diffusers' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from parity_rows.measure import FP32, Row, row
from torch import Tensor

from kinema.flow.noise import noise
from kinema.flow.published import PublishedSampler, read_scheduler, timestep_at
from kinema.flow.sample import sample
from tests.flow.test_published import CASES, SHAPE, SHIFTS, STEPS, configs, reference

NOISE_SHAPES = [(16, 1, 3, 5), (16, 5, 7, 2), (48, 3, 2, 9), (3, 1, 1, 1)]
NOISE_SEEDS = [[0], [7, 8], [3, 2**32 - 1, 5]]


def sampling_rows() -> Iterator[Row]:
    """A row for each scheduler, and one for the initial noise."""
    for solver, what in (("euler", "Euler with shift"), ("unipc", "UniPC on flow matching")):
        with row(f"scheduler: {what}", "fp32", "batch") as made:
            for case in (c for c in CASES if c.startswith(solver)):
                for shift in SHIFTS:
                    for steps in STEPS:
                        made.cases.append(f"{case}, shift {shift:g}, {steps} steps")
                        _trajectories(made, *configs(shift)[case], steps)
        yield made
    with row("initial noise", "fp32", "batch") as made:
        for shape in NOISE_SHAPES:
            for seeds in NOISE_SEEDS:
                made.cases.append(f"{shape}, seeds {seeds}")
                drawn = noise(shape, seeds=seeds)
                own = [torch.Generator().manual_seed(s) for s in seeds]
                expected = randn_tensor((len(seeds), *shape), generator=own, dtype=FP32)
                made.add("fp32", made.cases[-1], [drawn], [expected])
                for i, seed in enumerate(seeds):
                    made.add("batch", made.cases[-1], [drawn[i : i + 1]], [noise(shape, seeds=[seed])])
    yield made


def _trajectories(made: Row, config: dict[str, Any], from_pipeline: bool, steps: int) -> None:
    """Every state, with outputs that were drawn beforehand and with a network that answers to the state and its timestep."""
    name, ours = made.cases[-1], read_scheduler(config, from_pipeline=from_pipeline)
    sigmas, timesteps = ours.sigmas(steps), ours.timesteps(steps)
    start, outputs = noise(SHAPE, seeds=[1, 2]), noise((steps, *SHAPE), seeds=[3, 4]).transpose(0, 1)

    def drawn(x: Tensor, t: Tensor) -> Tensor:
        return outputs[int((timesteps > t).sum())]

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(1.3 * x + t / 1000) - 0.2 * x.roll(1, -1)

    for model in (drawn, network):
        theirs = reference(config, steps, from_pipeline=from_pipeline)
        made.add("fp32", name, [sigmas, timesteps], [theirs.sigmas, theirs.timesteps.float()])
        x, expected = start, []
        for t in theirs.timesteps:
            x = theirs.step(model(x, t), t, x, return_dict=False)[0]
            expected.append(x)
        made.add("fp32", name, _states(model, start, sigmas, timesteps, ours), expected)
        for i in range(len(start)):
            if model is network:
                one = _states(model, start[i : i + 1], sigmas, timesteps, ours)
                made.add("batch", name, one, [x[i : i + 1] for x in expected])


def _states(
    model: Callable[[Tensor, Tensor], Tensor], start: Tensor, sigmas: Tensor, timesteps: Tensor, ours: PublishedSampler
) -> list[Tensor]:
    seen: list[Tensor] = []
    sample(
        lambda x, s: model(x, timestep_at(s, sigmas, timesteps)[0]),
        start,
        sigmas,
        stepper=ours.stepper,
        on_step=lambda i, x, x0: seen.append(x),
    )
    return seen
