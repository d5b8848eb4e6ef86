"""The process-wide settings of a run, set for its length and put back after it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

from kinema.core.errors import KinemaError

# Threads, determinism and gradients are settings of the whole process: one run at a time. Reentrant, so that an observer
# may ask the engine for something.
_LOCK = threading.RLock()
_OUT_OF_MEMORY = re.compile(
    r"alloc_cpu|DefaultCPUAllocator|can't allocate memory|not enough memory|out of memory", re.I
)


@contextmanager
def run_scope(threads: int, *, device: str = "cpu") -> Iterator[None]:
    """Runs its body on ``threads`` CPU threads, with deterministic kernels and without gradients; other runs wait."""
    with _LOCK:
        before = (
            torch.get_num_threads(),
            torch.get_deterministic_debug_mode(),
            deterministic.fill_uninitialized_memory,  # pyright: ignore[reportAttributeAccessIssue]
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        )
        try:
            torch.set_num_threads(threads)
            # On a GPU the strict mode needs a variable set before the process starts; there the choice of kernels alone is fixed.
            # `use_deterministic_algorithms` does the same but imports the compiler, which takes as long as torch itself.
            torch.set_deterministic_debug_mode("error" if device == "cpu" else "default")
            # it would write every buffer once more
            deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_deterministic_debug_mode(before[1])
            deterministic.fill_uninitialized_memory = before[2]  # pyright: ignore[reportAttributeAccessIssue]
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[3], before[4]


@contextmanager
def memory_errors(phase: str, needed_bytes: int) -> Iterator[None]:
    """Turns every kind of "out of memory" into one `KinemaError` that says what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as e:
        if isinstance(e, (MemoryError, torch.OutOfMemoryError)) or _OUT_OF_MEMORY.search(str(e)):
            raise KinemaError(
                f"out of memory during {phase}: this clip needs about {needed_bytes / 1e9:.1f} GB; "
                "close other programs, or ask for fewer seconds, a smaller size or a smaller batch"
            ) from e
        raise
