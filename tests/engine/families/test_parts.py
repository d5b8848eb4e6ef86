"""Weights that come and go in whole runs of every family: the same bits as with all in memory."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.media_ref import Keyframe
from kinema.core.progress import Progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from tests.engine.families.small import FAMILIES, WEIGHTS, engine_of, request


@pytest.mark.parametrize("name", FAMILIES)
def test_the_bits_are_those_of_resident_weights(folders: dict[str, Path], keyframe: Keyframe, name: str) -> None:
    engine, asked = engine_of(folders[name], offload="none"), request(name, keyframe)
    plan = engine.plan(asked)
    resident = engine.generate(asked)
    assert resident.recipe["plan"]["offload"] == "none"
    assert resident.frames.std() > 1
    for offload in ("component", "layers", "disk"):
        clip = engine.generate(asked, plan=replace(plan, offload=offload))
        assert clip.digest == resident.digest, offload
        assert clip.recipe["plan"]["offload"] == offload
    small = replace(plan, quantise="int8")
    quantised = engine.generate(asked, plan=small)
    assert quantised.digest != resident.digest
    for again in (small, replace(small, offload="component")):
        assert engine.generate(asked, plan=again).digest == quantised.digest
    assert np.abs(quantised.frames.astype(int) - resident.frames.astype(int)).mean() < 8


def in_memory(engine: Engine) -> set[str]:
    """The networks of ``engine`` whose weights are all there."""
    assert engine._resident is not None
    networks = {n: p for n, p in engine._resident[1].parts.items() if isinstance(p, torch.nn.Module)}
    return {n for n, network in networks.items() if not any(p.is_meta for p in network.parameters())}


@pytest.mark.parametrize("offload", ["component", "disk"])
def test_only_what_a_phase_needs_is_in_memory(folders: dict[str, Path], keyframe: Keyframe, offload: str) -> None:
    engine = engine_of(folders["experts"], offload=offload)
    seen: dict[str, list[set[str]]] = {}

    def watch(event: Progress) -> None:
        if event.step and event.phase != "load":
            seen.setdefault(event.phase, []).append(in_memory(engine))

    asked = request("experts", keyframe, steps=6)
    for _ in range(2):
        seen.clear()
        engine.generate(asked, observer=watch)
        if offload == "component":
            assert seen["encode"] == [{"text_encoder"}]
            assert seen["denoise"][0] == {"transformer"}
            assert seen["denoise"][-1] == {"transformer_2"}, "experts take turns"
        else:
            assert seen["encode"] == [set()], "umT5 is read block by block as well"
            assert seen["denoise"] == [set()] * 6
        assert set(map(frozenset, seen["decode"])) == {frozenset({"vae"})}


@pytest.mark.parametrize("offload", ["layers", "disk"])
def test_of_a_text_encoder_one_block_is_there(folders: dict[str, Path], keyframe: Keyframe, offload: str) -> None:
    engine, asked = engine_of(folders["ltx"], offload=offload), request("ltx", keyframe)
    engine.generate(asked)
    assert engine._resident is not None
    t5 = engine._resident[1].parts["text_encoder"]
    blocks = [layer for name, layer in t5.named_modules() if re.fullmatch(r"encoder\.block\.\d+", name)]
    there: list[list[int]] = []

    def watch(*_: object) -> None:
        there.append([i for i, block in enumerate(blocks) if not any(p.is_meta for p in block.parameters())])

    for block in blocks:
        block.get_submodule("layer.1").register_forward_hook(watch)
    engine.generate(asked)
    assert there == [[0], [1], [2]]
    sizes = engine.card.blocks["text_encoder"]
    assert sizes.quantised == 0
    component, streamed = (engine_of(folders["ltx"], offload=o).estimate(asked) for o in ("component", offload))
    saved = sizes.parameters - sizes.largest * (2 if offload == "layers" else 1)
    assert component.memory_bytes["load"] - streamed.memory_bytes["load"] == 4 * saved


def test_what_is_resident_stays_for_the_next_clip(folders: dict[str, Path], keyframe: Keyframe) -> None:
    engine, asked = engine_of(folders["text"]), request("text", keyframe)
    loads: list[int] = []

    def count(event: Progress) -> None:
        if event.phase == "load" and event.step == 0:
            loads.append(event.steps)

    plan = engine.plan(asked)
    for chosen in (plan, plan, replace(plan, offload="disk"), replace(plan, offload="disk", decode="tiles")):
        engine.generate(asked, plan=chosen, observer=count)
    assert len(loads) == 2


def test_a_stream_goes_on_after_another_clip_came_between(folders: dict[str, Path], keyframe: Keyframe) -> None:
    for name in ("experts", "text", "kinema"):
        engine, asked = engine_of(folders[name], offload="disk"), request(name, keyframe, frames=9)
        wanted = engine.generate(asked).frames
        stream: Iterator[np.ndarray] = iter(engine.stream(asked))
        chunks = [next(stream)]
        engine.generate(asked.replace(seed=8))
        assert np.array_equal(np.concatenate([*chunks, *stream]), wanted)


def test_a_state_goes_on_under_another_offload(folders: dict[str, Path], keyframe: Keyframe) -> None:
    engine, asked, states = engine_of(folders["experts"]), request("experts", keyframe, steps=4), []
    plan = engine.plan(asked)
    clip = engine.generate(asked, plan=plan, on_state=states.append)
    elsewhere = replace(plan, offload="layers")
    assert engine.generate(asked, resume=states[1], plan=elsewhere).digest == clip.digest
    with pytest.raises(InvalidInput, match="^resume: .*another plan"):
        engine.generate(asked, resume=states[1], plan=replace(plan, quantise="int8"))


@pytest.mark.parametrize("offload", ["none", "component", "layers", "disk"])
@pytest.mark.parametrize(
    "component, name, rule",
    [
        ("vae", "decoder.conv_in.bias", "missing decoder.conv_in.bias"),
        ("transformer_2", "blocks.1.ffn.net.2.bias", "misshapen blocks.1.ffn.net.2.bias is 7, not"),
    ],
)
def test_what_files_lack_is_found_before_any_network_is_read(
    folders: dict[str, Path], tmp_path: Path, component: str, name: str, rule: str, offload: str
) -> None:
    folder = shutil.copytree(folders["experts"], tmp_path / "m")
    file = folder / component / WEIGHTS
    state = load_file(file)
    del state[name]
    save_file({**state, name: torch.zeros(7)} if "misshapen" in rule else state, file)
    told: list[Progress] = []
    with pytest.raises(WeightsError, match=f"^{component}: .*{rule}"):
        engine_of(folder, offload=offload).generate(
            GenerationRequest(prompt="a", frames=1, size="32x32"), observer=told.append
        )
    assert [(e.phase, e.step) for e in told] == [("load", 0)]


def test_weights_that_are_not_finite_are_found_when_they_come(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["experts"], tmp_path / "m")
    file = folder / "transformer_2" / WEIGHTS
    state = load_file(file)
    state["blocks.1.ffn.net.2.weight"][2, 3] = torch.nan
    save_file(state, file)
    for offload in ("none", "component", "layers", "disk"):
        with pytest.raises(WeightsError, match=r"NaN or infinity: blocks\.1\.ffn\.net\.2\.weight"):
            engine_of(folder, offload=offload).generate(
                GenerationRequest(prompt="a", frames=1, size="32x32", steps=6, guidance=1.0)
            )
