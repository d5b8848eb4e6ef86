"""Measured speed: which dtype pays on this machine, what its matrix products reach at best, and the share of it that a run uses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

Dtype = Literal["float32", "bfloat16"]
TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def autocast(device: torch.device, dtype: Dtype) -> AbstractContextManager[object]:
    """Mixed precision on ``device``: weights stay fp32, matrix products are done in ``dtype``."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=TORCH_DTYPES[dtype])


def median_seconds(call: Callable[[], object], device: torch.device, *, repeats: int = 5, warmups: int = 2) -> float:
    """The median time of ``call`` in seconds, after ``warmups`` discarded calls."""
    times = []
    for _ in range(warmups + repeats):
        _synchronize(device)
        start = time.perf_counter()
        call()
        _synchronize(device)
        times.append(time.perf_counter() - start)
    return median(times[warmups:])


@dataclass(frozen=True, kw_only=True)
class DtypeChoice:
    """The dtype that a step is fastest in, and the seconds per step of every one tried."""

    dtype: Dtype
    seconds: Mapping[str, float]


def choose_dtype(
    step: Callable[[Dtype], object], device: torch.device, *, repeats: int = 3, gain: float = 1.1
) -> DtypeChoice:
    """bfloat16 if a step in it is at least ``gain`` times as fast as in float32, else float32.

    ``step`` runs one forward and backward pass under the dtype it is given. Faith won't do: CPUs without bf16 matrix units are
    slower in bf16 than in fp32.
    """
    names: tuple[Dtype, ...] = ("float32", "bfloat16")
    seconds = {name: median_seconds(lambda name=name: step(name), device, repeats=repeats, warmups=1) for name in names}
    is_faster = seconds["float32"] >= gain * seconds["bfloat16"]
    return DtypeChoice(dtype="bfloat16" if is_faster else "float32", seconds=seconds)


def matmul_peak(device: torch.device, dtype: Dtype, *, sizes: Sequence[int] = (1024, 2048), repeats: int = 5) -> float:
    """The best FLOP/s of square matrix products of ``sizes`` on ``device``: what fractions of the peak are fractions of."""
    best = 0.0
    for n in sizes:
        a = torch.ones(n, n, dtype=TORCH_DTYPES[dtype], device=device)
        best = max(best, 2 * n**3 / median_seconds(lambda a=a: a @ a, device, repeats=repeats))
    return best


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions in ``call``, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def compile_or_not(facts: dict[str, Any], *, use: Callable[[], object], undo: Callable[[], object]) -> None:
    """Tries ``use`` (a step through a compiled network); if that can't be, calls ``undo`` and says so in ``facts``.

    So a machine without a C++ compiler trains all the same, slower.
    """
    try:
        use()
    except Exception as e:  # the compiler's own errors have no common type
        logging.getLogger(__name__).warning("training without torch.compile, which failed: %s", e)
        facts |= {"compile": False, "compile_error": str(e).splitlines()[0][:200]}
        undo()


def measured_facts(
    step: Callable[[Dtype], object],
    device: torch.device,
    *,
    wanted: Dtype | Literal["auto"],
    known: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a run measures before its first step, for its log and its checkpoints: dtype, its timings, and the machine's peak.

    ``known`` are the facts of the run that is resumed: they are kept, since another dtype would be another run.
    """
    if known:
        return dict(known)
    facts: dict[str, Any] = {"dtype": wanted}
    if wanted == "auto":
        choice = choose_dtype(step, device)
        facts = {"dtype": choice.dtype, "seconds_per_eager_step": dict(choice.seconds)}
    facts["peak_flops_per_s"] = matmul_peak(device, facts["dtype"])
    return facts


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
