from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.world.edits import EDITS, Edit, edit, edit_mask, reference_scene
from kinema.world.render import render
from kinema.world.sampler import ILLEGIBLE, matches, sample
from kinema.world.scene import MAX_SUBJECTS, Scene
from tests.world.scenes import make, pair, three

SHAPE = VideoShape(frames=2, height_px=40, width_px=48, fps=2)
SEEDS = range(6)


def _two() -> Scene:
    return replace(three(), subjects=three().subjects[:2])


def _unlike(change: Edit) -> set[str]:
    """The scene's fields that differ."""
    before, after = change.before.to_dict(), change.after.to_dict()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_what_it_says_and_nothing_else(kind: str, seed: int) -> None:
    scene = _two()
    change = edit(scene, seed=seed, kind=kind)
    assert (change.kind, replace(change.before, span=None)) == (kind, scene)
    assert change.before.span == change.after.span
    assert change.before.layout == change.after.layout
    assert not matches(change.after, ILLEGIBLE)
    about = kind if kind in ("time", "weather", "style", "camera") else "subjects"
    assert _unlike(change) == {about}
    assert (change.number is None) == (about != "subjects")
    old, new = change.before.subjects, change.after.subjects
    if kind == "add":
        assert new[: len(old)] == old
        assert change.number == len(old) == len(new) - 1
    elif kind == "remove":
        assert new == old[:-1]
        assert change.number == len(new)
    elif change.number is not None:
        field = {"recolour": "colour", "replace": "kind"}[kind]
        word = getattr(new[change.number], field)
        assert word != getattr(old[change.number], field)
        assert tuple(replace(s, **{field: word}) if n == change.number else s for n, s in enumerate(old)) == new
    assert edit(scene, seed=seed, kind=kind) == change


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["recolour", "replace", "add", "remove"])
def test_pixels_away_from_the_mask_and_its_shadow_stay(kind: str, seed: int) -> None:
    change = edit(_two(), seed=seed, kind=kind)
    before, after = (r.frames for r in render([change.before, change.after], SHAPE))
    mask = edit_mask(change, SHAPE)
    assert before is not None
    assert after is not None
    assert mask.shape == (2, 40, 48)
    assert 0.01 < float(mask.float().mean()) < 0.5
    rim = torch.nn.functional.max_pool2d(mask[:, None].float(), 3, 1, 1)[:, 0] > 0
    changed = (before != after).any(-1)
    inside = float((changed & mask).sum() / mask.sum())
    assert inside > 0.3
    if kind == "recolour":  # not even the shadow changes
        assert not (changed & ~rim).any()
        return
    outside = changed & ~rim
    # A shadow lies on the ground, at the foot: nothing above the middle of what was edited changes.
    rows = mask.any(2).any(0).nonzero()[:, 0]
    assert not outside[:, : int(rows.float().mean())].any()
    assert float(outside.float().mean()) < 0.15


@pytest.mark.parametrize("kind", ["time", "weather", "style", "camera"])
def test_an_edit_of_the_whole_picture_has_it_all_for_a_mask(kind: str) -> None:
    change = edit(_two(), seed=1, kind=kind)
    assert edit_mask(change, SHAPE).all()
    before, after = (r.frames for r in render([change.before, change.after], replace(SHAPE, frames=4)))
    assert before is not None
    assert after is not None
    assert float((before.int() - after.int()).abs().float().mean()) > 1


@pytest.mark.parametrize("seed", range(40))
def test_any_sampled_scene_can_be_edited(seed: int) -> None:
    change = edit(sample(seed), seed=seed)
    assert change.kind in EDITS
    assert change.after != change.before
    assert 1 <= len(change.after.subjects) <= MAX_SUBJECTS
    assert Scene.from_dict(change.after.to_dict()) == change.after


@pytest.mark.parametrize(
    "scene, kind",
    [
        (make(), "remove"),
        (three(), "add"),
        (make(place="room"), "weather"),
        (pair("drink", "person", "cup"), "remove"),
        (pair("drink", "person", "cup"), "replace"),
    ],
)
def test_what_can_t_be_done_is_refused(scene: Scene, kind: str) -> None:
    with pytest.raises(InvalidInput, match="can't be done to this scene") as error:
        edit(scene, seed=0, kind=kind)
    assert error.value.field == "edit"


def test_unknown_edits_and_numbers_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"paint.*recolour"):
        edit(make(), seed=0, kind="paint")
    with pytest.raises(InvalidInput, match=r"one of \[0\]"):
        reference_scene(make(), 1)


@pytest.mark.parametrize(
    "scene", [three(), make("kite", "fly", time="night", weather="rain"), pair("pour", "cup", "flower")]
)
def test_a_reference_picture_shows_the_subject_alone_at_rest(scene: Scene) -> None:
    for number, subject in enumerate(scene.subjects):
        alone = reference_scene(scene, number)
        (shown,) = alone.subjects
        assert (shown.kind, shown.colour, shown.material) == (subject.kind, subject.colour, subject.material)
        assert (shown.action in ("stand", "float"), shown.x, shown.target) == (True, 0.0, None)
        assert (alone.camera, alone.time, alone.weather) == ("static", "day", "clear")
        (rendered,) = render([alone], replace(SHAPE, frames=1), outputs=["boxes"])
        assert rendered.boxes is not None
        assert int(rendered.boxes[0, 0, 3] - rendered.boxes[0, 0, 1]) > 0.3 * 40
