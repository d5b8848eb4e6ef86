from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from kinema.core.errors import InvalidInput
from kinema.world.nature import COLOURS, KINDS, PAIR_ACTIONS, PLACES, SOLO_ACTIONS, STYLES, TIMES, WEATHERS
from kinema.world.rng import Random
from kinema.world.sampler import (
    DIFFICULTIES,
    HELD_OUT,
    ILLEGIBLE,
    SPLITS,
    TRAVELS,
    Difficulty,
    attributes,
    draw_extra,
    is_held_out,
    matches,
    sample,
    words_of,
)
from kinema.world.scene import CAMERA_NAMES, MATERIALS, MAX_SUBJECTS, Scene
from kinema.world.words import vocabulary
from tests.world.scenes import make

COUNT = 2500
SCENES = {
    (level, split): [sample(n, split=split, difficulty=level) for n in range(COUNT)]
    for level in DIFFICULTIES
    for split in SPLITS
}


def _subjects(scenes: list[Scene]) -> Iterator[dict[str, str]]:
    return (attributes(scene, number) for scene in scenes for number in range(len(scene.subjects)))


def test_a_seed_means_the_same_scene_on_every_machine() -> None:
    assert [list(attributes(sample(seed, difficulty=level)).values()) for level, seed in GOLDEN] == list(
        GOLDEN.values()
    )
    assert (sample(7).layout, sample(7).subject.size, sample(7).elevation_deg) == (
        GOLDEN_LAYOUT,
        GOLDEN_SIZE,
        GOLDEN_ELEVATION,
    )


GOLDEN = {
    ("core", 0): ["person", "orange", "matte", "fall", "right", "room", "night", "clear", "static", "toy"],
    ("core", 7): ["ball", "blue", "matte", "jump", "right", "desert", "day", "clear", "zoom_in", "toy"],
    ("core", -5): ["puppy", "green", "matte", "walk", "left", "street", "sunset", "clear", "around_left", "toy"],
    ("core", 4611686018427387904): [
        "cube",
        "pink",
        "matte",
        "stand",
        "right",
        "desert",
        "night",
        "clear",
        "zoom_in",
        "toy",
    ],
    ("single", 0): ["tower", "grey", "glossy", "topple", "left", "desert", "night", "cloudy", "pan_left", "toy"],
    ("single", 7): ["horse", "purple", "metal", "spin", "right", "coast", "dawn", "snow", "pan_down", "toy"],
    ("single", -5): ["cactus", "blue", "matte", "play", "left", "lake", "night", "snow", "pan_right", "toy"],
    ("single", 4611686018427387904): [
        "robot",
        "black",
        "wood",
        "wave",
        "right",
        "desert",
        "day",
        "rain",
        "static",
        "toy",
    ],
    ("full", 0): ["flower", "black", "glossy", "spin", "right", "snowfield", "dawn", "cloudy", "around_right", "toy"],
    ("full", 7): ["astronaut", "blue", "metal", "stand", "left", "beach", "day", "fog", "pull_out", "toy"],
    ("full", -5): ["penguin", "green", "glossy", "play", "left", "coast", "sunset", "clear", "zoom_out", "toy"],
    ("full", 4611686018427387904): [
        "cube",
        "purple",
        "matte",
        "swing",
        "left",
        "room",
        "sunset",
        "clear",
        "pan_left",
        "cartoon",
    ],
}
GOLDEN_LAYOUT, GOLDEN_SIZE, GOLDEN_ELEVATION = 5393861630350971491, 1.0292, 27.622


@pytest.mark.parametrize("seed", [0, 41, -1, 2**63 - 1, 2**64 - 1, -(2**63)])
def test_a_seed_may_be_of_any_integer_type(seed: int) -> None:
    scene = sample(seed)
    assert scene == sample(seed)
    types = [t for t in (np.int8, np.uint8, np.int64, np.uint64) if np.iinfo(t).min <= seed <= np.iinfo(t).max]
    assert types
    for kind in types:
        assert sample(kind(seed)) == scene
        assert Random(kind(seed), "x").bits() == Random(seed, "x").bits()


@pytest.mark.parametrize(
    "seed", [True, np.True_, 1.0, np.float32(3), "7", None, 2**64, -(2**63) - 1, "ten to the 5000"]
)
def test_what_is_no_whole_number_of_64_bits_is_no_seed(seed: object) -> None:
    seed = 10**5000 if seed == "ten to the 5000" else seed  # Python doesn't print it
    with pytest.raises(InvalidInput, match=r"whole number from -2\*\*63 to 2\*\*64 - 1") as error:
        sample(seed)  # pyright: ignore[reportArgumentType]
    assert error.value.field == "seed"


@pytest.mark.parametrize("split, difficulty, field", [("dev", "full", "split"), ("train", "hard", "difficulty")])
def test_bad_arguments_are_named(split: str, difficulty: str, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        sample(1, split=split, difficulty=difficulty)
    assert error.value.field == field


@pytest.mark.parametrize("level", DIFFICULTIES)
def test_every_word_of_a_level_occurs_and_none_that_it_lacks(level: str) -> None:
    facts, words = DIFFICULTIES[level], list(_subjects(SCENES[level, "train"]))
    actions = facts.actions if facts.pairs == 0 else (*facts.actions, *PAIR_ACTIONS)
    tables = {
        "kind": facts.kinds, "colour": facts.colours, "place": facts.places, "time": facts.times, "weather": facts.weathers,
        "action": actions, "camera": facts.cameras, "material": facts.materials, "style": facts.styles,
    }  # fmt: skip
    for name, options in tables.items():
        found = Counter(w[name] for w in words)
        assert set(found) == set(options), name
        least = 0.25 if name in ("kind", "action") else 0.35
        assert min(found.values()) > least * len(words) / len(options) / 1.6, (name, found)


def test_the_full_level_has_all_words_and_core_is_small() -> None:
    full, core = DIFFICULTIES["full"], DIFFICULTIES["core"]
    assert (full.kinds, full.colours, full.places, full.times) == (tuple(KINDS), COLOURS, tuple(PLACES), TIMES)
    assert (full.actions, full.cameras, tuple(full.weathers)) == (SOLO_ACTIONS, CAMERA_NAMES, WEATHERS)
    assert (tuple(full.materials), tuple(full.styles)) == (MATERIALS, STYLES)
    assert [len(t) for t in (core.kinds, core.colours, core.places, core.actions, core.cameras)] == [8, 8, 6, 8, 8]
    assert (
        {len(s.subjects) for s in SCENES["core", "train"]}
        == {len(s.subjects) for s in SCENES["single", "train"]}
        == {1}
    )
    counts = Counter(len(s.subjects) for s in SCENES["full", "train"])
    assert all(counts[n] > 0.1 * COUNT for n in range(1, MAX_SUBJECTS + 1))


@pytest.mark.parametrize("level", DIFFICULTIES)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_held_out_pairs_are_never_trained_on(level: str, split: str) -> None:
    assert not any(is_held_out(scene) for scene in SCENES[level, split])


@pytest.mark.parametrize("level", DIFFICULTIES)
def test_the_test_split_shows_every_held_out_pair_of_its_level_often(level: str) -> None:
    scenes, facts = SCENES[level, "test"], DIFFICULTIES[level]
    assert 0.25 < sum(map(is_held_out, scenes)) / COUNT < 0.5
    for row in HELD_OUT:
        shown = sum(matches(scene, (row,)) for scene in scenes)
        options = (facts.kinds, facts.colours, facts.places, facts.times, facts.actions, tuple(facts.weathers))
        assert shown >= 20 if set(row.values()) <= set().union(*options) else shown == 0, row


def test_what_a_reader_could_not_see_is_in_no_split() -> None:
    assert not any(matches(scene, ILLEGIBLE) for scenes in SCENES.values() for scene in scenes)


def test_splits_and_levels_share_no_scene() -> None:
    layouts = {scene.layout for scenes in SCENES.values() for scene in scenes}
    assert len(layouts) == COUNT * len(SCENES)


def test_cups_that_one_lifts_are_small_and_cameras_leave_pairs_in_view() -> None:
    found = Counter()
    for scene in SCENES["full", "train"]:
        action = scene.subject.action
        if action not in PAIR_ACTIONS:
            continue
        found[action] += 1
        assert not scene.camera.startswith(("pan", "zoom", "push", "pull", "tracking"))
        assert scene.camera not in ("tilt_left", "tilt_right")
        assert scene.subject.colour != scene.subjects[1].colour
        if action in ("drink", "pour"):
            assert all(0.55 <= s.size <= 0.70 for s in scene.subjects if s.kind == "cup")
    assert set(found) == set(PAIR_ACTIONS)


def test_tracking_follows_what_travels() -> None:
    assert all(
        s.subject.action in TRAVELS for level, split in SCENES for s in SCENES[level, split] if s.camera == "tracking"
    )


def test_one_more_subject_leaves_those_that_are_there_alone() -> None:
    scene, random = make("cube"), Random(3)
    for count in (1, 2):
        extra = draw_extra(scene, random, Difficulty(colours=("blue",)))
        assert extra is not None
        assert extra.colour == "blue"
        assert all(abs(extra.x - s.x) > 0.3 or extra.z != s.z for s in scene.subjects)
        scene = Scene.from_dict(scene.to_dict() | {"subjects": [*scene.to_dict()["subjects"], vars(extra)]})
        assert len(scene.subjects) == count + 1
    assert draw_extra(scene, random) is None


def test_words_of_levels_are_those_that_their_scenes_show() -> None:
    core, full = words_of(["core"]), words_of(["core", "full"])
    assert full == vocabulary()
    assert set(core["kind"]) == set(DIFFICULTIES["core"].kinds)
    assert set(core["weather"]) == {"clear"}
    assert (set(core["count"]), core["relation"], core["view"]) == ({"1"}, {}, {})
    assert core["grammar"] == full["grammar"]
    for seed in range(200):
        shown = attributes(sample(seed, difficulty="core"))
        assert all(value in core[name] for name, value in shown.items())
