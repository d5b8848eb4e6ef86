from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers.guiders.classifier_free_zero_star_guidance import cfg_zero_star_scale
from diffusers.pipelines.ltx.pipeline_ltx_image2video import rescale_noise_cfg
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.plan import GUIDANCE_MODES
from kinema.flow.guidance import (
    Condition,
    Guidance,
    cfg_zero_star,
    classifier_free,
    guided,
    join_conditions,
    rescaled,
    step_of,
    zero_star_scale,
)
from kinema.flow.noise import noise
from kinema.flow.sample import sample
from kinema.flow.schedules import linear

SHAPE = (2, 3, 5, 7)
COND: Condition = {"text": torch.full((2, 3), 0.7), "known": None}
WRONG: Any = "both"
UNCOND: Condition = {"text": torch.full((2, 3), -0.2), "known": None}


class Denoiser:
    """A network that counts how often and with how many samples it is asked."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        self.batches.append(len(x))
        text = condition["text"]
        assert text is not None
        assert condition["known"] is None
        push = text.mean(1)[:, None, None, None, None]
        level = sigma[:, None, None, None, None] if sigma.ndim == 1 else sigma[:, None, :, None, None]
        return torch.sin(x) * push + level


def test_scale_one_is_the_condition_to_the_bit_and_zero_is_none_of_it() -> None:
    cond, uncond = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    assert torch.equal(classifier_free(cond, uncond, 1.0), cond)
    torch.testing.assert_close(classifier_free(cond, uncond, 0.0), uncond)
    torch.testing.assert_close(classifier_free(cond, uncond, 6.0), uncond + 6 * (cond - uncond))
    assert classifier_free(cond.bfloat16(), uncond.bfloat16(), 3.0).dtype == torch.float32


def test_each_sample_may_have_its_own_scale() -> None:
    cond, uncond = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    both = classifier_free(cond, uncond, torch.tensor([1.0, 4.0]))
    assert torch.equal(both[0], cond[0])
    torch.testing.assert_close(both[1:], classifier_free(cond[1:], uncond[1:], 4.0))


@pytest.mark.parametrize("scale", [3.0, torch.tensor([2.0, 7.0])])
def test_rescaled_guidance_is_the_reference_s(scale: float | torch.Tensor) -> None:
    cond, uncond = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    plain = classifier_free(cond, uncond, scale)
    for share in (0.3, 0.7, 1.0):
        actual = rescaled(cond, uncond, scale, share=share)
        torch.testing.assert_close(actual, rescale_noise_cfg(plain, cond, guidance_rescale=share))
    whole = rescaled(cond, uncond, scale, share=1.0)
    torch.testing.assert_close(whole.flatten(1).std(1), cond.flatten(1).std(1))
    assert not torch.allclose(plain.flatten(1).std(1), cond.flatten(1).std(1), rtol=0.1)
    x, sigma, levels = torch.randn(2, *SHAPE), torch.rand(2), torch.linspace(1, 0, 5)
    if isinstance(scale, float):
        predict = Guidance(scale=scale, rescale=0.7).predictor(Denoiser(), cond=COND, uncond=UNCOND, sigmas=levels)
        both = [Denoiser()(x, sigma, c) for c in (COND, UNCOND)]
        assert torch.equal(predict(x, sigma), rescaled(both[0], both[1], scale, share=0.7))


@pytest.mark.parametrize("wrong", [{"rescale": 1.1}, {"rescale": -0.1}, {"rescale": 0.5, "method": "cfg_zero_star"}])
def test_rescaling_that_can_not_be_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="^rescale: "):
        Guidance(**wrong)


def test_zero_star_scale_is_the_nearest_multiple() -> None:
    cond, uncond = torch.randn(3, *SHAPE), torch.randn(3, *SHAPE)
    best = zero_star_scale(cond, uncond)
    for i in range(3):
        for nudge in (-0.01, 0.01):
            near, far = (((cond[i] - f * uncond[i]) ** 2).sum() for f in (best[i], best[i] + nudge))
            assert near < far
    expected = cfg_zero_star_scale(cond.flatten(1), uncond.flatten(1))[:, 0]
    torch.testing.assert_close(best, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(zero_star_scale(3 * uncond, uncond), torch.full((3,), 3.0))
    assert zero_star_scale(cond, torch.zeros_like(cond)).tolist() == [0, 0, 0]


def test_cfg_zero_star_follows_the_paper() -> None:
    cond, uncond = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    st = zero_star_scale(cond, uncond).view(-1, 1, 1, 1, 1)
    expected = st * uncond + 5 * (cond - st * uncond)
    torch.testing.assert_close(cfg_zero_star(cond, uncond, 5.0, step=1), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(cfg_zero_star(cond, uncond, 1.0, step=1), cond)
    for step in range(3):
        is_still = not cfg_zero_star(cond, uncond, 5.0, step=step, zero_steps=2).any()
        assert is_still == (step < 2)
    # where both agree up to a factor, guidance has nothing to add
    torch.testing.assert_close(cfg_zero_star(2.5 * uncond, uncond, 7.0, step=1), 2.5 * uncond)


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("method", ["classifier_free", "cfg_zero_star"])
def test_batched_and_split_are_equal(method: str, per_frame: bool) -> None:
    x, sigma = torch.randn(2, *SHAPE), torch.rand(2, 3) if per_frame else torch.rand(2)
    combine = {"classifier_free": classifier_free, "cfg_zero_star": lambda c, u, s: cfg_zero_star(c, u, s, step=1)}[
        method
    ]
    results, batches = [], []
    for mode in ("batched", "split"):
        denoiser = Denoiser()
        results.append(guided(denoiser, x, sigma, cond=COND, uncond=UNCOND, scale=4.0, mode=mode, combine=combine))
        batches.append(denoiser.batches)
    assert torch.equal(*results)
    assert batches == [[4], [2, 2]]
    denoiser = Denoiser()
    expected = combine(denoiser(x, sigma, COND), denoiser(x, sigma, UNCOND), 4.0)
    assert torch.equal(results[0], expected)


def test_conditions_join_with_the_conditional_half_first() -> None:
    joined = join_conditions({"a": torch.zeros(2, 3), "b": None}, {"a": torch.ones(2, 3)})
    assert joined["b"] is None
    assert joined["a"] is not None
    assert joined["a"][:, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("other", [None, torch.ones(2, 5)])
def test_conditions_that_do_not_join_are_named(other: Tensor | None) -> None:
    with pytest.raises(InvalidInput, match="text.*pad both to one shape, or use mode split"):
        join_conditions({"text": torch.zeros(2, 3)}, {"text": other})


def run(guidance: Guidance, denoiser: Denoiser, uncond: Condition | None = UNCOND, **options) -> Tensor:
    sigmas = linear(5, shift=3)
    predict = guidance.predictor(denoiser, cond=COND, uncond=uncond, sigmas=sigmas)
    return sample(predict, options.pop("start", noise(SHAPE, seeds=(1, 2))), sigmas, **options)


@pytest.mark.parametrize(
    "guidance", [Guidance(), Guidance(scale=5.0, mode="off"), Guidance(method="cfg_zero_star")], ids=str
)
def test_without_guidance_the_condition_alone_is_asked_for(guidance: Guidance) -> None:
    denoiser = Denoiser()
    end = run(guidance, denoiser, uncond=None)
    assert not guidance.is_on
    assert denoiser.batches == [2] * 5
    assert torch.equal(end, sample(lambda x, s: Denoiser()(x, s, COND), noise(SHAPE, seeds=(1, 2)), linear(5, shift=3)))


@pytest.mark.parametrize("method", ["classifier_free", "cfg_zero_star"])
def test_guided_samples_are_equal_batched_and_split(method) -> None:
    batched, split = (run(Guidance(scale=4.0, method=method, mode=m), Denoiser()) for m in ("batched", "split"))
    assert torch.equal(batched, split)
    assert not torch.equal(batched, run(Guidance(scale=3.0, method=method), Denoiser()))


def test_a_predictor_guides_by_its_method() -> None:
    x, sigmas, denoiser = noise(SHAPE, seeds=(1, 2)), linear(5), Denoiser()
    level = sigmas[2].expand(2)
    cond, uncond = denoiser(x, level, COND), denoiser(x, level, UNCOND)
    for guidance, expected in (
        (Guidance(scale=4.0), classifier_free(cond, uncond, 4.0)),
        (Guidance(scale=4.0, method="cfg_zero_star"), cfg_zero_star(cond, uncond, 4.0, step=2)),
    ):
        said = guidance.predictor(denoiser, cond=COND, uncond=UNCOND, sigmas=sigmas)(x, level)
        assert torch.equal(said, expected), guidance.method


@pytest.mark.parametrize("zero_steps", [0, 1, 3])
def test_zero_steps_stand_still_and_ask_nobody(zero_steps: int) -> None:
    denoiser, seen = Denoiser(), [noise(SHAPE, seeds=(1, 2))]
    guidance = Guidance(scale=4.0, method="cfg_zero_star", zero_steps=zero_steps)
    end = run(guidance, denoiser, on_step=lambda i, x, x0: seen.append(x))
    assert [torch.equal(a, b) for a, b in pairwise(seen)] == [i < zero_steps for i in range(5)]
    assert denoiser.batches == [4] * (5 - zero_steps)
    # a resumed run knows by the level which step it is at
    for done in range(5):
        assert torch.equal(run(guidance, Denoiser(), start=seen[done], start_step=done), end)


def test_zero_steps_with_frozen_frames() -> None:
    seen: list[Tensor] = []
    frozen = torch.tensor([True, False, False]).view(1, 1, 3, 1, 1).expand(2, -1, -1, -1, -1)
    guidance = Guidance(scale=4.0, method="cfg_zero_star", zero_steps=2)
    run(guidance, Denoiser(), frozen=frozen, known=torch.ones(2, *SHAPE), on_step=lambda i, x, x0: seen.append(x))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_step_of() -> None:
    sigmas = linear(7, shift=5)
    assert [step_of(sigmas, s.expand(2)) for s in sigmas] == list(range(8))
    assert step_of(sigmas.expand(2, -1), sigmas[3].expand(2)) == 3
    assert step_of(sigmas, torch.stack([torch.zeros(3), sigmas[4].expand(3)], 1)) == 4


def test_modes_are_those_of_a_plan() -> None:
    for mode in GUIDANCE_MODES:
        assert Guidance(mode=mode).mode == mode


@pytest.mark.parametrize(
    "field,make",
    [
        ("scale", lambda: Guidance(scale=-1)),
        ("scale", lambda: Guidance(scale=float("nan"))),
        ("method", lambda: Guidance(method=WRONG)),
        ("mode", lambda: Guidance(mode=WRONG)),
        ("zero_steps", lambda: Guidance(zero_steps=-1)),
        ("uncond", lambda: run(Guidance(scale=2), Denoiser(), uncond=None)),
        (
            "mode",
            lambda: guided(
                Denoiser(), torch.ones(1, 3), torch.ones(1), cond=COND, uncond=UNCOND, scale=2.0, mode="off"
            ),
        ),
    ],
)
def test_bad_input_is_named(field: str, make) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()
    assert caught.value.field == field
