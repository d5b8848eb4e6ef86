"""Batches and streams are the same clips by another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.progress import Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.media.read import read_video
from kinema.media.recipe import read_recipe
from kinema.media.write import write_video


def test_a_batch_equals_single_clips_up_to_rounding(
    engine: Engine, request_: GenerationRequest, picture_file: Path
) -> None:
    requests = [
        request_,
        request_.replace(prompt="a much longer prompt about a green cube that jumps over a lake at sunset", seed=11),
        request_.replace(camera="pan_left", motion=40, negative_prompt="dark", seed=2**40),
        request_.replace(keyframes=(Keyframe(MediaRef(str(picture_file))),)),
    ]
    clips = engine.generate_batch(requests)
    for request, clip in zip(requests, clips, strict=True):
        alone = engine.generate(request)
        assert np.abs(alone.frames.astype(int) - clip.frames.astype(int)).max() <= 1
        assert (clip.seed, clip.recipe["plan"]["batch"]) == (request.seed, 4)
    assert [c.recipe["batch_index"] for c in clips] == [0, 1, 2, 3]
    assert clips[0].metrics.total_seconds == pytest.approx(clips[3].metrics.total_seconds, rel=0.2)


def test_a_batch_gives_the_same_bits_again(engine: Engine, request_: GenerationRequest) -> None:
    requests = [request_, request_.replace(seed=8), request_.replace(seed=9)]
    first, second = ([c.digest for c in engine.generate_batch(requests)] for _ in range(2))
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.parametrize("change", [{"frames": 13}, {"size": "32x32"}, {"steps": 2}, {"guidance": 1.0}])
def test_a_batch_shares_its_shape(engine: Engine, request_: GenerationRequest, change: dict) -> None:
    with pytest.raises(InvalidInput, match="^requests: .*one within a batch"):
        engine.generate_batch([request_, request_.replace(**change)])
    with pytest.raises(InvalidInput, match="at least one"):
        engine.generate_batch([])


def test_events_of_a_batch_name_the_clip(engine: Engine, request_: GenerationRequest) -> None:
    seen: list[Progress] = []
    engine.generate_batch([request_, request_.replace(seed=8)], observer=seen.append)
    assert [e.sample for e in seen if e.phase == "decode" and e.step] == [0, 0, 0, 1, 1, 1]


def test_a_stream_is_the_clip_in_chunks(engine: Engine, request_: GenerationRequest) -> None:
    stream = engine.stream(request_)
    assert stream.shape.frames == 9
    chunks = list(stream)
    assert [len(c) for c in chunks] == [1, 4, 4]
    assert np.array_equal(np.concatenate(chunks), engine.generate(request_).frames)


def test_a_stream_can_be_written_as_it_comes(engine: Engine, request_: GenerationRequest, tmp_path: Path) -> None:
    stream = engine.stream(request_)
    path = tmp_path / "a.mp4"
    file = write_video(path, stream, fps=stream.shape.fps, recipe=stream.recipe)
    recipe = read_recipe(path)
    assert recipe is not None
    assert recipe["frames"] == file.frames_digest == engine.generate(request_).digest
    assert read_video(path).frames.shape == (9, 32, 48, 3)


def test_a_stream_that_is_left_holds_nobody_up(engine: Engine, request_: GenerationRequest) -> None:
    chunks = iter(engine.stream(request_))
    first = next(chunks)
    whole = engine.generate(request_)
    assert np.array_equal(first, whole.frames[:1])
    assert np.array_equal(next(chunks), whole.frames[1:5])
