"""Which library does a CPU's fp32 products: torch has one setting of it for the whole process, so here is one lock for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch

_MKLDNN: Any = torch.backends.mkldnn  # whose stubs lack what follows
_LOCK = RLock()


@contextmanager
def products_by_onednn() -> Iterator[None]:
    """Within it oneDNN does fp32 products, and may round factors to bf16. Without tiles (AMX) it doesn't: they are fp32.

    MKL, which torch asks otherwise, takes 1.4 to 2.4 times as long on AMD's processors.
    """
    with _LOCK:
        before = _MKLDNN.matmul.fp32_precision
        _MKLDNN.matmul.fp32_precision = "bf16"
        try:
            yield
        finally:
            _MKLDNN.matmul.fp32_precision = before


@contextmanager
def products_as_set() -> Iterator[None]:
    """Within it no other thread is in `products_by_onednn`: for products beside a run, whose bits must not depend on when they are done."""
    with _LOCK:
        yield
