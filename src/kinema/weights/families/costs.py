"""FLOPs as polynomials, from tensors' shapes. Standard library only.

A layer costs two operations a weight and position; what differs between networks is how many positions a layer sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from kinema.weights.header import TensorInfo

FP32_BYTES = 4
# of these a layer holds about a dozen maps of its width at once, as was measured on the shipped model
LIVE_MAPS = 12


def polynomial(flops: Callable[[int], int], first: int, step: int) -> tuple[float, float, float]:
    """(constant, per token, per pair of tokens) of a ``flops`` that is quadratic in the tokens, from three of its values."""
    y0, y1, y2 = (flops(first + i * step) for i in range(3))
    pair = Fraction(y2 - 2 * y1 + y0, 2 * step**2)
    token = Fraction(y1 - y0, step) - pair * (2 * first + step)
    return float(y0 - token * first - pair * first**2), float(token), float(pair)


def work(tensors: Iterable[TensorInfo], positions: float = 1.0) -> float:
    """FLOPs of the matrices and convolutions among ``tensors``, each at so many positions."""
    return 2.0 * positions * sum(t.numel for t in tensors if len(t.shape) > 1 and t.name.endswith(".weight"))


def autoencoder_per_pixel(tensors: Mapping[str, TensorInfo], patch_px: int) -> tuple[float, float]:
    """FLOPs to (encode, decode) a pixel with Wan's autoencoder; attention at the coarsest level, under 1 %, is left out.

    ``patch_px``: pixels along an edge of what is folded into channels before the first layer.
    """
    finest = 1.0 / patch_px**2
    encode, coarsest = _side(tensors, "encoder.down_blocks", finest)
    decode, end = _side(tensors, "decoder.up_blocks", coarsest)
    ends = {
        "encoder.conv_in": finest, "encoder.mid_block": coarsest, "encoder.conv_out": coarsest, "quant_conv": coarsest,
        "post_quant_conv": coarsest, "decoder.conv_in": coarsest, "decoder.mid_block": coarsest, "decoder.conv_out": end,
    }  # fmt: skip
    for prefix, positions in ends.items():
        flops = work(_below(tensors, prefix), positions)
        if prefix.startswith(("encoder", "quant")):
            encode += flops
        else:
            decode += flops
    return encode, decode


def _side(tensors: Mapping[str, TensorInfo], blocks: str, positions: float) -> tuple[float, float]:
    """(FLOPs of the blocks, positions behind the last) from ``positions`` before the first; all per pixel."""
    goes_down = blocks.endswith("down_blocks")
    found = {int(m[1]) for name in tensors if (m := re.match(rf"{re.escape(blocks)}\.(\d+)\.", name))}
    total = 0.0
    for number in sorted(found):
        own = list(_below(tensors, f"{blocks}.{number}"))
        space = [t for t in own if ".resample.1." in t.name]
        time = [t for t in own if ".time_conv." in t.name]
        total += work((t for t in own if t not in space and t not in time), positions)
        factor = 4.0 if space else 1.0
        if goes_down:  # space is halved first, then time
            total += work(space, positions / factor) + work(time, positions / factor / 2)
            positions /= factor * (2 if time else 1)
        else:  # time is doubled first, then space
            total += work(time, positions)
            positions *= factor * (2 if time else 1)
            total += work(space, positions)
    return total, positions


def _below(tensors: Mapping[str, TensorInfo], prefix: str) -> Iterable[TensorInfo]:
    return (t for name, t in tensors.items() if name.startswith(f"{prefix}."))
