"""Several requests denoised at once, each with the bits that it has alone; or else not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.families.kinema import Kinema
from kinema.engine.meter import Meter
from kinema.engine.state import GenerationState
from kinema.flow.guidance import Guidance
from kinema.flow.noise import noise
from kinema.flow.sample import walk
from kinema.flow.steppers import STEPPERS, State

States = list[list[GenerationState]]
WORDS = ("a red ball rolls", "a much longer prompt about a green cube that jumps over a lake at sunset", "雪地里")


@pytest.fixture
def requests() -> list[GenerationRequest]:
    return [GenerationRequest(prompt=words, seed=i, steps=5, guidance=2.0) for i, words in enumerate(WORDS)]


def patch_denoiser(monkeypatch: pytest.MonkeyPatch, change: Callable[[Callable[..., Tensor], Any], Tensor]) -> None:
    """Puts ``change(denoise, (model, x, sigma, condition))`` in the place of the tiny model's denoiser."""
    original = Kinema._denoise
    monkeypatch.setattr(Kinema, "_denoise", lambda *given: change(original, given))


def row_by_row(denoise: Callable[..., Tensor], given: Any) -> Tensor:
    """Exact on every machine, whatever its kernels do."""
    model, x, sigma, condition = given
    rows = [slice(i, i + 1) for i in range(len(x))]
    return torch.cat(
        [denoise(model, x[r], sigma[r], {k: None if v is None else v[r] for k, v in condition.items()}) for r in rows]
    )


def together(engine: Engine, requests: Sequence[GenerationRequest], **more: Any) -> tuple[bool, States]:
    """(whether they were denoised together, the states that were told)."""
    told: States = []
    done = engine.denoise_together(requests, on_states=lambda states: told.append(list(states)), **more)
    return done, told


def states_of(engine: Engine, request: GenerationRequest) -> tuple[str, list[GenerationState]]:
    """(digest, states) of the run alone."""
    states: list[GenerationState] = []
    return engine.generate(request, on_state=states.append).digest, states


def assert_same(one: GenerationState, other: GenerationState) -> None:
    assert (one.request, one.plan, one.model_hash, one.step) == (
        other.request,
        other.plan,
        other.model_hash,
        other.step,
    )
    assert torch.equal(one.latents, other.latents)
    assert all(torch.equal(a, b) for a, b in zip(one.memory, other.memory, strict=True))


@pytest.mark.parametrize("stepper", sorted(STEPPERS))
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_a_steppers_arithmetic_is_the_same_in_every_row(stepper: str, steps: int) -> None:
    levels = torch.linspace(1, 0, steps + 1)
    sigmas, start = 3 * levels / (1 + 2 * levels), noise((2, 5, 3, 7), seeds=[1, 2, 3])

    def states(x: Tensor) -> list[State]:
        return list(walk(lambda x, sigma: 0.3 * x + x**3, State(step=0, x=x), sigmas, stepper=stepper))

    joint = states(start)
    for row in range(3):
        for alone, all_ in zip(states(start[row : row + 1]), joint, strict=True):
            for mine, theirs in zip((alone.x, *alone.memory), (all_.x, *all_.memory), strict=True):
                assert torch.equal(mine, theirs[row : row + 1])


@pytest.mark.parametrize("stepper", ["euler", "unipc"])
def test_every_state_is_the_one_that_it_would_be_alone(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch, stepper: str
) -> None:
    from kinema.engine.families import kinema as family

    find = family.find_stepper
    monkeypatch.setattr(family, "find_stepper", lambda name: find(stepper))
    patch_denoiser(monkeypatch, row_by_row)
    engine = Engine(tiny, dtype="float32", threads=1)
    done, told = together(engine, requests)
    assert done
    assert [states[0].step for states in told] == [1, 2, 3, 4, 5]
    for row, request in enumerate(requests):
        digest, alone = states_of(engine, request)
        for states, mine in zip(told, alone, strict=True):
            assert_same(states[row], mine)
        clip = engine.generate(told[-1][row].request, resume=told[-1][row])
        assert clip.digest == digest
        assert clip.recipe["plan"]["batch"] == 1, "it is made again alone"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_help_it_is_exact_or_not_done(tiny: Path, requests: list[GenerationRequest], dtype: str) -> None:
    """What this machine's kernels do decides which; a tiny model in fp32 is where some sum in another order."""
    engine = Engine(tiny, dtype=dtype, threads=1)
    done, told = together(engine, requests)
    assert done == bool(told)
    for row, request in enumerate(requests):
        for states, mine in zip(told, states_of(engine, request)[1], strict=False):
            assert_same(states[row], mine)


@pytest.mark.parametrize("row", [0, 2])
def test_one_bit_of_one_row_is_enough_to_leave_it(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch, row: int
) -> None:
    def off_by_one(denoise: Callable[..., Tensor], given: Any) -> Tensor:
        said = row_by_row(denoise, given)
        if len(said) > 2:
            said[row, 0, -1, 1, 2] = torch.nextafter(said[row, 0, -1, 1, 2], torch.tensor(torch.inf))
        return said

    patch_denoiser(monkeypatch, off_by_one)
    engine = Engine(tiny, dtype="float32", threads=1)
    # guidance would ask for both prompts at once, and be of another size alone too
    unguided = [r.replace(guidance=1.0) for r in requests]
    assert together(engine, unguided) == (False, [])
    assert together(engine, unguided[:2])[0], "of another size it holds"


def test_steps_that_ask_no_network_prove_nothing(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinema.engine.families import kinema as family

    def other_when_many(denoise: Callable[..., Tensor], given: Any) -> Tensor:
        said = row_by_row(denoise, given)
        return said + 1e-6 * (len(said) > 2)

    patch_denoiser(monkeypatch, other_when_many)
    # the first step stands still
    monkeypatch.setattr(family, "Guidance", lambda **given: Guidance(**{**given, "method": "cfg_zero_star"}))
    assert together(Engine(tiny, dtype="float32", threads=1), requests) == (False, [])


@pytest.mark.parametrize("change", [{"guidance": 3.0}, {"steps": 4}])
def test_of_another_guidance_or_number_of_steps_it_is_tried_anew(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """Two networks share the steps by their number, and each may be guided or not."""
    patch_denoiser(monkeypatch, row_by_row)
    engine = Engine(tiny, dtype="float32", threads=1)
    assert together(engine, requests)[0]
    patch_denoiser(monkeypatch, lambda denoise, given: denoise(*given) + 1e-6 * (len(given[1]) > 2))
    assert together(engine, [r.replace(seed=9) for r in requests])[0], "known already"
    assert together(engine, [r.replace(**change) for r in requests]) == (False, [])


def test_a_kind_of_batch_is_tried_once(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch, picture_file: Path
) -> None:
    calls: list[int] = []

    def counted(denoise: Callable[..., Tensor], given: Any) -> Tensor:
        calls.append(len(given[1]))
        return row_by_row(denoise, given)

    patch_denoiser(monkeypatch, counted)
    engine = Engine(tiny, dtype="float32", threads=1)
    together(engine, requests)
    # prompt and negative prompt are one batch
    assert calls == [6, 6, *[2] * 6, *[6] * 5]
    calls.clear()
    together(engine, [r.replace(seed=9) for r in requests])
    assert calls == [6] * 5
    calls.clear()
    pictured = [r.replace(keyframes=(Keyframe(MediaRef(str(picture_file))),)) for r in requests]
    done, told = together(engine, pictured)
    assert calls == [6, 6, *[2] * 6, *[6] * 5], "with pictures it is another kind"
    assert done
    assert_same(told[-1][1], states_of(engine, pictured[1])[1][-1])


def test_those_that_stay_go_on_from_where_another_left(
    tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_denoiser(monkeypatch, row_by_row)
    engine, told = Engine(tiny, dtype="float32", threads=1), []

    def leave(states: Sequence[GenerationState]) -> None:
        told.append(states)
        if states[0].step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.denoise_together(requests, on_states=leave)
    stay = told[-1][1:]
    done, after = together(engine, [s.request for s in stay], resume=stay)
    assert done
    assert [states[0].step for states in after] == [3, 4, 5]
    for row, request in enumerate(requests[1:]):
        assert_same(after[-1][row], states_of(engine, request)[1][-1])
    fresh = Engine(tiny, dtype="float32", threads=1)
    assert together(fresh, [s.request for s in stay], resume=after[-1]) == (True, []), "after the last step no trial"
    with pytest.raises(InvalidInput, match="resume: .*one number of steps"):
        together(engine, [s.request for s in stay], resume=[stay[0], after[0][1]])
    with pytest.raises(InvalidInput, match="resume: .*another request"):
        together(engine, [s.request for s in stay], resume=stay[::-1])


def test_other_shapes_and_a_plan_without_room_are_left(tiny: Path, requests: list[GenerationRequest]) -> None:
    engine = Engine(tiny, dtype="float32", threads=1)
    assert together(engine, [requests[0], requests[1].replace(frames=5)]) == (False, [])
    assert together(engine, [requests[0], requests[1].replace(guidance=3.0)]) == (False, [])
    plan, many = engine.plan(requests[0]), requests[:1] * 500
    needs = [engine.estimate(requests[0], plan=replace(plan, batch=number)).peak_bytes for number in (1, len(many))]
    assert needs[0] < needs[1]
    tight = Engine(tiny, dtype="float32", threads=1, offload="none", memory_limit_gb=sum(needs) / 2e9)
    assert together(tight, many) == (False, [])


def test_what_it_cost_is_shared(tiny: Path, requests: list[GenerationRequest], monkeypatch: pytest.MonkeyPatch) -> None:
    patch_denoiser(monkeypatch, row_by_row)
    engine, meter = Engine(tiny, dtype="float32", threads=1), Meter()
    _, told = together(engine, requests, meter=meter)
    whole, spent = meter.metrics(flops=0.0), meter.metrics(flops=0.0, share=3)
    assert whole.seconds["denoise"] > 0
    assert spent.seconds["denoise"] == pytest.approx(whole.seconds["denoise"] / 3)
    clip = engine.generate(told[-1][0].request, resume=told[-1][0], spent=spent)
    cost = clip.recipe["cost"]
    assert (clip.metrics.seconds["denoise"], cost["shared_by"]) == (spent.seconds["denoise"], 3)
    assert clip.metrics.seconds["decode"] > 0
    assert "shared_by" not in engine.generate(requests[0]).recipe["cost"]
