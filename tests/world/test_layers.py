from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kinema.core.geometry import VideoShape
from kinema.world.layers import flatten
from kinema.world.render import render
from kinema.world.scene import Scene
from tests.world.scenes import make, three

SHAPE = VideoShape(frames=1, height_px=96, width_px=96, fps=8)


def _draw(scene: Scene) -> tuple[Tensor, Tensor]:
    """(pixels h w c as numbers, whether any subject is seen there)."""
    (rendered,) = render([scene], SHAPE, outputs=["rgb", "masks"])
    assert rendered.frames is not None
    assert rendered.masks is not None
    return rendered.frames[0].float(), rendered.masks[:, 0].any(0)


def _inner(mask: Tensor, width: int) -> Tensor:
    """What lies deeper than ``width`` pixels in a mask."""
    away = torch.nn.functional.max_pool2d((~mask).float()[None, None], 2 * width + 1, 1, width)[0, 0]
    return mask & (away == 0)


@pytest.mark.parametrize("kind", ["ball", "cube", "cone"])
def test_cartoons_have_dark_outlines_and_toys_have_none(kind: str) -> None:
    lightness = {}
    for style in ("toy", "cartoon"):
        picture, mask = _draw(make(kind, colour="yellow", place="desert", style=style))
        rim = mask & ~_inner(mask, 1)
        lightness[style] = (float(picture[rim].mean()), float(picture[_inner(mask, 4)].mean()))
    assert lightness["cartoon"][0] < 0.7 * lightness["cartoon"][1]
    assert lightness["toy"][0] > 0.7 * lightness["toy"][1]


def test_a_cartoon_is_lit_in_flat_tones() -> None:
    counts = {}
    for style in ("toy", "cartoon"):
        picture, mask = _draw(make("mushroom", colour="blue", style=style))
        inside = picture[_inner(mask, 4)]
        counts[style] = len((inside / 4).round().unique(dim=0)) / len(inside)
    assert counts["cartoon"] < 0.6 * counts["toy"]


def test_flat_tones_are_few_with_narrow_ramps_between() -> None:
    ramp = torch.linspace(0, 1, 701)[None, None, None].repeat(1, 3, 1, 1).contiguous()
    before = ramp.clone()
    flatten(ramp)
    assert float((ramp - before).abs().max()) < 0.6 / 7
    on_tone = ((ramp * 7) - (ramp * 7).round()).abs() < 1e-4
    assert float(on_tone.float().mean()) > 0.75
    assert (ramp[..., 1:] >= ramp[..., :-1] - 1e-6).all()


@pytest.mark.parametrize("kind", ["ball", "cone", "mushroom", "ring"])
def test_shiny_materials_have_a_small_highlight_and_nothing_else_changes(kind: str) -> None:
    scene = make(kind, colour="blue", place="desert")
    matte, mask = _draw(scene)
    for material, share in (("glossy", 0.03), ("metal", 0.03), ("wood", 0.0)):
        shiny, _ = _draw(replace(scene, subjects=(replace(scene.subject, material=material),)))
        lit = (shiny - matte).amax(-1) > 30
        if share:
            assert share < float(lit.sum() / mask.sum()) < 0.3, material
        else:
            assert not lit.any()
        if material == "glossy":
            assert float((shiny - matte).min()) >= -1
        near = torch.nn.functional.max_pool2d(mask.float()[None, None], 3, 1, 1)[0, 0] > 0
        assert torch.equal(shiny[~near], matte[~near])


def test_each_of_several_is_outlined() -> None:
    toy, mask = _draw(three(place="desert"))
    cartoon, _ = _draw(three(place="desert", style="cartoon"))
    rim = mask & ~_inner(mask, 1)
    assert float(cartoon[rim].mean()) < 0.7 * float(toy[rim].mean())
