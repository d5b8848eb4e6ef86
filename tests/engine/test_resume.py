"""A generation goes on from any of its steps, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.progress import Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.state import GenerationState
from tests.engine.conftest import save_tiny


def states_of(engine: Engine, request: GenerationRequest, every: int = 1) -> tuple[str, list[GenerationState]]:
    """(digest of the uninterrupted clip, its states)."""
    states: list[GenerationState] = []
    clip = engine.generate(request, on_state=states.append, every=every)
    return clip.digest, states


@pytest.mark.parametrize("with_picture", [False, True])
def test_a_resumed_run_ends_with_the_same_bits(
    engine: Engine, request_: GenerationRequest, picture_file: Path, with_picture: bool
) -> None:
    keyframes = (Keyframe(MediaRef(str(picture_file))),) if with_picture else ()
    request = request_.replace(steps=5, keyframes=keyframes)
    digest, states = states_of(engine, request)
    assert [s.step for s in states] == [1, 2, 3, 4, 5], "after the last, too: the decode may fail"
    for state in states:
        assert engine.generate(state.request, resume=state).digest == digest


def test_a_resumed_run_counts_on(engine: Engine, request_: GenerationRequest) -> None:
    _, states = states_of(engine, request_.replace(steps=5), every=2)
    assert [s.step for s in states] == [2, 4, 5]
    seen: list[Progress] = []
    engine.generate(states[0].request, resume=states[0], observer=seen.append)
    assert [(e.step, e.steps) for e in seen if e.phase == "denoise"] == [(2, 5), (3, 5), (4, 5), (5, 5)]


def test_where_steps_are_left_out_states_come_where_the_next_is_computed(
    tiny: Path, engine: Engine, request_: GenerationRequest, tmp_path: Path
) -> None:
    bold = Engine(tiny, dtype="float32", threads=1, cache_level=2, cache=tmp_path / "machine.json")
    request = request_.replace(steps=9)  # of which 0, 1, 2, 5 and 8 are computed
    digest, states = states_of(bold, request)
    assert [s.step for s in states] == [1, 2, 5, 8, 9]
    assert digest != engine.generate(request).digest
    for state in states:
        assert bold.generate(state.request, resume=state).digest == digest
    assert [s.step for s in states_of(bold, request, every=3)[1]] == [5, 8, 9]
    assert [s.step for s in states_of(bold, request, every=6)[1]] == [8, 9]
    assert bold.plan(request).cache_level == 2
    with pytest.raises(InvalidInput, match="another plan"):
        engine.generate(states[0].request, resume=states[0], plan=engine.plan(request))


def test_states_are_copies(engine: Engine, request_: GenerationRequest) -> None:
    _, states = states_of(engine, request_)
    assert not torch.equal(states[0].latents, states[1].latents)
    assert states[0].latents.shape == (1, 5, 3, 4, 6)


def test_a_state_of_something_else_is_refused(
    engine: Engine, request_: GenerationRequest, tmp_path: Path, tiny_card: ModelCard
) -> None:
    _, (state, *_) = states_of(engine, request_)
    with pytest.raises(InvalidInput, match=r"^resume: \['seed', 'steps'\].*another request"):
        engine.generate(request_.replace(seed=8, steps=9), resume=state)
    with pytest.raises(InvalidInput, match="another plan"):
        engine.generate(state.request, resume=state, plan=replace(state.plan, guidance_mode="split"))
    other = Engine(save_tiny(tmp_path / "tiny", tiny_card, seed=5), dtype="float32", threads=1)
    with pytest.raises(InvalidInput, match="other weights"):
        other.generate(state.request, resume=state)
    with pytest.raises(InvalidInput, match="^every: 0"):
        engine.generate(request_, on_state=lambda _: None, every=0)
