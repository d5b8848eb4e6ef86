"""Loggers that tell of errors alone for a while."""

from __future__ import annotations

import logging

import pytest

from kinema.core.quiet import errors_alone


def test_these_and_those_below_are_quiet_and_then_as_before(caplog: pytest.LogCaptureFixture) -> None:
    mine, below, other = (logging.getLogger(n) for n in ("kinema.test", "kinema.test.kernels", "kinema.other"))
    mine.setLevel(logging.INFO)
    with errors_alone("kinema.test"):
        for logger in (mine, below, other):
            logger.warning("%s warns", logger.name)
        below.error("broken")
    below.warning("again")
    assert [r.getMessage() for r in caplog.records] == ["kinema.other warns", "broken", "again"]
    assert (mine.level, below.level) == (logging.INFO, logging.NOTSET)


def test_an_error_within_leaves_them_as_before() -> None:
    logger = logging.getLogger("kinema.test")
    logger.setLevel(logging.DEBUG)
    with pytest.raises(ZeroDivisionError), errors_alone("kinema.test"):
        _ = 1 / 0
    assert logger.level == logging.DEBUG
