"""A row of the parity table: differences of what ought to be equal, gathered over several configurations, and their bounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

FP32, BF16 = torch.float32, torch.bfloat16
# One small network's rounding is luck, that of several together is not: errors in bf16 are those of so many draws of the weights
# as make this many values, within these limits.
NUM_VALUES, LEAST_DRAWS, MOST_DRAWS = 2000, 4, 16
# column -> the most it may be
BOUNDS = {
    "fp32": 1e-4,  # ours beside the reference
    "frames": 1.0,  # the same of frames that are shown, in grey levels of 255
    "bf16": 1.2,  # our error in bf16 over the reference's own, both against the reference in fp32
    "batch": 1e-4,  # a sample in a batch beside the same alone
    "offload": 0.0,  # weights that come and go beside weights that stay: the same bits
    "stream": 1e-4,  # chunk by chunk beside the whole
    "tiles": 1e-4,  # cut into parts as small as can be, exactly, beside the whole
}
# what the reference gives must vary by this much (the standard deviation of what isn't zero): zeros agree about anything
LEAST_STD = 0.03


@dataclass
class Row:
    """One line of the table. Differences are the largest absolute ones; ``needs`` are the columns that must have been told of."""

    what: str
    needs: tuple[str, ...]
    cases: list[str] = field(default_factory=list)
    seconds: float = 0.0
    columns: dict[str, float] = field(default_factory=dict)
    worst: dict[str, str] = field(default_factory=dict)
    _squares: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    # the largest over the draws of the weights: in one of them a few numbers may happen to be close
    _stds: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def least_std(self) -> float:
        """Of the reference's outputs in fp32 the one that varies least: its standard deviation."""
        return min(self._stds.values(), default=math.inf)

    def add(self, column: str, case: str, ours: Iterable[Any], wanted: Iterable[Any]) -> None:
        """The largest difference between ``ours`` and ``wanted``, tensors of one shape in the same order, into ``column``."""
        for i, (mine, its) in enumerate(zip(ours, wanted, strict=True)):
            if mine.shape != its.shape:
                raise SystemExit(f"{self.what}, {case}: {column}: shapes {tuple(mine.shape)} and {tuple(its.shape)}")
            difference = float((mine.double() - its.double()).abs().max())
            self._raise_to(column, math.inf if math.isnan(difference) else difference, case)
            if column == "fp32" and its.is_floating_point() and its.ndim > 1:  # a schedule of one step has one level
                values = its[its != 0].float()
                std = float(values.std(correction=0)) if len(values) else 0.0
                self._stds[case, i] = max(self._stds.get((case, i), 0.0), std)

    def add_half(self, case: str, ours: Iterable[Tensor], theirs: Iterable[Tensor], exact: Iterable[Tensor]) -> None:
        """One more draw of both bf16 errors of ``case``; draws are taken together by `close`."""
        for i, values in enumerate(zip(ours, theirs, exact, strict=True)):
            mine, its, true = (value.double() for value in values)
            if not true.is_floating_point() or mine.shape != true.shape:
                raise SystemExit(f"{self.what}, {case}: bf16: shapes {tuple(mine.shape)} and {tuple(true.shape)}")
            # in shares of the output's size, so that every draw counts alike
            scale = float(true.std())
            sums = self._squares.setdefault((case, i), [0.0, 0.0])
            for j, value in enumerate((mine, its)):
                sums[j] += float((value - true).square().mean()) / scale**2

    def close(self) -> None:
        """Reckons the ratio of the errors in bf16."""
        for (case, _), (mine, its) in self._squares.items():
            # no error at all in bf16 would mean that nothing ran in it
            ratio = math.sqrt(mine / its) if mine > 0 and its > 0 else math.inf
            self._raise_to("bf16", math.inf if math.isnan(ratio) else ratio, case)

    @property
    def broken(self) -> list[str]:
        """What is out of bounds, a line each."""
        found = [
            f"{self.what}: {column} {value:.3g}, over {BOUNDS[column]:g} ({self.worst[column]})"
            for column, value in self.columns.items()
            if value > BOUNDS[column]
        ]
        if not self.least_std > LEAST_STD:  # nor is it if it is no number
            found.append(f"{self.what}: the reference's output hardly varies ({self.least_std:.3g})")
        missing = [column for column in self.needs if column not in self.columns]
        return found + [f"{self.what}: {column} was not compared" for column in missing]

    def to_dict(self) -> dict[str, Any]:
        """As the result file has it."""
        return {
            "what": self.what,
            "configurations": self.cases,
            **{column: float(f"{value:.3g}") for column, value in self.columns.items()},
            "worst": self.worst,
            "least_std": float(f"{self.least_std:.3g}"),
            "seconds": round(self.seconds, 1),
        }

    def _raise_to(self, column: str, value: float, case: str) -> None:
        if value > self.columns.get(column, -1.0):
            self.columns[column], self.worst[column] = value, case


def num_draws(num_values: int) -> int:
    """Of the weights, for outputs of so many values."""
    return min(max(math.ceil(NUM_VALUES / num_values), LEAST_DRAWS), MOST_DRAWS)


@contextmanager
def row(what: str, *needs: str) -> Iterator[Row]:
    """A row that knows the time of its ``with`` block."""
    made, start = Row(what, needs), time.perf_counter()
    yield made
    made.close()
    made.seconds = time.perf_counter() - start


def randomise(network: nn.Module, seed: int) -> Any:
    """``network`` with every parameter drawn anew at a size at which it matters, norms' weights around one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            is_norm = bool((parameter == 1).all())
            is_matrix = name.endswith("weight") and parameter.ndim > 1 and not is_norm
            std = parameter[0].numel() ** -0.5 if is_matrix else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std + is_norm)
    return network.eval().requires_grad_(False)


def alone(together: Sequence[Tensor], ask: Callable[[int], Sequence[Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """(a sample's output, its row of ``together``) for every sample, which ``ask`` is given the place of."""
    for i in range(len(together[0])):
        for output, rows in zip(ask(i), together, strict=True):
            yield output, rows[i : i + 1]
