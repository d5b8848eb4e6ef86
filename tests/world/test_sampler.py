from __future__ import annotations

import pytest

from kinema.core.errors import InvalidInput
from kinema.world.sampler import HELD_OUT, ILLEGIBLE, SPLITS, attributes, is_held_out, matches, sample
from kinema.world.scene import ACTIONS, CAMERA_NAMES, COLOURS, KINDS, PLACES, TIMES

SCENES = {split: [sample(seed, split=split) for seed in range(3000)] for split in SPLITS}


def test_a_seed_means_the_same_scene_on_every_machine() -> None:
    assert [list(attributes(sample(seed)).values()) for seed in (0, 7, 2**62)] == GOLDEN
    assert sample(7).layout == 1918754507979883609
    assert sample(7).subject.size == 1.0359


GOLDEN = [
    ["puppy", "orange", "spin", "left", "desert", "night", "static"],
    ["ball", "pink", "play", "left", "desert", "day", "static"],
    ["car", "blue", "stand", "right", "beach", "sunset", "pan_left"],
]


def test_every_word_occurs_about_equally_often() -> None:
    words = [attributes(scene) for scene in SCENES["train"]]
    tables = {"kind": KINDS, "colour": COLOURS, "place": PLACES, "time": TIMES, "action": ACTIONS}
    for name, values in tables.items():
        for value in values:
            share = sum(w[name] == value for w in words) / len(words)
            assert 0.5 / len(values) < share < 1.5 / len(values), (name, value, share)
    assert {w["camera"] for w in words} == set(CAMERA_NAMES)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_held_out_pairs_are_never_trained_on(split: str) -> None:
    assert not any(is_held_out(scene) for scene in SCENES[split])


def test_the_test_split_shows_every_held_out_pair_often() -> None:
    assert 0.25 < sum(map(is_held_out, SCENES["test"])) / 3000 < 0.5
    for row in HELD_OUT:
        assert sum(matches(scene, (row,)) for scene in SCENES["test"]) >= 60, row


def test_what_a_reader_could_not_see_is_in_no_split() -> None:
    assert not any(matches(scene, ILLEGIBLE) for scenes in SCENES.values() for scene in scenes)


def test_splits_share_no_scene() -> None:
    layouts = {split: {scene.layout for scene in scenes} for split, scenes in SCENES.items()}
    assert len(set.union(*layouts.values())) == 9000


@pytest.mark.parametrize("seed, split, field", [(-1, "train", "seed"), (1.5, "train", "seed"), (1, "dev", "split")])
def test_bad_arguments_are_named(seed: int, split: str, field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        sample(seed, split=split)
    assert error.value.field == field
