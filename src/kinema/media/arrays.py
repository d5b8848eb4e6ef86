"""The arrays that this room speaks in, by name."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import MediaRef

# the axes' names bind nothing: what a function takes and what it gives may differ in size
Frames: TypeAlias = UInt8[np.ndarray, "_t _h _w _c"]
Picture: TypeAlias = UInt8[np.ndarray, "_h _w _c"]
Samples: TypeAlias = Float32[np.ndarray, "_c _n"]
PathLike: TypeAlias = "str | os.PathLike[str] | MediaRef"
Colour: TypeAlias = tuple[int, int, int]
Fps: TypeAlias = "int | float | Fraction"

WHITE: Colour = (255, 255, 255)
_MAX_FPS = 1000


def exact_fps(fps: Fps, field: str = "fps") -> Fraction:
    """The frame rate as a fraction; what is within a thousandth of k * 1000/1001 (23.976, 29.97...) is taken as that.

    Raises: InvalidInput.
    """
    is_number = isinstance(fps, (int, float, Fraction)) and not isinstance(fps, bool) and math.isfinite(fps)
    if not is_number or not 0 < fps <= _MAX_FPS:
        raise InvalidInput(field, fps, f"must be a number above 0 and at most {_MAX_FPS}")
    if isinstance(fps, float) and not fps.is_integer():
        ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
        return ntsc if abs(ntsc - fps) < 1e-3 else Fraction(fps).limit_denominator(1001)
    return Fraction(fps)


def as_chunk(frames: np.ndarray, field: str = "frames") -> Frames:
    """``frames`` as (t h w 3) uint8; one picture (h w 3) becomes a chunk of one. Raises: InvalidInput."""
    array = np.asarray(frames)
    if array.dtype != np.uint8:
        raise InvalidInput(field, array.dtype, "must be uint8 RGB in 0-255")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape[1:]:
        raise InvalidInput(field, f"shape {array.shape}", "must be (t h w 3) or (h w 3), and not empty")
    return array
