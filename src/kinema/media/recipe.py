"""The recipe inside a file: everything needed to make it again, as JSON, written by the encoders and read back here.

| file | where |
|---|---|
| mp4, mov | the ``comment`` tag, before the data |
| png | an iTXt chunk, ``kinema`` |
| jpg | comment segments |
| webp | XMP |
| gif | a comment extension |
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any

from PIL import Image

from kinema.core.errors import InvalidInput
from kinema.media.arrays import PathLike
from kinema.media.decode import open_container
from kinema.media.files import input_path
from kinema.media.images import decoding, open_image

MAX_RECIPE_BYTES = 512 * 1024
PNG_KEY = "kinema"
_MARK = "kinema_recipe"
_VERSION = 1
_JPEG_PART = 60_000  # a segment holds at most 65,533 bytes
_JPEG_HEAD = b"KINEMA\0"
_XMP_TAG = "kinema:recipe"


def to_text(recipe: Mapping[str, Any]) -> str:
    """The JSON text that is embedded. Raises: InvalidInput for what JSON can't hold or what is too long."""
    try:
        text = json.dumps({_MARK: _VERSION, **recipe}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as e:
        raise InvalidInput("recipe", recipe, f"must be plain JSON ({e})") from e
    if size > MAX_RECIPE_BYTES:
        raise InvalidInput("recipe", f"{size} bytes", f"must be at most {MAX_RECIPE_BYTES} bytes as JSON")
    return text


def from_text(text: str | bytes | None) -> dict[str, Any] | None:
    """The recipe in ``text``, or None if it is something else, such as somebody's comment."""
    try:
        data = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(data, dict) or data.pop(_MARK, None) != _VERSION:
        return None
    return data


def read_recipe(media: PathLike) -> dict[str, Any] | None:
    """The recipe in a picture or video file; None if it carries none. A PNG sequence has it in its first picture.

    Raises: MediaError if there is no such file or it is no picture, video or sound.
    """
    path = input_path(media)
    with open_image(path) as image:
        if image is not None:
            with decoding(path):
                return _from_image(image)
    with open_container(path) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    return from_text(tags.get("comment"))


def _from_image(image: Image.Image) -> dict[str, Any] | None:
    if image.format == "PNG":
        image.load()  # text chunks may follow the pixels
        return from_text(getattr(image, "text", {}).get(PNG_KEY))
    if image.format in ("JPEG", "MPO"):
        parts = [data for kind, data in getattr(image, "applist", []) if kind == "COM" and data.startswith(_JPEG_HEAD)]
        return from_text(b"".join(part[len(_JPEG_HEAD) :] for part in parts))
    if image.format == "WEBP":
        xmp = image.info.get("xmp", b"").decode("utf-8", "replace")
        found = re.search(f"<{_XMP_TAG}>(.*?)</{_XMP_TAG}>", xmp, re.DOTALL)
        return from_text(unescape(found[1])) if found else None
    comment = image.info.get("comment")
    return from_text(comment) if isinstance(comment, (str, bytes)) else None


def jpeg_segments(text: str) -> bytes:
    """Comment segments that hold ``text``."""
    data = text.encode()
    parts = [_JPEG_HEAD + data[i : i + _JPEG_PART] for i in range(0, len(data), _JPEG_PART)]
    return b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)


def xmp_packet(text: str) -> bytes:
    """An XMP packet that holds ``text``."""
    # \u escapes keep out the few characters that XML can't hold
    ascii_text = json.dumps(json.loads(text), separators=(",", ":"))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:kinema="urn:kinema:recipe">'
        f"<{_XMP_TAG}>{escape(ascii_text, quote=False)}</{_XMP_TAG}>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def add_to_gif(path: Path, target: Path, text: str | None) -> None:
    """Copies a GIF with ``text`` as a comment extension after its header."""
    data = path.read_bytes()
    flags = data[10]
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    comment = b""
    if text is not None:
        body = text.encode()
        blocks = (body[i : i + 255] for i in range(0, len(body), 255))
        comment = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    target.write_bytes(data[:at] + comment + data[at:])


def add_to_webp(path: Path, target: Path, text: str | None) -> None:
    """Copies an animated WebP with ``text`` as XMP."""
    data = bytearray(path.read_bytes())
    if text is not None:
        assert data[12:16] == b"VP8X", "an animation has the extended header"
        data[20] |= 0x04  # the header's "there is XMP"
        packet = xmp_packet(text)
        data += b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
        struct.pack_into("<I", data, 4, len(data) - 8)
    target.write_bytes(data)
