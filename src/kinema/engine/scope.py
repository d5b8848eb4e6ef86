"""The process-wide settings of a run, set for its length and put back after it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import torch
from torch.utils import deterministic

from kinema.core.errors import OutOfMemory

# Threads, determinism and gradients are settings of the whole process: one run at a time. Reentrant, so that an observer
# may ask the engine for something.
_LOCK = threading.RLock()
_OUT_OF_MEMORY = re.compile(
    r"alloc_cpu|DefaultCPUAllocator|can't allocate memory|not enough memory|out of memory|could not create a (primitive|memory)",
    re.I,
)
_BACKENDS: Any = torch.backends  # whose stubs lack what follows
_KEPT_BYTES = 31 << 20
# (where, attribute, value during a run). Whatever the caller's process has set, a plan gives the same bits.
_SETTINGS: tuple[tuple[Any, str, object], ...] = (
    (deterministic, "fill_uninitialized_memory", False),  # it would write every buffer once more
    (_BACKENDS.cudnn, "deterministic", True),
    (_BACKENDS.cudnn, "benchmark", False),
    (_BACKENDS.mkldnn.matmul, "fp32_precision", "ieee"),
    (_BACKENDS.mkldnn.conv, "fp32_precision", "ieee"),
    (_BACKENDS.cuda.matmul, "fp32_precision", "ieee"),
    (_BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
)


@contextmanager
def run_scope(threads: int, *, device: str = "cpu") -> Iterator[None]:
    """Runs its body on ``threads`` CPU threads, with deterministic kernels and without gradients; other runs wait."""
    with _LOCK:
        before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        values = [getattr(where, name) for where, name, _ in _SETTINGS]
        try:
            torch.set_num_threads(threads)
            # On a GPU the strict mode needs a variable set before the process starts; there the choice of kernels alone is fixed.
            # `use_deterministic_algorithms` does the same but imports the compiler, which takes as long as torch itself.
            torch.set_deterministic_debug_mode("error" if device == "cpu" else "default")
            for where, name, value in _SETTINGS:
                setattr(where, name, value)
            _keep_freed_memory()
            with torch.inference_mode(), torch.autocast(device, enabled=False):
                yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_deterministic_debug_mode(before[1])
            for (where, name, _), value in zip(_SETTINGS, values, strict=True):
                setattr(where, name, value)


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Has the C library keep freed blocks for the next tensor instead of handing them back to the system at once.

    glibc hands back what is larger than the largest block freed so far, up to 32 MB. So one such block is asked for here, never
    touched, and freed. Without it a clip of `kinema-mini` met up to 160,000 page faults, a fifth of its processor time.
    Elsewhere this does nothing.
    """
    with suppress(RuntimeError):
        torch.empty(_KEPT_BYTES, dtype=torch.uint8)


@contextmanager
def memory_errors(phase: str, needed_bytes: int) -> Iterator[None]:
    """Turns every kind of "out of memory" into one `OutOfMemory` that says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as e:
        if isinstance(e, (MemoryError, torch.OutOfMemoryError)) or _OUT_OF_MEMORY.search(str(e)):
            raise OutOfMemory(
                f"out of memory during {phase}: this clip needs about {needed_bytes / 1e9:.1f} GB; "
                "close other programs, choose another offload, or ask for fewer seconds, a smaller size or a smaller batch"
            ) from e
        raise
