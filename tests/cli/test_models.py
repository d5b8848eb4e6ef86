"""`kinema models`: what is here, what a model is, and how one comes here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kinema.weights.folder import shipped_models
from tests.cli.conftest import Kinema
from tests.weights import hubs, published

ID = "owner/small-wan"


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> hubs.FakeHub:
    return hubs.install(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.wan(tmp_path_factory.mktemp("wan") / "small", has_experts=True)


def test_list_shows_shipped_and_downloaded_models(kinema: Kinema, hub: hubs.FakeHub, wan: Path) -> None:
    before = kinema("models", "list", "--json").events
    assert [e["name"] for e in before if e["event"] == "model"] == shipped_models()
    hub.models[ID] = wan
    assert kinema("models", "get", ID).code == 0
    events = kinema("models", "list", "--json").events
    assert [e["name"] for e in events] == [*shipped_models(), ID]
    text = kinema("models", "list")
    assert len(text.out.splitlines()) == len(events)
    assert f"{ID} 2.2: 0.3 M parameters; 832x480" in text.out


def test_a_broken_download_is_told_and_hides_nothing(kinema: Kinema, hub: hubs.FakeHub, wan: Path) -> None:
    hub.models[ID] = wan
    kinema("models", "get", ID)
    next((hub.cache).rglob("vae/config.json")).unlink()
    answer = kinema("models", "list")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == len(shipped_models())
    assert "has no config.json" in answer.err


def test_inspect_shows_everything_about_a_folder(kinema: Kinema, wan: Path) -> None:
    (event,) = kinema("models", "inspect", str(wan), "--json").events
    assert (event["event"], event["family"], event["version"]) == ("model", "wan", "2.2")
    assert event["license"] == "Apache-2.0"
    assert event["settings"] == {"boundary_ratio": 0.875, "expand_timesteps": False}
    part = event["components"]["transformer_2"]
    assert (part["class"], part["stored_as"]) == ("WanTransformer3DModel", ["F32"])
    assert part["memory_bytes"] == {"bfloat16": 2 * part["parameters"], "float32": 4 * part["parameters"]}
    assert event["parameters"] == sum(c["parameters"] for c in event["components"].values())
    assert event["memory_bytes"]["float32"] == 4 * event["parameters"]
    assert event["card"]["any_size"] is True
    lines = kinema("models", "inspect", str(wan)).out.splitlines()
    assert lines[:2] == [f"{wan}: wan 2.2", "licence: Apache-2.0"]
    text = "\n".join(lines)
    for part in ("GB free there", "  vae: AutoencoderKLWan", "as F32", "all weights at once", "or any multiple of 16",
                 "up to 81 frames at 16 fps", "steps: 40, guidance 4", "conditions: none", "boundary_ratio 0.875"):  # fmt: skip
        assert part in text, part


def test_inspect_shows_the_words_of_a_model_that_has_them(kinema: Kinema, toy_model: str) -> None:
    (event,) = kinema("models", "inspect", toy_model, "--json").events
    assert (event["event"], event["parameters"], event["sizes"]) == ("model", 18, ["32x32", "48x32"])
    assert event["card"]["vocabulary"]["kind"] == {"puppy": ["puppy", "小狗"]}
    text = kinema("models", "inspect", toy_model).out
    assert "words:\n" in text
    assert "kind: puppy" in text


def test_inspect_tells_what_a_model_can_not_do_without(kinema: Kinema, tmp_path: Path) -> None:
    folder = published.wan(
        tmp_path / "m", pipeline="WanImageToVideoPipeline", transformer={"in_channels": 16}, has_experts=True
    )
    assert "conditions: keyframes (needs keyframes)" in kinema("models", "inspect", str(folder)).out


def test_inspect_knows_a_single_file(kinema: Kinema, wan: Path) -> None:
    file = wan / "transformer" / "diffusion_pytorch_model.safetensors"
    (event,) = kinema("models", "inspect", str(file), "--json").events
    assert (event["event"], event["family"], event["component"]) == ("weights", "wan", "transformer")
    assert event["bytes"] == file.stat().st_size
    assert "wan transformer (published names), 0.0 M parameters as F32" in kinema("models", "inspect", str(file)).out


def test_get_shows_licence_and_size_and_then_the_model(kinema: Kinema, hub: hubs.FakeHub, wan: Path) -> None:
    hub.models[ID] = wan
    hub.card_data = hubs.CardData("other", "some-community-licence")
    answer = kinema("models", "get", ID)
    assert answer.code == 0
    assert f"{ID} at {hubs.SHA[:12]}: 0.0 GB; licence: some-community-licence" in answer.err
    path = Path(answer.out.splitlines()[-1])
    assert (path / "model_index.json").is_file()
    events = kinema("models", "get", ID, "--json").events
    assert [e["event"] for e in events] == ["note", "progress", "model"]
    assert (events[-1]["name"], events[-1]["commit"]) == (ID, hubs.SHA)
    assert kinema("models", "inspect", ID).out.startswith(f"{ID}: wan 2.2")


def test_get_takes_a_revision(kinema: Kinema, hub: hubs.FakeHub, wan: Path) -> None:
    hub.models[ID] = wan
    (*_, event) = kinema("models", "get", ID, "--revision", "v2", "--json").events
    assert event["name"] == f"{ID}@v2"
    assert kinema("models", "inspect", f"{ID}@v2").code == 0
    assert kinema("models", "inspect", ID).code == 2
    twice = kinema("models", "get", f"{ID}@v1", "--revision", "v2")
    assert (twice.code, twice.err.startswith("error: revision: 'v2': is given twice")) == (2, True)


@pytest.mark.parametrize(
    "arguments, begin",
    [
        (("get", "no-owner"), "error: model: 'no-owner': is no hub id"),
        (("get", "../x/y"), "error: model: '../x/y': is no hub id"),
        (("inspect", "no-such"), "error: model: 'no-such': is neither a shipped model"),
        (("inspect", "no/such"), "error: model: 'no/such': is neither a shipped model"),
        (("inspect", ""), "error: model: '': is neither"),
        (("get",), "error: model: none: is required"),
    ],
)
def test_mistakes_are_one_line(kinema: Kinema, arguments: tuple[str, ...], begin: str) -> None:
    answer = kinema("models", *arguments)
    assert answer.code == 2
    assert answer.err.startswith(begin)
    assert len(answer.err.splitlines()) == 1


def test_get_without_the_hub_s_client_names_the_extra(kinema: Kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    answer = kinema("models", "get", ID)
    assert answer.code == 2
    assert answer.err == f"error: model: '{ID}': needs huggingface_hub: pip install 'kinema[hub]'\n"


def test_files_that_are_no_weights_are_one_line(kinema: Kinema, tmp_path: Path) -> None:
    for name, rule in (
        ("a.pt", "pickle"),
        ("a.txt", "must be a .safetensors or .gguf"),
        ("a.gguf", "no readable gguf"),
    ):
        (tmp_path / name).write_bytes(b"hello")
        answer = kinema("models", "inspect", str(tmp_path / name))
        assert answer.code == 2
        assert rule in answer.err
        assert len(answer.err.splitlines()) == 1
        assert json.dumps("Traceback") not in answer.err


def test_a_download_that_is_interrupted_ends_as_one(kinema: Kinema, hub: hubs.FakeHub, wan: Path) -> None:
    hub.models[ID] = wan
    hub.errors["vae/config.json"] = KeyboardInterrupt()
    answer = kinema("models", "get", ID)
    assert (answer.code, answer.err.splitlines()[-1]) == (130, "error: interrupted")
    assert kinema("models", "inspect", ID).code == 2
