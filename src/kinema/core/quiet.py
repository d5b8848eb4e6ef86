"""Loggers of other packages kept quiet where what they tell is of no use to anybody. Standard library only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

# at import torchao tells of kernels for other hardware that it could not load, and torch of torchao's enumerations
TORCHAO_IMPORT = ("torchao", "torch.utils._pytree")


@contextmanager
def errors_alone(*names: str) -> Iterator[None]:
    """Within it the loggers of these ``names``, and those below them that have no level of their own, tell of errors alone."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
