"""Checks of numbers that several types share. Standard library only."""

from __future__ import annotations

import math

from kinema.core.errors import InvalidInput


def check_whole(field: str, value: object, *, least: int, most: int | None = None) -> None:
    """Raises: InvalidInput unless ``value`` is a whole number of at least ``least`` and at most ``most``."""
    rule = f"must be a whole number of at least {least}" if most is None else f"must be from {least} to {most}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(field, value, rule if most is None else "must be a whole number")
    if value < least or (most is not None and value > most):
        raise InvalidInput(field, value, rule)


def check_number(
    field: str, value: object, *, above: float | None = None, least: float = -math.inf, most: float = math.inf
) -> None:
    """Raises: InvalidInput unless ``value`` is a finite number above ``above``, at least ``least`` and at most ``most``."""
    is_nan = isinstance(value, float) and math.isnan(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or is_nan:
        raise InvalidInput(field, value, "must be a number")
    # no whole number is too large to be compared
    if value in (math.inf, -math.inf) or value > most or value < least or (above is not None and value <= above):
        bounds = [f"above {above:g}"] if above is not None else []
        bounds += [f"at least {least:g}"] if above is None and least > -math.inf else []
        bounds += [f"at most {most:g}"] if most < math.inf else []
        raise InvalidInput(field, value, f"must be {' and '.join(bounds or ['finite'])}")
