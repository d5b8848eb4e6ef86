from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from einops import rearrange

from kinema.core.geometry import VideoShape
from kinema.world.nature import WEATHERS
from kinema.world.render import render
from kinema.world.scenery import WIND, scenery
from tests.world.scenes import make
from tests.world.test_places import every_look, place_scene

TIMES = torch.tensor([0.0, 0.4, 1.1], dtype=torch.float64)


def test_only_plants_bend_and_only_in_wind() -> None:
    assert set(WIND) < set(WEATHERS)
    for place, bends in (("park", True), ("forest", True), ("lake", True), ("coast", False), ("street", False)):
        still, moved = (scenery([place_scene(place, weather=w)], TIMES).matrix for w in ("clear", "rain"))
        assert torch.equal(still[0], still[2])
        assert (not torch.equal(moved[0], moved[2])) == bends, place


def test_roots_stay_and_parts_of_a_plant_bend_together() -> None:
    scene = place_scene("park", weather="rain")
    still = scenery([replace(scene, weather="clear")], TIMES).matrix
    bent = scenery([scene], TIMES).matrix
    move = bent[..., 3] - still[..., 3]
    high = still[..., 1, 3]
    assert float((move.norm(dim=-1) / high).max()) < 0.06
    trunk, crown = move[:, 0], move[:, 1]
    assert torch.allclose(trunk[:, 0] / high[:, 0], crown[:, 0] / high[:, 1], atol=0.01)


def test_scenery_of_many_scenes_is_that_of_each() -> None:
    for look in every_look():
        weather = "clear" if look.place == "room" else "rain"
        scenes = [replace(look, layout=n, weather=weather) for n in (3, 4)]
        both = rearrange(scenery(scenes, TIMES).matrix, "(s t) p i j -> s t p i j", s=2)
        for scene, one in zip(scenes, both, strict=True):
            assert torch.equal(scenery([scene], TIMES).matrix, one)


@pytest.mark.parametrize("place", ["forest", "lake"])
def test_flow_follows_what_sways(place: str) -> None:
    # Seen by a still camera round a thing that doesn't move, only what sways flows, and a little.
    shape = VideoShape(frames=2, height_px=72, width_px=96, fps=4)
    scene = make("cone", place=place, weather="rain")
    flow, calm = (render([s], shape, outputs=["flow"])[0].flow for s in (scene, replace(scene, weather="clear")))
    assert flow is not None
    assert calm is not None
    assert float(calm.abs().max()) < 0.01
    moved = flow[0].norm(dim=-1)
    assert 0.005 < float((moved > 0.05).float().mean()) < 0.7
    assert 0.3 < float(moved.max()) < 4
