"""What a sample is told: shares, known frames, noise levels, and the loss that leaves given frames out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from kinema.core.errors import InvalidInput
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.seeds import derive_seed
from kinema.data.load.shards import ShardSet
from kinema.training.conditions import (
    ConditionRecipe,
    Conditions,
    TimeRecipe,
    draw_conditions,
    draw_known,
    masked_loss,
    scalar_values,
)

NAMES = ("motion", "fps", "width", "height")


@pytest.fixture
def batch(make_latents: Callable[..., ShardSet]) -> Batch:
    """A thousand samples of three latent frames."""
    shards = make_latents(8)
    eight = Loader(shards, sizes=dict.fromkeys(shards.buckets, 8), seed=5).batch(0)
    tensors = {k: v.repeat(125, *[1] * (v.ndim - 1)) for k, v in eight.tensors.items()}
    seeds = tuple(derive_seed(5, i) for i in range(1000))
    return replace(eight, tensors=tensors, metadata=[*eight.metadata] * 125, seeds=seeds, numbers=tuple(range(1000)))


def draw(batch: Batch, recipe: ConditionRecipe, times: TimeRecipe | None = None) -> Conditions:
    return draw_conditions(batch, recipe, times=times or TimeRecipe(), scalar_names=NAMES)


def test_shares(batch: Batch) -> None:
    recipe = ConditionRecipe()
    drawn = draw(batch, recipe)
    known = drawn.known_mask[:, 0, :, 0, 0]
    is_chinese = [not t.isascii() for t in drawn.texts]
    found = {
        "no_text": sum(t == "" for t in drawn.texts) / 1000,
        "chinese": sum(is_chinese) / 900,
        "no_camera": drawn.camera.isnan().all(dim=(1, 2)).float().mean().item(),
        "no_motion": drawn.scalars[:, 0].isnan().float().mean().item(),
        "no_other": drawn.scalars[:, 1:].isnan().float().mean().item(),
        "known": known.amax(1).mean().item(),
        "uneven": (drawn.sigma[known.amax(1) == 0].std(1) > 0).float().mean().item(),
    }
    for name, share in found.items():
        assert share == pytest.approx(getattr(recipe, name), abs=0.06), name
    # a camera is given whole or not at all
    assert (drawn.camera.isnan().any(dim=(1, 2)) == drawn.camera.isnan().all(dim=(1, 2))).all()


def test_captions_belong_to_their_samples(batch: Batch) -> None:
    drawn = draw(batch, ConditionRecipe(no_text=0))
    assert all(t in m["captions"]["en"] + m["captions"]["zh"] for t, m in zip(drawn.texts, batch.metadata, strict=True))
    assert {"light", "very light", "dark", "very dark", "亮", "暗"} == set(drawn.texts)


def test_known_frames_are_clean(batch: Batch) -> None:
    drawn = draw(batch, ConditionRecipe(known=1.0))
    known = drawn.known_mask[:, 0, :, 0, 0]
    assert (known == drawn.known_mask.amax(dim=(1, 3, 4))).all()
    assert (drawn.sigma[known == 1] == 0).all()
    assert (drawn.sigma[known == 0] > 0).all()
    assert ((known.sum(1) >= 1) & (known.sum(1) < known.shape[1])).all()
    first_alone = (known == torch.tensor([1.0, 0, 0])).all(1).float().mean()
    assert first_alone > 0.4


def test_draws_depend_on_the_sample_alone(batch: Batch) -> None:
    half = replace(
        batch,
        tensors={k: v[:500] for k, v in batch.tensors.items()},
        metadata=batch.metadata[:500],
        seeds=batch.seeds[:500],
    )
    whole, part = draw(batch, ConditionRecipe()), draw(half, ConditionRecipe())
    assert torch.equal(whole.noise[:500], part.noise)
    assert torch.equal(whole.known_mask[:500], part.known_mask)
    assert list(whole.texts[:500]) == list(part.texts)
    assert whole.noise.std() == pytest.approx(1, abs=0.01)


def test_levels_follow_the_density(batch: Batch) -> None:
    plain = draw(batch, ConditionRecipe(known=0, uneven=0)).sigma[:, 0]
    shifted = draw(batch, ConditionRecipe(known=0, uneven=0), TimeRecipe(shift=3.0)).sigma[:, 0]
    assert plain.median() == pytest.approx(0.5, abs=0.01)
    assert shifted.median() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_every_mode_leaves_something_to_do(frames: int) -> None:
    rng = torch.Generator().manual_seed(0)
    drawn = {tuple(draw_known(frames, rng).tolist()) for _ in range(300)}
    assert all(0 < sum(d) < frames for d in drawn)
    assert len(drawn) > frames - 1


def test_given_frames_do_not_count() -> None:
    target, output = torch.zeros(2, 3, 5, 2, 4), torch.zeros(2, 3, 5, 2, 4)
    output[0, :, 0] = 7.0
    output[1, :, 1:] = 2.0
    mask = torch.zeros(2, 1, 5, 2, 4)
    mask[:, :, 0] = 1
    assert masked_loss(output, target, mask).tolist() == [0.0, 4.0]


def test_numbers(batch: Batch) -> None:
    values = scalar_values(("height", "motion", "depth"), batch.bucket, batch.tensors)
    assert (values[:, 0] == 16).all()
    assert torch.equal(values[:, 1], batch.tensors["motion"])
    assert values[:, 2].isnan().all()
    assert scalar_values((), batch.bucket, batch.tensors).shape == (1000, 0)


def test_bad_shares() -> None:
    with pytest.raises(InvalidInput, match="no_text"):
        ConditionRecipe(no_text=1.5)
