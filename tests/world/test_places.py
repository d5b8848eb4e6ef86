from __future__ import annotations

from dataclasses import replace

import pytest

from kinema.world.lights import SKIES, WEATHER, lights
from kinema.world.nature import PLACES, TIMES, WEATHERS
from kinema.world.places import props
from kinema.world.places.shores import cliffs
from kinema.world.scene import Scene, Subject

BALL = Subject(kind="ball", colour="red", action="stand")
BOAT = Subject(kind="boat", colour="red", action="float")


def place_scene(
    place: str, time: str = "day", weather: str = "clear", *, afloat: bool = False, layout: int = 7
) -> Scene:
    return Scene(subjects=(BOAT if afloat else BALL,), place=place, time=time, weather=weather, layout=layout)


def every_look() -> list[Scene]:
    looks = []
    for place, facts in PLACES.items():
        for afloat in (False, True) if facts.has_water else (False,):
            looks.append(place_scene(place, afloat=afloat))
    return looks


def test_every_time_and_weather_has_its_lights() -> None:
    assert set(SKIES) == set(TIMES)
    assert set(WEATHER) == set(WEATHERS)
    for time in TIMES:
        for weather in WEATHERS:
            light = lights(place_scene("park", time, weather))
            for colour in (
                light.world.direct,
                light.world.ambient,
                light.subject.direct,
                light.subject.ambient,
                light.fog,
            ):
                assert all(0 <= c <= 1.3 for c in colour)
            assert all(0 <= c <= 1.2 for c in (*light.zenith, *light.horizon))
            assert (light.fog_density > 0) == (weather == "fog")
            assert light.shadow <= lights(place_scene("park", time)).shadow


@pytest.mark.parametrize("scene", every_look(), ids=lambda s: f"{s.place}{'-afloat' * s.is_afloat}")
def test_a_place_has_few_solids_and_the_same_in_every_layout(scene: Scene) -> None:
    first = props(scene)
    assert 0 < len(first) <= 30
    assert first == props(scene)
    for layout in range(1, 6):
        other = props(replace(scene, layout=layout))
        assert [(p.shape, p.pattern) for p in other] == [(p.shape, p.pattern) for p in first]
        assert other != first


@pytest.mark.parametrize("scene", every_look(), ids=lambda s: f"{s.place}{'-afloat' * s.is_afloat}")
def test_props_keep_out_of_the_subjects_way(scene: Scene) -> None:
    for layout in range(12):
        for prop in props(replace(scene, layout=layout)):
            x, _, z = prop.centre
            assert z + prop.radii[2] < -2.05 or abs(x) - max(prop.radii) > 3.0, prop


def test_snow_lies_on_what_stands_outdoors_and_lamps_shine_at_night() -> None:
    plain, white = props(place_scene("park")), props(place_scene("park", weather="snow"))
    assert all(sum(w.colour) > sum(p.colour) for p, w in zip(plain, white, strict=True))
    assert max(max(p.colour) for p in props(place_scene("street"))) <= 1
    for place in ("street", "room"):
        assert max(max(p.colour) for p in props(place_scene(place, "night"))) > 1.5


def test_cliffs_leave_the_sea_open_where_one_stands_and_close_it_behind_those_afloat() -> None:
    for layout in range(12):
        ashore, afloat = (cliffs(place_scene("coast", afloat=a, layout=layout)) for a in (False, True))
        assert abs(ashore.gap_x) < ashore.gap_half
        assert abs(afloat.gap_x) > afloat.gap_half + 1
        assert all(z > ashore.line_z for _, z, _ in ashore.rocks)
