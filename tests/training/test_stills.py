"""Clips as pictures: which batches they are, what they hold, and that a run with them resumes bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.errors import Cancelled, InvalidInput
from kinema.data.load.loader import Batch, Loader
from kinema.data.load.shards import ShardSet
from kinema.training.stills import WithStills
from kinema.training.transformer import TransformerTask, train_transformer
from tests.training.toys import TRANSFORMER, StopAt, all_tensors

RECIPE = replace(TRANSFORMER, stills=0.5)


def same(one: Batch, other: Batch) -> bool:
    keys = one.tensors.keys() == other.tensors.keys()
    tensors = all(torch.equal(one.tensors[k], other.tensors[k]) for k in one.tensors)
    return keys and tensors and (one.step, one.bucket, one.seeds) == (other.step, other.bucket, other.seeds)


def test_stills_are_first_latent_frames_of_more_clips(make_latents: Callable[..., ShardSet]) -> None:
    train = make_latents(16)
    task = TransformerTask(RECIPE, train, validation=make_latents(4, seed=1))
    clip, still = task.loader.batch(0), task.loader.batch(1)
    assert (clip.bucket.frames, still.bucket.frames) == (5, 1)
    assert len(still) > len(clip)
    whole = train.read(clip.bucket, still.numbers)[0]
    assert torch.equal(still.tensors["latents"], whole["latents"][:, :, :1])
    assert torch.equal(still.tensors["camera"], whole["camera"][:, :1])
    assert (still.tensors["motion"] == 1).all()
    for batch in (clip, still):
        loss, _ = task.loss(batch)
        assert torch.isfinite(loss)
        assert task.work(batch)["samples"] == len(batch)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_they_come_in_their_share_of_steps_and_both_go_through_all_samples(
    make_latents: Callable[..., ShardSet], share: float
) -> None:
    train = make_latents(8)
    (bucket,) = train.buckets
    both = WithStills(Loader(train, sizes={bucket: 2}, seed=0), Loader(train, sizes={bucket: 4}, seed=1), share=share)
    batches = [both.batch(n) for n in range(40)]
    stills = [b for b in batches if b.bucket.frames == 1]
    assert len(stills) == round(40 * share)
    assert {n for b in stills[:2] for n in b.numbers} == set(range(8))
    clips = [b for b in batches if b.bucket.frames > 1]
    assert {n for b in clips[:4] for n in b.numbers} == set(range(8))
    for start in (0, 7):
        walked = both.from_step(start)
        assert all(same(a, b) for a, b in zip(itertools.islice(walked, 20), batches[start:], strict=False))
        walked.close()


def test_a_share_must_leave_room_for_clips(make_latents: Callable[..., ShardSet]) -> None:
    loader = Loader(train := make_latents(4), sizes=dict.fromkeys(train.buckets, 2), seed=0)
    for share in (-0.1, 1.0):
        with pytest.raises(InvalidInput, match="stills"):
            WithStills(loader, loader, share=share)


def test_resumed_equals_uninterrupted(make_latents: Callable[..., ShardSet], tmp_path: Path) -> None:
    train, validation = make_latents(8), make_latents(4, seed=1)
    straight = train_transformer(RECIPE, train, validation=validation, folder=tmp_path / "straight")
    stop = StopAt(4)
    with pytest.raises(Cancelled):
        train_transformer(
            RECIPE, train, validation=validation, folder=tmp_path / "resumed", observer=stop, cancel=stop.token
        )
    resumed = train_transformer(RECIPE, train, validation=validation, folder=tmp_path / "resumed")
    one, other = all_tensors(straight.checkpoint), all_tensors(resumed.checkpoint)
    assert {k for k in one if not torch.equal(one[k], other[k])} == set()
