"""``python -m kinema.app.worker``: what a supervisor starts."""

from __future__ import annotations

import os
import sys

from kinema.app.worker.process import main

if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # threads of native libraries must not keep a drained process
    os._exit(code)
