from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.core.jobs import JobState, can_move, move

FINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}
states = st.sampled_from(list(JobState))


def reachable(state: JobState) -> set[JobState]:
    seen, new = set(), {state}
    while new:
        seen |= new
        new = {b for a in new for b in JobState if can_move(a, b)} - seen
    return seen


def test_the_final_states() -> None:
    assert {s for s in JobState if s.is_final} == FINAL


@given(state=states)
def test_every_state_can_end_and_ends_for_good(state: JobState) -> None:
    if state.is_final:
        assert reachable(state) - {state} <= {JobState.EXPIRED}
    else:
        assert reachable(state) >= {JobState.FAILED, JobState.CANCELED, JobState.SUCCEEDED}
    assert not can_move(state, state)


def test_every_state_comes_from_the_queue() -> None:
    assert reachable(JobState.QUEUED) == set(JobState)


def test_only_a_success_has_files_that_expire_once_it_ran() -> None:
    assert {s for s in JobState if can_move(s, JobState.EXPIRED)} == {JobState.QUEUED, JobState.SUCCEEDED}


@given(old=states, new=states)
def test_moving(old: JobState, new: JobState) -> None:
    if can_move(old, new):
        assert move(old, new) is new
        return
    with pytest.raises(InvalidInput) as caught:
        move(old, new)
    assert caught.value.field == "state"
    for state in JobState:
        if can_move(old, state):
            assert state.value in caught.value.rule


def test_states_are_their_names_on_the_wire() -> None:
    assert JobState("queued") is JobState.QUEUED
    assert JobState.CANCELING == "canceling"
