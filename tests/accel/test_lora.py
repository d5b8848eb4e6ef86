"""Updates added to a network's weights, and beside them: what the definition says, rounded once, taken back to the bit."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kinema.accel.lora import apply_lora, attach_lora, merged, restore
from kinema.accel.offload import apply_offload
from kinema.accel.pack import PackedLinear, apply_pack, apply_unpacked
from kinema.accel.quantise import apply_quantize
from kinema.core.errors import InvalidInput
from kinema.models.layers.linear import GeluLinear
from kinema.models.layers.low_rank import LowRank
from tests.accel.networks import NETWORKS, random_network, run


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


# attached


def of_network(network: nn.Module, *, seed: int, size: float = 0.3) -> dict[str, LowRank]:
    """Updates of rank 3 for every linear layer of ``network``."""
    generator, updates = torch.Generator().manual_seed(seed), {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            down = torch.randn(3, layer.in_features, generator=generator) * layer.in_features**-0.5
            up = torch.randn(layer.out_features, 3, generator=generator) * size
            updates[f"{name}.weight"] = LowRank(down=down, up=up, scale=0.5)
    return updates


def attached(network: nn.Module, loras: Mapping[float, Mapping[str, LowRank]]) -> nn.Module:
    for scale, updates in loras.items():
        assert attach_lora(network, updates, scale=scale) == {}
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_beside_the_weights_is_the_same_as_in_them(name: str) -> None:
    """Two files, each with its scale: they add."""
    plain, beside, within = (random_network(NETWORKS[name]) for _ in range(3))
    loras = {0.7: of_network(plain, seed=1), -1.3: of_network(plain, seed=2)}
    attached(beside, loras)
    for scale, updates in loras.items():
        apply_lora(within, updates, scale=scale)
    expected = run(within)
    assert (run(beside) - expected).abs().max() < 2e-5
    for other in (run(plain), run(attached(random_network(NETWORKS[name]), {0.7: loras[0.7]}))):
        assert (other - expected).abs().max() > 0.1
    assert beside.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("kind", [nn.Linear, GeluLinear])
def test_the_formula_of_an_attached_layer(kind: type[nn.Linear]) -> None:
    torch.manual_seed(0)
    layer, x = kind(5, 7).requires_grad_(False), torch.randn(2, 3, 5)
    one, other = low_rank(7, 5, scale=0.25), low_rank(7, 5, scale=3.0)
    expected = F.linear(x, layer.weight, layer.bias)
    expected = expected + 2.0 * 0.25 * x @ one.down.T @ one.up.T - 0.1 * 3.0 * x @ other.down.T @ other.up.T
    attach_lora(layer, {"weight": one}, scale=2.0)
    attach_lora(layer, {"weight": other}, scale=-0.1)
    expected = F.gelu(expected, approximate="tanh") if kind is GeluLinear else expected
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_what_can_not_stand_beside_is_given_back(net: Net) -> None:
    others = {
        "blocks.1.weight": torch.randn(3, 7),
        "blocks.1.bias": torch.randn(3),
        "conv.weight": low_rank(5, 12),
        "table": torch.randn(1, 2, 5),
    }
    before = {name: t.clone() for name, t in net.state_dict().items()}
    assert attach_lora(net, {**others, "blocks.0.weight": low_rank(7, 5)}) == others
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    with pytest.raises(InvalidInput, match=r"another shape than .*\(3, 7\)"):
        attach_lora(net, {"blocks.0.weight": low_rank(7, 5), "blocks.1.weight": low_rank(4, 7)})
    with pytest.raises(InvalidInput, match="^scale: "):
        attach_lora(net, {"blocks.0.weight": low_rank(7, 5)}, scale=float("nan"))
    assert net.first.get_buffer("lora_down").shape == (2, 5), "and nothing has changed"


def test_what_the_weights_dtype_would_swallow_is_kept() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(64, 48).bfloat16(), torch.randn(31, 48).bfloat16()
    update = LowRank(down=torch.randn(2, 48), up=torch.randn(64, 2), scale=2e-4)
    wanted = x.double() @ update.dense().double().T
    shares = {}
    for way in (apply_lora, attach_lora):
        layer = nn.Linear(48, 64, bias=False).requires_grad_(False).bfloat16()
        layer.weight = nn.Parameter(weight, requires_grad=False)
        way(layer, {"weight": update})
        # exact sums of what the layer holds: it is the rounding of the change that is asked about
        change = layer.weight.double() - weight.double()
        if way is attach_lora:
            assert torch.equal(layer.weight, weight)
            assert layer.get_buffer("lora_up").dtype == torch.bfloat16
            change = layer.get_buffer("lora_up").double() @ layer.get_buffer("lora_down").double()
        shares[way] = float((x.double() @ change.T - wanted).norm() / wanted.norm())
    assert shares[attach_lora] < 0.01
    assert shares[apply_lora] > 0.5


@pytest.mark.parametrize("scheme", ["int8", "fp8"])
@pytest.mark.parametrize("name", ["hunyuan", "wan"])
def test_a_quantised_network_keeps_all_of_a_change(name: str, scheme: str) -> None:
    """The change's effect beside quantised weights is its effect beside plain ones; added before, it is rounded with them."""
    pytest.importorskip("torchao", reason="the extra `quantise` is not installed")
    plain = random_network(NETWORKS[name])
    loras = {0.7: of_network(plain, seed=1, size=0.02)}
    base, within = (random_network(NETWORKS[name]) for _ in range(2))
    apply_lora(within, loras[0.7], scale=0.7)
    quantised = run(apply_quantize(base, scheme))
    effect = run(attached(random_network(NETWORKS[name]), loras)) - run(plain)
    orders = (
        apply_quantize(attached(random_network(NETWORKS[name]), loras), scheme),
        attached(apply_quantize(random_network(NETWORKS[name]), scheme), loras),
    )
    beside, swapped = (run(network) for network in orders)
    assert torch.equal(beside, swapped), "it is beside them whichever comes first"
    errors = [
        float((out - quantised - effect).norm() / effect.norm())
        for out in (beside, run(apply_quantize(within, scheme)))
    ]
    assert errors[0] < 0.1
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("mode", ["component", "layers", "disk"])
@pytest.mark.parametrize("name", ["hunyuan", "wan"])
def test_weights_come_and_go_and_what_is_attached_stays(name: str, mode: str) -> None:
    network = random_network(NETWORKS[name])
    loras = {0.7: of_network(network, seed=1), 0.2: of_network(network, seed=2)}
    weights = {n: t.clone() for n, t in network.state_dict().items()}
    expected = run(attached(random_network(NETWORKS[name]), loras))
    attached(network.to("meta"), loras)
    with apply_offload(network, mode, device="cpu", read=lambda names: {n: weights[n] for n in names}):
        assert torch.equal(run(network), expected)
    assert all(p.is_meta for p in network.parameters())
    factors = {n for n, b in network.named_buffers() if "lora_" in n and not b.is_meta}
    assert len(factors) == 2 * len(loras[0.7])


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["component", "layers"])
def test_what_is_attached_is_on_the_gpu(mode: str) -> None:
    network = random_network(NETWORKS["wan"])
    loras = {0.7: of_network(network, seed=1)}
    expected = run(attached(random_network(NETWORKS["wan"]), loras).to("cuda"), "cuda")
    with apply_offload(attached(network, loras), mode, device="cuda"):
        assert torch.equal(run(network, "cuda"), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_layers_have_it_beside_them(dtype: torch.dtype) -> None:
    plain, packed, unpacked = (random_network(NETWORKS["hunyuan"]).to(dtype) for _ in range(3))
    loras = {0.7: of_network(plain, seed=1)}
    expected = run(attached(plain, loras)).float()
    apply_pack(attached(packed, loras))
    apply_unpacked(attached(unpacked, loras))
    assert torch.equal(run(packed), run(unpacked)), "wherever the weights lie"
    assert (run(packed).float() - expected).abs().max() < (1e-4 if dtype == torch.float32 else 0.1)
    if any(isinstance(layer, PackedLinear) for layer in packed.modules()):
        assert {type(layer) for layer in packed.modules()}.isdisjoint({nn.Linear, GeluLinear})


def test_a_packed_layer_lets_go_of_the_plain_weight() -> None:
    """At once, and not when cycles are collected: of a large model both would be there."""
    layer = nn.Linear(64, 48)
    attach_lora(layer, {"weight": low_rank(48, 64)})
    weight, holder = weakref.ref(layer.weight), nn.Sequential(layer)
    del layer
    gc.disable()
    try:
        apply_pack(holder)
        if not isinstance(holder[0], PackedLinear):
            pytest.skip("this processor or torch packs nothing")
        assert weight() is None
    finally:
        gc.enable()


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor in fp32 that is made within it."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float32:
            self.count = max(self.count, out.numel())
        return out


def test_of_a_large_matrix_no_copy_in_fp32_is_made() -> None:
    weight, update = torch.randn(5000, 700).bfloat16(), low_rank(5000, 700)
    with Largest() as largest:
        changed = merged(weight, update, 0.7)
    assert 0 < largest.count <= 1 << 20
    assert torch.equal(changed, (weight + 0.7 * update.dense()).bfloat16())
