"""Downloading from the hub: what is taken and what isn't, what goes on after a break, and one line for all that can go wrong."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from kinema.core.errors import InvalidInput, MissingPackage, StorageError, WeightsError
from kinema.core.progress import Progress
from kinema.weights import hub
from kinema.weights.families import FAMILIES
from kinema.weights.folder import open_model
from tests.weights import hubs, published
from tests.weights.published import change_json

ID = "owner/small-wan"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as hubs serve them: with a page, pictures, and the same weights once more in other formats."""
    root = published.wan(tmp_path_factory.mktemp("served") / "wan")
    for name in ("README.md", "assets/cat.png", "transformer/diffusion_pytorch_model.fp16.safetensors",
                 "text_encoder/pytorch_model.bin", "other/model.safetensors"):  # fmt: skip
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x" * 100)
    return root


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Path) -> hubs.FakeHub:
    fake = hubs.install(monkeypatch, tmp_path / "cache")
    fake.models[ID] = served
    return fake


def look_up(model: str = ID) -> hub.Offer:
    return hub.look_up(model, knows=lambda pipeline: pipeline in FAMILIES)


# what the library below the client raises; which one that is changes with the client's version
ConnectError = type("ConnectError", (Exception,), {"__module__": "httpx2._exceptions"})
# what one of them raises for an answer that is no JSON
NotJson = type("JSONDecodeError", (json.JSONDecodeError, OSError), {"__module__": "requests.exceptions"})


def response(status: int) -> Any:
    return SimpleNamespace(status_code=status, headers={}, request=SimpleNamespace(url="https://example.org"))


@pytest.mark.parametrize(
    "text", ["owner/name", "owner/name@main", "a-b/c.d_e@v1.0", f"o/n@{hubs.SHA}", "o/n@refs/pr/1"]
)
def test_ids(text: str) -> None:
    assert hub.is_hub_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "name", "a/b/c", "../a", "/a", "a/", "./a/b", "a/b@", "a b/c", "a/b@../c", "a/b@c/../../d", "o/..", "~/a"],
)
def test_what_is_no_id(text: str) -> None:
    assert not hub.is_hub_id(text)
    with pytest.raises(InvalidInput, match="is no hub id; must be OWNER/NAME"):
        look_up(text)


def test_a_model_is_found_by_its_id_once_it_is_whole(fake: hubs.FakeHub) -> None:
    assert hub.find_downloaded(ID) is None
    with pytest.raises(InvalidInput, match=f"`kinema models get {ID}` looks for it on the hub"):
        open_model(ID)
    offer = look_up()
    assert hub.find_downloaded(ID) is None, "the index alone is no model"
    path = hub.download(offer)
    assert hub.find_downloaded(ID) == path
    assert hub.find_downloaded(f"{ID}@{hubs.SHA}") == path
    folder = open_model(ID)
    assert (folder.name, folder.card.name, folder.card.family) == (ID, ID, "wan")
    assert hub.downloaded_models() == [ID]


def test_only_what_is_needed_is_downloaded(fake: hubs.FakeHub, served: Path) -> None:
    offer = look_up()
    assert set(offer.files) == {
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
        "tokenizer/tokenizer_config.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    assert offer.total_bytes == sum((served / name).stat().st_size for name in offer.files)
    hub.download(offer)
    assert set(fake.downloaded) == set(offer.files)


def test_what_was_broken_off_goes_on(fake: hubs.FakeHub) -> None:
    fake.errors["vae/config.json"] = ConnectError("the cable was pulled")
    with pytest.raises(
        InvalidInput, match=r"can't be reached \(the cable was pulled\); try again, what was downloaded is kept"
    ):
        hub.download(look_up())
    first = list(fake.downloaded)
    assert len(first) > 3
    assert hub.find_downloaded(ID) is None
    assert hub.downloaded_models() == [f"{ID}@{hubs.SHA}"], "there, but under no name of its own"
    fake.errors.clear()
    hub.download(look_up())
    assert len(fake.downloaded) == len(set(fake.downloaded)), "nothing is downloaded twice"
    open_model(ID)


def test_progress_counts_bytes_and_ends_full(fake: hubs.FakeHub) -> None:
    events: list[Progress] = []
    hub.download(look_up(), observer=events.append)
    assert {e.phase for e in events} == {"download"}
    assert [e.step for e in events] == sorted(e.step for e in events)
    assert events[-1].step == events[-1].steps
    again: list[Progress] = []
    hub.download(look_up(), observer=again.append)
    assert len(again) == 1


def test_a_revision_that_moves_meanwhile_is_no_model(fake: hubs.FakeHub) -> None:
    offer = look_up()
    fake.head = "f" * 40
    with pytest.raises(InvalidInput, match="main has moved on while it was downloaded; get it again"):
        hub.download(offer)


@pytest.mark.parametrize(
    "card, text",
    [
        (hubs.CardData("apache-2.0"), "apache-2.0"),
        (hubs.CardData("other", "tencent-hunyuan-community"), "tencent-hunyuan-community"),
        (hubs.CardData(None), "not stated"),
        (None, "not stated"),
    ],
)
def test_the_licence_is_told(fake: hubs.FakeHub, card: hubs.CardData | None, text: str) -> None:
    fake.card_data = card
    assert look_up().license == text


def test_a_revision_has_a_name_of_its_own(fake: hubs.FakeHub) -> None:
    hub.download(look_up(f"{ID}@v2"))
    assert hub.find_downloaded(f"{ID}@v2") is not None
    assert hub.find_downloaded(ID) is None
    assert open_model(f"{ID}@v2").card.family == "wan"


@pytest.mark.parametrize(
    "error, field, rule",
    [
        (
            errors.RepositoryNotFoundError("404", response=response(404)),
            "model",
            "is not on the hub, or is private.*hf auth login",
        ),
        (errors.GatedRepoError("403", response=response(403)), "model", "needs its licence accepted.*hf auth login"),
        (errors.RevisionNotFoundError("404", response=response(404)), "revision", "has no such revision"),
        (errors.OfflineModeIsEnabled("offline"), "model", "HF_HUB_OFFLINE keeps the hub's client off the network"),
        (
            errors.HfHubHTTPError("503 Server Error\nmore", response=response(503)),
            "model",
            r"didn't answer \(503 Server Error\)",
        ),
        (errors.HfHubHTTPError("401 Unauthorized", response=response(401)), "model", "needs a login: `hf auth login`"),
        (errors.LocalEntryNotFoundError("no connection"), "model", r"didn't answer \(no connection\)"),
        (ConnectError("timed out"), "model", r"can't be reached \(timed out\)"),
        (ConnectionResetError("reset"), "model", r"can't be reached \(reset\)"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "model", "isn't the hub's: a proxy or a login page?"),
        (NotJson("Expecting value", "<html>", 0), "model", "isn't the hub's: a proxy or a login page?"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "model", "isn't the hub's: a proxy"),
    ],
)
@pytest.mark.parametrize("where", ["info", "vae/config.json"])
def test_each_error_is_one_line(fake: hubs.FakeHub, error: Exception, field: str, rule: str, where: str) -> None:
    fake.errors[where] = error
    with pytest.raises(InvalidInput, match=rule) as e:
        hub.download(look_up())
    assert e.value.field == field
    assert ID in str(e.value)
    assert "\n" not in str(e.value)
    assert e.value.__cause__ is error


def test_a_bug_is_not_taken_for_the_network(fake: hubs.FakeHub) -> None:
    fake.errors["info"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        look_up()


def test_a_full_disk_is_told_before_and_while_it_happens(fake: hubs.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(
            StorageError, match=r"0\.0 GB are to be downloaded and 0\.0 GB are free; make room or set HF_HOME"
        ):
            hub.download(look_up())
    assert fake.downloaded == ["model_index.json"]
    fake.errors["vae/config.json"] = OSError(errno.ENOSPC, "No space left on device", "/cache/x")
    with pytest.raises(StorageError, match="/cache/x: no space left on the disk"):
        hub.download(look_up())


def _index(**changes: Any) -> Any:
    return lambda m: change_json(m / "model_index.json", **changes)


@pytest.mark.parametrize(
    "spoil, rule",
    [
        (_index(_class_name="MochiPipeline"), "is a MochiPipeline, which this version doesn't know"),
        (_index(_class_name=None), r"has a model_index\.json that names no pipeline"),
        (
            lambda m: (m / "model_index.json").unlink(),
            "has no model_index.json, so it is no model in the diffusers layout",
        ),
        (lambda m: (m / "model_index.json").write_text("{"), "broken model_index.json"),
        (lambda m: (m / "model_index.json").write_text("[]"), "no JSON object"),
        (
            lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").rename(m / "vae" / "weights.bin"),
            "has its vae in pickle files alone",
        ),
    ],
)
def test_a_model_that_could_not_be_read_is_not_downloaded(
    fake: hubs.FakeHub, tmp_path: Path, spoil: Any, rule: str
) -> None:
    fake.models[ID] = published.wan(tmp_path / "m")
    spoil(fake.models[ID])
    with pytest.raises(WeightsError, match=rule):
        look_up()
    assert set(fake.downloaded) <= {"model_index.json"}


def test_without_the_client_there_are_no_downloads_and_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert hub.downloaded_models() == []
    assert hub.find_downloaded(ID) is None


def test_without_the_client_what_needs_it_names_the_extra(fake: hubs.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = look_up()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for ask in (look_up, lambda: hub.download(offer)):
        with pytest.raises(MissingPackage) as e:
            ask()
        assert str(e.value) == f"model: '{ID}': needs huggingface_hub: pip install 'kinema[hub]'"
    with pytest.raises(InvalidInput, match="is no hub id"):
        look_up("no-owner")


def test_an_empty_cache_holds_no_models(fake: hubs.FakeHub) -> None:
    assert hub.downloaded_models() == []
