"""Schedulers and the noise that a run starts from: levels, timesteps and whole trajectories beside diffusers' own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from parity_rows.measure import FP32, Row, row

from kinema.flow.noise import noise
from kinema.flow.published import read_scheduler
from tests.flow.test_published import (
    CASES,
    SHIFTS,
    STEPS,
    by_tokens,
    configs,
    reference,
    reference_by_tokens,
    trajectories,
)

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
    with row("scheduler: Euler with a shift by tokens", "fp32") as made:
        for tokens in (12, 1024, 7392):
            for steps in (2, 5, 40):
                for terminal in (None, 0.1):
                    made.cases.append(f"{tokens} tokens, {steps} steps, last start {terminal}")
                    ours = read_scheduler(by_tokens(terminal), from_pipeline=True)
                    theirs = reference_by_tokens(terminal, steps, tokens)
                    told = [ours.sigmas(steps, tokens=tokens), ours.timesteps(steps, tokens=tokens) / 1000]
                    made.add("fp32", made.cases[-1], told, [theirs.sigmas, theirs.timesteps / 1000])
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
    """Levels, timesteps and every state; and each sample of a batch beside itself alone."""
    name, ours = made.cases[-1], read_scheduler(config, from_pipeline=from_pipeline)
    theirs = reference(config, steps, from_pipeline=from_pipeline)
    made.add("fp32", name, [ours.sigmas(steps), ours.timesteps(steps)], [theirs.sigmas, theirs.timesteps.float()])
    both = list(trajectories(config, from_pipeline, steps))
    for seen, expected in both:
        made.add("fp32", name, seen, expected)
    for i in range(2):
        one = slice(i, i + 1)
        for (alone, _), (seen, _) in zip(trajectories(config, from_pipeline, steps, only=one), both, strict=True):
            made.add("batch", name, alone, [x[one] for x in seen])
