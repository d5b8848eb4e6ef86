"""The quality dial: one word that sets every encoder."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.core.errors import InvalidInput, choices


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What a level means: x264's constant rate factor (lower is better) and preset, 0-100 for JPEG and WebP, AAC's bits/s."""

    crf: int
    preset: str
    picture: int
    audio_bits_per_s: int


QUALITIES = {
    "draft": Quality(crf=30, preset="veryfast", picture=70, audio_bits_per_s=96_000),
    "standard": Quality(crf=23, preset="medium", picture=85, audio_bits_per_s=128_000),
    "high": Quality(crf=17, preset="medium", picture=93, audio_bits_per_s=192_000),
    "master": Quality(crf=5, preset="slow", picture=100, audio_bits_per_s=320_000),
}
DEFAULT_QUALITY = "high"


def quality(name: str) -> Quality:
    """The level called ``name``. Raises: InvalidInput."""
    if name not in QUALITIES:
        raise InvalidInput("quality", name, f"must be {choices(QUALITIES)}")
    return QUALITIES[name]
