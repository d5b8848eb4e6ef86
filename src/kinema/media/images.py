"""Picture files through Pillow: opened without trust, brought to 8-bit sRGB, upright.

Formats are a fixed list (PostScript, which runs a program, is not on it) and the size is looked at before a pixel is decoded.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from kinema.core.errors import MediaError
from kinema.media.arrays import Picture

MAX_PICTURE_PX = 150_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")
ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")

# Pillow warns about odd metadata and large pictures on standard error; what matters of it is raised here as one line.
# `warnings.catch_warnings` would have to lock out all other threads while a picture is decoded.
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image | None]:
    """The picture file, its pixels not yet decoded; None if it is no picture. Raises: MediaError for one that is too large."""
    too_large = MediaError("file", path, f"has more than {MAX_PICTURE_PX:,} pixels; make it smaller")
    try:
        image = Image.open(path, formats=_readable())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise too_large from e
    except UnidentifiedImageError:
        yield None
        return
    except Exception as e:
        raise _damaged(path, e) from e
    with image:
        if image.width * image.height > MAX_PICTURE_PX:
            raise too_large
        yield image


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns whatever Pillow raises into a `MediaError`."""
    try:
        yield
    except MediaError:
        raise
    # its decoders meet hostile bytes with every kind of exception: struct.error, SyntaxError, IndexError, zlib.error...
    except Exception as e:
        raise _damaged(path, e) from e


def pixels_of(image: Image.Image, path: Path) -> Picture:
    """The current frame of ``image`` upright as sRGB: (h w 3), or (h w 4) where it has alpha.

    Raises: MediaError if it is truncated or damaged.
    """
    with decoding(path):
        image.load()
        return np.asarray(_to_8_bit(ImageOps.exif_transpose(image), path))


def fit(
    pixels: Picture, size: tuple[int, int], mode: str, background: tuple[int, ...], *, pixel_aspect: float = 1.0
) -> Picture:
    """``pixels`` at (width, height): Lanczos, antialiased, on the stored (gamma) values.

    ``"cover"`` fills the size and cuts off the longer sides evenly; ``"contain"`` keeps everything and fills the rest with
    ``background``; ``"stretch"`` ignores the aspect. ``pixel_aspect`` is the width of a source pixel over its height.
    """
    height, width = pixels.shape[:2]
    target_width, target_height = size
    wide = width * pixel_aspect
    if mode == "contain":
        scale = min(target_width / wide, target_height / height)
        inner = (max(1, round(wide * scale)), max(1, round(height * scale)))
        out = np.empty((target_height, target_width, pixels.shape[2]), np.uint8)
        out[:] = background
        top, left = (target_height - inner[1]) // 2, (target_width - inner[0]) // 2
        out[top : top + inner[1], left : left + inner[0]] = _resize(pixels, inner, (0, 0, width, height))
        return out
    box = (0.0, 0.0, float(width), float(height))
    if mode == "cover":
        scale = max(target_width / wide, target_height / height)
        x, y = (width - target_width / scale / pixel_aspect) / 2, (height - target_height / scale) / 2
        box = (max(0.0, x), max(0.0, y), min(float(width), width - x), min(float(height), height - y))
    return _resize(pixels, size, box)


def _resize(pixels: Picture, size: tuple[int, int], box: tuple[float, float, float, float]) -> Picture:
    height, width = pixels.shape[:2]
    if size == (width, height) and box == (0, 0, width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, box=box))


@functools.cache
def _readable() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _to_8_bit(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise MediaError("file", path, "holds floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion clips at 255
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise MediaError("file", path, "holds pixels of more than 16 bits; save it with 8 or 16")
        image = Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8))
    has_alpha = image.has_transparency_data
    colours = _to_srgb(image.convert("RGBA") if has_alpha and image.mode in ("P", "PA", "L", "1") else image)
    if not has_alpha:
        return colours.convert("RGB")
    rgba = colours.convert("RGBA")
    if image.mode in ("RGBA", "LA"):
        rgba.putalpha(image.getchannel("A"))  # a colour transform drops it
    return rgba


def _to_srgb(image: Image.Image) -> Image.Image:
    """``image`` with its ICC profile applied, if it has one that fits its pixels."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    opaque = image.convert("RGB") if image.mode == "RGBA" else image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        out = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a profile for another kind of pixel, or a broken one: as good as none
        return image
    return out or image


def _damaged(path: Path, error: Exception) -> MediaError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return MediaError("file", path, f"is truncated or damaged ({reason}); export or copy it again")
