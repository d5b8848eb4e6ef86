"""What a run sets for the whole process."""

from __future__ import annotations

import platform

import pytest

from tests.engine.conftest import run_python

_FAULTS = """
import resource, torch
from kinema.engine.scope import run_scope

def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        # Four times what the C library would ever map by itself: more than it keeps unasked, less than it keeps when asked.
        [torch.ones(2_500_000) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

with torch.inference_mode():
    before = faults()
with run_scope(1):
    faults()
    print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc hands freed memory back at once")
def test_freed_memory_is_kept_for_the_next_tensor() -> None:
    before, within = (int(n) for n in run_python(_FAULTS).split())
    assert before > 10_000, "there would be nothing to gain"
    assert within < before / 20
