"""The console script's door: catches Ctrl-C before anything else is imported."""

from __future__ import annotations

import sys

from kinema.cli.interrupts import INTERRUPTED, ignore_interrupts, remember_interrupts


def main() -> int:
    """The process's exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    try:
        remember_interrupts()
        from kinema.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    if code == INTERRUPTED:
        ignore_interrupts()
    return code
