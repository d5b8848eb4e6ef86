"""Where weights lie, LoRAs and transformers from elsewhere: from the shell's words to the file, from Python, and made again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

from kinema.app import local
from kinema.engine.families.wan import Wan
from kinema.media.picture import read_picture
from kinema.media.recipe import read_recipe
from kinema.media.write import write_picture
from tests.cli.test_published import _float32, _killed
from tests.engine.families.loras import TEXT_LAYERS, WAN_LAYERS, low_rank
from tests.engine.families.published import hunyuan_video, wan
from tests.engine.families.small import WEIGHTS
from tests.weights import ggufs, originals

if TYPE_CHECKING:
    from tests.cli.conftest import Kinema

SMALL = "--frames 1 --size 48x32 --steps 2 --seed 7 --guidance 1".split()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "_LOADED", {})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("kinema.engine.choose.measure_dtypes", _float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wan(tmp_path_factory.mktemp("models") / "wan").folder


def plan_in(file: str) -> dict[str, Any]:
    return (read_recipe(file) or {})["plan"]


def test_a_dtype_is_for_all_networks(kinema: Kinema, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.engine.choose.measure_dtypes", _bfloat16)
    flags = ["generate", "a", "--model", str(folder), *SMALL]
    for dtype, wanted in {"auto": "bfloat16", "float32": "float32", "bfloat16": "bfloat16"}.items():
        made = kinema(*flags, "--dtype", dtype, "--out", f"{dtype}.png")
        assert made.code == 0, made.err
        plan = plan_in(f"{dtype}.png")
        assert (plan["dtype"], plan["vae_dtype"], plan["device"]) == (wanted, wanted, "cpu")
    again = kinema("reproduce", "float32.png", "--model", str(folder))
    assert (again.code, again.out) == (0, "float32.png: the same frames\n"), "a recipe says what it was"
    refused = kinema(*flags, "--dtype", "float16")
    assert refused.err == "error: dtype: 'float16': must be one of auto, float32, bfloat16\n"
    clip = local.generate("a", model=str(folder), frames=1, size="48x32", steps=2, seed=7, guidance=1, dtype="float32")
    assert clip.digest == (read_recipe("float32.png") or {})["frames"]


def _bfloat16(threads: int, *, device: str = "cpu") -> object:
    return replace(_float32(threads, device=device), dtype="bfloat16", vae_dtype="bfloat16")


def test_a_kept_run_of_another_dtype_is_refused(kinema: Kinema, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["generate", "a", "--model", str(folder), *SMALL, "--checkpoint", "run", "--out", "a.png"]
    with monkeypatch.context() as patch:
        patch.setattr(Wan, "decode", _killed)
        assert kinema(*flags, "--dtype", "bfloat16").code != 0
    refused = kinema(*flags, "--dtype", "float32")
    rule = "was made with dtype bfloat16, and not float32; remove it, or name another file"
    # as every refusal of a kept run: before any network is read
    assert (refused.code, refused.err) == (2, f"load\nerror: checkpoint: 'run': {rule}\n")
    assert kinema(*flags, "--dtype", "auto").code == 0, "who asks for none goes on as it was"
    assert plan_in("a.png")["dtype"] == "bfloat16"


def test_a_device_must_be_there(kinema: Kinema, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ["generate", "a", "--model", str(folder), *SMALL, "--out", "a.png"]
    for more in ([], ["--dtype", "float32"], ["--dry-run"]):
        refused = kinema(*flags, "--device", "cuda", *more)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.splitlines()[-1].startswith("error: device: 'cuda': is not there")
    assert kinema(*flags, "--device", "tpu").err == "error: device: 'tpu': must be one of cpu, cuda\n"
    assert list(Path().iterdir()) == []
    assert kinema(*flags).code == 0
    recipe = read_recipe("a.png") or {}
    write_picture("b.png", read_picture("a.png"), recipe={**recipe, "plan": {**recipe["plan"], "device": "cuda"}})
    for more in ([], ["--offload", "auto"], ["--out", "c.png"]):
        refused = kinema("reproduce", "b.png", "--model", str(folder), *more)
        rule = "made the clip, and is not there or this torch can't use it"
        assert (refused.code, refused.err) == (2, f"error: device: 'cuda': {rule}\n")


def test_offload_changes_no_pixel_and_quantise_is_kept(kinema: Kinema, folder: Path) -> None:
    flags = ["generate", "a", "--model", str(folder), *SMALL]
    for name, more in {
        "a": [],
        "b": ["--offload", "disk"],
        "c": ["--quantise", "int8", "--offload", "component"],
    }.items():
        made = kinema(*flags, "--out", f"{name}.png", *more)
        assert made.code == 0, made.err
    a, b, c = (read_recipe(f"{n}.png") or {} for n in "abc")
    assert (b["plan"]["offload"], c["plan"]["quantise"], c["plan"]["offload"]) == ("disk", "int8", "component")
    assert a["frames"] == b["frames"] != c["frames"]
    for name, offload in (("b", "auto"), ("c", "none")):
        again = kinema("reproduce", f"{name}.png", "--model", str(folder), "--offload", offload)
        assert again.code == 0, again.err
        assert again.out.startswith(f"{name}.png: the same frames\n  plan.offload: ")
        assert kinema("reproduce", f"{name}.png", "--model", str(folder)).out == f"{name}.png: the same frames\n"


def test_a_dry_run_shows_every_way_with_its_memory_and_time(kinema: Kinema, folder: Path) -> None:
    flags = ["generate", "a", "--model", str(folder), *SMALL, "--dry-run"]
    text = kinema(*flags).out
    assert "  --offload disk --quantise none: 0.5" in text
    assert "  --offload none --quantise none" not in text, "that is the plan itself"
    assert "time, at least: " not in text, "nothing was measured: the test's choice has no seconds"
    plan = kinema(*flags, "--offload", "layers", "--json").events[-1]
    assert plan["plan"]["offload"] == "layers"
    assert len(plan["placements"]) == 8
    refused = kinema(*flags, "--memory-limit", "0.1")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("error: memory: '0.1 GB': is too little for wan at this size")
    inspected = kinema("models", "inspect", str(folder), "--json").events[-1]
    assert [w["offload"] for w in inspected["placements"]].count("disk") == 1
    assert "offload=disk, quantise=none: " in kinema("models", "inspect", str(folder)).out


def test_loras_and_a_transformer_by_flags_in_python_and_again(kinema: Kinema, tmp_path: Path) -> None:
    whole = hunyuan_video(tmp_path / "hy", transformer={"guidance_embeds": True}).folder
    state = {n: 1.3 * t for n, t in load_file(whole / "transformer" / WEIGHTS).items()}
    tensors = {n: ggufs.plain(t) for n, t in originals.hunyuan_video(state).items()}
    gguf = ggufs.write(tmp_path / "t.gguf", tensors)
    bare = shutil.copytree(whole, tmp_path / "bare")
    (bare / "transformer" / WEIGHTS).unlink()
    low_rank(tmp_path / "a.safetensors", layers=TEXT_LAYERS)
    given = [
        "--lora",
        f"{tmp_path}/a.safetensors=0.5",
        "--lora",
        f"{tmp_path}/a.safetensors",
        "--transformer",
        str(gguf),
    ]
    flags = ["generate", "a", "--model", str(bare), *SMALL, "--out"]
    made = kinema(*flags, "a.png", *given)
    assert made.code == 0, made.err
    recipe = read_recipe("a.png") or {}
    assert [one["scale"] for one in recipe["model"]["loras"]] == [0.5, 1.0]
    clip = local.generate(
        "a", model=str(bare), frames=1, size="48x32", steps=2, seed=7, guidance=1, transformer=str(gguf),
        lora=[f"{tmp_path}/a.safetensors=0.5", f"{tmp_path}/a.safetensors"], offload="disk", lora_mode="merged",
    )  # fmt: skip
    assert clip.digest == recipe["frames"]
    assert kinema("reproduce", "a.png", "--model", str(bare)).out == "a.png: the same frames\n"
    assert recipe["plan"]["lora_mode"] == "merged"
    beside = kinema(*flags, "b.png", *given, "--lora-mode", "attached")
    assert beside.code == 0, beside.err
    assert plan_in("b.png")["lora_mode"] == "attached"
    again = kinema("reproduce", "b.png", "--model", str(bare), "--offload", "disk")
    assert again.out.startswith("b.png: the same frames\n  plan.offload: ")
    gguf.rename(tmp_path / "moved.gguf")
    lost = kinema("reproduce", "a.png", "--model", str(bare))
    assert lost.code == 2
    assert "t.gguf" in lost.err
    assert "isn't there; --transformer names it elsewhere" in lost.err
    found = kinema("reproduce", "a.png", "--model", str(bare), "--transformer", str(tmp_path / "moved.gguf"))
    assert found.out == "a.png: the same frames\n", found.err
    other = kinema(
        "reproduce", "a.png", "--model", str(bare), "--transformer", str(tmp_path / "moved.gguf"), *given[:2]
    )
    assert other.code == 2
    assert "made with other LoRAs: a.safetensors" in other.err


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--lora", "wan.safetensors"], "has no home in this model"),
        (["--lora", "wan.safetensors=x"], "must be FILE or FILE=SCALE"),
        (["--lora-2", "wan.safetensors"], "has no transformer_2"),
        (["--transformer", "cut.gguf"], "it ends at byte"),
        (["--transformer", "wan.safetensors"], "is a LoRA"),
        (["--lora-mode", "beside"], "must be one of auto, merged, attached"),
        (["--lora-mode", "attached"], "needs a LoRA"),
        (["--offload", "swap"], "must be one of auto, none, component, layers, disk"),
        (["--quantise", "int3"], "must be one of none, int8, fp8"),
        (["--memory-limit", "-1"], "must be above 0"),
        (["--memory-limit", "0.2"], "the cheapest plan: "),
        (["--quantise", "fp8", "--offload", "disk"], "doesn't go with offload=disk"),
    ],
)
def test_what_does_not_fit_is_one_line_and_no_file(
    kinema: Kinema, tmp_path: Path, small_text: Path, flags: list[str], told: str
) -> None:
    low_rank(Path("wan.safetensors"), layers=WAN_LAYERS)
    state = load_file(small_text / "transformer" / WEIGHTS)
    gguf = ggufs.write(Path("cut.gguf"), {n: ggufs.plain(t) for n, t in originals.hunyuan_video(state).items()})
    gguf.write_bytes(gguf.read_bytes()[:-32])
    before = sorted(p.name for p in Path().iterdir())
    refused = kinema("generate", "a", "--model", str(small_text), *SMALL, "--out", "a.mp4", *flags)
    assert refused.code == 2
    errors = [line for line in refused.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert told in errors[0]
    assert refused.err.splitlines()[-1] == errors[0]
    assert sorted(p.name for p in Path().iterdir()) == before


@pytest.fixture(scope="module")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hunyuan_video(tmp_path_factory.mktemp("models") / "hy", transformer={"guidance_embeds": True}).folder
