"""The composition root: wires rooms together for Python callers and the command line."""
