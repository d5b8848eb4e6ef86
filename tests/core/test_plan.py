from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.errors import InvalidInput
from kinema.core.geometry import VideoShape
from kinema.core.plan import DECODES, DEVICES, DTYPES, GUIDANCE_MODES, LORA_MODES, RunPlan, estimate
from tests.core.cards import CARD

plans = st.builds(
    RunPlan,
    dtype=st.sampled_from(DTYPES),
    vae_dtype=st.sampled_from(DTYPES),
    batch=st.integers(1, 99),
    guidance_mode=st.sampled_from(GUIDANCE_MODES),
    compile=st.booleans(),
    threads=st.integers(1, 256),
    device=st.sampled_from(DEVICES),
    isa=st.text(max_size=9),
    cache_level=st.integers(0, 2),
    decode=st.sampled_from(DECODES),
    lora_mode=st.sampled_from(LORA_MODES),
)
VIDEO = VideoShape(frames=17, height_px=72, width_px=128, fps=8.0)


@given(plan=plans)
def test_a_plan_survives_json(plan: RunPlan) -> None:
    assert RunPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    "field,value",
    [
        ("dtype", "float16"),
        ("vae_dtype", None),
        ("guidance_mode", "both"),
        ("device", "tpu"),
        ("batch", 0),
        ("batch", "2"),
        ("batch", 1.5),
        ("threads", 0),
        ("threads", True),
        ("cache_level", -1),
        ("cache_level", 3),
        ("cache_level", None),
        ("compile", "yes"),
        ("decode", "whole"),
        ("isa", 5),
        ("quantise", "int4"),
        ("quantise", None),
        ("offload", "swap"),
        ("lora_mode", "auto"),
    ],
)
def test_a_plan_that_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        RunPlan.from_dict({field: value})
    assert caught.value.field == field


def test_a_plan_that_is_no_object_is_named() -> None:
    with pytest.raises(InvalidInput, match="^plan: "):
        RunPlan.from_dict([])  # pyright: ignore[reportArgumentType]


def test_an_unknown_field_of_a_plan_is_named() -> None:
    with pytest.raises(InvalidInput, match="speed"):
        RunPlan.from_dict({"speed": 5})


def cost(video: VideoShape = VIDEO, plan: RunPlan | None = None, **changes: Any):
    options: dict[str, Any] = {"steps": 7, "is_guided": True, "plan": plan or RunPlan(), **changes}
    return estimate(CARD, video, **options)


def test_text_that_is_no_part_of_the_sequence_costs_no_tokens() -> None:
    apart = estimate(replace(CARD, joint_text=False), VIDEO, steps=1, is_guided=False, plan=RunPlan())
    tokens = 5 * 9 * 16
    assert apart.flops["denoise"] == 13 * tokens + 0.5 * tokens**2 + 3


def test_the_cost_by_hand() -> None:
    tokens = 5 * 9 * 16 + 7
    flops = cost(num_keyframes=3).flops
    assert flops["denoise"] == 7 * 2 * (13 * tokens + 0.5 * tokens**2 + 3)
    assert flops["decode"] == 17 * 17 * 72 * 128
    assert flops["encode"] == 19 * 2 + 5 * 72 * 128 * 3
    assert cost(is_guided=False).flops["denoise"] == 7 * (13 * tokens + 0.5 * tokens**2 + 3)
    assert cost().to_dict()["total_flops"] == sum(cost().flops.values())
    assert cost(plan=RunPlan(cache_level=1)).flops["denoise"] == 5 / 7 * flops["denoise"], (
        "two of seven steps are left out"
    )
    json.dumps(cost().to_dict())


@given(
    frames=st.integers(0, 6),
    sides=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    steps=st.integers(1, 60),
    plan=plans,
    is_guided=st.booleans(),
    axis=st.sampled_from(["frames", "height_px", "width_px"]),
)
def test_more_never_costs_less(
    frames: int, sides: tuple[int, int], steps: int, plan: RunPlan, is_guided: bool, axis: str
) -> None:
    video = VideoShape(frames=1 + 4 * frames, height_px=8 * sides[0], width_px=8 * sides[1], fps=8.0)
    bigger = replace(video, **{axis: getattr(video, axis) + (4 if axis == "frames" else 8)})
    base = cost(video, plan, steps=steps, is_guided=is_guided)
    assert base.total_flops > 0
    assert base.peak_bytes > sum(CARD.parameters.values()) * (2 if plan.dtype == "bfloat16" else 4)
    more = [
        cost(bigger, plan, steps=steps, is_guided=is_guided),
        cost(video, plan, steps=steps + 1, is_guided=is_guided),
        cost(video, plan, steps=steps, is_guided=is_guided, num_keyframes=1),
        cost(video, plan, steps=steps, is_guided=True),
    ]
    for other in more:
        assert all(other.flops[phase] >= base.flops[phase] for phase in base.flops)
        assert other.peak_bytes >= base.peak_bytes
    assert more[0].total_flops > base.total_flops
    assert more[1].total_flops > base.total_flops or plan.cache_level, "one more may be one that is left out"
    batch = cost(video, replace(plan, batch=plan.batch + 1), steps=steps, is_guided=is_guided)
    assert batch.peak_bytes >= base.peak_bytes
    full = cost(video, replace(plan, dtype="float32"), steps=steps, is_guided=is_guided)
    assert full.peak_bytes >= base.peak_bytes
    split = cost(video, replace(plan, guidance_mode="split"), steps=steps, is_guided=is_guided)
    both = cost(video, replace(plan, guidance_mode="batched"), steps=steps, is_guided=is_guided)
    assert split.peak_bytes <= both.peak_bytes
    assert split.flops == both.flops
