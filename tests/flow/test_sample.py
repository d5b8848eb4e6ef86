from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.core.errors import Cancelled, InvalidInput
from kinema.flow.noise import noise
from kinema.flow.paths import VariancePreserving
from kinema.flow.sample import sample, walk
from kinema.flow.schedules import linear
from kinema.flow.steppers import Ddim, Euler, Heun, State, Stepper, UniPC

SHAPE = (2, 5, 3, 7)
ARC = VariancePreserving(offset=0.0)
OTHERS = [Ddim(eta=0.6, seeds=(1, 2, 3)), Heun(path=ARC, prediction="v"), Euler(prediction="x0")]
WITHOUT_MEMORY = ["euler", "heun", "ddim", *OTHERS]
EVERY_STEPPER = [*WITHOUT_MEMORY, "unipc", UniPC(path=ARC, prediction="v")]


def network(x: Tensor, sigma: Tensor) -> Tensor:
    """Something smooth that treats every sample alone."""
    level = sigma[:, None, None, None, None] if sigma.ndim == 1 else sigma[:, None, :, None, None]
    return torch.sin(2 * x) + 0.5 * x.roll(1, -1) - level


@pytest.mark.parametrize("stepper", WITHOUT_MEMORY, ids=str)
@pytest.mark.parametrize("start_step", [1, 4, 6])
def test_going_on_from_a_step_gives_the_same_bits(stepper: str | Stepper, start_step: int) -> None:
    seen: dict[int, Tensor] = {}
    sigmas = linear(6, shift=3)
    whole = sample(
        network,
        noise(SHAPE, seeds=(1, 2, 3)),
        sigmas,
        stepper=stepper,
        on_step=lambda i, x, _: seen.update({i: x.clone()}),
    )
    assert list(seen) == [1, 2, 3, 4, 5, 6]
    assert torch.equal(seen[6], whole)
    assert torch.equal(sample(network, seen[start_step], sigmas, stepper=stepper, start_step=start_step), whole)
    other = sample(network, seen[start_step], sigmas, stepper=stepper, start_step=start_step - 1)
    assert not torch.equal(other, whole)


@pytest.mark.parametrize("stepper", EVERY_STEPPER, ids=str)
@pytest.mark.parametrize("is_frozen", [False, True])
def test_going_on_from_a_state_gives_the_same_bits(stepper: str | Stepper, is_frozen: bool) -> None:
    held: Any = {"frozen": FROZEN, "known": torch.randn(3, *SHAPE)} if is_frozen else {}
    sigmas, start = linear(6, shift=3), State(step=0, x=noise(SHAPE, seeds=(1, 2, 3)))
    states = list(walk(network, start, sigmas, stepper=stepper, **held))
    assert [s.step for s in states] == [0, 1, 2, 3, 4, 5, 6]
    assert torch.equal(states[-1].x, sample(network, start.x, sigmas, stepper=stepper, **held))
    for state in states:
        *_, last = walk(network, state, sigmas, stepper=stepper, **held)
        assert (last.step, torch.equal(last.x, states[-1].x)) == (6, True)


def test_a_memory_is_not_lost_in_silence() -> None:
    sigmas, start = linear(6), State(step=0, x=noise(SHAPE, seeds=(1, 2, 3)))
    states = list(walk(network, start, sigmas, stepper="unipc"))
    with pytest.raises(InvalidInput, match="start_step.*State"):
        sample(network, states[3].x, sigmas, stepper="unipc", start_step=3)
    # without its memory a state is a start like any other, and what follows differs
    *_, forgetful = walk(network, State(step=3, x=states[3].x), sigmas, stepper="unipc")
    assert not torch.equal(forgetful.x, states[-1].x)
    torch.testing.assert_close(forgetful.x, states[-1].x, rtol=0, atol=0.5)


def test_levels_that_repeat_change_nothing() -> None:
    start, sigmas = noise(SHAPE, seeds=(1, 2, 3)), linear(5, shift=2)
    twice = torch.cat([sigmas[:3], sigmas[2:], torch.zeros(1)])
    for stepper in ("euler", "heun"):
        end = sample(network, start, twice, stepper=stepper)
        assert torch.equal(end, sample(network, start, sigmas, stepper=stepper))
    # UniPC forgets how x0 changed before the repetition
    assert sample(network, start, twice, stepper="unipc").isfinite().all()


@pytest.mark.parametrize("stepper", ["euler", "heun", "ddim", "unipc"])
def test_a_sample_is_the_same_alone_and_in_a_batch(stepper: str) -> None:
    batch = sample(network, noise(SHAPE, seeds=(1, 2, 3)), linear(5), stepper=stepper)
    for i, seed in enumerate((1, 2, 3)):
        assert torch.equal(sample(network, noise(SHAPE, seeds=[seed]), linear(5), stepper=stepper)[0], batch[i])


def test_each_sample_may_have_its_own_levels() -> None:
    start, rows = noise(SHAPE, seeds=(1, 2, 3)), torch.stack([linear(5, shift=s) for s in (1.0, 3.0, 7.0)])
    batch = sample(network, start, rows)
    for i in range(3):
        assert torch.equal(sample(network, start[i : i + 1], rows[i])[0], batch[i])


def test_the_network_is_told_levels_a_sample_in_order() -> None:
    told: list[Tensor] = []

    def listen(x: Tensor, sigma: Tensor) -> Tensor:
        assert x.dtype == sigma.dtype == torch.float32
        told.append(sigma)
        return x

    sample(listen, noise(SHAPE, seeds=(1, 2, 3), dtype=torch.bfloat16), linear(4).double())
    assert torch.equal(torch.stack(told), linear(4)[:4, None].expand(4, 3))


def test_a_half_precision_network_leaves_the_state_in_fp32() -> None:
    end = sample(lambda x, s: network(x, s).bfloat16(), noise(SHAPE, seeds=[1]), linear(3))
    assert end.dtype == torch.float32
    assert not torch.equal(end, end.bfloat16().float())


def test_on_step_gets_the_estimate_of_x0() -> None:
    data = torch.randn(3, *SHAPE)
    estimates: list[Tensor] = []
    sample(
        lambda x, s: (x - data) / s.view(-1, 1, 1, 1, 1),
        noise(SHAPE, seeds=(1, 2, 3)),
        linear(4),
        on_step=lambda i, x, x0: estimates.append(x0),
    )
    assert len(estimates) == 4
    for x0 in estimates:
        torch.testing.assert_close(x0, data, atol=1e-5, rtol=0)


def test_a_step_may_cancel() -> None:
    steps: list[int] = []

    def stop(step: int, x: Tensor, x0: Tensor) -> None:
        steps.append(step)
        if step == 2:
            raise Cancelled("cancelled during denoise")

    with pytest.raises(Cancelled, match="denoise"):
        sample(network, noise(SHAPE, seeds=[1]), linear(9), on_step=stop)
    assert steps == [1, 2]


def test_the_start_is_not_written_to() -> None:
    start, known = noise(SHAPE, seeds=[1]), torch.ones(1, *SHAPE)
    frozen = torch.tensor([True, False, False, False, False]).view(1, 1, 5, 1, 1)
    before = start.clone()
    sample(network, start, linear(3), frozen=frozen, known=known)
    assert torch.equal(start, before)
    assert torch.equal(known, torch.ones(1, *SHAPE))


FROZEN = torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 1, 1]]).bool().view(3, 1, 5, 1, 1)


@pytest.mark.parametrize("stepper", EVERY_STEPPER, ids=str)
def test_known_frames_stay_clean_at_every_step(stepper: str | Stepper) -> None:
    known = torch.randn(3, *SHAPE)
    seen: list[tuple[Tensor, Tensor]] = []

    def listen(x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (3, 5)
        assert ((sigma == 0) == FROZEN.view(3, 5)).all()
        assert torch.equal(x[FROZEN.expand_as(x)], known[FROZEN.expand_as(x)])
        return network(x, sigma)

    end = sample(
        listen,
        noise(SHAPE, seeds=(1, 2, 3)),
        linear(5),
        stepper=stepper,
        frozen=FROZEN,
        known=known,
        on_step=lambda i, x, x0: seen.append((x, x0)),
    )
    for x in (end, *(t for pair in seen for t in pair)):
        assert torch.equal(x[FROZEN.expand_as(x)], known[FROZEN.expand_as(x)])
        assert x.isfinite().all()
    # the others move as they do without: this network looks at one frame at a time
    free = sample(network, noise(SHAPE, seeds=(1, 2, 3)), linear(5), stepper=stepper)
    loose = ~FROZEN.expand_as(end)
    torch.testing.assert_close(end[loose], free[loose], rtol=1e-5, atol=1e-5)


def test_what_is_not_known_is_not_read() -> None:
    known = torch.randn(3, *SHAPE).masked_fill(~FROZEN, float("nan"))
    assert sample(network, noise(SHAPE, seeds=(1, 2, 3)), linear(3), frozen=FROZEN, known=known).isfinite().all()


def test_known_frames_reach_the_others() -> None:
    """A network that says: every frame is what the first one is."""

    def copy_first(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma[:, None, :, None, None].clamp_min(1e-6)
        return (x - x[:, :, :1]) / level

    known, frozen = torch.randn(3, *SHAPE), torch.arange(5).eq(0).view(1, 1, 5, 1, 1).expand(3, -1, -1, -1, -1)
    end = sample(copy_first, noise(SHAPE, seeds=(1, 2, 3)), linear(4), frozen=frozen, known=known)
    torch.testing.assert_close(end, known[:, :, :1].expand_as(end), rtol=0, atol=1e-5)


def test_frozen_levels_resume_to_the_same_bits() -> None:
    known, seen = torch.randn(3, *SHAPE), {}
    run = {"sigmas": linear(5), "stepper": "heun", "frozen": FROZEN, "known": known}
    whole = sample(network, noise(SHAPE, seeds=(1, 2, 3)), **run, on_step=lambda i, x, _: seen.update({i: x}))
    assert torch.equal(sample(network, seen[3], **run, start_step=3), whole)


def test_gradients_flow_through_for_those_who_want_them() -> None:
    gain = torch.tensor(1.0, requires_grad=True)
    sample(lambda x, s: gain * x, noise(SHAPE, seeds=[1]), linear(3)).sum().backward()
    assert gain.grad is not None
    known, grad = torch.randn(1, *SHAPE), torch.tensor(1.0, requires_grad=True)
    held: Any = {"frozen": FROZEN[:1], "known": known}
    sample(
        lambda x, s: grad * network(x, s), noise(SHAPE, seeds=[1]), linear(4), stepper="unipc", **held
    ).sum().backward()
    assert grad.grad is not None
    assert grad.grad.isfinite()
    with torch.inference_mode():
        assert not sample(lambda x, s: gain * x, noise(SHAPE, seeds=[1]), linear(3)).requires_grad


@pytest.mark.parametrize(
    "field,changes",
    [
        ("stepper", {"stepper": "leapfrog"}),
        ("sigmas", {"sigmas": torch.tensor([1.0])}),
        ("sigmas", {"sigmas": torch.tensor([0.0, 0.5, 1.0])}),
        ("sigmas", {"sigmas": torch.tensor([1.5, 0.5, 0.0])}),
        ("sigmas", {"sigmas": torch.tensor([1.0, float("nan"), 0.0])}),
        ("sigmas", {"sigmas": linear(5).expand(2, -1)}),
        ("start_step", {"start_step": 6}),
        ("start_step", {"start_step": -1}),
        ("known", {"frozen": FROZEN}),
        ("known", {"known": torch.zeros(3, *SHAPE)}),
    ],
)
def test_bad_input_is_named(field: str, changes: dict) -> None:
    with pytest.raises(InvalidInput) as caught:
        sample(network, noise(SHAPE, seeds=(1, 2, 3)), **{"sigmas": linear(5), **changes})
    assert caught.value.field == field
