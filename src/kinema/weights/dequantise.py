"""Quantised blocks of GGUF to numbers: every block has its own scale, some also an offset.

Legend: n blocks, u bytes of a block, v numbers of a block, g groups of numbers with a scale of their own. The kinds with
a K hold 256 numbers in groups; one fp16 scale for the block makes small whole numbers of the groups' scales.
Source: the structures of ggml's ``ggml-common.h``; checked against what ggml's own Python package makes of the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from kinema.weights.header import BLOCKS

Blocks = UInt8[Tensor, "n u"]
Numbers = Float[Tensor, "n v"]


def dequantise(raw: UInt8[Tensor, " bytes"], kind: str) -> Float[Tensor, " numbers"]:
    """The numbers of blocks of ``kind`` (a key of `kinema.weights.header.BLOCKS`) that lie one after another in ``raw``, in fp32."""
    return _KINDS[kind](raw.view(-1, BLOCKS[kind][1])).flatten()


def _q4_0(b: Blocks) -> Numbers:
    scale, values = _half(b[:, :2]), _fields(b[:, 2:], 4, 16)
    return scale * (values - 8)


def _q4_1(b: Blocks) -> Numbers:
    scale, offset, values = _half(b[:, :2]), _half(b[:, 2:4]), _fields(b[:, 4:], 4, 16)
    return scale * values + offset


def _q5_0(b: Blocks) -> Numbers:
    scale, fifth, values = _half(b[:, :2]), _bits(b[:, 2:6]), _fields(b[:, 6:], 4, 16)
    return scale * (values + 16 * fifth - 16)


def _q5_1(b: Blocks) -> Numbers:
    scale, offset, fifth, values = _half(b[:, :2]), _half(b[:, 2:4]), _bits(b[:, 4:8]), _fields(b[:, 8:], 4, 16)
    return scale * (values + 16 * fifth) + offset


def _q8_0(b: Blocks) -> Numbers:
    return _half(b[:, :2]) * b[:, 2:].contiguous().view(torch.int8)


def _q2_k(b: Blocks) -> Numbers:
    scales, values, scale, offset = b[:, :16], _fields(b[:, 16:80], 2, 32), _half(b[:, 80:82]), _half(b[:, 82:84])
    return _grouped(values, scale * (scales & 15), offset * (scales >> 4))


def _q3_k(b: Blocks) -> Numbers:
    values, scale = _fields(b[:, 32:96], 2, 32), _half(b[:, 108:110])
    # The third bit is kept upside down: where it isn't set, 4 is taken off.
    third = _fields(b[:, :32], 1, 32)
    low, high = _fields(b[:, 96:104], 4, 8), _fields(b[:, 104:108], 2, 4)
    return _grouped(values + 4 * third - 4, scale * (low + 16 * high - 32), None)


def _q4_k(b: Blocks) -> Numbers:
    scales, offsets = _six_bits(b)
    return _grouped(_fields(b[:, 16:], 4, 32), scales, offsets)


def _q5_k(b: Blocks) -> Numbers:
    scales, offsets = _six_bits(b)
    return _grouped(_fields(b[:, 48:], 4, 32) + 16 * _fields(b[:, 16:48], 1, 32), scales, offsets)


def _q6_k(b: Blocks) -> Numbers:
    values = _fields(b[:, :128], 4, 64) + 16 * _fields(b[:, 128:192], 2, 32)
    scales = _half(b[:, 208:210]) * b[:, 192:208].contiguous().view(torch.int8)
    return _grouped(values - 32, scales, None)


_KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0,
    "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip


def _half(two: UInt8[Tensor, "n 2"]) -> Float[Tensor, "n 1"]:
    """The fp16 number in each pair of bytes."""
    return two.contiguous().view(torch.float16).float()


def _fields(b: Blocks, width: int, run: int) -> Numbers:
    """Fields of ``width`` bits: of every ``run`` bytes first all lowest fields, then all second ones, and so on."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8)[:, None]
    fields = (b.unflatten(1, (-1, 1, run)) >> shifts) & (2**width - 1)
    return fields.flatten(1).float()


def _bits(b: UInt8[Tensor, "n 4"]) -> Float[Tensor, "n 32"]:
    """The 32 bits of four bytes, lowest first."""
    return _fields(b, 1, 1)


def _six_bits(b: Blocks) -> tuple[Float[Tensor, "n 8"], Float[Tensor, "n 8"]]:
    """Scales and offsets of eight groups: bytes 0 to 4 hold the factors of both, the next 12 six bits of each.

    The first four of each stand whole in a byte, whose two upper bits belong to the last four.
    """
    scale, offset, packed = _half(b[:, :2]), _half(b[:, 2:4]), b[:, 4:16]
    first, second, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat([first & 63, (rest & 15) | (first >> 6 << 4)], dim=1)
    offsets = torch.cat([second & 63, (rest >> 4) | (second >> 6 << 4)], dim=1)
    return scale * scales, offset * offsets


def _grouped(values: Numbers, scales: Float[Tensor, "n g"], offsets: Float[Tensor, "n g"] | None) -> Numbers:
    """``values`` by their group's scale, less its offset."""
    values = values.unflatten(1, (scales.shape[1], -1)) * scales[..., None]
    return (values if offsets is None else values - offsets[..., None]).flatten(1)
