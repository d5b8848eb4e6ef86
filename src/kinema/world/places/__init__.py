"""The ten places: what stands about in them. Grounds are painted by `kinema.world.backdrop`, skies and lights are in `kinema.world.lights`.

What stands there, for whoever writes sentences (`kinema.world.places.grounds` says what the grounds show):
- park: round green trees; low green hills far off. snowfield: fir trees with white tips, pale hills. desert: cacti, brown rocks, dunes.
- beach: a palm tree, a white sailing boat out at sea; afloat: palm trees and a striped parasol on the sand behind, green hills.
- coast: rugged brown-grey cliffs with grass on top, rocks in the surf, a far headland; afloat: the cliffs are right behind.
- lake: reeds with brown heads at the water's edge, a row of dark firs and blue hills on the far shore; afloat: the same, farther off.
- hills: round bushes on rolling green hills in three layers. forest: tall trunks with dark fir crowns near and far.
- street: a row of coloured houses with gables, doors and windows (lit at night), street lamps (lit at night), tall blocks far off.
- room: a window with curtains, a bookshelf, a floor lamp (lit at night), a potted plant, a framed picture.

All stands behind z = -2.2 or far to the sides: it hides no subject, whatever the camera does.
"""

from __future__ import annotations

from dataclasses import replace

from kinema.world.lights import SKIES, Light, Lights, lights
from kinema.world.nature import PLACES
from kinema.world.places.built import room, street
from kinema.world.places.grounds import GROUNDS
from kinema.world.places.shore_props import beach, coast, lake
from kinema.world.places.wild import desert, forest, hills, park, snowfield
from kinema.world.rng import Random
from kinema.world.scene import Scene
from kinema.world.solids import Prop

__all__ = ["GROUNDS", "SKIES", "Light", "Lights", "lights", "props"]

_SNOW = (0.93, 0.96, 1.0)
_PLACES = {
    "park": park,
    "beach": beach,
    "snowfield": snowfield,
    "desert": desert,
    "coast": coast,
    "lake": lake,
    "hills": hills,
    "street": street,
    "forest": forest,
    "room": room,
}


def props(scene: Scene) -> list[Prop]:
    """What stands in an unflipped ``scene``, placed by its layout. Scenes of one place, all or none afloat, have the same solids."""
    parts = _PLACES[scene.place](scene, Random(scene.layout, f"props/{scene.place}"))
    if scene.weather == "snow" and not PLACES[scene.place].is_indoors:
        parts = [replace(p, colour=_dusted(p)) for p in parts]
    return parts


def _dusted(prop: Prop) -> tuple[float, float, float]:
    """The prop's colour under a little snow; what shines stays as it is."""
    share = 0.42 if max(prop.colour) <= 1.0 else 0.0
    r, g, b = (c + (s - c) * share for c, s in zip(prop.colour, _SNOW, strict=True))
    return (r, g, b)
