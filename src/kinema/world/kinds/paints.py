"""Paints: what each of the colours looks like on each of the materials, and the fixed paints of eyes, wheels and leaves."""

from __future__ import annotations

from dataclasses import dataclass

from kinema.world.nature import COLOURS
from kinema.world.solids import Colour

# Bold paints that differ in hue and lightness, so they stay apart at 64 px, at sunset, at night and in fog.
PAINT: dict[str, Colour] = {
    "red": (0.88, 0.03, 0.07),
    "orange": (1.00, 0.50, 0.00),
    "yellow": (1.00, 0.88, 0.05),
    "green": (0.05, 0.60, 0.15),
    "blue": (0.04, 0.34, 0.96),
    "purple": (0.49, 0.08, 0.72),
    "pink": (1.00, 0.48, 0.75),
    "white": (0.98, 0.98, 0.98),
    "black": (0.085, 0.085, 0.10),
    "brown": (0.44, 0.22, 0.08),
    "grey": (0.50, 0.51, 0.53),
    "turquoise": (0.06, 0.82, 0.78),
}
assert tuple(PAINT) == COLOURS


@dataclass(frozen=True, kw_only=True)
class Finish:
    """What a material does to a paint: ``base`` multiplies it, ``gloss`` is the strength of its highlight."""

    base: float = 1.0
    gloss: float = 0.0
    has_grain: bool = False


FINISH: dict[str, Finish] = {
    "matte": Finish(),
    "glossy": Finish(gloss=0.55),
    "metal": Finish(base=0.90, gloss=1.0),
    "wood": Finish(has_grain=True),
}

DARK: Colour = (0.06, 0.06, 0.08)
WHITE: Colour = (0.97, 0.97, 0.98)
CREAM: Colour = (0.98, 0.96, 0.90)
SLATE: Colour = (0.42, 0.48, 0.60)
STEEL: Colour = (0.74, 0.77, 0.82)
SKIN: Colour = (0.98, 0.76, 0.58)
HAIR: Colour = (0.28, 0.16, 0.09)
BEAK: Colour = (1.00, 0.62, 0.05)
GLASS: Colour = (0.62, 0.84, 0.95)
VISOR: Colour = (0.10, 0.16, 0.34)
TYRE: Colour = (0.10, 0.10, 0.12)
HUB: Colour = (0.85, 0.85, 0.88)
LAMP: Colour = (1.00, 0.95, 0.65)
GLOW: Colour = (1.45, 1.12, 0.55)  # brighter than white: it shines by itself
LAVA: Colour = (1.60, 0.55, 0.08)
LEAF: Colour = (0.20, 0.56, 0.18)
BARK: Colour = (0.46, 0.29, 0.16)
DOOR: Colour = (0.40, 0.24, 0.13)
GOLD: Colour = (0.98, 0.76, 0.22)
ROSE: Colour = (1.00, 0.62, 0.68)


def shade(paint: Colour, factor: float) -> Colour:
    """``paint`` darker (factor below 1) or mixed towards white (above 1, white at 2)."""
    if factor <= 1:
        r, g, b = (c * factor for c in paint)
    else:
        r, g, b = (c * (2 - factor) + (factor - 1) for c in paint)
    return (r, g, b)


def dark_of(colour: str) -> Colour:
    """The darker shade of a colour that ears, wings and roofs wear; black's is lighter, or it wouldn't be seen."""
    return (0.27, 0.27, 0.31) if colour == "black" else shade(PAINT[colour], 0.60 if colour != "white" else 0.74)


def stripe_of(colour: str) -> Colour:
    """The paint of stripes and dots upon a colour."""
    return SLATE if colour == "white" else CREAM


def eye_of(colour: str) -> Colour:
    """The paint of eyes upon a colour."""
    return WHITE if colour == "black" else DARK
