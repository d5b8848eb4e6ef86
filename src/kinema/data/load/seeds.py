"""Seeds for everything that is drawn at random in training: one per purpose, step and sample."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2^63) that depends on all ``parts``; the same on every platform.

    Neighbouring parts (step 1, step 2) give unrelated seeds, so streams don't overlap as ``seed + step`` would.
    """
    text = "\x1f".join(f"{type(p).__name__[0]}{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU random generator seeded with `derive_seed` of ``parts``: with the low 32 bits, all that torch reads.

    They are as well mixed as the rest, so two generators are the same by chance alone, once in 2^32 pairs.
    """
    return torch.Generator().manual_seed(derive_seed(*parts))
