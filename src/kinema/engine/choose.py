"""Which dtype is faster on this machine: measured once, kept in a file, never guessed from a processor's name.

The default plan takes the choice from that file, so it stays the same on a machine from one process to the next. Where the
file can't be written, every process measures for itself, and the margin below keeps most of them of one mind. The plan in a
recipe names its dtypes, so making a clip again never asks here.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kinema.core.errors import InvalidInput, choices
from kinema.core.plan import DTYPES, Pace, RunPlan
from kinema.engine.machine import bf16_instructions, cpu_model

# bfloat16 costs precision, so it must win by more than noise
_MARGIN = 0.9
_REPEATS = 9
# shapes of what is measured, and its FLOPs
_MATMUL, _CONV = ((512, 384), (1536, 384)), ((4, 96, 48, 48), (96, 96, 3, 3))
_MATMUL_FLOPS = 2.0 * 512 * 384 * 1536
_CONV_FLOPS = 2.0 * 4 * 48 * 48 * 96 * 96 * 3 * 3
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class DtypeChoice:
    """The faster dtype for the transformer (matrix products) and for the autoencoder (convolutions), and the seconds measured."""

    dtype: str
    vae_dtype: str
    isa: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("dtype", "vae_dtype"):
            if getattr(self, name) not in DTYPES:
                raise InvalidInput(name, getattr(self, name), f"must be {choices(DTYPES)}")

    def pace(self, plan: RunPlan) -> Pace | None:
        """FLOP/s in the dtypes of ``plan``, from the seconds measured; None where they weren't."""
        matmul, conv = self.seconds.get(f"matmul_{plan.dtype}"), self.seconds.get(f"conv_{plan.vae_dtype}")
        if not matmul or not conv or self.isa.startswith("sm_") != (plan.device == "cuda"):
            return None
        return Pace(matmul_flops=_MATMUL_FLOPS / matmul, conv_flops=_CONV_FLOPS / conv)


def cache_file() -> Path:
    """Where choices are kept unless the caller says otherwise: below the user's home, or in the place for temporary files."""
    try:
        return Path.home() / ".cache" / "kinema" / "machine.json"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir()) / "kinema-machine.json"


def choose_dtypes(threads: int, *, device: str = "cpu", cache: Path | None = None) -> DtypeChoice:
    """The choice for this processor, vector set, torch and number of threads: read from ``cache``, else measured and written there."""
    isa = current_isa(device)
    key = f"{_machine_key()} | {isa} | {threads} threads"
    known = _read(cache)
    if (choice := _parse(known.get(key))) is not None:
        return choice
    choice = measure_dtypes(threads, device=device)
    if cache is not None:
        _write(cache, {**known, "format": _FORMAT, key: asdict(choice)})
    return choice


def known_choice(cache: Path | None) -> DtypeChoice | None:
    """A choice that was made for this processor and torch before, if any; torch is not loaded."""
    start = f"{_machine_key()} | "
    # the widest vector set first: others were asked for by somebody once
    entries = sorted(_read(cache).items(), reverse=True)
    found = (_parse(value) for key, value in entries if key.startswith(start))
    return next((c for c in found if c is not None), None)


def isa_name(capability: str) -> str:
    """The plan's ``isa``: torch's vector set and, where it may use them, the processor's bfloat16 instructions."""
    # a vector set capped below AVX-512 leaves the wider bfloat16 instructions unused as well
    is_capped = capability in ("DEFAULT", "AVX2") or not bf16_instructions()
    return capability if is_capped else f"{capability}+{bf16_instructions()}"


def current_isa(device: str) -> str:
    """The plan's ``isa`` in this process. Raises: InvalidInput if there is no such device."""
    import torch

    if device == "cpu":
        return isa_name(torch.backends.cpu.get_cpu_capability())
    if not torch.cuda.is_available():
        raise InvalidInput("device", device, "is not there, or this torch can't use it; cpu works everywhere")
    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def measure_dtypes(threads: int, *, device: str = "cpu") -> DtypeChoice:
    """The choice by a small matrix product and a small convolution in both dtypes; about a quarter of a second."""
    import torch
    from torch.nn import functional as F

    from kinema.engine.scope import run_scope

    seconds: dict[str, float] = {}
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(s, generator=generator) for s in (*_MATMUL, *_CONV)]
    wait = torch.cuda.synchronize if device == "cuda" else _no_wait
    with run_scope(threads, device=device):
        for name in DTYPES:
            x, w, picture, kernel = (t.to(device, getattr(torch, name)) for t in tensors)
            picture, kernel = (t.to(memory_format=torch.channels_last) for t in (picture, kernel))
            seconds[f"matmul_{name}"] = _best_of(lambda x=x, w=w: F.linear(x, w), wait)
            seconds[f"conv_{name}"] = _best_of(lambda p=picture, k=kernel: F.conv2d(p, k, padding=1), wait)
    faster = {what: _faster(seconds, what) for what in ("matmul", "conv")}
    return DtypeChoice(dtype=faster["matmul"], vae_dtype=faster["conv"], isa=current_isa(device), seconds=seconds)


def _no_wait() -> None:
    pass


def _faster(seconds: Mapping[str, float], what: str) -> str:
    wins = seconds[f"{what}_bfloat16"] < _MARGIN * seconds[f"{what}_float32"]
    return "bfloat16" if wins else "float32"


def _best_of(work: Callable[[], object], wait: Callable[[], None]) -> float:
    """The least seconds of several calls after two for warm-up: what else runs on the machine only ever adds."""
    for _ in range(2):
        work()
    wait()
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def _machine_key() -> str:
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = "unknown"
    return f"{cpu_model()} | torch {torch_version}"


def _read(cache: Path | None) -> dict[str, Any]:
    if cache is None:
        return {}
    try:
        data = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) and data.get("format") == _FORMAT else {}


def _parse(value: object) -> DtypeChoice | None:
    if not isinstance(value, dict):
        return None
    try:
        return DtypeChoice(**value)
    except (TypeError, InvalidInput):
        return None


def _write(cache: Path, data: Mapping[str, Any]) -> None:
    # a cache that can't be written costs a quarter of a second per process, nothing else
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache.parent, prefix=f".{cache.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        os.replace(name, cache)
