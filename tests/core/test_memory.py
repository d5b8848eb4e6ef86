"""Peak bytes by phase, by hand and by rule, and the placement that is chosen from them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinema.core.blocks import BlockSizes
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import VideoShape
from kinema.core.memory import (
    DTYPE_BYTES,
    OFFLOADS,
    QUANTISATIONS,
    RUNTIME_BYTES,
    TORCHAO_BYTES,
    WRITER_BYTES,
    WRITER_BYTES_PER_PIXEL,
    memory_by_phase,
    scratch_bytes,
)
from kinema.core.placement import choose_placement, placements
from kinema.core.plan import RunPlan, estimate
from tests.core.cards import CARD

VIDEO = VideoShape(frames=17, height_px=72, width_px=128, fps=8.0)
BIG = replace(
    CARD,
    parameters={"text_encoder": 7 * 10**9, "transformer": 10 * 10**9, "transformer_2": 10 * 10**9, "vae": 10**9},
    blocks={
        name: BlockSizes(parameters=9 * 10**9, quantised=6 * 10**9, largest=3 * 10**8, largest_quantised=2 * 10**8)
        for name in ("transformer", "transformer_2")
    },
)
FRAME = 72 * 128 * 29.0
WRITER = WRITER_BYTES + 72 * 128 * WRITER_BYTES_PER_PIXEL


def peaks(card: ModelCard = BIG, *, keyframes: int = 0, **changes: Any) -> dict[str, int]:
    """Peak bytes by phase, less the runtime's."""
    plan = RunPlan(**changes)
    found = memory_by_phase(card, VIDEO, plan, is_guided=True, num_keyframes=keyframes)
    runtime = RUNTIME_BYTES[plan.device] + (TORCHAO_BYTES if plan.quantise != "none" and plan.device == "cpu" else 0)
    return {phase: size - runtime for phase, size in found.items()}


def test_each_network_has_the_dtype_of_its_own() -> None:
    denoise = 2 * (5 * 9 * 16 + 7) * 23
    assert peaks(CARD) == {
        "load": 4 * 1470,
        "encode": 4 * 1470,
        "denoise": 4 * 1470 + denoise,
        "decode": int(4 * 1470 + 4 * FRAME + 3 * 17 * 72 * 128) + WRITER,
    }
    assert peaks(CARD, dtype="bfloat16")["load"] == 2 * 1300 + 4 * 170
    assert peaks(CARD, vae_dtype="bfloat16")["load"] == 4 * 1300 + 2 * 170
    assert peaks(CARD, dtype="bfloat16")["denoise"] == 2 * 1300 + 4 * 170 + denoise // 2
    assert peaks(CARD, guidance_mode="split", batch=3)["denoise"] == 4 * 1470 + denoise * 3 // 2
    assert (
        peaks(CARD, vae_dtype="bfloat16")["decode"] == int(4 * 1300 + 2 * 170 + 2 * FRAME + 3 * 17 * 72 * 128) + WRITER
    )
    assert peaks(CARD, keyframes=1)["encode"] == int(4 * 1470 + FRAME)


def gigabytes(**changes: Any) -> dict[str, float]:
    """Peaks in GB: activations of this small clip are far below a tenth."""
    return {
        phase: round(size / 1e9, 1) for phase, size in peaks(dtype="bfloat16", vae_dtype="bfloat16", **changes).items()
    }


def test_placements_by_hand() -> None:
    assert gigabytes() == {"load": 56, "encode": 56, "denoise": 56, "decode": 56}
    assert gigabytes(offload="component") == {"load": 14, "encode": 14, "denoise": 20, "decode": 2}
    # a tenth of the transformer stands around its blocks
    assert gigabytes(offload="layers") == {"load": 14, "encode": 14, "denoise": 2 + 1.2, "decode": 2}
    assert gigabytes(offload="disk")["denoise"] == 2 + 0.6
    # six of ten parameters as a byte instead of two; while loading one block is still there whole
    assert gigabytes(quantise="int8") == {"load": 56 - 12 + 0.6, "encode": 44, "denoise": 44, "decode": 44}
    assert gigabytes(quantise="fp8", offload="component") == {"load": 14, "encode": 14, "denoise": 14.6, "decode": 2}
    assert gigabytes(quantise="int8", offload="layers", device="cuda")["denoise"] == 2 + 0.8


def test_loras_by_hand() -> None:
    """Attached ones stay in memory, whatever comes and goes; merged ones where they are added anew."""
    card = replace(BIG, adapters={"transformer": 2 * 10**9, "transformer_2": 10**9})
    both: dict[str, Any] = {"dtype": "bfloat16", "vae_dtype": "bfloat16"}
    for offload in OFFLOADS:
        for device in ("cpu", "cuda"):
            plain = peaks(offload=offload, device=device, **both)
            of_way = {
                way: peaks(card, offload=offload, device=device, lora_mode=way, **both)
                for way in ("merged", "attached")
            }
            assert {of_way["attached"][phase] - plain[phase] for phase in plain} == {6 * 10**9}
            is_read_anew = offload == "disk" or (offload != "none" and device == "cpu")
            assert {of_way["merged"][phase] - plain[phase] for phase in plain} == {6 * 10**9 if is_read_anew else 0}
    with pytest.raises(InvalidInput, match="^adapters: "):
        replace(BIG, adapters={"transformer": -1})


def test_a_network_without_known_blocks_is_one_block() -> None:
    bare = replace(BIG, blocks={})
    for offload in ("component", "layers", "disk"):
        assert peaks(bare, offload=offload) == peaks(bare, offload="component")
    assert peaks(bare, quantise="int8") == peaks(bare)


plans = st.builds(
    RunPlan,
    dtype=st.sampled_from(list(DTYPE_BYTES)),
    vae_dtype=st.sampled_from(list(DTYPE_BYTES)),
    batch=st.integers(1, 4),
    device=st.sampled_from(["cpu", "cuda"]),
)


@given(plan=plans, is_guided=st.booleans(), num_keyframes=st.integers(0, 2))
def test_slower_placements_never_need_more(plan: RunPlan, is_guided: bool, num_keyframes: int) -> None:
    every = placements(BIG, VIDEO, plan, is_guided=is_guided, num_keyframes=num_keyframes)
    for quantise in QUANTISATIONS:
        sizes = [p.peak_bytes for p in every if p.plan.quantise == quantise]
        assert sizes == sorted(sizes, reverse=True)
    for offload in OFFLOADS:
        mine = {p.plan.quantise: p.peak_bytes for p in every if p.plan.offload == offload}
        assert all(size <= mine["none"] for size in mine.values())
    json.dumps([p.to_dict() for p in every])


@given(plan=plans, memory=st.integers(1, 80 * 10**9))
def test_the_choice_fits_and_nothing_faster_would(plan: RunPlan, memory: int) -> None:
    every = placements(BIG, VIDEO, plan, is_guided=True)
    mine = [p for p in every if p.plan.quantise == "none"]
    if all(p.peak_bytes > memory for p in mine):
        fitting = [p for p in every if p.peak_bytes <= memory]
        named = fitting[0] if fitting else min(every, key=lambda p: p.peak_bytes)
        with pytest.raises(UnsupportedRequest, match=f"^memory: .*{re.escape(str(named))}"):
            choose_placement(BIG, VIDEO, memory, plan=plan, is_guided=True)
        return
    chosen = choose_placement(BIG, VIDEO, memory, plan=plan, is_guided=True)
    at = [p.plan for p in mine].index(chosen)
    assert mine[at].peak_bytes <= memory
    assert all(p.peak_bytes > memory for p in mine[:at])
    assert replace(chosen, offload="none") == plan


def choose(memory_bytes: int, **changes: Any) -> RunPlan:
    plan = RunPlan(dtype="bfloat16", vae_dtype="bfloat16", device="cuda", **changes)  # pyright: ignore[reportArgumentType]
    return choose_placement(BIG, VIDEO, memory_bytes, plan=plan, is_guided=True)


def test_choices_by_hand() -> None:
    assert [choose(int(gb * 1e9)).offload for gb in (60, 40, 16)] == ["none", "component", "layers"]
    assert choose(int(46e9), quantise="int8").offload == "none"
    small_text = replace(BIG, parameters={**BIG.parameters, "text_encoder": 10**8})
    plan = RunPlan(dtype="bfloat16", vae_dtype="bfloat16")
    assert choose_placement(small_text, VIDEO, int(3.1e9), plan=plan, is_guided=True).offload == "disk"


def test_a_refusal_names_what_would_fit() -> None:
    with pytest.raises(
        UnsupportedRequest, match=r"^memory: '2 GB': .*the cheapest plan: offload=.*: 14.7 GB \((load|encode)\)"
    ):
        choose(2 * 10**9)
    bare = replace(BIG, parameters={**BIG.parameters, "text_encoder": 10**8}, blocks=BIG.blocks)
    plan = RunPlan(dtype="bfloat16", vae_dtype="bfloat16", device="cuda", quantise="int8")
    with pytest.raises(UnsupportedRequest, match="what fits: offload=disk, quantise=none: 3.3 GB"):
        choose_placement(bare, VIDEO, int(3.4e9), plan=plan, is_guided=True)
    with pytest.raises(InvalidInput, match="^memory_bytes: 0"):
        choose(0)


@pytest.mark.parametrize("device,offload", [("cpu", "layers"), ("cpu", "disk"), ("cuda", "disk")])
def test_what_is_read_from_files_is_not_quantised(device: str, offload: str) -> None:
    with pytest.raises(InvalidInput, match="^quantise: 'int8': doesn't go with offload="):
        RunPlan(device=device, offload=offload, quantise="int8")  # pyright: ignore[reportArgumentType]
    assert RunPlan(device=device, offload=offload).reads_file  # pyright: ignore[reportArgumentType]
    assert not RunPlan(device="cuda", offload="layers", quantise="int8").reads_file


def test_decodes_by_hand() -> None:
    # what is not the decode's own: the same in every way
    cost = replace(BIG.cost, activation_bytes_per_pixel=4000.0, kept_bytes_per_pixel=800.0)
    ways = ("default", "exact", "frugal", "tiles")
    kept, strips = replace(BIG, cost=cost, decodes=ways), replace(BIG, cost=replace(cost, strip_px=9.0), decodes=ways)
    chunk, pixels = BIG.compression.time * 72 * 128 * 4000, VIDEO.pixels

    def decode(card: ModelCard, way: str) -> float:
        return peaks(card, decode=way)["decode"] - peaks(card)["decode"] + chunk

    assert [decode(kept, way) for way in ways] == [chunk, chunk + 800 * pixels, chunk + min(800 * pixels, 2**27), chunk]
    assert decode(strips, "frugal") == chunk / 8 + 3 * 4 * pixels
    scratch = {way: scratch_bytes(kept, VIDEO, RunPlan(decode=way)) for way in ways}  # pyright: ignore[reportArgumentType]
    assert scratch == {"default": 0, "exact": 0, "frugal": 2 * 800 * pixels, "tiles": 0}, "no more than all, twice"
    less, more = (replace(kept, cost=replace(cost, kept_bytes_per_pixel=size)) for size in (400.0, 8000.0))
    assert scratch_bytes(less, VIDEO, RunPlan(decode="frugal")) == 0, "all of it stays in memory"
    long = replace(VIDEO, frames=9999)
    waiting = 8000 * long.pixels
    assert scratch_bytes(more, long, RunPlan(decode="frugal")) == waiting + 2 * (2**30 + waiting // 9999)
    assert scratch_bytes(more, VIDEO, RunPlan(decode="exact")) == 0
    assert scratch_bytes(strips, replace(VIDEO, frames=999), RunPlan(decode="frugal")) == 0
    tall = replace(VIDEO, height_px=1024, width_px=512)
    frames = {way: memory_by_phase(kept, tall, RunPlan(decode=way), is_guided=True)["decode"] for way in ways}  # pyright: ignore[reportArgumentType]
    assert frames["default"] - frames["tiles"] == BIG.compression.time * (1024 * 512 - 256 * 256) * 4000


def test_what_is_made_and_not_shown_counts() -> None:
    cost = replace(BIG.cost, kept_bytes_per_pixel=8000.0)
    shown = replace(BIG, cost=cost, decodes=("default", "exact", "frugal"))
    hidden = replace(shown, hidden_latent_frames=2)
    longer = replace(VIDEO, frames=VIDEO.frames + 2 * BIG.compression.time)
    assert hidden.made(VIDEO) == longer
    for plan in (RunPlan(decode="exact"), RunPlan(decode="frugal")):
        mine, other = (
            estimate(card, video, steps=3, is_guided=True, plan=plan)
            for card, video in ((hidden, VIDEO), (shown, longer))
        )
        assert mine.flops == other.flops
        assert mine.memory_bytes["denoise"] == other.memory_bytes["denoise"]
        # but for the frames themselves, which are fewer
        assert other.memory_bytes["decode"] - mine.memory_bytes["decode"] == 3 * (longer.pixels - VIDEO.pixels)
    assert scratch_bytes(hidden, VIDEO, RunPlan(decode="frugal")) >= scratch_bytes(
        shown, longer, RunPlan(decode="frugal")
    )


def test_a_decode_that_would_fit_is_proposed() -> None:
    cost = replace(BIG.cost, activation_bytes_per_pixel=4e6, strip_px=9.0)
    card = replace(BIG, cost=cost, decodes=("default", "exact", "frugal"))
    plan = RunPlan(dtype="bfloat16", vae_dtype="bfloat16", device="cuda")
    with pytest.raises(UnsupportedRequest, match="what fits: decode=frugal, offload=component, quantise=none: "):
        choose_placement(card, VIDEO, int(39e9), plan=plan, is_guided=True)
