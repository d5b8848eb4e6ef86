"""One picture, at the size asked for: from a picture file, or a frame of a video."""

from __future__ import annotations

import math
from typing import Literal

from kinema.core.errors import InvalidInput, MediaError, shown
from kinema.media.arrays import WHITE, Colour, PathLike, Picture
from kinema.media.decode import unusable
from kinema.media.files import input_path
from kinema.media.read import Size, looks, open_source


def read_picture(
    media: PathLike,
    *,
    width_px: int | None = None,
    height_px: int | None = None,
    fit: Literal["cover", "contain", "stretch"] = "cover",
    background: Colour | None = WHITE,
    at_s: float = 0.0,
) -> Picture:
    """The picture as uint8 RGB (h w 3), upright, sRGB; of a video or animation the frame shown at ``at_s``.

    With one of ``width_px`` and ``height_px`` the other follows from the aspect; with both, ``fit`` decides: ``"cover"`` fills and cuts,
    ``"contain"`` shows everything on ``background``, ``"stretch"`` distorts. Resized by Lanczos with antialiasing. Alpha is laid over
    ``background``; None keeps it (h w 4).

    Raises: MediaError if the file is missing, unreadable, truncated or too large, or ``at_s`` is past its end.
    """
    if not math.isfinite(at_s) or at_s < 0:
        raise InvalidInput("at_s", at_s, "must be 0 or more seconds")
    path = input_path(media)
    with open_source(path) as source:
        info, found, end_s = source.info, None, 0.0
        for frame in source.frames(at_s):
            is_later = frame.time_s > at_s + min(1e-3, frame.duration_s / 4)
            if is_later and found is not None:
                break
            found, end_s = frame.pixels, frame.time_s + frame.duration_s
            if is_later or info.kind == "picture":
                break
        if found is None:
            raise unusable(path, "holds no frame that can be shown; it is damaged")
        if info.kind != "picture" and at_s >= end_s:
            raise MediaError("at_s", at_s, f"must be less than {end_s:.3g} s, the length of {shown(path)}")
    size = None
    if width_px is not None or height_px is not None:
        aspect = info.width_px / info.height_px
        width = width_px if width_px is not None else max(1, round((height_px or 1) * aspect))
        height = height_px if height_px is not None else max(1, round(width / aspect))
        size = Size(width_px=width, height_px=height, fit=fit)
    return looks(info, size, background)(found)
