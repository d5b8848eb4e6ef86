"""The console script's door: catches Ctrl-C before anything else is imported."""

from __future__ import annotations

import os
import sys

from kinema.cli.interrupts import INTERRUPTED, ignore_interrupts, remember_interrupts


def main() -> int:
    """The process's exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    try:
        remember_interrupts()
        _share_the_processor()
        from kinema.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    if code == INTERRUPTED:
        ignore_interrupts()
    return code


def _share_the_processor() -> None:
    """Has threads that wait for each other sleep soon: torch's wait in a loop otherwise, for milliseconds at each of its operations.

    On an idle machine a clip takes as long; on one whose cores have other work too it took 38 s of wall time and up to 26 s of
    processor time instead of 12 and 2. The value is what that library (libgomp) itself takes where threads outnumber cores.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
