"""Runs the command line: ``python -m kinema``."""

import sys

from kinema.cli.entry import main

sys.exit(main())
