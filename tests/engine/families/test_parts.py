"""Weights that come and go in whole runs of every family: the same bits as with all in memory; LoRAs and transformers from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinema.core.blocks import BlockSizes
from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, WeightsError
from kinema.core.media_ref import Keyframe
from kinema.core.placement import placements
from kinema.core.plan import RunPlan
from kinema.core.progress import Progress, ignore_progress
from kinema.core.request import GenerationRequest
from kinema.engine.engine import Engine
from kinema.engine.reproduce import needed_changes, reproduce
from kinema.weights.folder import LoraFile, ModelFolder, open_model
from tests.engine.conftest import save_tiny
from tests.engine.families.published import IMAGE_DIM, hunyuan_video, ltx, picture_file, wan
from tests.weights import ggufs, originals

SEES = {"in_channels": 16, "image_dim": IMAGE_DIM, "added_kv_proj_dim": 24}
FAMILIES = ("experts", "first frame", "seen picture", "text", "picture", "ltx", "kinema")
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_card: ModelCard) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    models = {
        "experts": wan(root / "a14b", boundary=0.875, shift=12.0),
        "first frame": wan(root / "5b", expand=True, shift=5.0),
        "seen picture": wan(root / "i2v", picture=True, transformer=SEES),
        "text": hunyuan_video(root / "t2v", transformer={"guidance_embeds": True}),
        "picture": hunyuan_video(root / "hy", picture="token_replace", transformer={"guidance_embeds": False}),
    }
    models["ltx"] = ltx(root / "ltx", picture=True)
    return {**{n: m.folder for n, m in models.items()}, "kinema": save_tiny(root / "tiny", tiny_card)}


@pytest.fixture(scope="module")
def keyframe(tmp_path_factory: pytest.TempPathFactory) -> Keyframe:
    return picture_file(tmp_path_factory.mktemp("pictures") / "a.png")[0]


def request(name: str, keyframe: Keyframe, **fields: Any) -> GenerationRequest:
    """Five frames of 48x32 in two steps, with a picture where the family takes one."""
    guidance = 4.0 if name == "picture" else 1.0
    pictures = () if name in ("experts", "text") else (keyframe,)
    shape = {"frames": 9, "size": "96x64"} if name == "ltx" else {"frames": 5, "size": "48x32"}
    defaults: dict[str, Any] = {"prompt": "a red car", **shape, "steps": 2, "seed": 7}
    return GenerationRequest(**{**defaults, "keyframes": pictures, "guidance": guidance, **fields})


def engine_of(folder: Any, **settings: Any) -> Engine:
    return Engine(folder, dtype="float32", threads=1, **settings)


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
        assert seen["encode"] == [{"text_encoder"}]
        if offload == "component":
            assert seen["denoise"][0] == {"transformer"}
            assert seen["denoise"][-1] == {"transformer_2"}, "experts take turns"
        else:
            assert seen["denoise"] == [set()] * 6
        assert set(map(frozenset, seen["decode"])) == {frozenset({"vae"})}


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


# LoRAs


def low_rank(file: Path, *, layers: dict[str, tuple[int, int]], seed: int = 1, prefix: str = "transformer.") -> State:
    """A LoRA of rank 2 in diffusers' naming, written to ``file``: layer -> (out, in)."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for layer, (out, width) in layers.items():
        state[f"{prefix}{layer}.lora_A.weight"] = torch.randn(2, width, generator=generator) * 0.5
        state[f"{prefix}{layer}.lora_B.weight"] = torch.randn(out, 2, generator=generator) * 0.5
    save_file(state, file)
    return state


State = dict[str, Tensor]
WAN_LAYERS = {"blocks.0.attn1.to_q": (24, 24), "blocks.2.ffn.net.2": (24, 20), "proj_out": (24, 24)}
TEXT_LAYERS = {"transformer_blocks.1.attn.to_q": (32, 32), "single_transformer_blocks.2.proj_mlp": (128, 32)}
KINEMA_LAYERS = {"single_transformer_blocks.1.attn.to_k": (24, 24)}


def added(folder: Path, target: Path, state: State, scale: float, *, component: str = "transformer") -> Path:
    """A copy of ``folder`` whose files hold what the LoRA ``state`` makes of them."""
    shutil.copytree(folder, target)
    (file,) = (target / component).glob("*.safetensors")
    weights = load_file(file)
    for name, down in state.items():
        if name.endswith(".lora_A.weight"):
            layer = name.removesuffix(".lora_A.weight").partition(".")[2]
            change = state[name.replace("lora_A", "lora_B")] @ down
            weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + scale * change
    save_file(weights, file)
    return target


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
    with pytest.raises(InvalidInput, match=f"(?s)^(lora|{tmp_path.name}): .*{match}"):
        open_model(folders["experts"], loras=[LoraFile.parse(str(tmp_path / text))])
    assert LoraFile.parse("a=b.safetensors=0.5") == LoraFile(file=Path("a=b.safetensors"), scale=0.5)
    assert repr(LoraFile(file=Path("a.safetensors"), scale=1).scale) == "1.0"
    with pytest.raises(WeightsError, match="^transformer: .*none.gguf.*isn't there"):
        open_model(folders["experts"], files={"transformer": tmp_path / "none.gguf"})


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


# transformers from elsewhere


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
    with pytest.raises(WeightsError, match="it ends at byte"):
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


# recipes


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


# plans


def large(folder: Path) -> ModelFolder:
    """The model with a card that claims a hundred thousand times its transformer's parameters."""
    model = open_model(folder)
    many = 10**5
    sizes = {name: BlockSizes(**{k: many * v for k, v in asdict(b).items()}) for name, b in model.card.blocks.items()}
    counts = model.card.parameters
    parameters = {**counts, "transformer": many * counts["transformer"]}
    model.__dict__["card"] = replace(model.card, parameters=parameters, blocks=sizes)
    return model


def peaks(model: ModelFolder, asked: GenerationRequest) -> dict[str, int]:
    """Peak bytes of the ways that aren't quantised."""
    ways = placements(model.card, model.card.shape(asked), RunPlan(guidance_mode="off"), is_guided=False)
    return {w.plan.offload: w.peak_bytes for w in ways if w.plan.quantise == "none"}


def test_a_plan_is_chosen_by_memory(
    folders: dict[str, Path], keyframe: Keyframe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = large(folders["first frame"]), request("experts", keyframe)
    rooms = peaks(model, asked)
    assert rooms["none"] > rooms["component"] > rooms["layers"] > rooms["disk"]
    for offload, room in rooms.items():
        monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_, room=room: room)
        assert engine_of(model).plan(asked).offload == offload
        assert engine_of(model, memory_limit_gb=9e9).plan(asked).offload == offload, "a limit makes no room"
        assert engine_of(model, offload="none").plan(asked).offload == "none", "whoever chooses knows"
    monkeypatch.setattr("kinema.engine.engine.memory_room_bytes", lambda *_: 10**9)
    for ask in (engine_of(model).plan, engine_of(model).generate):
        with pytest.raises(InvalidInput, match="^memory: '1 GB': .*the cheapest plan: offload=disk, quantise=none: "):
            ask(asked)


def test_a_limit_refuses_what_it_is_too_small_for(folders: dict[str, Path], keyframe: Keyframe) -> None:
    model, asked = large(folders["first frame"]), request("experts", keyframe)
    limit = peaks(model, asked)["component"] / 1e9 + 1e-3
    assert engine_of(model, memory_limit_gb=limit).plan(asked).offload == "component"
    with pytest.raises(InvalidInput, match="^memory: .* with offload=none; what fits: offload=component"):
        engine_of(model, memory_limit_gb=limit, offload="none").generate(asked)
    for settings, match in (
        ({"memory_limit_gb": 0}, "^memory_limit_gb: 0"),
        ({"offload": "swap"}, "^offload: 'swap': must be one of auto, none, component, layers, disk"),
        ({"quantise": "int4"}, "^quantise: 'int4': must be one of none, int8, fp8"),
        ({"quantise": "int8", "offload": "disk"}, "^quantise: 'int8': doesn't go with offload=disk"),
        ({"compile": True, "offload": "layers"}, "^offload: 'layers': must be none with compile"),
    ):
        with pytest.raises(InvalidInput, match=match):
            engine_of(folders["experts"], **settings).plan(asked)


def test_a_batch_is_planned_as_one(folders: dict[str, Path], keyframe: Keyframe) -> None:
    asked = request("experts", keyframe, frames=81, size="832x480")
    engine = engine_of(folders["experts"], offload="none")
    room = 2 * engine.estimate(asked).peak_bytes
    engine = engine_of(folders["experts"], memory_limit_gb=room / 1e9)
    assert engine.plan(asked).offload == "none"
    with pytest.raises(InvalidInput, match="^memory: .*too little"):
        engine._run([asked] * 99, ignore_progress, None, plan=None)
