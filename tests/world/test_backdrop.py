from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from einops import rearrange
from torch import Tensor

from kinema.world.backdrop import backdrop, backdrop_depth
from kinema.world.nature import PLACES, TIMES, WEATHERS
from kinema.world.scene import Scene
from kinema.world.trace import FAR
from kinema.world.view import View
from tests.world.test_places import every_look, place_scene

CPU = torch.device("cpu")


def look_at(
    n: int = 1,
    *,
    elevation: float = 6.0,
    azimuth: float = 0.0,
    across: Tensor | None = None,
    px: tuple[int, int] = (41, 47),
) -> View:
    """``n`` views of a camera 4.3 away, one for each number of ``across`` if given."""
    a, p = math.radians(azimuth), math.radians(elevation)
    right = [math.cos(a), 0.0, -math.sin(a)]
    up = [-math.sin(a) * math.sin(p), math.cos(p), -math.cos(a) * math.sin(p)]
    forward = [-math.sin(a) * math.cos(p), -math.sin(p), -math.cos(a) * math.cos(p)]
    axes = torch.tensor([right, up, forward], dtype=torch.float64).expand(n, 3, 3)
    place = torch.tensor([0.0, 0.62, 0.0], dtype=torch.float64) - 4.3 * axes[:, 2]
    if across is not None:
        place = place + across[:, None] * axes[:, 0]
    return View(axes=axes, position=place, zoom=torch.ones(n, dtype=torch.float64), height_px=px[0], width_px=px[1])


def seconds(*times: float) -> Tensor:
    return torch.tensor(times, dtype=torch.float64)


def draw(scene: Scene, view: View | None = None, *times: float) -> Tensor:
    moments = seconds(*(times or (0.0,)))
    return backdrop([scene], moments, view or look_at(len(moments)), device=CPU)


@pytest.mark.parametrize("weather", WEATHERS)
@pytest.mark.parametrize("time", TIMES)
def test_colours_are_finite_and_within_range(time: str, weather: str) -> None:
    # Ahead and aside, up into the sky, and down to the ground, all in one go.
    views = [look_at(elevation=e, azimuth=a, px=(13, 17)) for e, a in ((6.0, 50.0), (-8.0, -50.0), (35.0, 0.0))]
    axes, position, zoom = (torch.cat([getattr(v, name) for v in views]) for name in ("axes", "position", "zoom"))
    view = View(axes=axes, position=position, zoom=zoom, height_px=13, width_px=17)
    for scene in every_look():
        if PLACES[scene.place].is_indoors and weather != "clear":
            continue
        picture = draw(replace(scene, time=time, weather=weather), view, 0.0, 0.4, 0.8)
        assert torch.isfinite(picture).all()
        assert float(picture.min()) > -0.01
        assert float(picture.max()) < 1.7


@pytest.mark.parametrize("scene", every_look(), ids=lambda s: f"{s.place}{'-afloat' * s.is_afloat}")
def test_a_picture_depends_on_its_scene_alone(scene: Scene) -> None:
    scenes = [replace(scene, layout=layout, time="night", weather="clear") for layout in (3, 4, 5)]
    times = seconds(0.25, 1.0)
    alone = [backdrop([s], times, look_at(2), device=CPU) for s in scenes]
    together = backdrop(scenes, times, look_at(6), device=CPU)
    for one, many in zip(alone, rearrange(together, "(s t) c h w -> s t c h w", t=2), strict=True):
        assert float((one - many).abs().max()) < 1e-6
    assert not torch.equal(alone[0], alone[1])
    assert torch.equal(alone[0], backdrop([scenes[0]], times, look_at(2), device=CPU))


@pytest.mark.parametrize("elevation", [6.0, 35.0])
def test_places_look_different_from_the_side_and_from_above(elevation: float) -> None:
    pictures = {s: draw(s, look_at(elevation=elevation))[0] for s in every_look()}
    for (a, one), (b, other) in combinations(pictures.items(), 2):
        assert float((one - other).abs().mean()) > 0.035, (a.place, b.place)


@pytest.mark.parametrize("place", PLACES)
def test_times_and_weathers_look_different(place: str) -> None:
    weathers = WEATHERS if place != "room" else ("clear",)
    for weather in weathers:
        pictures = [draw(place_scene(place, t, weather))[0] for t in TIMES]
        assert all(float((a - b).abs().mean()) > 0.03 for a, b in combinations(pictures, 2)), weather
    # Snow and rain are told by what falls, too (`test_weather`); the ground alone says a lot.
    pictures = [draw(place_scene(place, "day", w))[0] for w in weathers]
    assert all(float((a - b).abs().mean()) > 0.02 for a, b in combinations(pictures, 2))


@pytest.mark.parametrize("place", ["beach", "coast", "lake"])
def test_the_water_reaches_under_the_camera_afloat(place: str) -> None:
    # Water moves, land doesn't: ashore the nearest ground stands still.
    view = look_at(2, elevation=25.0)
    for afloat in (False, True):
        one, other = draw(place_scene(place, afloat=afloat), view, 0.0, 0.7)[:, :, 24:]
        assert (float((one - other).abs().mean()) > 0.004) == afloat


@pytest.mark.parametrize("place", ["beach", "coast", "lake"])
def test_water_depends_on_the_moment_alone(place: str) -> None:
    scene = place_scene(place, afloat=True)
    many = draw(scene, look_at(3, elevation=20.0), 0.0, 2.5, 0.5)
    alone = draw(scene, look_at(1, elevation=20.0), 2.5)
    assert float((many[1] - alone[0]).abs().max()) < 1e-6
    assert float((many[0] - many[2]).abs().mean()) > 0.004


@pytest.mark.parametrize("place", PLACES)
def test_a_still_camera_sees_a_still_land(place: str) -> None:
    pair = draw(place_scene(place), None, 0.0, 1.0)
    ground = pair[:, :, 30:]
    assert torch.equal(ground[0], ground[1])
    if not PLACES[place].has_water:
        assert float(((pair[0] - pair[1]).abs().amax(0) > 0.05).float().mean()) < 0.05  # clouds drift slowly


@pytest.mark.parametrize("place", PLACES)
def test_the_ground_s_texture_moves_as_it_is_projected(place: str) -> None:
    # Looking down, the camera goes aside by what one row sees as four pixels: that row is found four pixels on.
    px, row = (61, 83), 45
    view = look_at(elevation=35.0, px=px)
    depth = float(backdrop_depth(place_scene(place), view, device=CPU)[0, row, 40])
    step = 4 * depth / float(view.focal_px[0])
    pair = draw(place_scene(place), look_at(2, elevation=35.0, across=seconds(0.0, step), px=px), 0.0, 0.0)[:, :, row]
    shifted = float((pair[1][:, :-4] - pair[0][:, 4:]).abs().mean())
    unmoved = float((pair[1] - pair[0]).abs().mean())
    assert unmoved > 0.004, "the ground shows that the camera moves"
    assert shifted < 0.25 * unmoved


def test_depth_is_that_of_ground_and_walls() -> None:
    depth = backdrop_depth(place_scene("park"), look_at(), device=CPU)[0]
    assert float(depth[0].min()) == FAR
    assert 2 < float(depth[-1].max()) < 4
    room = backdrop_depth(place_scene("room"), look_at(), device=CPU)[0]
    assert 6 < float(room[0, 23]) < 9
    assert torch.allclose(room[-1], depth[-1])
