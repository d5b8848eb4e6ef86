"""Updates added to a network's weights: the sum that the definition says, rounded once, and taken back to the bit."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

from kinema.accel.lora import apply_lora, restore
from kinema.core.errors import InvalidInput
from kinema.models.layers.low_rank import LowRank


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(5, 7), nn.Linear(7, 3)])
        self.conv = nn.Conv3d(3, 5, (1, 2, 2))
        self.table = nn.Parameter(torch.randn(1, 2, 5))

    @property
    def first(self) -> nn.Linear:
        return cast(nn.Linear, self.blocks[0])


def low_rank(out: int, width: int, scale: float = 0.5) -> LowRank:
    return LowRank(down=torch.randn(2, width), up=torch.randn(out, 2), scale=scale)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.mark.parametrize("scale", [1.0, -0.7, 0.0])
def test_weights_become_the_sum(net: Net, scale: float) -> None:
    updates = {
        "blocks.0.weight": low_rank(7, 5),
        "blocks.1.bias": torch.randn(3),
        "conv.weight": low_rank(5, 12),
        "table": torch.randn(1, 2, 5),
    }
    before = {name: t.clone() for name, t in net.state_dict().items()}
    apply_lora(net, updates, scale=scale)
    for name, tensor in net.state_dict().items():
        expected = before[name]
        if name in updates:
            update = updates[name]
            change = update.scale * update.up @ update.down if isinstance(update, LowRank) else update
            expected = expected + scale * change.reshape(expected.shape)
        assert torch.allclose(tensor, expected, rtol=0, atol=1e-6), name
        assert (name in updates and scale != 0) == (not torch.equal(tensor, before[name])), name


def test_the_outputs_are_those_of_an_adapter_beside_the_weights(net: Net) -> None:
    update, x = low_rank(7, 5, scale=0.25), torch.randn(4, 5)
    layer = net.first
    with torch.no_grad():
        expected = layer(x) + 2.0 * 0.25 * (x @ update.down.T) @ update.up.T
        apply_lora(net, {"blocks.0.weight": update}, scale=2.0)
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_restoring_puts_the_very_same_parameters_back(net: Net) -> None:
    weight, values = net.first.weight, net.first.weight.clone()
    first = apply_lora(net, {"blocks.0.weight": low_rank(7, 5)})
    second = apply_lora(net, {"blocks.0.weight": low_rank(7, 5)})
    assert torch.equal(weight, values), "nothing is changed in place"
    restore(net, second)
    restore(net, first)
    assert net.first.weight is weight


def test_sums_are_rounded_once(net: Net) -> None:
    net.bfloat16()
    update = low_rank(7, 5, scale=1e-2)
    exact = net.first.weight.float() + 0.3 * update.dense()
    apply_lora(net, {"blocks.0.weight": update}, scale=0.3)
    assert net.first.weight.dtype == torch.bfloat16
    assert torch.equal(net.first.weight, exact.bfloat16())
    assert net.first.weight.requires_grad


@pytest.mark.parametrize(
    "updates, rule",
    [
        (
            {"blocks.0.weight": low_rank(7, 5), "blocks.2.weight": low_rank(7, 5)},
            "blocks.2.weight.*no parameter of this Net",
        ),
        ({"blocks.0.weight": low_rank(7, 5), "blocks.0.hue": low_rank(7, 5)}, "blocks.0.hue.*no parameter"),
        ({"blocks.0.weight": low_rank(7, 5), "blocks.1.weight": low_rank(4, 7)}, r"another shape than .*\(3, 7\)"),
        ({"table": torch.randn(3)}, r"another shape than the parameter's \(1, 2, 5\)"),
    ],
)
def test_what_does_not_fit_changes_nothing(net: Net, updates: dict[str, LowRank | torch.Tensor], rule: str) -> None:
    before = net.first.weight
    with pytest.raises(InvalidInput, match=rule):
        apply_lora(net, updates)
    assert net.first.weight is before


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_must_be_a_number(net: Net, scale: float) -> None:
    with pytest.raises(InvalidInput, match="^scale: "):
        apply_lora(net, {"table": torch.zeros(1, 2, 5)}, scale=scale)
