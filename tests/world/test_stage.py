from __future__ import annotations

from collections import Counter

import pytest
import torch

from kinema.world.camera import frame_times
from kinema.world.kinds import subject_solids
from kinema.world.motion import poses
from kinema.world.sampler import sample
from kinema.world.stage import EFFECT, beside, cast
from tests.world.scenes import make, pair, three

TIMES = frame_times(5, 4)


def test_a_cast_holds_all_solids_of_all_subjects_in_their_order() -> None:
    scene = three()
    act = cast(scene, TIMES)
    parts = [subject_solids(s, p) for s, p in zip(scene.subjects, poses(scene, TIMES), strict=True)]
    assert act.owners == tuple(number for number, part in enumerate(parts) for _ in part.shapes)
    together = beside(parts)
    assert act.solids.shapes == together.shapes == sum((p.shapes for p in parts), ())
    assert torch.equal(act.solids.matrix, torch.cat([p.matrix for p in parts], 1))
    assert torch.equal(act.solids.colour, together.colour)
    assert beside(parts[:1]) is parts[0]
    assert len(act.poses) == 3


def test_effects_belong_to_no_subject_and_come_last() -> None:
    act = cast(make("rocket", "fly", place="desert"), TIMES)
    count = Counter(act.owners)
    assert count[EFFECT] > 0
    assert act.owners == (0,) * count[0] + (EFFECT,) * count[EFFECT]
    assert EFFECT in cast(pair("pour", "cup", "flower"), TIMES).owners
    assert EFFECT not in cast(make("cube"), TIMES).owners


@pytest.mark.parametrize("seed", range(12))
def test_a_cast_has_the_same_solids_at_all_times(seed: int) -> None:
    scene = sample(seed).unflipped()
    one, two = cast(scene, TIMES), cast(scene, TIMES[2:3] + 30)
    assert (one.solids.shapes, one.solids.patterns, one.solids.casts, one.owners) == (
        two.solids.shapes, two.solids.patterns, two.solids.casts, two.owners,
    )  # fmt: skip
    assert len(one.owners) == one.solids.matrix.shape[1] == len(one.solids.gloss)
    assert torch.equal(cast(scene, TIMES[3:4]).solids.matrix[0], one.solids.matrix[3])
