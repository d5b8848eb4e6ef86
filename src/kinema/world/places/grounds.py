"""Paints of the ten grounds and of the waters. Standard library only.

What the ground shows, for whoever writes sentences (props and silhouettes are listed in `kinema.world.places`):
- park: green lawn in two tones with white daisies. beach: yellow sand, then turquoise sea with small foaming waves; afloat the
  clear sea is all around, with sand behind. snowfield: white snow with blue shades. desert: orange sand with wind ripples.
- coast: grey rock with cracks and moss, then dark sea with waves that roll in and break in white foam; afloat the sea is all around.
- lake: blue-green meadow with yellow flowers, then calm blue water with gentle ripples and water lilies that mirrors sky and firs.
- hills: yellow-green mown meadow in stripes, with a winding sandy path. street: asphalt with white dashes, a kerb, a paved walk.
- forest: brown floor with moss and fallen leaves. room: wooden floor boards, a round rug, a wall with striped paper.
"""

from __future__ import annotations

from dataclasses import dataclass

from kinema.world.solids import Colour


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Ground paints of one place: two tones in blotches, ``sharpness`` of their rims, and how strong its fine ``grain`` is."""

    base: Colour
    patch: Colour
    sharpness: float
    grain: float


GROUNDS: dict[str, Ground] = {
    "park": Ground(base=(0.50, 0.74, 0.30), patch=(0.36, 0.60, 0.22), sharpness=3.0, grain=0.06),
    "beach": Ground(base=(0.96, 0.85, 0.62), patch=(0.88, 0.74, 0.50), sharpness=1.5, grain=0.05),
    "snowfield": Ground(base=(0.93, 0.96, 1.00), patch=(0.74, 0.84, 0.96), sharpness=1.5, grain=0.03),
    "desert": Ground(base=(0.93, 0.66, 0.36), patch=(0.82, 0.52, 0.25), sharpness=2.0, grain=0.04),
    "coast": Ground(base=(0.62, 0.57, 0.53), patch=(0.45, 0.42, 0.42), sharpness=4.0, grain=0.10),
    "lake": Ground(base=(0.36, 0.66, 0.44), patch=(0.24, 0.53, 0.36), sharpness=2.5, grain=0.08),
    "hills": Ground(base=(0.68, 0.84, 0.28), patch=(0.54, 0.74, 0.22), sharpness=2.0, grain=0.05),
    "street": Ground(base=(0.33, 0.34, 0.38), patch=(0.28, 0.29, 0.33), sharpness=1.2, grain=0.08),
    "forest": Ground(base=(0.46, 0.34, 0.20), patch=(0.28, 0.32, 0.13), sharpness=2.6, grain=0.12),
    "room": Ground(base=(0.74, 0.50, 0.29), patch=(0.62, 0.40, 0.22), sharpness=1.0, grain=0.05),
}


@dataclass(frozen=True, kw_only=True)
class Water:
    """Paints of one water, near and far, and its waves: ``swell`` is how strongly they darken and lighten it, ``foam`` how much breaks."""

    near: Colour
    far: Colour
    swell: float
    foam: float
    wave_length: float
    period_s: float


WATERS: dict[str, Water] = {
    "beach": Water(near=(0.05, 0.52, 0.72), far=(0.03, 0.30, 0.62), swell=0.0, foam=1.6, wave_length=3.0, period_s=2.4),
    "coast": Water(
        near=(0.06, 0.40, 0.50), far=(0.03, 0.19, 0.38), swell=0.55, foam=2.6, wave_length=2.6, period_s=2.6
    ),
    "lake": Water(near=(0.10, 0.42, 0.56), far=(0.16, 0.46, 0.66), swell=0.16, foam=0.0, wave_length=0.9, period_s=3.0),
}
FOAM: Colour = (0.97, 0.99, 1.00)
CLEAR_SEA: Colour = (0.16, 0.74, 0.78)  # over shallow sand
