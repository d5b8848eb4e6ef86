"""Picture files through Pillow: opened without trust, brought to 8-bit sRGB, upright.

Formats are a fixed list (PostScript, which runs a program, is not on it) and the size is looked at before a pixel is decoded.
"""

from __future__ import annotations

import io
import threading
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

# `warnings.catch_warnings` changes a process-wide list
_quiet = threading.Lock()


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image | None]:
    """The picture file, its pixels not yet decoded; None if it is no picture. Raises: MediaError for one that is too large."""
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as e:
        raise MediaError("file", str(path), f"has more than {MAX_PICTURE_PX:,} pixels; make it smaller") from e
    except UnidentifiedImageError:
        image = None
    except (OSError, ValueError, SyntaxError) as e:
        raise MediaError("file", str(path), f"is a damaged picture ({e}); export or copy it again") from e
    if image is None:
        yield None
        return
    with image:
        if image.width * image.height > MAX_PICTURE_PX:
            raise MediaError("file", str(path), f"has more than {MAX_PICTURE_PX:,} pixels; make it smaller")
        yield image


def pixels_of(image: Image.Image, path: Path) -> Picture:
    """The current frame of ``image`` upright as sRGB: (h w 3), or (h w 4) where it has alpha.

    Raises: MediaError if it is truncated or damaged.
    """
    load(image, path)
    return np.asarray(_to_8_bit(ImageOps.exif_transpose(image), path))


def load(image: Image.Image, path: Path) -> None:
    """Decodes the current frame of ``image``. Raises: MediaError if it is truncated or damaged."""
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    # decoders meet hostile bytes with every kind of exception: struct.error, SyntaxError, IndexError, zlib.error...
    except Exception as e:
        raise MediaError("file", str(path), f"is truncated or damaged ({e}); export or copy it again") from e


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


def _to_8_bit(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise MediaError("file", str(path), "holds floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion clips at 255
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise MediaError("file", str(path), "holds pixels of more than 16 bits; save it with 8 or 16")
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
    except ImageCms.PyCMSError:  # a profile for another kind of pixel, or a broken one: as good as none
        return image
    return out or image
