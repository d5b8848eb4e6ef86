"""LoRAs in whole runs: the frames of changed weights, for the expert that is named, refused where they have no home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.media_ref import Keyframe
from kinema.core.plan import RunPlan
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.families.parts import Parts
from kinema.engine.reproduce import reproduce
from kinema.weights.folder import LoraFile, open_model
from tests.engine.families.loras import KINEMA_LAYERS, TEXT_LAYERS, WAN_LAYERS, added, low_rank
from tests.engine.families.small import engine_of, large, peaks, request


@pytest.mark.parametrize("name, layers", [("text", TEXT_LAYERS), ("kinema", KINEMA_LAYERS)])
def test_a_lora_makes_what_changed_weights_make(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path, name: str, layers: dict[str, tuple[int, int]]
) -> None:
    asked, file = request(name, keyframe), tmp_path / "a.safetensors"
    state = low_rank(file, layers=layers)
    expected = engine_of(added(folders[name], tmp_path / "m", state, 0.7)).generate(asked)
    engine = engine_of(open_model(folders[name], loras=[LoraFile.parse(f"{file}=0.7")]))
    plan, plain = engine.plan(asked), engine_of(folders[name]).generate(asked)
    clip = engine.generate(asked)
    assert np.abs(clip.frames.astype(int) - expected.frames.astype(int)).max() <= 1
    assert clip.digest != plain.digest
    for offload in ("component", "layers", "disk"):
        assert engine.generate(asked, plan=replace(plan, offload=offload)).digest == clip.digest, offload
    quantised = engine.generate(asked, plan=replace(plan, quantise="int8"))
    assert engine.generate(asked, plan=replace(plan, quantise="int8", offload="component")).digest == quantised.digest
    assert quantised.digest != engine_of(folders[name]).generate(asked, plan=replace(plan, quantise="int8")).digest


def test_a_lora_is_for_the_expert_that_it_names(folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path) -> None:
    asked, one, both = (
        request("experts", keyframe, steps=4),
        tmp_path / "one.safetensors",
        tmp_path / "both.safetensors",
    )
    state = low_rank(one, layers=WAN_LAYERS)
    second = low_rank(both, layers=WAN_LAYERS, prefix="transformer_2.")
    save_file({**state, **second}, both)
    first = added(folders["experts"], tmp_path / "first", state, 1.0)
    cases = {
        (LoraFile(file=one),): first,
        (LoraFile(file=one, component="transformer_2"),): added(
            folders["experts"], tmp_path / "second", state, 1.0, component="transformer_2"
        ),
        (LoraFile(file=both),): added(first, tmp_path / "both", second, 1.0, component="transformer_2"),
    }
    digests = set()
    for loras, folder in cases.items():
        clip = engine_of(open_model(folders["experts"], loras=loras)).generate(asked)
        expected = engine_of(folder).generate(asked)
        assert np.abs(clip.frames.astype(int) - expected.frames.astype(int)).max() <= 1
        digests.add(clip.digest)
    assert len(digests) == 3


def test_a_lora_of_another_model_is_refused_before_any_network_is_read(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path
) -> None:
    file = tmp_path / "other.safetensors"
    low_rank(file, layers={**TEXT_LAYERS, "transformer_blocks.7.attn.to_q": (32, 32)})
    engine = engine_of(open_model(folders["text"], loras=[LoraFile(file=file)]))
    told: list[str] = []
    with pytest.raises(WeightsError, match=r"^lora: .*transformer_blocks\.7\.attn\.to_q\.lora_A\.weight has no home"):
        engine.generate(request("text", keyframe), observer=lambda e: told.append(f"{e.phase} {e.step}"))
    assert set(told) <= {"load 0"}
    with pytest.raises(WeightsError, match="has no home"):
        engine.plan(request("text", keyframe))
    low_rank(file, layers={"transformer_blocks.1.attn.to_q": (48, 32)})
    with pytest.raises(WeightsError, match="a LoRA for another model"):
        engine.generate(request("text", keyframe))


@pytest.mark.parametrize(
    "text, match",
    [
        ("a.safetensors=much", "must be FILE or FILE=SCALE"),
        ("a.safetensors=nan", "must be a number"),
        ("a.pt", "pickle files can run code"),
        ("a.zip", r"must be a \.safetensors file"),
        ("none.safetensors", "isn't there"),
        ("cut.safetensors", "truncated"),
    ],
)
def test_what_is_no_lora_is_refused(folders: dict[str, Path], tmp_path: Path, text: str, match: str) -> None:
    low_rank(tmp_path / "cut.safetensors", layers=WAN_LAYERS)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-9])
    with pytest.raises(InvalidInput, match=f"(?s)^lora: .*{match}"):
        open_model(folders["experts"], loras=[LoraFile.parse(str(tmp_path / text))])
    assert LoraFile.parse("a=b.safetensors=0.5") == LoraFile(file=Path("a=b.safetensors"), scale=0.5)
    assert repr(LoraFile(file=Path("a.safetensors"), scale=1).scale) == "1.0"
    with pytest.raises(WeightsError, match="^transformer: .*none.gguf.*isn't there"):
        open_model(folders["experts"], files={"transformer": tmp_path / "none.gguf"})
    with pytest.raises(WeightsError, match="^transformer: .*is a folder; give a single file"):
        open_model(folders["experts"], files={"transformer": tmp_path})


def test_a_lora_that_changed_on_disk_is_read_again(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path
) -> None:
    asked, file = request("kinema", keyframe), tmp_path / "a.safetensors"
    low_rank(file, layers=KINEMA_LAYERS)
    folder = open_model(folders["kinema"], loras=[LoraFile(file=file)])
    engine = engine_of(folder)
    first = engine.generate(asked)
    low_rank(file, layers=KINEMA_LAYERS, seed=2)
    second = engine.generate(asked)
    assert second.digest != first.digest
    assert reproduce(second.recipe, model=folders["kinema"]).is_same


# attached

LAYERS = {
    "experts": {**WAN_LAYERS, "patch_embedding": (24, 24)},
    "text": TEXT_LAYERS,
    "kinema": {**KINEMA_LAYERS, "single_transformer_blocks.0.proj_mlp": (96, 24)},
}


def two_loras(folder: Path, tmp_path: Path, name: str) -> dict[str, Any]:
    """The model with two files for its transformer, the second with what can't stand beside a weight as well."""
    files = [tmp_path / f"{i}.safetensors" for i in (1, 2)]
    states = [low_rank(file, layers=LAYERS[name], seed=i) for i, file in enumerate(files)]
    bias = f"transformer.{next(iter(LAYERS[name]))}.diff_b"
    out = next(iter(LAYERS[name].values()))[0]
    save_file({**states[1], bias: torch.linspace(-1, 1, out)}, files[1])
    return {"loras": [LoraFile(file=files[0], scale=0.7), LoraFile(file=files[1], scale=-0.4)]}


def last_latents(engine: Engine, asked: GenerationRequest, plan: RunPlan) -> Tensor:
    """Latents after the last step."""
    states: list[Any] = []
    engine.generate(asked, plan=plan, on_state=states.append)
    return states[-1].latents


def factors_of(engine: Engine) -> dict[str, Tensor]:
    """What is attached to the transformer of ``engine``."""
    parts: Parts = engine._resident[1].parts  # pyright: ignore[reportOptionalSubscript]
    return {n: t for n, t in parts["transformer"].named_buffers() if "lora_" in n}


@pytest.mark.parametrize("name", LAYERS)
def test_attached_and_merged_agree_wherever_weights_lie(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path, name: str
) -> None:
    model, asked = open_model(folders[name], **two_loras(folders[name], tmp_path, name)), request(name, keyframe)
    engine = engine_of(model, lora_mode="attached")
    plan = engine.plan(asked)
    assert plan.lora_mode == "attached"
    merged = last_latents(engine, asked, replace(plan, lora_mode="merged"))
    assert factors_of(engine) == {}
    plain = last_latents(engine_of(folders[name]), asked, replace(plan, lora_mode="merged"))
    attached = last_latents(engine, asked, plan)
    linear = [layer for layer in LAYERS[name] if layer != "patch_embedding"]
    assert {n.rpartition(".")[0] for n in factors_of(engine)} == set(linear), "a convolution has none"
    assert {t.shape[n.endswith("up")] for n, t in factors_of(engine).items()} == {4}, "two of rank 2"
    assert (attached - merged).abs().max() < 1e-4
    assert (merged - plain).abs().max() > 0.05
    for offload in ("component", "layers", "disk"):
        moved = replace(plan, offload=offload)
        assert torch.equal(last_latents(engine, asked, moved), attached), offload
        assert not any(t.is_meta for t in factors_of(engine).values())
    small = replace(plan, quantise="int8")
    quantised = last_latents(engine, asked, small)
    assert torch.equal(last_latents(engine, asked, replace(small, offload="component")), quantised)
    assert not torch.equal(last_latents(engine, asked, replace(small, lora_mode="merged")), quantised)


def test_a_recipe_says_which_way_and_the_same_bits_come_again(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path
) -> None:
    model, asked = (
        open_model(folders["text"], **two_loras(folders["text"], tmp_path, "text")),
        request("text", keyframe),
    )
    for settings in ({"offload": "disk", "lora_mode": "attached"}, {"quantise": "int8"}, {"lora_mode": "attached"}):
        recipe = engine_of(model, **settings).generate(asked).recipe
        assert recipe["plan"]["lora_mode"] == "attached"
        assert reproduce(recipe, model=folders["text"]).is_same
        again = reproduce(recipe, model=folders["text"], offload="component")
        assert again.is_same
        assert not any("lora_mode" in note for note in again.notes)
    before = engine_of(model).generate(asked).recipe
    del before["plan"]["lora_mode"]  # as of a version that only merged
    again = reproduce(before, model=folders["text"])
    assert (again.is_same, again.notes) == (True, ())


def test_the_way_is_chosen_by_what_is_asked_for_and_never_by_what_is_free(
    folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = (
        open_model(folders["text"], **two_loras(folders["text"], tmp_path, "text")),
        request("text", keyframe),
    )

    def mode(model: Any = model, **settings: Any) -> str:
        return engine_of(model, **settings).plan(asked).lora_mode

    assert {mode(), *(mode(offload=way) for way in ("none", "component", "layers", "disk"))} == {"merged"}
    assert mode(quantise="int8") == mode(offload="disk", lora_mode="attached") == "attached"
    assert mode(quantise="int8", lora_mode="merged") == "merged"
    assert mode(folders["text"], quantise="int8") == mode(folders["text"], offload="disk") == "merged", "there are none"
    big = large(model)
    monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_: peaks(big, asked)["disk"])
    tight = engine_of(big).plan(asked)
    assert (tight.offload, tight.lora_mode) == ("disk", "merged")
    with pytest.raises(InvalidInput, match="^lora_mode: 'beside': must be one of auto, merged, attached"):
        mode(lora_mode="beside")
    with pytest.raises(InvalidInput, match="^lora_mode: 'attached': needs a LoRA"):
        mode(folders["text"], lora_mode="attached")


def test_what_is_attached_is_in_the_plan(folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path) -> None:
    model, asked = (
        open_model(folders["text"], **two_loras(folders["text"], tmp_path, "text")),
        request("text", keyframe),
    )
    numbers = sum(t.numel() for one in model.loras for t in _tensors(one.file))
    assert model.card.adapters == {"transformer": numbers}
    merged, attached = (engine_of(model, offload="none", lora_mode=way) for way in ("merged", "attached"))
    for phase, size in attached.estimate(asked).memory_bytes.items():
        assert size - merged.estimate(asked).memory_bytes[phase] == 4 * numbers, phase
    sizes = []
    for engine in (merged, attached):
        engine.generate(asked)
        sizes.append(engine._resident_bytes())
    bias = 32  # which is merged
    assert sizes[1] - sizes[0] == 4 * (numbers - bias)
    both = tmp_path / "both.safetensors"
    state = low_rank(tmp_path / "one.safetensors", layers=WAN_LAYERS)
    save_file({**state, **{n.replace("transformer.", "transformer_2."): t.clone() for n, t in state.items()}}, both)
    numbers = sum(t.numel() for t in state.values())
    card = open_model(folders["experts"], loras=[LoraFile(file=both), LoraFile(file=tmp_path / "one.safetensors")]).card
    assert card.adapters == {"transformer": 2 * numbers, "transformer_2": numbers}


def _tensors(file: Path) -> list[Tensor]:
    return list(load_file(file).values())
