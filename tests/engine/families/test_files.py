"""Transformers from elsewhere, and recipes that know them and LoRAs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.media_ref import Keyframe
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.reproduce import needed_changes, reproduce
from kinema.weights.folder import LoraFile, open_model
from tests.engine.families.loras import WAN_LAYERS, low_rank
from tests.engine.families.small import WEIGHTS, engine_of, request
from tests.weights import ggufs, originals


def test_a_transformer_from_one_file(folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path) -> None:
    """In the makers' names, in fp8 and as GGUF; the folder needs none of its own then."""
    source, bare = folders["text"], shutil.copytree(folders["text"], tmp_path / "bare")
    state = {n: 1.5 * t for n, t in load_file(source / "transformer" / WEIGHTS).items()}
    (bare / "transformer" / WEIGHTS).unlink()
    makers = {n: t.contiguous() for n, t in originals.hunyuan_video(state).items()}
    halves = {n: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for n, t in makers.items()}
    files = {kind: tmp_path / f"{kind}.safetensors" for kind in ("plain", "fp8", "read")}
    save_file(makers, files["plain"])
    save_file(halves, files["fp8"])
    save_file({n: t.float() for n, t in halves.items()}, files["read"])
    gguf = ggufs.write(tmp_path / "a.gguf", {n: ggufs.plain(t) for n, t in makers.items()})
    asked = request("text", keyframe)
    whole = shutil.copytree(bare, tmp_path / "whole")
    save_file(state, whole / "transformer" / WEIGHTS)
    expected = engine_of(whole).generate(asked)
    rounded = engine_of(open_model(bare, files={"transformer": files["read"]})).generate(asked)
    assert rounded.digest != expected.digest
    for file, wanted in ((files["plain"], expected), (gguf, expected), (files["fp8"], rounded)):
        engine = engine_of(open_model(bare, files={"transformer": file}))
        plan, clip = engine.plan(asked), engine.generate(asked)
        # the same weights; but where a file has them in memory, products may sum in another order
        assert np.abs(clip.frames.astype(int) - wanted.frames.astype(int)).max() <= 1
        for offload in ("layers", "disk"):
            assert engine.generate(asked, plan=replace(plan, offload=offload)).digest == clip.digest, file.name
    card, of_file = open_model(whole).card, open_model(bare, files={"transformer": gguf}).card
    assert of_file.parameters == card.parameters
    assert of_file.cost == card.cost


def test_costs_are_those_of_our_names(folders: dict[str, Path], tmp_path: Path) -> None:
    state = load_file(folders["experts"] / "transformer" / WEIGHTS)
    save_file({n: t.contiguous() for n, t in originals.wan(state).items()}, tmp_path / "a.safetensors")
    found = open_model(folders["experts"], files={"transformer": tmp_path / "a.safetensors"}).card
    known = open_model(folders["experts"]).card
    assert (found.cost, found.blocks, found.parameters) == (known.cost, known.blocks, known.parameters)


def test_files_that_do_not_fit_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    state = load_file(folders["text"] / "transformer" / WEIGHTS)
    gguf = ggufs.write(tmp_path / "a.gguf", {n: ggufs.plain(t) for n, t in originals.hunyuan_video(state).items()})
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-64])
    with pytest.raises(WeightsError, match="^transformer: .*it ends at byte"):
        open_model(folders["text"], files={"transformer": cut})
    with pytest.raises(
        WeightsError, match="^transformer: .*holds a hunyuan-video transformer.* is a WanTransformer3DModel"
    ):
        open_model(folders["experts"], files={"transformer": gguf})
    with pytest.raises(WeightsError, match="has no transformer_2"):
        open_model(folders["text"], files={"transformer_2": gguf})
    missing = ggufs.write(
        tmp_path / "b.gguf",
        {n: ggufs.plain(t) for n, t in originals.hunyuan_video(state).items() if "img_mlp.fc2" not in n},
    )
    engine, told = engine_of(open_model(folders["text"], files={"transformer": missing})), []
    with pytest.raises(WeightsError, match="^transformer: .*missing transformer_blocks.0.ff.net.2"):
        engine.generate(GenerationRequest(prompt="a", frames=1, size="32x32"), observer=told.append)
    assert [e.step for e in told] == [0], "found before anything else was loaded"


def test_a_recipe_knows_the_files(folders: dict[str, Path], keyframe: Keyframe, tmp_path: Path) -> None:
    asked, lora, single = request("experts", keyframe), tmp_path / "a.safetensors", tmp_path / "t.safetensors"
    low_rank(lora, layers=WAN_LAYERS)
    shutil.copyfile(folders["experts"] / "transformer_2" / WEIGHTS, single)
    folder = open_model(
        folders["experts"], files={"transformer": single}, loras=[LoraFile(file=lora, scale=0.5), LoraFile(file=lora)]
    )
    plain, engine = open_model(folders["experts"]), engine_of(folder)
    recipe = engine.generate(asked).recipe
    assert recipe["model"]["hash"] == folder.content_hash() != plain.content_hash()
    assert [(one["file"], one["scale"]) for one in recipe["model"]["loras"]] == [(str(lora), 0.5), (str(lora), 1.0)]
    again = reproduce(recipe, model=folders["experts"])
    assert (again.is_same, again.notes) == (True, ())
    elsewhere = reproduce(recipe, model=folders["experts"], offload="disk")
    assert elsewhere.is_same
    assert elsewhere.notes == (f"plan.offload: {recipe['plan']['offload']} then, disk now",)
    others: list[tuple[dict[str, Any], str]] = [
        (
            {"files": {"transformer": single}},
            r"^lora: .*made with other LoRAs: a\.safetensors .*sha256:\w+\) at 0\.5 and",
        ),
        (
            {"loras": folder.loras},
            r"^transformer: .*came from t\.safetensors .* from the model's folder; give the same",
        ),
        ({"files": {"transformer": single}, "loras": folder.loras[::-1]}, "^lora: "),
    ]
    for change, match in others:
        with pytest.raises(WeightsError, match=match):
            reproduce(recipe, engine=engine_of(open_model(folders["experts"], **change)))
    with pytest.raises(WeightsError, match="^lora: .*other LoRAs: none"):
        reproduce(engine_of(plain).generate(asked).recipe, engine=engine_of(open_model(plain.path, loras=folder.loras)))
    small = Engine(folder, memory_limit_gb=1e-3)
    with pytest.raises(InvalidInput, match="^memory: "):
        reproduce(recipe, engine=small, offload="disk")
    named = needed_changes(recipe, {"transformer_2": str(single)})
    assert named == ({"transformer": str(single), "transformer_2": str(single)}, folder.loras)
    lora.rename(tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=r"^model: .*a\.safetensors.* isn't there; --lora names it elsewhere"):
        reproduce(recipe, model=folders["experts"])
