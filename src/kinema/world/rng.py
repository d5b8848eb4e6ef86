"""Integer random numbers that are the same on every platform and version: SplitMix64. Standard library only."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import SupportsIndex, TypeVar

from kinema.core.errors import InvalidInput

T = TypeVar("T")
_MASK = (1 << 64) - 1
_LEAST_SEED, _MOST_SEED = -(1 << 63), (1 << 64) - 1


class Random:
    """A stream of numbers that depends on its seed and name alone.

    Source: SplitMix64 (Steele, Lea, Flood, 2014); the name is folded in with FNV-1a. Raises: InvalidInput as `whole_seed`.
    """

    def __init__(self, seed: SupportsIndex, name: str = "") -> None:
        seed = whole_seed(seed)
        state = 0xCBF29CE484222325
        for byte in name.encode("utf-8") + b"\0" + str(seed).encode("ascii"):
            state = ((state ^ byte) * 0x100000001B3) & _MASK
        self._state = state

    def bits(self) -> int:
        """The next 64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def unit(self) -> float:
        """A number in [0, 1), a multiple of 2**-53."""
        return (self.bits() >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of ``options``, all equally likely."""
        return options[(self.bits() >> 16) % len(options)]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One key of ``weights``, as likely as its share."""
        point = self.unit() * sum(weights.values())
        last = None
        for key, weight in weights.items():
            last = key
            point -= weight
            if point < 0:
                return key
        assert last is not None, "weights are never empty"
        return last


def whole_seed(seed: SupportsIndex) -> int:
    """``seed`` as a plain int: any integer type whose value fits 64 bits, signed or not.

    Raises: InvalidInput for what is no whole number, such as True, 1.0 or "1", and for larger ones.
    """
    try:
        value = None if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        value = None
    if value is None or not _LEAST_SEED <= value <= _MOST_SEED:
        told = seed if value is None else f"a number of {value.bit_length()} bits"  # huge ones can't be printed
        raise InvalidInput("seed", told, "must be a whole number from -2**63 to 2**64 - 1")
    return value
