"""A small model folder of plain modules: loading and saving know nothing of what they carry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from kinema.core.card import CostFormula, ModelCard
from kinema.core.geometry import Compression
from kinema.weights.save import Component, save_model


class Net(nn.Module):
    """Blocks, a root parameter and a buffer, so that every kind of name occurs."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.Linear(3, 5)
        self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))
        self.scale = nn.Parameter(torch.ones(5))
        self.count = nn.Buffer(torch.arange(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj_in(x)
        for block in self.blocks:
            x = torch.tanh(block(x))
        return x * self.scale


def make_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


@pytest.fixture
def net() -> Net:
    return make_net()


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="toy",
        version="1",
        family="toy",
        license="Apache-2.0",
        parameters={},
        weights_bytes=0,
        sizes=((32, 32),),
        compression=Compression(time=4, space=8, channels=5),
        patch=(1, 2, 2),
        text_tokens=7,
        fps=(8.0,),
        default_seconds=1.0,
        max_frames=17,
        default_steps=3,
        default_guidance=2.0,
        conditions=(),
        cameras=(),
        languages=("en",),
        cost=CostFormula(
            denoise_per_token=1.0,
            denoise_per_token_pair=1.0,
            encode_per_pixel=1.0,
            decode_per_pixel=1.0,
            text=1.0,
            activation_bytes_per_token=1.0,
            activation_bytes_per_pixel=1.0,
        ),
    )


@pytest.fixture
def folder(tmp_path: Path, net: Net, card: ModelCard) -> Path:
    """A saved model: one component with tensors, one with a config alone."""
    components = {
        "net": Component(class_name="Net", config={"width": 5}, module=net),
        "scheduler": Component(class_name="Scheduler", config={"shift": 3.0}),
    }
    save_model(tmp_path / "toy", components, card=card, dtype=torch.float32)
    return tmp_path / "toy"
