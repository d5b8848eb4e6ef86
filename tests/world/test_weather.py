from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.world.backdrop import backdrop_depth
from kinema.world.lights import lights
from kinema.world.scene import Scene
from kinema.world.trace import FAR
from kinema.world.view import View
from kinema.world.weather import overlay
from tests.world.test_backdrop import CPU, look_at, seconds
from tests.world.test_places import place_scene

GREY = 0.4


def fall(scene: Scene, *times: float, view: View | None = None, depth: Tensor | None = None) -> Tensor:
    """A grey picture with the weather of ``scene`` over it."""
    view = view or look_at(len(times))
    picture = torch.full((len(times), 3, view.height_px, view.width_px), GREY)
    if depth is None:
        depth = backdrop_depth(scene, view, device=CPU)
    overlay(picture, [scene], seconds(*times), view, depth=depth)
    return picture


@pytest.mark.parametrize("weather", ["clear", "cloudy"])
def test_nothing_falls_in_dry_weather_nor_indoors(weather: str) -> None:
    assert (fall(place_scene("park", weather=weather), 0.0) == GREY).all()
    assert (fall(place_scene("room"), 0.0) == GREY).all()


@pytest.mark.parametrize("weather, least, most", [("rain", 0.02, 0.4), ("snow", 0.02, 0.3)])
def test_drops_and_flakes_are_seen_and_leave_the_picture_legible(weather: str, least: float, most: float) -> None:
    picture = fall(place_scene("park", weather=weather), 0.0, 0.5)
    covered = ((picture - GREY).abs().amax(1) > 0.08).float().mean((1, 2))
    assert (covered > least).all()
    assert (covered < most).all()
    assert torch.isfinite(picture).all()
    assert not torch.equal(picture[0], picture[1])


@pytest.mark.parametrize("weather", ["rain", "snow", "fog"])
def test_weather_depends_on_scene_and_moment_alone(weather: str) -> None:
    scenes = [place_scene("park", weather=weather, layout=layout) for layout in (1, 2)]
    view = look_at(4)
    together = torch.full((4, 3, 41, 47), GREY)
    overlay(together, scenes, seconds(0.5, 0.0), view, depth=backdrop_depth(scenes[0], view, device=CPU))
    for n, scene in enumerate(scenes):
        assert float((together[2 * n : 2 * n + 1] - fall(scene, 0.5)).abs().max()) < 1e-6


def test_flakes_fall_and_things_hide_those_behind_them() -> None:
    scene = place_scene("park", weather="snow")
    tall = look_at(2, px=(120, 120))
    sky = torch.full((2, 120, 120), FAR)
    first, second = fall(scene, 0.0, 0.05, view=tall, depth=sky)[:, 0]
    down = [float((second[k:] - first[: 120 - k]).abs().mean()) for k in (0, 2)]
    assert down[1] < down[0]
    near = fall(scene, 0.0, view=look_at(1, px=(120, 120)), depth=torch.full((1, 120, 120), 1.0))
    assert (near == GREY).all()


def test_fog_hides_what_is_far_and_spares_the_subject() -> None:
    scene = place_scene("park", weather="fog")
    fog = lights(scene).fog
    for solid, least, most in ((4.0, 0.0, 0.01), (7.0, 0.4, 0.8), (14.0, 0.9, 1.0)):
        view = look_at(1, elevation=-30.0)  # nothing but sky behind
        depth = torch.full((1, 41, 47), FAR)
        depth[:, 10:30, 10:30] = solid
        picture = fall(scene, 0.0, view=view, depth=depth)
        share = float((picture[0, 0, 20, 20] - GREY) / (fog[0] - GREY))
        assert least - 1e-6 <= share <= most
    night = replace(scene, time="night")
    assert sum(lights(night).fog) < 0.5 * sum(fog)
