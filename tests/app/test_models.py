"""What is known of a model without loading it: counts that agree with its card, and with the networks themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.app.models import find_model, inspect_model
from kinema.weights.build import network_of
from kinema.weights.folder import open_model, shipped_models
from tests.weights import published


@pytest.mark.parametrize("name", shipped_models())
def test_a_shipped_model_has_the_parameters_of_its_card_and_of_its_networks(name: str) -> None:
    inspection, folder = inspect_model(name), open_model(name)
    counts = {part.name: part.parameters for part in inspection.components if part.parameters}
    assert counts == dict(inspection.entry.card.parameters)
    with torch.device("meta"):
        networks = {part: network_of(folder, part)() for part in counts}
    assert counts == {part: sum(p.numel() for p in network.parameters()) for part, network in networks.items()}


def test_scales_are_bytes_and_no_parameters() -> None:
    part = next(p for p in inspect_model("kinema-mini").components if p.name == "transformer")
    tensors = open_model("kinema-mini").tensors("transformer")
    scales = {n: t for n, t in tensors.items() if n.endswith(".scale_weight")}
    assert scales
    assert part.parameters == sum(t.numel for t in tensors.values()) - sum(t.numel for t in scales.values())
    assert part.bytes == sum(t.nbytes for t in tensors.values())
    assert part.dtypes == ("BF16", "I8")


def test_scales_of_a_published_folder_are_no_parameters_of_its_card(tmp_path: Path) -> None:
    folder = published.wan(tmp_path / "wan")
    before = find_model(str(folder)).card
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    name = next(n for n, t in tensors.items() if n.endswith(".weight") and t.ndim == 2)
    rows = tensors[name].shape[0]
    save_file({**tensors, name.removesuffix("weight") + "scale_weight": torch.ones(rows)}, file)
    after = find_model(str(folder)).card
    assert after == replace(before, weights_bytes=before.weights_bytes + 4 * rows)
    (part,) = (p for p in inspect_model(str(folder)).components if p.name == "transformer")
    assert part.parameters == before.parameters["transformer"]
