"""The folder that judges live in: saved and loaded, foreign, damaged, of other words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kinema.core.errors import StorageError, WeightsError
from kinema.evaluation.judges import (
    Judges,
    load_judges,
    save_judges,
)
from tests.evaluation.judges_at_random import noise, random_judges
from tests.training.judged import CLIP, FRAME


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(random_judges(), tmp_path / "deep" / "judges")
    return tmp_path / "deep" / "judges"


def save(networks: Judges, folder: Path) -> None:
    weights = {"frame": networks.frame.state_dict(), "clip": networks.clip.state_dict()}
    save_judges(weights, folder, card={"steps": 7, "名": "裁判"}, configs={"frame": FRAME, "clip": CLIP})


def test_saved_judges_say_the_same(folder: Path) -> None:
    own, loaded = random_judges(), load_judges(folder)
    assert (loaded.frame.config, loaded.clip.config) == (FRAME, CLIP)
    for one, other in ((own.frame, loaded.frame), (own.clip, loaded.clip)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor.half().float(), other.state_dict()[name]), name
    assert not any(p.requires_grad for p in loaded.clip.parameters())
    assert sorted(p.name for p in folder.iterdir()) == ["judges.json", "judges.safetensors"]
    assert json.loads((folder / "judges.json").read_text(encoding="utf-8"))["card"] == {"steps": 7, "名": "裁判"}
    verdict, again = own(noise(5), fps=8), loaded(noise(5), fps=8)
    assert abs(verdict.motion_score - again.motion_score) <= 1
    assert torch.allclose(verdict.camera_path, again.camera_path, atol=0.02)


def test_judges_that_were_saved_again_are_read_again(folder: Path) -> None:
    before = load_judges(folder)
    assert load_judges(folder) is before
    other = random_judges()
    other.clip.motion_score.bias.fill_(3.0)
    save(other, folder)
    assert load_judges(folder).clip.motion_score.bias.tolist() == [3.0]


def change(text: str, value: object, *path: str) -> str:
    data = json.loads(text)
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(data)


DAMAGES: dict[str, Callable[[str], str]] = {
    "no json": lambda text: text[:-9],
    "a list": lambda text: "[1, 2]",
    "a number": lambda text: "7",
    "of something else": lambda text: '{"_class_name": "Toy"}',
    "one judge": lambda text: json.dumps({"frame": json.loads(text)["frame"]}),
    "no words": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "words"}),
    "words that are none": lambda text: change(text, [], "words"),
    "no config": lambda text: change(text, 3, "frame"),
    "an unknown field": lambda text: change(text, 3, "clip", "heads"),
    "another width": lambda text: change(text, 48, "clip", "width"),
    "a word for a number": lambda text: change(text, "wide", "frame", "features"),
    "a width that no norm splits": lambda text: change(text, [16, 25, 32], "frame", "widths"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_foreign_config_is_named(folder: Path, damage: Callable[[str], str]) -> None:
    config = folder / "judges.json"
    config.write_text(damage(config.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(WeightsError, match="can't be read") as caught:
        load_judges(folder)
    assert caught.value.field == str(folder)


def test_missing_and_damaged_weights_are_named(folder: Path, tmp_path: Path) -> None:
    weights = folder / "judges.safetensors"
    whole = weights.read_bytes()
    for contents in (whole[:-100], whole[:50], b""):
        weights.write_bytes(contents)
        with pytest.raises(WeightsError) as caught:
            load_judges(folder)
        assert caught.value.field == str(folder)
    weights.unlink()
    for missing, name in ((folder, "judges.safetensors"), (tmp_path / "nowhere", "judges.json, judges.safetensors")):
        with pytest.raises(WeightsError) as caught:
            load_judges(missing)
        assert str(caught.value).endswith(f"aren't there ({name}); kinema train judges makes them")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["place", "time", "weather", "style", "kind", "colour", "action", "event", "camera"])
def test_judges_that_learned_other_words_are_refused(folder: Path, name: str) -> None:
    config = folder / "judges.json"
    text = config.read_text(encoding="utf-8")
    words = json.loads(text)["words"][name]
    for others in (words[::-1], words[:-1], [*words, "moon"], None):
        config.write_text(change(text, others, "words", name), encoding="utf-8")
        with pytest.raises(WeightsError, match=f"learned other words of {name} than .* train them anew"):
            load_judges(folder)
    config.write_text(text, encoding="utf-8")
    assert load_judges(folder).frame.config == FRAME


def test_a_tensor_too_many_or_too_few_is_named(folder: Path) -> None:
    networks = random_judges()
    parts = {"frame": networks.frame.state_dict(), "clip": networks.clip.state_dict()}
    configs = {"frame": FRAME, "clip": CLIP}
    save_judges(parts | {"sound": {"weight": torch.ones(2)}}, folder, card={}, configs=configs)
    with pytest.raises(WeightsError, match="of neither judge: sound.weight"):
        load_judges(folder)
    del parts["clip"]["event.bias"]
    save_judges(parts, folder, card={}, configs=configs)
    with pytest.raises(WeightsError, match="event.bias"):
        load_judges(folder)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/judges"):
        save_judges({}, tmp_path / "file" / "judges", card={}, configs={})
